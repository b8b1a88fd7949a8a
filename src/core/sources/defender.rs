//! The Defender XDR incidents API: `GET {base}/api/incidents` ("List incidents API in Microsoft Defender XDR"), and one
//! incident alone at `/api/incidents/{id}` ("Get incident API"), which has a quota of its own: 100 a minute, 1500 an hour.
//! Alerts always come along.

use crate::core::incident::reading::Shape;
use crate::core::incident::significant::{Compared, Significant};
use crate::core::sources::Dialect;
use crate::core::sources::kind::SourceKind;

/// How the Defender XDR API is asked, and what it answers.
pub static DIALECT: Dialect = Dialect {
    list: "/api/incidents",
    shape: &SHAPE,
    headers: &[],
    expand: None,
    gone: "check api.base_url; if every tenant shows this, Microsoft has retired the API (notice \
           MC1220762 names 2027-02-01): set api.source to \"graph\"",
};

/// "incidents resource type" and "List incidents API in Microsoft Defender XDR". The API lists an alert's devices beside its
/// entities; both count.
pub static SHAPE: Shape = Shape {
    origin: SourceKind::Defender,
    id: "incidentId",
    updated: "lastUpdateTime",
    status: "status",
    redirect: "redirectIncidentId",
    significant: &[
        Significant::word("status"),
        Significant::word("severity"),
        Significant::word("classification"),
        Significant::word("determination"),
        Significant::text("assignedTo"),
        Significant::text("incidentName"),
        Significant::list("tags", &Compared::Text),
        Significant::list("comments", &COMMENT),
        Significant::id("redirectIncidentId"),
        Significant::list("alerts", &ALERT),
    ],
};

static COMMENT: Compared = Compared::Object(&[
    Significant::text("comment"),
    Significant::text("createdBy"),
    Significant::time("createdTime"),
    // As the resource's page spells it.
    Significant::time("createTime").counting_as("createdTime"),
]);

static ALERT: Compared = Compared::Object(&[
    Significant::id("alertId"),
    Significant::word("status"),
    Significant::word("severity"),
    Significant::word("classification"),
    Significant::word("determination"),
    Significant::time("lastUpdatedTime"),
    Significant::list("entities", &ENTITY),
    Significant::list("devices", &ENTITY),
]);

static ENTITY: Compared = Compared::Object(&[
    Significant::word("verdict"),
    Significant::word("remediationStatus"),
]);
