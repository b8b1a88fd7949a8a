//! The Microsoft Graph incidents API: `GET {base}/v1.0/security/incidents` ("List incidents"), and one incident alone at
//! `/v1.0/security/incidents/{id}` ("Get incident"). Alerts come along only when `$expand` asks for them.

use super::consent::{GRAPH, Permission};
use super::source::{Dialect, Source};
use crate::core::incident::reading::Shape;
use crate::core::incident::significant::{Compared, Significant};
use crate::core::incident::version::Origin;

/// "incident resource type" and "alert resource type" of `microsoft.graph.security`. `systemTags` are no tags that people
/// set, and do not count.
pub static GRAPH_SHAPE: Shape = Shape {
    origin: Origin::Graph,
    id: "id",
    updated: "lastUpdateDateTime",
    status: "status",
    redirect: "redirectIncidentId",
    significant: &[
        Significant::word("status"),
        Significant::word("severity"),
        Significant::word("classification"),
        Significant::word("determination"),
        Significant::text("assignedTo"),
        Significant::text("displayName"),
        Significant::list("customTags", &Compared::Text),
        Significant::list("comments", &COMMENT),
        Significant::id("redirectIncidentId"),
        Significant::list("alerts", &ALERT),
    ],
};

/// The second names are those of Microsoft's own sample answer.
static COMMENT: Compared = Compared::Object(&[
    Significant::text("comment"),
    Significant::text("createdByDisplayName"),
    Significant::text("createdBy").counting_as("createdByDisplayName"),
    Significant::time("createdDateTime"),
    Significant::time("createdTime").counting_as("createdDateTime"),
]);

static ALERT: Compared = Compared::Object(&[
    Significant::id("id"),
    Significant::word("status"),
    Significant::word("severity"),
    Significant::word("classification"),
    Significant::word("determination"),
    Significant::time("lastUpdateDateTime"),
    Significant::list("evidence", &EVIDENCE),
]);

static EVIDENCE: Compared = Compared::Object(&[
    Significant::word("verdict"),
    Significant::word("remediationStatus"),
]);

/// One tenant's incidents at Microsoft Graph.
pub type Graph = Source<GraphApi>;

pub struct GraphApi;

impl Dialect for GraphApi {
    const NAME: &'static str = "graph";
    const LIST: &'static str = "/v1.0/security/incidents";
    /// Not documented; larger pages are answered with 400.
    const PAGE: u32 = 50;
    const SHAPE: &'static Shape = &GRAPH_SHAPE;
    const PERMISSION: Permission = GRAPH;
    /// Without it the later members of Graph's enumerations (status `awaitingAction`, many detection sources) come as
    /// `unknownFutureValue`. It must go with each page: a nextLink does not carry it.
    const HEADERS: &'static [(&'static str, &'static str)] =
        &[("prefer", "include-unknown-enum-members")];
    const EXPAND: Option<&'static str> = Some("$expand=alerts");
    const GONE: &'static str = "check api.base_url: it is the scheme and host of the cloud's Microsoft Graph, without a path; \
                                if every tenant shows this, Microsoft has moved or retired the API";
}

#[cfg(test)]
mod tests;
