//! Microsoft Graph: `GET /v1.0/security/incidents`, `…/{id}` and `…/{id}/alerts`. Sections 3.1 (request), 3.2 (throttling,
//! errors), 3.5 (caveats) and 9 (the 403 of a token without the permission).
//!
//! An incident shows its alerts only with `$expand=alerts`; of very many, the first, and a link to the others.

pub(super) mod document;
mod words;

use super::entra::GRAPH;
use super::faults::{Api, Hint};
use super::http::Call;
use super::listing::ListRules;
use super::refusal::{Refusal, Words};

pub(super) use document::{Part, Style};

pub(super) const LIST: &str = "/v1.0/security/incidents";
pub(super) const METADATA: &str = "https://graph.microsoft.com/v1.0/$metadata#security/incidents";

/// How Graph behaves where the documentation leaves it open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GraphOptions {
    /// At most that many incidents a page, whatever `$top` asks for.
    pub page: Option<usize>,
    /// Each page with incidents comes after an empty one that has a nextLink too.
    pub empty_pages: bool,
    /// An incident shows at most that many alerts at once, and a link to the others.
    pub alerts: Option<usize>,
    /// Times are cut to the millisecond.
    pub millis: bool,
}

pub(super) fn list_rules(options: GraphOptions) -> ListRules {
    ListRules {
        api: Api::Graph,
        path: LIST,
        resource: &GRAPH,
        dialect: words::DIALECT,
        links: true,
        page: options.page,
        empty_pages: options.empty_pages,
    }
}

pub(super) fn alerts_context(incident: u64) -> String {
    format!("{METADATA}('{incident}')/alerts")
}

/// Sections 3.2 and 9.
pub(super) fn words(refusal: &Refusal, call: &Call<'_>) -> Words {
    let invalid_token = |message: &str| (401, "InvalidAuthenticationToken", message.to_owned());
    let bad_request = |message: &str| (400, "BadRequest", message.to_owned());
    match refusal {
        Refusal::NoToken => invalid_token("Access token is empty."),
        Refusal::UnknownToken => invalid_token("Signature is invalid."),
        Refusal::WrongToken(issued) if issued.audience == GRAPH.uri => {
            invalid_token("Lifetime validation failed, the token is expired.")
        }
        Refusal::WrongToken(_) => {
            invalid_token("Access token validation failure. Invalid audience.")
        }
        Refusal::Throttled(hint) => {
            let mut message = "Too many requests, please try again later.".to_owned();
            if let Hint::Text(seconds) = hint {
                message.push_str(&format!(" Retry in {seconds} seconds."));
            }
            (429, "TooManyRequests", message)
        }
        Refusal::NoRole(roles) => {
            let message = format!(
                "Missing application roles. API required roles: {}, application roles: {}.",
                GRAPH.readers.join(","),
                roles.join(",")
            );
            (403, "Forbidden", message)
        }
        Refusal::Unlicensed => {
            let message = "The tenant is not provisioned for Microsoft Defender XDR.".to_owned();
            (403, "Forbidden", message)
        }
        Refusal::Query(what) => bad_request(what),
        Refusal::AlteredLink => bad_request("Skip token is not valid."),
        Refusal::StaleLink(status) => {
            let code = if *status == 410 { "Gone" } else { "BadRequest" };
            let message = "Query option 'SkipToken' is not allowed or has expired.".to_owned();
            (*status, code, message)
        }
        Refusal::NoIncident(id) => {
            let message = format!("Incident {id} was not found");
            (404, "ResourceNotFound", message)
        }
        Refusal::NoPath => {
            let segment = call.path().rsplit('/').next().unwrap_or_default();
            bad_request(&format!("Resource not found for the segment '{segment}'."))
        }
        Refusal::Broken | Refusal::Fault(_) => {
            let message = "Internal server error".to_owned();
            (500, "InternalServerError", message)
        }
    }
}
