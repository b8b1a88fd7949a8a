use std::time::Duration;

use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;
use Health::{Consent, Forbidden, Misconfigured, Throttled, Unreachable};
use Reaction::{Backoff, RenewToken, Slow, Wait};

fn api() -> Api {
    Api {
        host: "api.security.microsoft.com".to_owned(),
        scope: "https://api.security.microsoft.com/.default".to_owned(),
        consent_remedy: "consent here".to_owned(),
    }
}

fn refuse(status: u16, headers: &[(&str, &str)], body: &str, followed_link: bool) -> Failure {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect();
    Refusal {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        body: body.as_bytes(),
        followed_link,
        token: "TOKENCANARY",
    }
    .classify(&api())
}

fn body(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message, "target": "43f4cb08-8fac-4b65-9db1-745c2ae65f3a"}})
        .to_string()
}

#[test]
fn every_documented_code_has_its_class() {
    for (status, code, health, reaction) in [
        (400, "BadRequest", Misconfigured, Slow),
        (400, "ODataError", Misconfigured, Slow),
        (400, "InvalidInput", Misconfigured, Slow),
        (400, "InvalidRequestBody", Misconfigured, Slow),
        (400, "MissingRequiredParameter", Misconfigured, Slow),
        (401, "Unauthorized", Misconfigured, RenewToken),
        (403, "Forbidden", Consent, Slow),
        (403, "DisabledFeature", Forbidden, Slow),
        (403, "DisallowedOperation", Forbidden, Slow),
        (404, "NotFound", Misconfigured, Slow),
        (404, "ResourceNotFound", Misconfigured, Slow),
        (
            429,
            "TooManyRequests",
            Throttled,
            Wait(Duration::from_secs(60)),
        ),
        (500, "InternalServerError", Unreachable, Backoff),
    ] {
        let failure = refuse(status, &[], &body(code, "words"), false);
        assert_eq!(
            (failure.health, failure.reaction),
            (health, reaction),
            "{status} {code}"
        );
        assert_eq!(failure.status, Some(status));
        for part in [
            code,
            "words",
            "tracking id 43f4cb08-8fac-4b65-9db1-745c2ae65f3a",
        ] {
            assert!(
                failure.what.contains(part),
                "{part} is missing in {failure:?}"
            );
        }
        assert!(!failure.remedy.is_empty(), "{status} {code}");
    }
}

#[test]
fn a_status_without_the_apis_body_has_its_class() {
    for (status, health, reaction) in [
        (204, Unreachable, Backoff),
        (301, Misconfigured, Slow),
        (302, Unreachable, Backoff),
        (307, Unreachable, Backoff),
        (308, Misconfigured, Slow),
        (401, Misconfigured, RenewToken),
        (403, Unreachable, Backoff),
        (404, Misconfigured, Slow),
        (405, Misconfigured, Slow),
        (407, Misconfigured, Slow),
        (408, Unreachable, Backoff),
        (410, Misconfigured, Slow),
        (414, Misconfigured, Slow),
        (429, Throttled, Wait(Duration::from_secs(60))),
        (502, Unreachable, Backoff),
        (503, Unreachable, Backoff),
        (504, Unreachable, Backoff),
    ] {
        for body in [
            "",
            "<html><title>Bad gateway</title></html>",
            "no healthy upstream",
            "[]x",
            "\u{feff}",
        ] {
            let failure = refuse(status, &[], body, false);
            assert_eq!(
                (failure.health, failure.reaction),
                (health, reaction),
                "{status} {body:?}"
            );
        }
    }
}

#[test]
fn a_throttled_answer_says_how_long() {
    let said = body(
        "TooManyRequests",
        "Quota exceeded; retry in 38 seconds (exact text undocumented)",
    );
    assert_eq!(
        refuse(429, &[], &said, false).reaction,
        Wait(Duration::from_secs(38))
    );
    let headed = refuse(429, &[("retry-after", "7")], &said, false);
    assert_eq!(headed.reaction, Wait(Duration::from_secs(7)));
    let overloaded = refuse(503, &[("retry-after", "120")], "", false);
    assert_eq!(
        (overloaded.health, overloaded.reaction),
        (Unreachable, Wait(Duration::from_secs(120)))
    );
}

#[test]
fn a_refused_audience_is_named_in_the_remedy() {
    let message = "Invalid Authorization payload. AppId: 1, Audience: 00000002-0000-0000-c000-000000000000, Issuer: https://sts.windows.net/2/";
    let failure = refuse(401, &[], &body("Unauthorized", message), false);
    assert!(
        failure
            .remedy
            .contains("for 00000002-0000-0000-c000-000000000000,"),
        "{failure:?}"
    );
    assert!(failure.remedy.contains("api.scope"), "{failure:?}");
}

#[test]
fn a_next_link_that_is_refused_only_starts_the_sweep_again() {
    for status in [400, 404, 410] {
        let failure = refuse(status, &[], &body("BadRequest", "skiptoken expired"), true);
        assert_eq!(
            (failure.health, failure.reaction),
            (Unreachable, Backoff),
            "{status}"
        );
    }
}

#[test]
fn a_redirect_is_told_by_its_host_alone() {
    let to = [("location", "https://login.example/x?token=secret")];
    let failure = refuse(302, &to, "", false);
    assert!(failure.remedy.contains("login.example, "), "{failure:?}");
    assert!(!failure.remedy.contains("secret"), "{failure:?}");
}

#[test]
fn an_answer_that_repeats_the_token_does_not_show_it() {
    for body in [
        body("TOKENCANARY", "Bearer TOKENCANARY is bad"),
        "bad header: Bearer TOKENCANARY".to_owned(),
        // Cut at the limit, half the token would remain.
        body(
            "Unauthorized",
            &format!("{}TOKENCANARY", "x".repeat(MAX_MESSAGE - 5)),
        ),
    ] {
        let failure = refuse(401, &[], &body, false);
        assert!(!format!("{failure:?}").contains("TOKEN"), "{failure:?}");
    }
}

proptest! {
    #[test]
    fn any_refusal_becomes_a_failure_of_bounded_length(
        status in 100..=599_u16,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        message in "\\PC{0,600}",
        link in any::<bool>(),
        retry_after in "[ -~]{0,20}",
    ) {
        let failure = refuse(status, &[("retry-after", &retry_after)], &body("Forbidden", &message), link);
        prop_assert!(failure.what.chars().count() < 600, "{}", failure.what);
        prop_assert_eq!(failure.status, Some(status));
        refuse(status, &[], &String::from_utf8_lossy(&bytes), link);
    }
}
