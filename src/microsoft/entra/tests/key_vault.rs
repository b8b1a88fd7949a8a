//! A client secret in Azure Key Vault.

use super::*;
use crate::settings::{IdentityEndpoint, ManagedIdentity, VaultIdentity, WorkloadIdentity};

const TOKEN: &str = "aGVhZA.VkFVTFQ.Q0FOQVJZLXZhdWx0LXRva2VuLTEyMzQ1Njc4OTA";

/// A login service, an identity endpoint, and a vault.
async fn entra_of(login: &Server, vault: &Server, identity: &Server) -> Entra {
    entra_with_secret(login, vault.url.join("/secrets/app").unwrap(), identity)
}

fn entra_with_secret(login: &Server, secret: Url, identity: &Server) -> Entra {
    let mut endpoint = identity.url.clone();
    endpoint.set_path("/metadata/identity/oauth2/token");
    let credential = Credential::KeyVault {
        secret,
        identity: VaultIdentity::Managed(ManagedIdentity {
            client_id: None,
            endpoint: IdentityEndpoint::Imds(endpoint),
        }),
    };
    entra_proving(&login.url, TokenEndpoint::V2, credential)
}

async fn identity() -> Server {
    let body = json!({"access_token": TOKEN, "expires_in": "3600"});
    Server::start(json_answer("200 OK", body.to_string())).await
}

fn holds(value: &str, exp: Value) -> Vec<Step> {
    let body = json!({"value": value, "id": "x", "attributes": {"enabled": true, "exp": exp}});
    json_answer("200 OK", body.to_string())
}

fn granted() -> Vec<Step> {
    json_answer("200 OK", token_body(json!(3599)))
}

#[tokio::test]
async fn the_secret_is_read_once_with_the_identity_s_token_and_says_when_it_ends() {
    let login = Server::start(granted()).await;
    let vault = Server::start(holds(SECRET, json!(1_800_000_000))).await;
    let identity = identity().await;
    let entra = entra_of(&login, &vault, &identity).await;
    assert_eq!(entra.credential_end(), None, "nothing was read yet");
    for _ in 0..3 {
        entra.request().await.unwrap();
    }
    for request in login.requests() {
        let secret = form_of(&request).swap_remove(2);
        assert_eq!(secret, ("client_secret".to_owned(), SECRET.to_owned()));
    }
    let asked = identity.requests();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].contains("resource=https%3A%2F%2Fvault.azure.net "),
        "{}",
        asked[0]
    );
    let read = vault.requests();
    assert_eq!(read.len(), 1);
    assert!(
        read[0].starts_with("GET /secrets/app?api-version=7.4 HTTP/1.1\r\n"),
        "{}",
        read[0]
    );
    assert!(
        read[0].contains(&format!("authorization: Bearer {TOKEN}\r\n")),
        "{}",
        read[0]
    );
    let end = entra.credential_end().unwrap();
    assert_eq!(end.validity.until, Ticks(1_800_000_000 * 10_000_000));
    assert!(end.remedy.contains("/secrets/app"), "{end:?}");
}

#[tokio::test]
async fn a_secret_that_entra_refuses_is_read_again_and_a_new_one_tried() {
    let login = Server::answering(|request| {
        let secret = form_of(request).swap_remove(2).1;
        if secret == "new~CANARY" {
            return granted();
        }
        let body = json!({"error": "invalid_client", "error_description": format!("AADSTS7000222: {secret}"), "error_codes": [7_000_222]});
        json_answer("401 Unauthorized", body.to_string())
    })
    .await;
    let held = Arc::new(parking_lot::Mutex::new("old~CANARY"));
    let now_held = held.clone();
    let vault = Server::answering(move |_| holds(*now_held.lock(), Value::Null)).await;
    let identity = identity().await;
    let entra = entra_of(&login, &vault, &identity).await;
    // The second tenant finds it read a moment ago.
    for _ in 0..2 {
        let failure = entra.request().await.unwrap_err();
        assert_eq!(failure.health, Health::Credential);
        assert!(failure.remedy.contains("/secrets/app"), "{failure:?}");
        assert_silent_about(&failure, &["CANARY", TOKEN]);
    }
    assert_eq!(vault.requests().len(), 1);
    *held.lock() = "new~CANARY";
    later(6).await;
    entra.request().await.unwrap();
    entra.request().await.unwrap();
    assert_eq!(vault.requests().len(), 2);
}

/// Lets `seconds` go by, and no longer: connections need the real time.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// What a server answers until it is set anew.
type Script = Arc<parking_lot::Mutex<Vec<Step>>>;

async fn scripted(first: Vec<Step>) -> (Server, Script) {
    let script = Script::new(parking_lot::Mutex::new(first));
    let now = script.clone();
    let server = Server::answering(move |_| now.lock().clone()).await;
    (server, script)
}

#[tokio::test]
async fn while_the_vault_has_a_passing_fault_the_secret_that_was_read_last_serves() {
    let token = json!({"access_token": TOKEN, "expires_in": "3600"}).to_string();
    let (login, entra_says) = scripted(granted()).await;
    let (vault, vault_says) = scripted(holds(SECRET, Value::Null)).await;
    let (identity, _) = scripted(json_answer("200 OK", token)).await;
    let entra = entra_of(&login, &vault, &identity).await;
    entra.request().await.unwrap();
    *vault_says.lock() = json_answer("503 Service Unavailable", "");
    // Asked again after the four hours, then after one minute, two minutes, and so on.
    for (seconds, asked) in [(4 * 3600, 2), (59, 2), (2, 3), (61, 3), (60, 4)] {
        later(seconds).await;
        entra.request().await.unwrap();
        assert_eq!(vault.requests().len(), asked, "after {seconds} s");
    }
    let refused = json!({"error": "invalid_client", "error_codes": [7_000_222]}).to_string();
    *entra_says.lock() = json_answer("401 Unauthorized", refused);
    let failure = entra.request().await.unwrap_err();
    assert_eq!(failure.health, Health::Unreachable, "{failure:?}");
    assert_eq!(vault.requests().len(), 5, "a fresh one is needed at once");
    let sent = login.requests().len();
    entra.request().await.unwrap_err();
    assert_eq!(login.requests().len(), sent, "the refused one is forgotten");

    *entra_says.lock() = granted();
    *vault_says.lock() = holds("new~CANARY", Value::Null);
    later(6).await;
    entra.request().await.unwrap();
    assert!(login.requests().pop().unwrap().contains("new%7ECANARY"));
    *vault_says.lock() = json_answer("403 Forbidden", "{}");
    later(4 * 3600).await;
    let failure = entra.request().await.unwrap_err();
    assert_eq!(failure.health, Health::Credential, "it does not pass");
}

#[tokio::test]
async fn an_identity_endpoint_that_can_t_be_reached_does_not_end_the_use_of_the_secret() {
    let login = Server::start(granted()).await;
    let vault = Server::start(holds(SECRET, Value::Null)).await;
    let identity = identity().await;
    let entra = entra_of(&login, &vault, &identity).await;
    entra.request().await.unwrap();
    drop(identity);
    later(4 * 3600).await;
    entra.request().await.unwrap();
    assert_eq!(vault.requests().len(), 1);
}

#[tokio::test]
async fn the_remedy_for_one_version_of_a_secret_is_to_leave_out_the_version() {
    for (code, says) in [(7_000_215, "wrong"), (7_000_222, "expired"), (1, "check")] {
        let refused = json!({"error": "invalid_client", "error_codes": [code]}).to_string();
        let login = Server::start(json_answer("401 Unauthorized", refused)).await;
        let vault = Server::start(holds(SECRET, json!(1_800_000_000))).await;
        let identity = identity().await;
        let version = vault.url.join("/secrets/app/0123abcd").unwrap();
        let entra = entra_with_secret(&login, version, &identity);
        let failure = entra.request().await.unwrap_err();
        let end = entra.credential_end().unwrap();
        for remedy in [&failure.remedy, &end.remedy] {
            assert!(remedy.contains("the version off"), "{remedy}");
            assert!(remedy.contains("/secrets/app/0123abcd"), "{remedy}");
        }
        assert!(failure.remedy.contains(says), "{failure:?}");
    }
}

#[tokio::test]
async fn what_the_vault_refuses_says_what_to_do_and_nothing_of_the_token() {
    let error =
        json!({"error": {"code": "Forbidden", "message": format!("no: {TOKEN}")}}).to_string();
    for (status, body, health, says) in [
        (
            "403 Forbidden",
            &*error,
            Health::Credential,
            "Key Vault Secrets User",
        ),
        (
            "401 Unauthorized",
            "",
            Health::Credential,
            "the tenant and the cloud of the system-assigned managed identity",
        ),
        ("404 Not Found", "{}", Health::Credential, "no such secret"),
        (
            "400 Bad Request",
            "{}",
            Health::Credential,
            "app.key_vault_secret",
        ),
        (
            "429 Too Many Requests",
            "",
            Health::Unreachable,
            "passes by itself",
        ),
        (
            "503 Service Unavailable",
            "<html>",
            Health::Unreachable,
            "passes by itself",
        ),
        ("200 OK", "{}", Health::Credential, "one line of text"),
        (
            "200 OK",
            "{\"value\":\"CANARY\\nCANARY\"}",
            Health::Credential,
            "one line of text",
        ),
        (
            "200 OK",
            "{\"value\":\"\"}",
            Health::Credential,
            "one line of text",
        ),
    ] {
        let login = Server::start(Vec::new()).await;
        let vault = Server::start(json_answer(status, body)).await;
        let identity = identity().await;
        let entra = entra_of(&login, &vault, &identity).await;
        for _ in 0..2 {
            let failure = entra.request().await.unwrap_err();
            assert_eq!(failure.health, health, "{status}: {failure:?}");
            assert!(failure.remedy.contains(says), "{status}: {failure:?}");
            assert_silent_about(&failure, &["CANARY", TOKEN]);
        }
        assert_eq!(vault.requests().len(), 1, "{status}");
        assert!(login.requests().is_empty(), "a request without a proof");
    }
}

const HOME: &str = "33333333-3333-3333-3333-333333333333";
const IDENTITY: Uuid = Uuid::from_u128(7);

/// The same with an identity that the token in a file proves.
fn entra_of_workload(login: &Server, vault: &Server, token_file: &std::path::Path) -> Entra {
    let credential = Credential::KeyVault {
        secret: vault.url.join("/secrets/app").unwrap(),
        identity: VaultIdentity::Workload(WorkloadIdentity {
            client_id: IDENTITY,
            tenant: HOME.parse().unwrap(),
            token_file: token_file.to_owned(),
        }),
    };
    entra_proving(&login.url, TokenEndpoint::V1, credential)
}

/// Gives tokens for the vault in the home tenant, and tokens for the API to the app with the secret.
fn grants(request: &str) -> Vec<Step> {
    match request.starts_with(&format!("POST /{HOME}/oauth2/v2.0/token ")) {
        true => json_answer(
            "200 OK",
            json!({"access_token": TOKEN, "expires_in": 3599}).to_string(),
        ),
        false => granted(),
    }
}

#[tokio::test]
async fn a_federated_token_opens_the_vault_for_its_identity_in_the_home_tenant() {
    let login = Server::answering(grants).await;
    let vault = Server::start(holds(SECRET, Value::Null)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let foreign = jwt(&json!({"sub": "system:serviceaccount:soc:incidentd"}));
    std::fs::write(file.path(), format!("{foreign}\n")).unwrap();
    let entra = entra_of_workload(&login, &vault, file.path());
    entra.request().await.unwrap();
    entra.request().await.unwrap();
    let asked = login.requests();
    assert_eq!(asked.len(), 3, "one token for the vault, two for the API");
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", &IDENTITY.to_string()),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &*foreign),
        ("scope", "https://vault.azure.net/.default"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form_of(&asked[0]), expected);
    assert_eq!(form_of(&asked[1])[2].1, SECRET);
    let read = vault.requests();
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    assert!(read.len() == 1 && read[0].contains(&bearer), "{read:?}");
}

#[tokio::test]
async fn what_keeps_a_federated_token_from_opening_the_vault_names_the_identity() {
    let foreign = jwt(&json!({"sub": "CANARY"}));
    for (code, health, says) in [
        (
            700_213,
            Health::Credential,
            "no federated credential of the identity of AZURE_CLIENT_ID",
        ),
        (700_016, Health::Credential, "AZURE_TENANT_ID: set both"),
        (90_002, Health::Credential, "AZURE_TENANT_ID: set both"),
        (
            500_011,
            Health::Credential,
            "has no Azure Key Vault in this cloud",
        ),
        (700_024, Health::Credential, "outside its valid time"),
        (90_033, Health::Unreachable, "passing fault"),
        (
            1,
            Health::Credential,
            "check AZURE_CLIENT_ID and AZURE_TENANT_ID",
        ),
    ] {
        let body = json!({"error": "invalid_client", "error_description": format!("no: {foreign}"), "error_codes": [code]});
        let login = Server::start(json_answer("401 Unauthorized", body.to_string())).await;
        let vault = Server::start(Vec::new()).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &foreign).unwrap();
        let entra = entra_of_workload(&login, &vault, file.path());
        let failure = entra.request().await.unwrap_err();
        assert_eq!(failure.health, health, "{code}: {failure:?}");
        assert!(failure.remedy.contains(says), "{code}: {failure:?}");
        assert!(
            failure.what.starts_with("no token for the key vault: "),
            "{failure:?}"
        );
        assert_silent_about(&failure, &[&foreign]);
        assert!(vault.requests().is_empty(), "a request without a token");
    }
}

#[tokio::test]
async fn a_federated_token_that_is_not_there_is_named_by_its_file() {
    let login = Server::start(Vec::new()).await;
    let vault = Server::start(Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let entra = entra_of_workload(&login, &vault, &file);
    let absent = entra.credential_stamp();
    let failure = entra.request().await.unwrap_err();
    assert_eq!(failure.health, Health::Credential);
    let place = format!("{} (app.federated_token_file)", file.display());
    assert!(failure.remedy.contains(&place), "{failure:?}");
    std::fs::write(&file, "x").unwrap();
    assert_ne!(
        entra.credential_stamp(),
        absent,
        "it is tried again at once"
    );
}
