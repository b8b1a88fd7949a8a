//! The Microsoft Graph incidents API: `GET {base}/v1.0/security/incidents` ("List incidents"), and one incident alone at
//! `/v1.0/security/incidents/{id}` ("Get incident"). Alerts come along only when `$expand` asks for them.

use crate::core::incident::reading::Shape;
use crate::core::incident::significant::{Compared, Significant};
use crate::core::sources::Dialect;
use crate::core::sources::kind::SourceKind;

/// How Microsoft Graph is asked, and what it answers.
pub static DIALECT: Dialect = Dialect {
    list: "/v1.0/security/incidents",
    shape: &SHAPE,
    // Without it the later members of Graph's enumerations (status `awaitingAction`, many detection sources) come as
    // `unknownFutureValue`. Each page needs it: a nextLink does not carry it.
    headers: &[("prefer", "include-unknown-enum-members")],
    expand: Some("$expand=alerts"),
    gone: "check api.base_url: it is the scheme and host of the cloud's Microsoft Graph, without a path; \
           if every tenant shows this, Microsoft has moved or retired the API",
};

/// "incident resource type" and "alert resource type" of `microsoft.graph.security`. People do not set
/// `systemTags`, so they do not count.
pub static SHAPE: Shape = Shape {
    origin: SourceKind::Graph,
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
