//! A client secret in Azure Key Vault.

use super::*;
use crate::settings::{IdentityEndpoint, ManagedIdentity};

const TOKEN: &str = "aGVhZA.VkFVTFQ.Q0FOQVJZLXZhdWx0LXRva2VuLTEyMzQ1Njc4OTA";

/// A login service, an identity endpoint, and a vault.
async fn entra_of(login: &Server, vault: &Server, identity: &Server) -> Entra {
    let mut endpoint = identity.url.clone();
    endpoint.set_path("/metadata/identity/oauth2/token");
    let credential = Credential::KeyVault {
        secret: vault.url.join("/secrets/app").unwrap(),
        identity: ManagedIdentity {
            client_id: None,
            endpoint: IdentityEndpoint::Imds(endpoint),
        },
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
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    entra.request().await.unwrap();
    entra.request().await.unwrap();
    assert_eq!(vault.requests().len(), 2);
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
            "Key Vault Secrets User",
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
