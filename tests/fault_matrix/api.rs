//! Refusals of the incidents APIs that need an operator: "Common Microsoft Defender XDR API error codes", "Microsoft
//! Graph error responses and resource types", and bodies that users have published.

use incidentd::core::health::failure::Health::{Consent, Forbidden, Misconfigured, Unreachable};
use serde_json::json;

use super::row::Asked::{self, Defender, Graph};
use super::row::Pace::{NewToken, Slow, Transient};
use super::row::Row;
use super::wire::Answer;

const NO_ROLE: &str = "The application does not have any of the required application permissions (Incident.Read.All, \
                       Incident.ReadWrite.All) to access the resource.";
const WRONG_AUDIENCE: &str = "Invalid Authorization payload. AppId: 22222222-2222-4222-8222-222222222222, Audience: \
                              00000002-0000-0000-c000-000000000000, Issuer: https://sts.windows.net/1/, Validity: valid \
                              from 2024-12-06T1";

pub fn rows() -> Vec<Row> {
    [requests(), tokens(), permissions(), gone()].concat()
}

/// The error body of the API in `asked`.
pub fn error(asked: Asked, status: u16, code: &str, message: &str) -> Answer {
    let ids = match asked.is_graph() {
        true => json!({"innerError": {"date": "2024-08-01T10:24:12",
            "request-id": "f6d14dbd-7555-4020-b952-c6dbf619c032",
            "client-request-id": "f6d14dbd-7555-4020-b952-c6dbf619c032"}}),
        false => json!({"target": "43f4cb08-8fac-4b65-9db1-745c2ae65f3a"}),
    };
    let mut error = json!({"code": code, "message": message});
    if let (Some(error), Some(ids)) = (error.as_object_mut(), ids.as_object()) {
        error.extend(ids.clone());
    }
    Answer::json(status, json!({ "error": error }).to_string())
}

/// A bug of the daemon or a wrong address: nothing to repeat quickly.
fn requests() -> Vec<Row> {
    let codes = [
        ("BadRequest", "General Bad Request"),
        ("ODataError", "Invalid OData URI query <the query>"),
        ("InvalidInput", "Invalid input <the input>"),
        ("InvalidRequestBody", "Request body is incorrect"),
        ("MissingRequiredParameter", "Parameter <p> is missing"),
        ("MaximumBatchSizeExceeded", "Batch size exceeds maximum"),
        ("InvalidHashValue", "Hash value is invalid"),
        ("InvalidDomainName", "Domain name is invalid"),
        ("InvalidIpAddress", "IP address is invalid"),
        ("InvalidUrl", "URL is invalid"),
        ("OsPlatformNotSupported", "OS platform is not supported"),
        ("ClientVersionNotSupported", "Version is not supported"),
    ];
    let row = |asked, code, message| {
        Row::fails(
            asked,
            format!("400 {code}"),
            error(asked, 400, code, message),
            (Misconfigured, Slow),
            &["request", "api.base_url"],
        )
    };
    let mut rows: Vec<Row> = codes
        .iter()
        .map(|(code, message)| row(Defender, code, message))
        .collect();
    rows.push(row(Graph, "BadRequest", "Invalid filter clause"));
    rows
}

fn tokens() -> Vec<Row> {
    let expired = "usually caused by an invalid or expired authorization header";
    vec![
        Row::fails(
            Defender,
            "401 Unauthorized: expired",
            error(Defender, 401, "Unauthorized", expired),
            (Misconfigured, NewToken),
            &["api.scope", "api.login_url", "clock"],
        ),
        Row::fails(
            Defender,
            "401 Unauthorized: wrong audience",
            error(Defender, 401, "Unauthorized", WRONG_AUDIENCE),
            (Misconfigured, NewToken),
            &["00000002-0000-0000-c000-000000000000", "api.scope", "cloud"],
        ),
        Row::fails(
            Graph,
            "401 InvalidAuthenticationToken: signature",
            error(
                Graph,
                401,
                "InvalidAuthenticationToken",
                "Signature is invalid.",
            ),
            (Misconfigured, NewToken),
            &["https://graph.microsoft.com/.default", "api.login_url"],
        ),
        Row::fails(
            Graph,
            "401 InvalidAuthenticationToken: wrong audience",
            error(
                Graph,
                401,
                "InvalidAuthenticationToken",
                "Access token validation failure. Invalid audience.",
            ),
            (Misconfigured, NewToken),
            &["https://graph.microsoft.com/.default", "cloud"],
        ),
        Row::fails(
            Defender,
            "401, empty",
            Answer::empty(401),
            (Misconfigured, NewToken),
            &["api.scope"],
        ),
    ]
}

fn permissions() -> Vec<Row> {
    let consent = (Consent, Slow);
    let forbidden = (Forbidden, Slow);
    let defender = |code, message| error(Defender, 403, code, message);
    let graph = |code, message| error(Graph, 403, code, message);
    vec![
        Row::fails(
            Defender,
            "403 Forbidden: no role",
            defender("Forbidden", NO_ROLE),
            consent,
            &["Incident.Read.All", "Microsoft Threat Protection"],
        ),
        Row::fails(
            Defender,
            "403 Forbidden, no message",
            defender("Forbidden", ""),
            consent,
            &["Incident.Read.All"],
        ),
        Row::fails(
            Defender,
            "403 Forbidden: wrong audience",
            defender("Forbidden", WRONG_AUDIENCE),
            (Misconfigured, Slow),
            &["00000002-0000-0000-c000-000000000000", "api.scope"],
        ),
        Row::fails(
            Defender,
            "403 DisabledFeature",
            defender("DisabledFeature", "Tenant feature isn't enabled"),
            forbidden,
            &["licence", "https://security.microsoft.com"],
        ),
        Row::fails(
            Defender,
            "403 DisallowedOperation",
            defender("DisallowedOperation", "Reading: not allowed by policy"),
            forbidden,
            &["administrator"],
        ),
        Row::fails(
            Defender,
            "403, HTML of a firewall",
            Answer::html(403),
            (Unreachable, Transient),
            &["proxy", "firewall"],
        ),
        Row::fails(
            Graph,
            "403 Forbidden: no role",
            graph(
                "Forbidden",
                "Missing application roles. API required roles: SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: .",
            ),
            consent,
            &["SecurityIncident.Read.All", "Microsoft Graph"],
        ),
        Row::fails(
            Graph,
            "403 Authorization_RequestDenied",
            graph(
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation.",
            ),
            consent,
            &["SecurityIncident.Read.All"],
        ),
        Row::fails(
            Graph,
            "403 Forbidden: no licence",
            graph("Forbidden", "Tenant does not have a valid license."),
            forbidden,
            &["licence"],
        ),
    ]
}

fn gone() -> Vec<Row> {
    let gone = (Misconfigured, Slow);
    let retired: &[&str] = &["api.base_url", "MC1220762", "api.source to \"graph\""];
    let elsewhere = Answer::empty(301).with("location", "https://graph.microsoft.com/v1.0?x=1");
    vec![
        Row::fails(
            Defender,
            "404 NotFound",
            error(Defender, 404, "NotFound", ""),
            gone,
            retired,
        ),
        Row::fails(
            Defender,
            "404 ResourceNotFound",
            error(Defender, 404, "ResourceNotFound", "No such resource"),
            gone,
            retired,
        ),
        Row::fails(Defender, "404, HTML", Answer::html(404), gone, retired),
        Row::fails(Defender, "410, empty", Answer::empty(410), gone, retired),
        Row::fails(
            Defender,
            "301 to another host",
            elsewhere.clone(),
            gone,
            &["graph.microsoft.com", "MC1220762"],
        ),
        Row::fails(
            Graph,
            "404 UnknownError, as long as it lasts",
            error(Graph, 404, "UnknownError", ""),
            (Unreachable, Transient),
            &["nothing to do unless it lasts", "api.base_url"],
        ),
        Row::fails(Graph, "410, empty", Answer::empty(410), gone, &["retired"]),
        Row::fails(
            Graph,
            "301 to another host",
            elsewhere,
            gone,
            &["api.base_url"],
        ),
    ]
}
