use std::time::Duration;

use proptest::prelude::*;
use reqwest::header::RETRY_AFTER;
use serde_json::json;

use super::*;
use crate::core::health::failure::Failure;
use crate::microsoft::credential::{ProofKey, client_secret, federated_token, two_secrets};
use Health::{Consent, Credential, Forbidden, Misconfigured, Throttled, Unreachable};
use Reaction::{Backoff, Slow, Soon, Wait};

const HOST: &str = "login.microsoftonline.com";

fn deny(status: u16, body: &[u8], key: &'static ProofKey) -> Denial {
    TokenAnswer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &HeaderMap::new(),
        body,
        place: &ProofPlace::new(key, "somewhere"),
        secrets: &["SECRET~CANARY"],
    }
    .classify(HOST, "consent here")
}

fn refuse(status: u16, body: &[u8]) -> Failure {
    deny(status, body, &client_secret::FILE).failure
}

fn error(status: u16, error: &str, code: u64) -> Failure {
    refuse(status, &error_body(error, code))
}

fn error_body(error: &str, code: u64) -> Vec<u8> {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: words.\r\nTrace ID: 1\r\nTimestamp: 2016-01-09 02:02:12Z"),
        "error_codes": [code],
    });
    body.to_string().into_bytes()
}

#[test]
fn status_and_error_decide_when_the_number_is_unknown() {
    for (status, name, health, reaction) in [
        (401, "invalid_client", Credential, Slow),
        (400, "invalid_grant", Credential, Slow),
        (400, "unauthorized_client", Consent, Slow),
        (400, "interaction_required", Consent, Slow),
        (400, "invalid_resource", Misconfigured, Slow),
        (400, "invalid_scope", Misconfigured, Slow),
        (400, "invalid_request", Misconfigured, Slow),
        (400, "unsupported_grant_type", Misconfigured, Slow),
        (400, "something_new", Misconfigured, Slow),
        (400, "temporarily_unavailable", Unreachable, Backoff),
        (400, "server_error", Unreachable, Backoff),
        (200, "invalid_client", Credential, Slow),
        (408, "invalid_client", Unreachable, Backoff),
        (500, "invalid_client", Unreachable, Backoff),
        (503, "temporarily_unavailable", Unreachable, Backoff),
        (
            429,
            "invalid_client",
            Throttled,
            Wait(Duration::from_secs(60)),
        ),
        (407, "", Misconfigured, Slow),
        (302, "", Unreachable, Backoff),
    ] {
        let failure = error(status, name, 1);
        assert_eq!(
            (failure.health, failure.reaction),
            (health, reaction),
            "{status} {name}"
        );
        assert_eq!(failure.status, Some(status));
        assert!(
            !failure.remedy.is_empty() && !failure.what.contains('\r'),
            "{failure:?}"
        );
    }
}

#[test]
fn known_numbers_refine_the_class_and_the_hint() {
    for (code, health, hint) in [
        (7_000_215, Credential, "Value, not its ID"),
        (7_000_222, Credential, "expired"),
        (700_016, Consent, "consent here"),
        (7_000_229, Consent, "consent here"),
        (65_001, Consent, "consent here"),
        (700_011, Consent, "consent here"),
        (90_002, Misconfigured, "api.login_url"),
        (900_382, Misconfigured, "national cloud"),
        (500_011, Forbidden, "licence"),
        (650_052, Forbidden, "licence"),
        (53_003, Forbidden, "Conditional Access"),
        (70_011, Misconfigured, "/.default"),
        (700_024, Credential, "clock"),
        (50_013, Credential, "clock"),
        (700_213, Credential, "letter by letter"),
        (50_196, Misconfigured, "another program"),
        (90_055, Throttled, "waits"),
        (90_033, Unreachable, "passing"),
        (90_036, Unreachable, "ticket"),
        (7_000_218, Misconfigured, "no credential"),
    ] {
        let failure = error(400, "invalid_client", code);
        assert_eq!(failure.health, health, "{code}");
        assert!(failure.remedy.contains(hint), "{code}: {}", failure.remedy);
        assert!(
            failure.what.contains(&format!("AADSTS{code}: words.")),
            "{failure:?}"
        );
    }
}

#[test]
fn what_passes_within_minutes_is_tried_sooner_and_a_loop_later() {
    for (code, reaction) in [
        (70_021, Soon),
        (700_211, Soon),
        (700_212, Soon),
        (700_213, Soon),
        (700_229, Slow),
        (7_000_215, Slow),
        (7_000_222, Slow),
        (700_024, Backoff),
        (50_196, Wait(Duration::from_secs(600))),
        (90_055, Backoff),
        (90_033, Backoff),
        (90_036, Slow),
    ] {
        assert_eq!(
            error(400, "invalid_client", code).reaction,
            reaction,
            "{code}"
        );
    }
}

#[test]
fn a_hint_names_the_credential_in_use() {
    for (key, code, named) in [
        (&client_secret::FILE, 7_000_215, "app.client_secret_file"),
        (&client_secret::VARIABLE, 7_000_222, "app.client_secret_env"),
        (
            &two_secrets::NEXT_FILE,
            7_000_215,
            "app.client_secret_next_file",
        ),
        (&federated_token::FILE, 700_024, "app.federated_token_file"),
        (&federated_token::FILE, 700_213, "app.federated_token_file"),
        (&federated_token::FILE, 1, "app.federated_token_file"),
        (&client_secret::FILE, 1, "client secret"),
    ] {
        let failure = deny(401, &error_body("invalid_client", code), key).failure;
        let names = [named, "somewhere"].map(|name| failure.remedy.contains(name));
        assert!(
            names == [true, true] && !failure.remedy.contains('{'),
            "{} {code}: {}",
            key.name,
            failure.remedy
        );
    }
}

#[test]
fn whether_a_secret_was_refused_is_decided_by_status_and_error_alone() {
    for (status, name, code, refused) in [
        (401, "invalid_client", 7_000_215, true),
        (400, "invalid_client", 1, true),
        (401, "invalid_client", 7_000_229, true),
        (400, "unauthorized_client", 7_000_215, false),
        (400, "invalid_request", 7_000_222, false),
        (429, "invalid_client", 7_000_215, false),
        (503, "invalid_client", 7_000_215, false),
    ] {
        let denial = deny(status, &error_body(name, code), &client_secret::FILE);
        assert_eq!(denial.of_the_proof, refused, "{status} {name} {code}");
    }
}

#[test]
fn a_number_never_overrules_the_status() {
    assert_eq!(error(503, "invalid_client", 7_000_222).health, Unreachable);
    assert_eq!(error(429, "invalid_client", 7_000_222).health, Throttled);
}

#[test]
fn the_number_is_found_in_the_description_too() {
    let body = json!({"error": "invalid_client", "error_description": "AADSTS7000222: expired"});
    assert!(
        refuse(401, body.to_string().as_bytes())
            .remedy
            .contains("expired")
    );
}

#[test]
fn a_body_that_is_no_json_is_classed_by_its_status() {
    for (status, health) in [
        (400, Unreachable),
        (403, Unreachable),
        (404, Unreachable),
        (429, Throttled),
        (502, Unreachable),
    ] {
        for body in [
            &b""[..],
            b"Too Many Requests",
            b"<html>",
            b"\xff\xfe\x00",
            b"[1]",
            b"{\"error\":7}",
        ] {
            assert_eq!(refuse(status, body).health, health, "{status} {body:?}");
        }
    }
}

#[test]
fn a_throttled_token_request_waits_as_asked() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, "17".parse().unwrap());
    let refusal = TokenAnswer {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: &headers,
        body: b"Too Many Requests",
        place: &ProofPlace::new(&client_secret::FILE, "somewhere"),
        secrets: &[],
    };
    assert_eq!(
        refusal.classify(HOST, "").failure.reaction,
        Wait(Duration::from_secs(17))
    );
    let by_number = TokenAnswer {
        status: StatusCode::BAD_REQUEST,
        body: &error_body("invalid_request", 90_055),
        ..refusal
    };
    assert_eq!(
        by_number.classify(HOST, "").failure.reaction,
        Wait(Duration::from_secs(17))
    );
}

#[test]
fn a_description_that_repeats_the_secret_does_not_show_it() {
    for text in [
        "bad secret SECRET~CANARY".to_owned(),
        "bad body client_secret=SECRET%7ECANARY".to_owned(),
        format!("{}SECRET~CANARY", "x".repeat(MAX_DESCRIPTION - 5)),
    ] {
        let body = json!({"error": "SECRET~CANARY", "error_description": text}).to_string();
        for body in [body, text] {
            let failure = refuse(401, body.as_bytes());
            assert!(!format!("{failure:?}").contains("SECRET"), "{failure:?}");
        }
    }
}

#[test]
fn the_cause_is_the_number_else_the_status_and_the_error() {
    assert_eq!(
        error(401, "invalid_client", 7_000_222).cause.as_deref(),
        Some("entra 7000222 somewhere"),
        "of a credential, which one belongs to the cause"
    );
    assert_eq!(
        error(400, "invalid_request", 90_002).cause.as_deref(),
        Some("entra 90002")
    );
    for (status, body, cause) in [
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            "entra 400 invalid_scope",
        ),
        (429, "Too Many Requests", "entra 429"),
        (503, "<html>", "entra 503"),
        (400, r#"{"error":"SECRET~CANARY of contoso"}"#, "entra 400"),
    ] {
        assert_eq!(
            refuse(status, body.as_bytes()).cause.as_deref(),
            Some(cause),
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn any_refusal_becomes_a_failure_of_bounded_length(
        status in 100..=599_u16,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        name in "\\PC{0,80}",
        description in "(AADSTS[0-9]{0,30})?\\PC{0,600}",
        code in any::<u64>(),
    ) {
        refuse(status, &bytes);
        let body = json!({"error": name, "error_description": description, "error_codes": [code]});
        let failure = refuse(status, body.to_string().as_bytes());
        prop_assert!(failure.what.chars().count() < 700, "{}", failure.what);
    }
}
