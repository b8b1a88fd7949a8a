//! Microsoft Graph: `GET /v1.0/security/incidents`, `…/{id}` and `…/{id}/alerts`. Sections 3.1 (request), 3.2 (throttling,
//! errors), 3.5 (caveats) and 9 (the 403 of a token without the permission).
//!
//! An incident shows its alerts only with `$expand=alerts`; of very many, the first, and a link to the others.

pub(super) mod document;
mod words;

use super::entra::GRAPH;
use super::errors::Errors;
use super::faults::Api;
use super::service::listing::ListRules;

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
        errors: Errors::new(include_str!("graph/errors.json")),
        error: include_str!("graph/error.json"),
        dialect: words::DIALECT,
        links: true,
        page: options.page,
        empty_pages: options.empty_pages,
    }
}

pub(super) fn alerts_context(incident: u64) -> String {
    format!("{METADATA}('{incident}')/alerts")
}
