//! The incidents API of Defender XDR: `GET /api/incidents` and `GET /api/incidents/{id}`. Sections 1.1 (operations, OData),
//! 2.1 to 2.3 (errors) and 9 (its 429 has a `Retry-After` in the field).

pub(super) mod document;

use std::borrow::Cow;

use super::entra::{self, DEFENDER};
use super::faults::{Api, Hint};
use super::http::Call;
use super::listing::ListRules;
use super::odata::{Dialect, Property};
use super::refusal::{Refusal, Words};
use super::time;

pub(super) const CONTEXT: &str = "https://api.security.microsoft.com/api/$metadata#Incidents";
const STATUSES: [&str; 4] = ["Active", "InProgress", "Resolved", "Redirected"];

/// `$filter` on four properties, `$top` up to 100, `$skip` (section 1.1).
const DIALECT: Dialect = Dialect {
    top: 100,
    property,
    expand_and_count: false,
};

/// How a list goes on after its first page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Paging {
    /// The client asks with `$skip` until a page is short.
    #[default]
    Skip,
    /// `@odata.nextLink`, with at most `page` incidents a page; with `empty_pages`, each of them comes after an empty
    /// page that has a nextLink too.
    NextLink { page: usize, empty_pages: bool },
}

pub(super) fn list_rules(paging: Paging) -> ListRules {
    let (links, page, empty_pages) = match paging {
        Paging::Skip => (false, None, false),
        Paging::NextLink { page, empty_pages } => (true, Some(page), empty_pages),
    };
    ListRules {
        api: Api::Defender,
        path: "/api/incidents",
        resource: &DEFENDER,
        dialect: DIALECT,
        links,
        page,
        empty_pages,
    }
}

/// The API's word for a status of the world: a status that only Graph has is `InProgress` here.
fn status(status: &str) -> &str {
    match status {
        "AwaitingAction" => "InProgress",
        known => known,
    }
}

fn property(name: &str) -> Option<Property> {
    Some(match name {
        "lastUpdateTime" => Property::LastUpdate,
        "createdTime" => Property::Created,
        "status" => Property::Text {
            of: |incident| Some(Cow::Borrowed(status(incident.status))),
            members: Some(&STATUSES),
        },
        "assignedTo" => Property::Text {
            of: |incident| incident.assigned_to.as_deref().map(Cow::Borrowed),
            members: None,
        },
        _ => return None,
    })
}

/// The table of section 2.2, with the messages of section 2.3.
pub(super) fn words(refusal: &Refusal, call: &Call<'_>) -> Words {
    let unauthorized = |message: &str| (401, "Unauthorized", message.to_owned());
    let invalid = |what: &str| {
        (
            400,
            "ODataError",
            format!("Invalid OData URI query <{what}>"),
        )
    };
    match refusal {
        Refusal::NoToken => unauthorized("Missing or invalid Authorization header."),
        Refusal::UnknownToken => unauthorized("Invalid Authorization payload."),
        Refusal::WrongToken(issued) => unauthorized(&format!(
            "Invalid Authorization payload. AppId: {}, Audience: {}, Issuer: {}, Validity: valid from {} to {}",
            issued.app,
            issued.audience,
            entra::issuer(issued.tenant),
            time::format(issued.from),
            time::format(issued.until),
        )),
        Refusal::Throttled(hint) => {
            let message = match hint {
                Hint::Nothing => "Quota exceeded".to_owned(),
                Hint::Seconds(seconds) | Hint::Date(seconds) | Hint::Text(seconds) => {
                    format!("Quota exceeded; retry in {seconds} seconds")
                }
            };
            (429, "TooManyRequests", message)
        }
        Refusal::NoRole(_) => {
            let message = format!(
                "The application does not have any of the required application permissions ({}) to access the resource.",
                DEFENDER.readers.join(", ")
            );
            (403, "Forbidden", message)
        }
        Refusal::Unlicensed => {
            let message = "Tenant feature isn't enabled".to_owned();
            (403, "DisabledFeature", message)
        }
        Refusal::Query(what) => invalid(what),
        Refusal::AlteredLink => invalid("$skiptoken"),
        Refusal::StaleLink(status) => {
            let message = "Query option 'SkipToken' has expired".to_owned();
            (*status, "ODataError", message)
        }
        Refusal::NoIncident(id) => {
            let message = format!("Incident {id} was not found");
            (404, "ResourceNotFound", message)
        }
        Refusal::NoPath => (404, "NotFound", format!("No resource at {}", call.path())),
        Refusal::Broken | Refusal::Fault(_) => {
            let message = "Internal server error".to_owned();
            (500, "InternalServerError", message)
        }
    }
}
