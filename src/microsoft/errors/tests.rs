use std::time::Duration;

use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::body::MAX_MESSAGE;
use super::*;
use crate::core::sources::SourceKind;
use Health::{Consent, Forbidden, Misconfigured, Throttled, Unreachable};
use Reaction::{Backoff, RenewToken, Slow, Wait};
use RequestKind::{Link, List, One};

fn defender() -> ApiContext {
    ApiContext {
        facts: SourceKind::Defender.facts(),
        host: "api.security.microsoft.com".to_owned(),
        scope: "https://api.security.microsoft.com/.default".to_owned(),
        consent_remedy: "consent here".to_owned(),
    }
}

fn graph() -> ApiContext {
    ApiContext {
        facts: SourceKind::Graph.facts(),
        host: "graph.microsoft.com".to_owned(),
        scope: "https://graph.microsoft.com/.default".to_owned(),
        ..defender()
    }
}

fn refuse(status: u16, headers: &[(&str, &str)], body: &str, asked: RequestKind) -> Failure {
    refuse_by(&defender(), status, headers, body, asked)
}

fn refuse_by(
    api: &ApiContext,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
    asked: RequestKind,
) -> Failure {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect();
    PageRefusal {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        body: body.as_bytes(),
        asked,
        token: "TOKENCANARY",
    }
    .classify(api)
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
        let failure = refuse(status, &[], &body(code, "words"), List);
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
            let failure = refuse(status, &[], body, List);
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
        refuse(429, &[], &said, List).reaction,
        Wait(Duration::from_secs(38))
    );
    let headed = refuse(429, &[("retry-after", "7")], &said, List);
    assert_eq!(headed.reaction, Wait(Duration::from_secs(7)));
    let overloaded = refuse(503, &[("retry-after", "120")], "", List);
    assert_eq!(
        (overloaded.health, overloaded.reaction),
        (Unreachable, Wait(Duration::from_secs(120)))
    );
}

#[test]
fn a_refused_audience_is_named_in_the_remedy() {
    let message = "Invalid Authorization payload. AppId: 1, Audience: 00000002-0000-0000-c000-000000000000, Issuer: https://sts.windows.net/2/";
    let failure = refuse(401, &[], &body("Unauthorized", message), List);
    assert!(
        failure
            .remedy
            .contains("for 00000002-0000-0000-c000-000000000000,"),
        "{failure:?}"
    );
    assert!(failure.remedy.contains("api.scope"), "{failure:?}");
    let forbidden = refuse(403, &[], &body("Forbidden", message), List);
    assert_eq!(
        (forbidden.health, forbidden.reaction, &forbidden.remedy),
        (Misconfigured, Slow, &failure.remedy)
    );
}

#[test]
fn what_may_be_to_blame_decides_what_is_asked_for_next() {
    let top = "The query specified in the URI is not valid. The limit of '50' for Top query has been exceeded. The value \
               from the incoming request is '100'.";
    for (status, asked, message, suspect) in [
        (400, Link, "skiptoken expired", Suspect::Link),
        (404, Link, "", Suspect::Link),
        (410, Link, "", Suspect::Link),
        (400, Link, top, Suspect::Link),
        (400, List, top, Suspect::Size),
        (
            400,
            List,
            "Invalid page size specified: '100'.",
            Suspect::Size,
        ),
        (
            400,
            List,
            "Could not find a property named 'top'.",
            Suspect::Nothing,
        ),
        (
            400,
            List,
            "The limit of '9' for Skip query has been exceeded.",
            Suspect::Nothing,
        ),
        (404, List, "", Suspect::Nothing),
        (400, One, "", Suspect::Page),
        (404, One, "", Suspect::Page),
        (410, One, "", Suspect::Page),
        (403, One, "", Suspect::Nothing),
        (408, List, "", Suspect::Page),
        (500, List, "", Suspect::Page),
        (504, Link, "", Suspect::Page),
        (429, List, "", Suspect::Nothing),
    ] {
        for api in [defender(), graph()] {
            let failure = refuse_by(&api, status, &[], &body("", message), asked);
            assert_eq!(failure.suspect, suspect, "{status} {asked:?} {message}");
            assert_eq!(failure.status, Some(status));
            let not_wrong = matches!(suspect, Suspect::Link | Suspect::Page);
            assert_eq!(failure.health == Unreachable, not_wrong, "{failure:?}");
        }
    }
    let paused = refuse(503, &[("retry-after", "9")], "", List);
    assert_eq!(
        paused.suspect,
        Suspect::Page,
        "a gateway names a pause for whatever fails behind it"
    );
}

/// Graph's format: `innerError` with the ids, and a date without a time zone.
fn graph_body(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message, "innerError": {
        "date": "2024-08-01T10:24:12",
        "request-id": "f6d14dbd-7555-4020-b952-c6dbf619c032",
        "client-request-id": "0b1c2d3e-7555-4020-b952-c6dbf619c032",
    }}})
    .to_string()
}

#[test]
fn graphs_refusals_have_their_class_and_show_the_request_id() {
    let roles = "Missing application roles. API required roles: SecurityIncident.Read.All, application roles: .";
    for (status, code, message, health, reaction) in [
        (
            400,
            "BadRequest",
            "Invalid filter clause",
            Misconfigured,
            Slow,
        ),
        (
            401,
            "InvalidAuthenticationToken",
            "Signature is invalid.",
            Misconfigured,
            RenewToken,
        ),
        (403, "Forbidden", roles, Consent, Slow),
        (
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges",
            Consent,
            Slow,
        ),
        (403, "UnknownError", "", Unreachable, Backoff),
        (403, "UnknownError", roles, Consent, Slow),
        (
            403,
            "Forbidden",
            "The tenant has no valid license.",
            Forbidden,
            Slow,
        ),
        (404, "UnknownError", "", Unreachable, Backoff),
        (410, "Gone", "", Misconfigured, Slow),
        (
            429,
            "TooManyRequests",
            "Please try again later.",
            Throttled,
            Wait(Duration::from_secs(60)),
        ),
        (500, "InternalServerError", "", Unreachable, Backoff),
        (504, "UnknownError", "", Unreachable, Backoff),
    ] {
        let failure = refuse_by(&graph(), status, &[], &graph_body(code, message), List);
        assert_eq!(
            (failure.health, failure.reaction),
            (health, reaction),
            "{status} {code}"
        );
        assert_eq!(failure.cause, Some(format!("graph {status} {code}")));
        for part in [
            code,
            message,
            "(request id f6d14dbd-7555-4020-b952-c6dbf619c032)",
        ] {
            assert!(
                failure.what.contains(part),
                "{part} is missing in {failure:?}"
            );
        }
        assert!(!failure.remedy.is_empty(), "{status} {code}");
    }
    let wrong = refuse_by(
        &graph(),
        401,
        &[],
        &graph_body("InvalidAuthenticationToken", ""),
        List,
    );
    assert!(
        wrong
            .remedy
            .contains("https://graph.microsoft.com/.default"),
        "{wrong:?}"
    );
}

proptest! {
    #[test]
    fn an_answer_that_knows_nothing_is_tried_again_soon_whatever_refusal_its_status_names(
        status in (400..=499_u16).prop_filter("says how long, or asks for a new token", |status| ![401, 429].contains(status)),
        code in prop_oneof![Just("UnknownError"), Just("unknown_error"), Just("UnspecifiedError")],
        asked in prop_oneof![Just(List), Just(Link), Just(One)],
        of_graph in any::<bool>(),
    ) {
        let (api, body) = match of_graph {
            true => (graph(), graph_body(code, "")),
            false => (defender(), body(code, "")),
        };
        let failure = refuse_by(&api, status, &[], &body, asked);
        prop_assert_eq!((failure.health, failure.reaction), (Unreachable, Backoff));
        let names_permission = failure.remedy.contains("a permission may be missing");
        prop_assert_eq!(names_permission, status == 403, "{}", failure.remedy);
    }
}

#[test]
fn a_code_that_says_what_is_wrong_is_not_made_vague_by_another_within_it() {
    for (status, code, health) in [
        (403, "Forbidden", Consent),
        (403, "DisabledFeature", Forbidden),
        (404, "NotFound", Misconfigured),
        (410, "Gone", Misconfigured),
    ] {
        let body = serde_json::json!({"error": {"code": code, "message": "", "innerError": {"code": "UnknownError"}}});
        let failure = refuse_by(&graph(), status, &[], &body.to_string(), List);
        assert_eq!(failure.health, health, "{status} {code}");
    }
}

#[test]
fn equal_refusals_of_two_tenants_share_a_cause_that_names_neither() {
    let of = |code: &str, message: &str| refuse(403, &[], &body(code, message), List).cause;
    assert_eq!(of("Forbidden", "tenant 1"), of("Forbidden", "tenant 2"));
    assert_eq!(
        of("Forbidden", "").as_deref(),
        Some("defender 403 Forbidden")
    );
    for no_name in [
        "",
        "1f0c2d3e-7555-4020-b952-c6dbf619c032",
        "no access to contoso",
        "\u{e9}t\u{e9}",
    ] {
        assert_eq!(
            of(no_name, "").as_deref(),
            Some("defender 403"),
            "{no_name:?}"
        );
    }
    assert_eq!(
        refuse(502, &[], "<html>", List).cause.as_deref(),
        Some("defender 502")
    );
}

#[test]
fn a_redirect_is_told_by_its_host_alone() {
    let to = [("location", "https://login.example/x?token=secret")];
    let failure = refuse(302, &to, "", List);
    assert!(failure.remedy.contains("login.example, "), "{failure:?}");
    assert!(!failure.remedy.contains("secret"), "{failure:?}");
    let to = [("location", "https://TOKENCANARY.example/")];
    let failure = refuse(302, &to, "", List);
    let said = format!("{failure:?}").to_lowercase();
    assert!(!said.contains("canary"), "{failure:?}");
}

#[test]
fn an_answer_that_repeats_the_token_does_not_show_it() {
    for body in [
        body("TOKENCANARY", "Bearer TOKENCANARY is bad"),
        "bad header: Bearer TOKENCANARY".to_owned(),
        // Cutting at the limit would leave half of the token.
        body(
            "Unauthorized",
            &format!("{}TOKENCANARY", "x".repeat(MAX_MESSAGE - 5)),
        ),
    ] {
        let failure = refuse(401, &[], &body, List);
        assert!(!format!("{failure:?}").contains("TOKEN"), "{failure:?}");
    }
}

proptest! {
    #[test]
    fn any_refusal_becomes_a_failure_of_bounded_length(
        status in 100..=599_u16,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        message in "\\PC{0,600}",
        asked in prop_oneof![Just(List), Just(Link), Just(One)],
        retry_after in "[ -~]{0,20}",
    ) {
        let failure = refuse(status, &[("retry-after", &retry_after)], &body("Forbidden", &message), asked);
        prop_assert!(failure.what.chars().count() < 600, "{}", failure.what);
        prop_assert_eq!(failure.status, Some(status));
        prop_assert_eq!(failure.cause, Some(format!("defender {status} Forbidden")));
        refuse(status, &[], &String::from_utf8_lossy(&bytes), asked);
    }
}
