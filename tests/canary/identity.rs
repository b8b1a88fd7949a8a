//! A managed identity: its tokens, and the header that proves to the endpoint where a request comes from.

use incidentd::simulator::{IdentityEndpoints, KeyVault, SimulatedIdentity, Simulator};
use uuid::Uuid;

use crate::canary::credentials::{NEXT_FILE, SECRET_FILE};
use crate::canary::online::{NO_CREDENTIAL, Online, WELL, well};
use crate::canary::parrot::{Parrot, whole};
use crate::canary::stage::{Outcome, Stage};
use crate::canary::words::RIGHT;

const CLIENT: Uuid = Uuid::from_u128(7);

fn identity(microsoft: &Simulator) -> SimulatedIdentity {
    SimulatedIdentity {
        client_id: Some(CLIENT),
        principal: Uuid::from_u128(8),
        tenant: microsoft.world().tenants()[0].id,
    }
}

fn with_identity(stage: Stage, endpoint: &str) -> Stage {
    stage
        .without(&[SECRET_FILE, NEXT_FILE])
        .text("app.managed_identity", &CLIENT.to_string())
        .env("IDENTITY_ENDPOINT", endpoint)
        .env("IDENTITY_HEADER", IdentityEndpoints::HEADER)
}

/// The identity proves the app.
pub async fn serves() -> Outcome {
    let (microsoft, stage) = well().await;
    let identity = identity(&microsoft);
    let world = microsoft.world();
    let tenant = identity.tenant;
    let trusts = identity.federated();
    world
        .administer(tenant, |tenant| tenant.federated = vec![trusts])
        .expect("the tenant");
    let endpoints = IdentityEndpoints::start(&microsoft, vec![identity]).await;
    let endpoints = endpoints.expect("a free port");
    let online = Online {
        name: "a managed identity",
        ends: WELL,
        stage: with_identity(stage, &endpoints.app_service()),
        microsoft,
    };
    online.happens().await
}

/// The identity opens a vault, in which the secret is.
pub async fn opens_a_vault() -> Outcome {
    let (microsoft, stage) = well().await;
    let endpoints = IdentityEndpoints::start(&microsoft, vec![identity(&microsoft)]).await;
    let endpoints = endpoints.expect("a free port");
    let vault = KeyVault::start(&microsoft).await.expect("a free port");
    vault.put(RIGHT, Some(4_000_000_000));
    let online = Online {
        name: "a secret in a key vault",
        ends: WELL,
        stage: with_identity(stage, &endpoints.app_service())
            .text("app.key_vault_secret", &vault.secret()),
        microsoft,
    };
    online.happens().await
}

/// A vault repeats the token that it is sent, and refuses it.
pub async fn vault_repeats_its_token() -> Outcome {
    let answer = |sent: &str| {
        let body = serde_json::json!({"error": {"code": sent, "message": sent}});
        let line = sent.replace("\r\n", " ");
        whole(403, &format!("WWW-Authenticate: {line}"), &body.to_string())
    };
    let parrot = Parrot::start(answer).await;
    let (microsoft, stage) = well().await;
    let endpoints = IdentityEndpoints::start(&microsoft, vec![identity(&microsoft)]).await;
    let endpoints = endpoints.expect("a free port");
    let vault = format!("http://{}/secrets/app", parrot.address);
    let online = Online {
        name: "a key vault that repeats its token",
        ends: NO_CREDENTIAL,
        stage: with_identity(stage, &endpoints.app_service()).text("app.key_vault_secret", &vault),
        microsoft,
    };
    online.happens().await
}

/// An endpoint repeats what it is sent, and refuses it.
pub async fn repeats_its_header() -> Outcome {
    let answer = |sent: &str| {
        let body = serde_json::json!({"error": sent, "error_description": sent});
        let line = sent.replace("\r\n", " ");
        whole(400, &format!("Retry-After: {line}"), &body.to_string())
    };
    let parrot = Parrot::start(answer).await;
    let (microsoft, stage) = well().await;
    let online = Online {
        name: "an identity endpoint that repeats its header",
        ends: NO_CREDENTIAL,
        stage: with_identity(stage, &format!("http://{}/msi/token", parrot.address)),
        microsoft,
    };
    online.happens().await
}
