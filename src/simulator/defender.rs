//! The incidents API of Defender XDR: `GET /api/incidents` and `GET /api/incidents/{id}`. Sections 1.1 (operations, OData),
//! 2.1 to 2.3 (errors) and 9 (its 429 has a `Retry-After` in the field).

pub(super) mod document;

use std::borrow::Cow;

use super::entra::DEFENDER;
use super::errors::Errors;
use super::faults::Api;
use super::odata::{Dialect, Property};
use super::service::listing::ListRules;

const CONTEXT: &str = "https://api.security.microsoft.com/api/$metadata#Incidents";
const STATUSES: &str = "Active InProgress Resolved Redirected";

/// `$filter` on four properties, `$top` up to 100, `$skip` (section 1.1).
const DIALECT: Dialect = Dialect {
    top: 100,
    property,
    expand_and_count: false,
};

/// How a client gets the further pages of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Paging {
    /// The client asks with `$skip` until a page is short.
    #[default]
    Skip,
    /// `@odata.nextLink`, with at most `page` incidents a page; with `empty_pages`, each of them comes after an empty
    /// page that has a nextLink too.
    NextLink {
        /// At least 1.
        page: usize,
        /// Whether there are empty pages between.
        empty_pages: bool,
    },
}

pub(super) fn list_rules(paging: Paging) -> ListRules {
    let (links, page, empty_pages) = match paging {
        Paging::Skip => (false, None, false),
        Paging::NextLink { page, empty_pages } => (true, Some(page), empty_pages),
    };
    ListRules {
        api: Api::Defender,
        path: "/api/incidents",
        context: CONTEXT,
        resource: &DEFENDER,
        errors: Errors::new(include_str!("defender/errors.json")),
        error: include_str!("defender/error.json"),
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
        "lastUpdateTime" => Property::Instant(|incident| incident.last_update),
        "createdTime" => Property::Instant(|incident| incident.created),
        "status" => Property::Enumeration(|i| Cow::Borrowed(status(i.status)), STATUSES),
        "assignedTo" => Property::Text(|incident| incident.assigned_to.as_deref()),
        _ => return None,
    })
}
