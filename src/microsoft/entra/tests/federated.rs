//! A federated token instead of a secret.

use std::fs;
use std::path::PathBuf;

use super::*;

const TOKEN: &str = "aGVhZA.T0tFTg.Q0FOQVJZ";
const NEWER: &str = "aGVhZA.TkVXRVI.Q0FOQVJZ";

fn file_with(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, content).unwrap();
    (folder, file)
}

fn federated(server: &Server, file: &std::path::Path) -> Entra {
    let credential = Credential::Federated(file.to_owned());
    entra_proving(&server.url, TokenEndpoint::V2, credential)
}

fn assertions(server: &Server) -> Vec<String> {
    let assertion = |request: &String| form_of(request).swap_remove(3).1;
    server.requests().iter().map(assertion).collect()
}

fn out_of_time(said: &str) -> Vec<Step> {
    let body = json!({
        "error": "invalid_client",
        "error_description": format!("AADSTS700024: {said} is not within its valid time range."),
        "error_codes": [700_024],
    });
    json_answer("401 Unauthorized", body.to_string())
}

#[tokio::test]
async fn both_endpoints_get_the_assertion_as_documented() {
    let (_folder, file) = file_with(&format!("{TOKEN}\n"));
    for (endpoint, target) in [
        (
            TokenEndpoint::V1,
            ("resource", "https://api.security.microsoft.com"),
        ),
        (TokenEndpoint::V2, ("scope", SCOPE)),
    ] {
        let server = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
        let credential = Credential::Federated(file.clone());
        let entra = entra_proving(&server.url, endpoint, credential);
        entra.request().await.unwrap();
        let client_id = Uuid::nil().to_string();
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", &client_id),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", TOKEN),
            target,
        ];
        assert_eq!(
            form(&server),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}

#[tokio::test]
async fn the_file_is_read_at_every_exchange() {
    let (_folder, file) = file_with(TOKEN);
    let server = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    let entra = federated(&server, &file);
    let stamp = entra.credential_stamp();
    entra.request().await.unwrap();
    fs::write(&file, format!("{NEWER} ")).unwrap();
    entra.request().await.unwrap();
    assert_eq!(assertions(&server), [TOKEN, NEWER]);
    assert_ne!(entra.credential_stamp(), stamp);
}

#[tokio::test]
async fn an_assertion_out_of_time_is_read_again_once_and_tried_if_it_changed() {
    let (_folder, file) = file_with(TOKEN);
    let rotated = file.clone();
    let server = Server::answering(move |request| {
        if request.contains(NEWER) {
            return json_answer("200 OK", token_body(json!(3599)));
        }
        // The kubelet replaces the file while Entra refuses the old token.
        fs::write(&rotated, NEWER).unwrap();
        out_of_time(TOKEN)
    })
    .await;
    federated(&server, &file).request().await.unwrap();
    assert_eq!(assertions(&server), [TOKEN, NEWER]);
}

#[tokio::test]
async fn an_assertion_out_of_time_that_nobody_renews_fails_with_the_remedy() {
    let (_folder, file) = file_with(TOKEN);
    let server = Server::start(out_of_time(TOKEN)).await;
    let failure = federated(&server, &file).request().await.unwrap_err();
    assert_eq!(
        (failure.health, failure.reaction),
        (Health::Credential, Reaction::Backoff)
    );
    assert!(
        failure.remedy.contains("app.federated_token_file"),
        "{failure:?}"
    );
    assert_silent_about(&failure, &[TOKEN]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn two_assertions_out_of_time_are_the_end_and_neither_is_shown() {
    let (_folder, file) = file_with(TOKEN);
    let rotated = file.clone();
    let server = Server::answering(move |_| {
        fs::write(&rotated, NEWER).unwrap();
        out_of_time(&format!("{TOKEN} or {NEWER}"))
    })
    .await;
    let failure = federated(&server, &file).request().await.unwrap_err();
    assert_silent_about(&failure, &[TOKEN, NEWER]);
    assert_eq!(assertions(&server), [TOKEN, NEWER]);
}

#[tokio::test]
async fn another_refusal_costs_one_request() {
    let (_folder, file) = file_with(TOKEN);
    let body = json!({"error": "invalid_client", "error_description": "AADSTS700213: no matching subject", "error_codes": [700_213]});
    let server = Server::start(json_answer("401 Unauthorized", body.to_string())).await;
    let failure = federated(&server, &file).request().await.unwrap_err();
    assert_eq!(
        (failure.health, failure.reaction),
        (Health::Credential, Reaction::Soon)
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_token_file_that_is_gone_is_a_credential_failure_and_no_request() {
    let server = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    let missing = PathBuf::from("/nonexistent/token");
    let failure = federated(&server, &missing).request().await.unwrap_err();
    assert_eq!(failure.health, Health::Credential);
    assert!(failure.what.contains("/nonexistent/token"), "{failure:?}");
    assert!(server.requests().is_empty(), "a request without a proof");
}
