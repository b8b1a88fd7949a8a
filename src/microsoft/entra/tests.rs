use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::token_service::MAX_TOKEN_ANSWER;
use super::*;
use crate::core::health::failure::{Health, Reaction};
use crate::core::time::ticks::Ticks;
use crate::microsoft::fuzzing::StoppedClock;
use crate::microsoft::grant::{LONGEST_LIFE, SHORTEST_LIFE};
use crate::microsoft::tests::support::{
    SCOPE, Server, Step, TENANT, answer, assert_silent_about, http_options, json as json_answer,
    jwt,
};
use crate::settings::{AppSettings, Credential, SecretSource, TokenEndpoint};
use uuid::Uuid;

const NOW: Ticks = Ticks(17_900_000_000 * 1_000_000);
const SECRET: &str = "SECRET~CANARY/+=&%";

mod certificate;
mod federated;
mod key_vault;
mod managed_identity;
mod two_secrets;

fn entra_with(login: &Url, endpoint: TokenEndpoint, secret: SecretSource) -> Entra {
    let credential = Credential::Secret {
        current: secret,
        next: None,
    };
    entra_proving(login, endpoint, credential)
}

fn entra_proving(login: &Url, endpoint: TokenEndpoint, credential: Credential) -> Entra {
    let api = ApiSettings {
        login_url: login.clone(),
        token_endpoint: endpoint,
        ..http_options()
    };
    let app = AppSettings {
        client_id: Uuid::nil(),
        credential,
        not_after: None,
    };
    let clock = Arc::new(StoppedClock(NOW));
    let clients = Clients::new();
    let credential = AppCredential::new(&app, &api, &clients, clock).unwrap();
    let credential = Arc::new(credential);
    Entra::new(&clients, TENANT.parse().unwrap(), credential, &api).unwrap()
}

fn secret(value: &str) -> SecretSource {
    SecretSource::Env {
        name: "SECRET".to_owned(),
        value: SecretString::from(value.to_owned()),
    }
}

fn entra(login: &Url, endpoint: TokenEndpoint) -> Entra {
    entra_with(login, endpoint, secret(SECRET))
}

fn good_token() -> String {
    jwt(
        &json!({"aud": "https://api.security.microsoft.com", "tid": TENANT, "roles": ["Incident.Read.All"]}),
    )
}

fn token_body(expires_in: Value) -> String {
    json!({"token_type": "Bearer", "expires_in": expires_in, "access_token": good_token()})
        .to_string()
}

async fn request(script: Vec<Step>) -> Result<Grant, Failure> {
    let server = Server::start(script).await;
    let grant = entra(&server.url, TokenEndpoint::V2).request().await;
    if let Err(failure) = &grant {
        assert_silent_about(failure, &["CANARY", &good_token()]);
        assert!(!failure.remedy.is_empty(), "{failure:?}");
    }
    grant
}

/// The form of the first request.
fn form(server: &Server) -> Vec<(String, String)> {
    form_of(&server.requests()[0])
}

fn form_of(request: &str) -> Vec<(String, String)> {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect()
}

#[tokio::test]
async fn both_endpoints_are_asked_as_documented() {
    for (endpoint, path, target) in [
        (
            TokenEndpoint::V1,
            "oauth2/token",
            ("resource", "https://api.security.microsoft.com"),
        ),
        (TokenEndpoint::V2, "oauth2/v2.0/token", ("scope", SCOPE)),
    ] {
        let server = Server::start(json_answer("200 OK", token_body(json!("3599")))).await;
        let entra = entra(&server.url, endpoint);
        let grant = entra.request().await.unwrap();
        assert_eq!(grant.token.secret().expose_secret(), good_token());
        assert_eq!(grant.lifetime, Duration::from_secs(3599));
        let start = format!("POST /{TENANT}/{path} HTTP/1.1\r\n");
        assert!(
            server.requests()[0].starts_with(&start),
            "{}",
            server.requests()[0]
        );
        let client_id = Uuid::nil().to_string();
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", &client_id),
            ("client_secret", SECRET),
            target,
        ];
        assert_eq!(
            form(&server),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(format!("{}/", entra.authority()), server.url.as_str());
    }
}

#[tokio::test]
async fn every_printable_character_of_a_secret_arrives() {
    let all: String = (' '..='~').collect();
    let value = format!("x{all}x");
    let server = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    entra_with(&server.url, TokenEndpoint::V2, secret(&value))
        .request()
        .await
        .unwrap();
    assert_eq!(form(&server)[2], ("client_secret".to_owned(), value));
}

#[tokio::test]
async fn a_rotated_secret_file_is_used_by_the_next_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client-secret");
    std::fs::write(&path, "old\n").unwrap();
    let server = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    let entra = entra_with(
        &server.url,
        TokenEndpoint::V2,
        SecretSource::File(path.clone()),
    );
    entra.request().await.unwrap();
    std::fs::write(&path, "new\r\n").unwrap();
    entra.request().await.unwrap();
    let requests = server.requests();
    assert!(
        requests[0].contains("client_secret=old&"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].contains("client_secret=new&"),
        "{}",
        requests[1]
    );

    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        entra.request().await.unwrap_err().health,
        Health::Credential
    );
    assert_eq!(server.requests().len(), 2, "a request without a secret");
}

#[tokio::test]
async fn a_lifetime_is_read_as_number_or_text_and_kept_in_bounds() {
    for (expires_in, seconds) in [
        (json!(3599), 3599),
        (json!("3599"), 3599),
        (json!(" 600 "), 600),
        (json!(3599.9), 3599),
        (json!(1), 1),
        // Expired on arrival, so not believed.
        (json!(0), 60),
        (json!(-7), 60),
        (json!(1e300), 172_800),
        (json!("99999999999999999999"), 172_800),
        (json!(u64::MAX), 172_800),
    ] {
        let grant = request(json_answer("200 OK", token_body(expires_in.clone()))).await;
        assert_eq!(grant.unwrap().lifetime.as_secs(), seconds, "{expires_in}");
    }
    for expires_in in [
        json!(null),
        json!("soon"),
        json!("NaN"),
        json!([3599]),
        json!(true),
    ] {
        let failure = request(json_answer("200 OK", token_body(expires_in.clone())))
            .await
            .unwrap_err();
        assert_eq!(failure.health, Health::Unreachable, "{expires_in}");
    }
}

#[tokio::test]
async fn a_200_that_holds_no_token_is_unreachable() {
    let page = "<html>Sign in</html>";
    for body in [
        page,
        "",
        "{}",
        "[]",
        "null",
        r#"{"access_token":"","expires_in":1}"#,
        r#"{"access_token":"a\nb","expires_in":1}"#,
    ] {
        let failure = request(json_answer("200 OK", body)).await.unwrap_err();
        assert_eq!(
            (failure.health, failure.status),
            (Health::Unreachable, Some(200)),
            "{body}"
        );
    }
    let disguised = r#"{"error":"invalid_client","error_description":"AADSTS7000222: expired"}"#;
    let failure = request(json_answer("200 OK", disguised)).await.unwrap_err();
    assert_eq!(failure.health, Health::Credential);
}

#[tokio::test]
async fn refusals_carry_the_consent_link_and_never_the_secret() {
    let body = json!({
        "error": "unauthorized_client",
        "error_description": format!("AADSTS700016: Application not found; {SECRET}\r\nTrace ID: 1"),
        "error_codes": [700_016],
    });
    let failure = request(json_answer("400 Bad Request", body.to_string()))
        .await
        .unwrap_err();
    assert_eq!(failure.health, Health::Consent);
    assert!(
        failure
            .remedy
            .contains(&format!("/{TENANT}/v2.0/adminconsent?client_id=")),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_token_answer_is_bounded_and_a_redirect_not_followed() {
    let huge = json!({"access_token": "x".repeat(MAX_TOKEN_ANSWER), "expires_in": 1}).to_string();
    request(json_answer("200 OK", huge))
        .await
        .expect_err("1 MiB of token");

    let elsewhere = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    let location = [("location", elsewhere.url.as_str())];
    let failure = request(answer("307 Temporary Redirect", &location, ""))
        .await
        .unwrap_err();
    assert_eq!(failure.health, Health::Unreachable);
    assert!(elsewhere.requests().is_empty(), "the secret went elsewhere");
}

#[tokio::test]
async fn a_plain_text_429_waits_as_its_head_says() {
    let script = answer(
        "429 Too Many Requests",
        &[("retry-after", "17")],
        "Too Many Requests",
    );
    let failure = request(script).await.unwrap_err();
    assert_eq!(failure.reaction, Reaction::Wait(Duration::from_secs(17)));
}

#[tokio::test]
async fn a_token_without_the_role_is_not_granted() {
    let token = jwt(&json!({"aud": "https://api.security.microsoft.com", "tid": TENANT}));
    let body = json!({"access_token": token, "expires_in": 3599}).to_string();
    let failure = request(json_answer("200 OK", body)).await.unwrap_err();
    assert_eq!(failure.health, Health::Consent);
    assert_silent_about(&failure, &[&token]);
}

#[test]
fn nothing_of_a_secret_shows_in_debug() {
    let secret = secret(SECRET);
    assert!(!format!("{secret:?}").contains("CANARY"), "{secret:?}");
}

proptest! {
    #[test]
    fn no_answer_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), expires in "\\PC{0,20}") {
        let _ = serde_json::from_slice::<TokenBody>(&body);
        let text = json!({"access_token": "a", "expires_in": expires}).to_string();
        if let Ok(answer) = serde_json::from_str::<TokenBody>(&text) {
            prop_assert!((SHORTEST_LIFE..=LONGEST_LIFE).contains(&answer.expires_in));
        }
    }
}
