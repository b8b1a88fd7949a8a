//! A managed identity: its tokens, and the header that proves to the endpoint where a request comes from.

use incidentd::simulator::{
    FederatedCredential, IdentityEndpoints, KeyVault, SECOND, SimulatedIdentity, Simulator, Tenant,
};
use uuid::Uuid;

use crate::canary::credentials::{NEXT_FILE, SECRET_FILE};
use crate::canary::online::{NO_CREDENTIAL, Online, WELL, federated, well};
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

/// The pod's identity opens a vault with the token in a file.
pub async fn opens_a_vault_for_a_pod() -> Outcome {
    let (microsoft, stage) = well().await;
    let vault = KeyVault::start(&microsoft).await.expect("a free port");
    vault.put(RIGHT, Some(4_000_000_000));
    let online = Online {
        name: "a secret in a key vault for a pod",
        ends: WELL,
        stage: of_pod(&microsoft, stage, &vault.secret()),
        microsoft,
    };
    online.happens().await
}

/// A vault repeats the token of a pod's identity, and refuses it.
pub async fn vault_repeats_a_pod_s_token() -> Outcome {
    let answer = |sent: &str| {
        let body = serde_json::json!({"error": {"code": sent, "message": sent}});
        whole(403, "Retry-After: 1", &body.to_string())
    };
    let parrot = Parrot::start(answer).await;
    let (microsoft, stage) = well().await;
    let vault = format!("http://{}/secrets/app", parrot.address);
    let online = Online {
        name: "a key vault that repeats the token of a pod's identity",
        ends: NO_CREDENTIAL,
        stage: of_pod(&microsoft, stage, &vault),
        microsoft,
    };
    online.happens().await
}

/// A token service repeats the token of a pod, and refuses it.
pub async fn login_repeats_a_pod_s_token() -> Outcome {
    let answer = |sent: &str| {
        let body = serde_json::json!({"error": "invalid_client", "error_description": sent});
        whole(401, "Retry-After: 1", &body.to_string())
    };
    let parrot = Parrot::start(answer).await;
    let (microsoft, stage) = well().await;
    let online = Online {
        name: "a token service that repeats a pod's token",
        ends: NO_CREDENTIAL,
        stage: of_pod(&microsoft, stage, "http://127.0.0.1:1/secrets/app")
            .text("api.login_url", &format!("http://{}", parrot.address)),
        microsoft,
    };
    online.happens().await
}

/// A tenant with the pod's identity, which trusts the token in the file.
fn of_pod(microsoft: &Simulator, stage: Stage, vault: &str) -> Stage {
    let world = microsoft.world();
    let trusts = FederatedCredential::new("https://issuer.example", "pod");
    let now = world.now();
    let token = trusts.assertion(now - 3600 * SECOND, now + 3600 * SECOND);
    let home = Tenant {
        client_id: CLIENT,
        federated: vec![trusts],
        ..Tenant::numbered(9000)
    };
    let stage = federated(stage, &token)
        .text("app.key_vault_secret", vault)
        .env("AZURE_CLIENT_ID", CLIENT.to_string())
        .env("AZURE_TENANT_ID", home.id.to_string());
    world.add_tenant(home);
    stage
}

/// Something that is not Azure Arc's agent asks for the content of a file with a secret, and repeats what it gets.
pub async fn asks_for_a_file() -> Outcome {
    let (microsoft, stage) = well().await;
    let file = stage.folder().join("client-secret").display().to_string();
    let answer = move |sent: &str| {
        let body = serde_json::json!({"error": sent, "error_description": sent});
        let challenge = format!("WWW-Authenticate: Basic realm={file}");
        whole(401, &challenge, &body.to_string())
    };
    let parrot = Parrot::start(answer).await;
    let host = format!("http://{}", parrot.address);
    let online = Online {
        name: "an identity endpoint that asks for a file",
        ends: NO_CREDENTIAL,
        stage: stage
            .without(&[SECRET_FILE, NEXT_FILE])
            .text("app.managed_identity", "system")
            .env(
                "IDENTITY_ENDPOINT",
                format!("{host}/metadata/identity/oauth2/token"),
            )
            .env("IMDS_ENDPOINT", host),
        microsoft,
    };
    online.happens().await
}
