//! A certificate instead of a secret.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::microsoft::jwt::claims;
use crate::microsoft::tests::certificates::{ONE, TWO, certificate};

const DAY: i64 = 86_400;

/// A certificate and its key in files.
struct Files {
    _folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// `days`: how many days before now the certificate begins to be valid, and how many days after now it ends.
    fn new(days: [i64; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self {
            certificate: folder.path().join("certificate"),
            key: folder.path().join("key"),
            _folder: folder,
        };
        files.put(ONE, days);
        files
    }

    fn put(&self, key: &str, days: [i64; 2]) {
        let [from, until] = days.map(|days| (NOW.unix_seconds() + days * DAY).cast_unsigned());
        fs::write(&self.certificate, certificate(key, from, until).pem).unwrap();
        fs::write(&self.key, key).unwrap();
    }

    fn entra(&self, server: &Server, endpoint: TokenEndpoint) -> Entra {
        let credential = Credential::Certificate {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        entra_proving(&server.url, endpoint, credential)
    }
}

fn assertions(server: &Server) -> Vec<String> {
    let assertion = |request: &String| form_of(request).swap_remove(3).1;
    server.requests().iter().map(assertion).collect()
}

fn header(assertion: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap());
    serde_json::from_slice(&header.unwrap()).unwrap()
}

fn refused(number: u64) -> Vec<Step> {
    let description = format!("AADSTS{number}: words.");
    let body = json!({"error": "invalid_client", "error_description": description, "error_codes": [number]});
    json_answer("401 Unauthorized", body.to_string())
}

fn granted() -> Vec<Step> {
    json_answer("200 OK", token_body(json!(3599)))
}

#[tokio::test]
async fn each_request_has_an_assertion_of_its_own_for_the_customer_s_endpoint() {
    let files = Files::new([-1, 1]);
    for endpoint in [TokenEndpoint::V1, TokenEndpoint::V2] {
        let server = Server::start(granted()).await;
        let entra = files.entra(&server, endpoint);
        for _ in 0..2 {
            entra.request().await.unwrap();
        }
        let kind = (
            "client_assertion_type".to_owned(),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        );
        assert_eq!(form(&server)[2], kind);
        let mut ids = HashSet::new();
        for assertion in assertions(&server) {
            assert_eq!(header(&assertion)["alg"], "PS256");
            let mut claims = claims(&assertion).unwrap();
            let id = claims.remove("jti").unwrap();
            assert!(ids.insert(id.as_str().unwrap().to_owned()), "{id}");
            let (client_id, now) = (Uuid::nil(), NOW.unix_seconds());
            let expected = json!({
                "aud": format!("{}{TENANT}/oauth2/v2.0/token", server.url),
                "iss": client_id, "sub": client_id, "iat": now, "nbf": now, "exp": now + 600,
            });
            assert_eq!(Value::Object(claims), expected);
        }
        assert_eq!(ids.len(), 2);
    }
}

#[tokio::test]
async fn no_assertion_goes_over_a_kept_connection_where_it_may_have_to_be_sent_twice() {
    let files = Files::new([-1, 1]);
    let body = token_body(json!(3599));
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let kept = vec![Step::Send((head + &body).into_bytes()), Step::Hang];
    let server = Server::start(kept).await;
    let entra = files.entra(&server, TokenEndpoint::V2);
    for sent in 1..=3 {
        entra.request().await.unwrap();
        assert_eq!(server.requests().len(), sent);
    }
}

#[tokio::test]
async fn once_entra_can_t_verify_ps256_the_app_signs_with_rs256_from_then_on() {
    let files = Files::new([-1, 1]);
    let server = Server::answering(|request| {
        let assertion = &form_of(request)[3].1;
        match header(assertion)["alg"] == "PS256" {
            true => refused(5_002_730),
            false => granted(),
        }
    })
    .await;
    let entra = files.entra(&server, TokenEndpoint::V2);
    entra.request().await.unwrap();
    entra.request().await.unwrap();
    let algorithms: Vec<Value> = assertions(&server)
        .iter()
        .map(|assertion| header(assertion)["alg"].clone())
        .collect();
    assert_eq!(algorithms, ["PS256", "RS256", "RS256"]);
}

#[tokio::test]
async fn a_refusal_names_the_certificate_and_costs_one_request_or_two() {
    let files = Files::new([-1, 1]);
    for (number, requests, says) in [
        (700_027, 1, "register this certificate"),
        (1_000_502, 1, "valid today"),
        (700_024, 1, "clock"),
        (50_027, 1, "api.login_url"),
        (1, 1, "is registered with the app"),
        (5_002_730, 2, "RSA key"),
    ] {
        let server = Server::answering(move |_| refused(number)).await;
        let entra = files.entra(&server, TokenEndpoint::V2);
        let failure = entra.request().await.unwrap_err();
        assert_eq!(failure.health, Health::Credential);
        assert!(failure.remedy.contains(says), "{failure:?}");
        let assertions = assertions(&server);
        assert_eq!(assertions.len(), requests, "{number}");
        let secrets: Vec<&str> = assertions.iter().map(String::as_str).collect();
        assert_silent_about(&failure, &secrets);
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_at_the_next_request() {
    let files = Files::new([-1, 1]);
    let server = Server::start(granted()).await;
    let entra = files.entra(&server, TokenEndpoint::V2);
    entra.request().await.unwrap();
    let (stamp, ends) = (entra.credential_stamp(), entra.credential_end());
    files.put(TWO, [0, 30]);
    entra.request().await.unwrap();
    let thumbprints: HashSet<String> = assertions(&server)
        .iter()
        .map(|assertion| header(assertion)["x5t#S256"].to_string())
        .collect();
    assert_eq!(thumbprints.len(), 2);
    assert_ne!(entra.credential_stamp(), stamp);
    let renewed = entra.credential_end();
    let end = |end: Option<CredentialEnd>| end.unwrap().validity.until.unix_seconds();
    assert_eq!(end(renewed) - end(ends), 29 * DAY);
}

#[tokio::test]
async fn files_of_no_use_are_a_credential_failure_and_no_request() {
    type Spoil = fn(&Files);
    let cases: [(Spoil, &str, &str); 6] = [
        (
            |files| files.put(ONE, [-9, -1]),
            "expired at",
            "register it with the app",
        ),
        (
            |files| files.put(ONE, [1, 9]),
            "is not valid before",
            "clock",
        ),
        (
            |files| fs::write(&files.key, TWO).unwrap(),
            "does not belong",
            "app.certificate_key_file",
        ),
        (
            |files| fs::write(&files.certificate, "").unwrap(),
            "no certificate",
            "app.certificate_file",
        ),
        (
            |files| fs::remove_file(&files.key).unwrap(),
            "can't be read",
            "app.certificate_key_file",
        ),
        (
            |files| fs::write(&files.key, "x".repeat(65 << 10)).unwrap(),
            "larger than 64 KiB",
            "app.certificate_key_file",
        ),
    ];
    for (spoil, what, remedy) in cases {
        let files = Files::new([-1, 1]);
        spoil(&files);
        let server = Server::start(granted()).await;
        let entra = files.entra(&server, TokenEndpoint::V2);
        let failure = entra.request().await.unwrap_err();
        assert_eq!(
            (failure.health, failure.reaction),
            (Health::Credential, Reaction::Slow)
        );
        assert!(failure.what.contains(what), "{failure:?}");
        assert!(failure.remedy.contains(remedy), "{failure:?}");
        assert!(failure.cause.is_some(), "all who share it are one alarm");
        assert!(server.requests().is_empty(), "a request without a proof");
        // Nothing of the key is shown.
        assert_silent_about(&failure, &[&ONE[60..100], &TWO[60..100]]);
    }
}

#[tokio::test]
async fn a_certificate_that_is_being_replaced_is_read_once_more() {
    let files = Files::new([-1, 1]);
    fs::write(&files.key, TWO).unwrap();
    let server = Server::start(granted()).await;
    let entra = files.entra(&server, TokenEndpoint::V2);
    let (granted, ()) = tokio::join!(entra.request(), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fs::write(&files.key, ONE).unwrap();
    });
    granted.unwrap();
}
