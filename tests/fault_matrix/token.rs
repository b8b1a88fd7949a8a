//! The answers of Entra's token endpoints, without its numbers: `error` and status ("Microsoft Entra authentication and
//! authorization error codes": `error` "should be used to react to errors"), throttling, unusable tokens, and faults on
//! the way.

use incidentd::core::health::failure::Health::{
    Consent, Credential, Misconfigured, Throttled, Unreachable,
};
use serde_json::{Value, json};

use super::ask::{TENANT, jwt};
use super::row::Asked::{self, TokenFederated, TokenGraph, TokenV1, TokenV2};
use super::row::Pace::{After, Slow, Transient};
use super::row::Row;
use super::wire::Answer;

const DEFENDER: &str = "https://api.security.microsoft.com";
const SERVICE: &[&str] = &["passes by itself", "service health"];

pub fn rows() -> Vec<Row> {
    [
        operators(),
        transient(),
        throttled(),
        strangers(),
        granted(),
        useless(),
        wire(),
    ]
    .concat()
}

/// An error of Entra without a known number.
fn error(status: u16, error: &str) -> Answer {
    let body = json!({
        "error": error,
        "error_description": "Words.\r\nTrace ID: 0000aaaa-11bb-cccc-dd33-eeeeee333333\r\nTimestamp: 2016-01-09 02:02:12Z",
        "timestamp": "2016-01-09 02:02:12Z",
        "trace_id": "0000aaaa-11bb-cccc-dd33-eeeeee333333",
    });
    Answer::json(status, body.to_string())
}

fn operators() -> Vec<Row> {
    let secret: &[&str] = &["client secret", "Value", "app.client_id"];
    let link: &[&str] = &["Incident.Read.All", "administrator"];
    let scope: &[&str] = &["api.scope", "/.default"];
    let request: &[&str] = &["tenant's id", "app.client_id"];
    [
        (TokenV2, 401, "invalid_client", Credential, secret),
        (TokenV1, 401, "invalid_client", Credential, secret),
        (
            TokenFederated,
            401,
            "invalid_client",
            Credential,
            &["app.federated_token_file", "issuer, subject and audience"],
        ),
        (TokenV2, 400, "unauthorized_client", Consent, link),
        (
            TokenGraph,
            400,
            "unauthorized_client",
            Consent,
            &["SecurityIncident.Read.All"],
        ),
        (TokenV1, 400, "invalid_resource", Misconfigured, scope),
        (TokenV2, 400, "invalid_scope", Misconfigured, scope),
        (TokenV2, 400, "invalid_request", Misconfigured, request),
        (TokenV2, 400, "invalid_grant", Credential, secret),
        (TokenV2, 400, "interaction_required", Consent, link),
        (
            TokenV2,
            400,
            "unsupported_grant_type",
            Misconfigured,
            request,
        ),
    ]
    .map(
        |(asked, status, name, state, remedy): (Asked, u16, &str, _, &'static [&'static str])| {
            let label = format!("{status} {name}");
            Row::fails(asked, label, error(status, name), (state, Slow), remedy)
        },
    )
    .to_vec()
}

fn transient() -> Vec<Row> {
    let row = |asked, label: &str, answer| {
        Row::fails(asked, label, answer, (Unreachable, Transient), SERVICE)
    };
    vec![
        row(
            TokenV2,
            "503 temporarily_unavailable",
            error(503, "temporarily_unavailable"),
        ),
        row(
            TokenV2,
            "400 temporarily_unavailable",
            error(400, "temporarily_unavailable"),
        ),
        row(TokenV2, "500 server_error", error(500, "server_error")),
        row(TokenV1, "400 server_error", error(400, "server_error")),
        row(TokenV2, "408, empty", Answer::empty(408)),
        row(TokenV2, "500, empty", Answer::empty(500)),
        row(TokenV1, "502, HTML", Answer::html(502)),
        row(TokenV2, "503, HTML", Answer::html(503)),
        row(TokenV2, "504, empty", Answer::empty(504)),
        Row::fails(
            TokenV2,
            "503, Retry-After: 120",
            Answer::empty(503).with("retry-after", "120"),
            (Unreachable, After(120)),
            SERVICE,
        ),
    ]
}

fn throttled() -> Vec<Row> {
    let row = |asked, label: &str, answer, seconds| {
        Row::fails(
            asked,
            label,
            answer,
            (Throttled, After(seconds)),
            &["none: the daemon waits", "same app"],
        )
    };
    let text = || Answer::new(429, "Too Many Requests");
    vec![
        row(
            TokenV2,
            "429, plain text, Retry-After: 60",
            text().with("retry-after", "60"),
            60,
        ),
        row(
            TokenV1,
            "429, plain text, Retry-After: 17",
            text().with("retry-after", "17"),
            17,
        ),
        row(TokenV2, "429, plain text", text(), 60),
        row(TokenV2, "429, empty", Answer::empty(429), 60),
        row(
            TokenV2,
            "429 invalid_client",
            error(429, "invalid_client"),
            60,
        ),
    ]
}

/// An answer that can't be read is classified by its status.
fn strangers() -> Vec<Row> {
    let passing = (Unreachable, Transient);
    let not_entra: &[&str] = &["api.login_url", "proxy", "firewall"];
    let to_login = Answer::empty(302).with("location", "https://login.contoso.example/?s=1");
    vec![
        Row::fails(TokenV2, "400, HTML", Answer::html(400), passing, not_entra),
        Row::fails(
            TokenV2,
            "401, empty",
            Answer::empty(401),
            passing,
            not_entra,
        ),
        Row::fails(
            TokenV2,
            "403, HTML of a firewall",
            Answer::html(403),
            passing,
            not_entra,
        ),
        Row::fails(TokenV1, "404, HTML", Answer::html(404), passing, not_entra),
        Row::fails(
            TokenV2,
            "200, a log-in page",
            Answer::html(200),
            passing,
            &["api.login_url", "log-in page"],
        ),
        Row::fails(
            TokenV2,
            "302 to a log-in page",
            to_login,
            passing,
            &["api.login_url", "login.contoso.example"],
        ),
        Row::fails(
            TokenV2,
            "407 of a proxy",
            Answer::html(407).with("proxy-authenticate", "Basic"),
            (Misconfigured, Slow),
            &["the proxy's user and password", "api.proxy"],
        ),
        Row::fails(
            TokenV2,
            "200 with an error for a body",
            error(200, "invalid_client"),
            (Credential, Slow),
            &["client secret"],
        ),
        Row::fails(
            TokenV2,
            "200, no expires_in",
            token(
                &claims(DEFENDER, json!(["Incident.Read.All"])),
                &Value::Null,
            ),
            passing,
            &["api.login_url"],
        ),
    ]
}

fn token(claims: &Value, expires_in: &Value) -> Answer {
    let body =
        json!({"token_type": "Bearer", "expires_in": expires_in, "access_token": jwt(claims)});
    Answer::json(200, body.to_string())
}

fn claims(audience: &str, roles: Value) -> Value {
    json!({"aud": audience, "tid": TENANT, "roles": roles, "idtyp": "app", "ver": "1.0"})
}

fn granted() -> Vec<Row> {
    let good = |expires_in| token(&claims(DEFENDER, json!(["Incident.Read.All"])), &expires_in);
    vec![
        Row::serves(TokenV2, "200, expires_in a number", good(json!(3599)), None),
        Row::serves(TokenV1, "200, expires_in text", good(json!("3599")), None),
        Row::serves(TokenFederated, "200", good(json!(3599)), None),
    ]
}

/// Entra issues these without an error.
fn useless() -> Vec<Row> {
    let life = json!(3599);
    let without_roles = json!({"aud": DEFENDER, "tid": TENANT, "idtyp": "app"});
    let foreign = json!({"aud": DEFENDER, "tid": "33333333-3333-4333-8333-333333333333",
        "roles": ["Incident.Read.All"]});
    let row = |asked, label: &str, claims: Value, state, remedy| {
        Row::fails(asked, label, token(&claims, &life), (state, Slow), remedy)
    };
    vec![
        row(
            TokenV2,
            "200, a token without roles",
            without_roles,
            Consent,
            &["Incident.Read.All", "Microsoft Threat Protection"],
        ),
        row(
            TokenV2,
            "200, a token with another role",
            claims(DEFENDER, json!(["AdvancedHunting.Read.All"])),
            Consent,
            &["Incident.Read.All"],
        ),
        row(
            TokenGraph,
            "200, a token without roles",
            json!({"aud": "https://graph.microsoft.com", "tid": TENANT}),
            Consent,
            &["SecurityIncident.Read.All", "Microsoft Graph"],
        ),
        row(
            TokenV1,
            "200, a token for Azure AD Graph",
            claims("00000002-0000-0000-c000-000000000000", json!([])),
            Misconfigured,
            &["api.scope"],
        ),
        row(
            TokenGraph,
            "200, a token for the Defender API",
            claims(DEFENDER, json!(["Incident.Read.All"])),
            Misconfigured,
            &["api.scope"],
        ),
        row(
            TokenV2,
            "200, a token of another tenant",
            foreign,
            Misconfigured,
            &["tenant's id", "api.login_url"],
        ),
    ]
}

fn wire() -> Vec<Row> {
    let passing = (Unreachable, Transient);
    let way: &[&str] = &["network", "proxy"];
    vec![
        Row::fails(TokenV2, "connection refused", Answer::Refused, passing, way),
        Row::fails(TokenV1, "connection reset", Answer::Reset, passing, way),
        Row::fails(TokenV2, "200, body cut", Answer::Cut, passing, way),
        Row::fails(
            TokenFederated,
            "silence",
            Answer::Silence,
            passing,
            &["network", "poll.request_timeout"],
        ),
    ]
}
