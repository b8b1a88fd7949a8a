//! The Defender XDR incidents API: `GET {base}/api/incidents` ("List incidents API in Microsoft Defender XDR"), and one
//! incident alone at `/api/incidents/{id}` ("Get incident API"), which has a quota of its own: 100 a minute, 1500 an hour.
//! Alerts always come along.

use super::consent::{DEFENDER, Permission};
use super::source::{Dialect, Source};
use crate::core::incident::reading::Shape;
use crate::core::incident::significant::{Compared, Significant};
use crate::core::incident::version::Origin;

/// "incidents resource type" and "List incidents API in Microsoft Defender XDR". The API lists an alert's devices beside its
/// entities; both are what it is about.
pub static DEFENDER_SHAPE: Shape = Shape {
    origin: Origin::Defender,
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

/// One tenant's incidents at the Defender XDR API.
pub type Defender = Source<DefenderApi>;

pub struct DefenderApi;

impl Dialect for DefenderApi {
    const NAME: &'static str = "defender";
    const LIST: &'static str = "/api/incidents";
    const PAGE: u32 = 100;
    const SHAPE: &'static Shape = &DEFENDER_SHAPE;
    const PERMISSION: Permission = DEFENDER;
    const HEADERS: &'static [(&'static str, &'static str)] = &[];
    const EXPAND: Option<&'static str> = None;
    const GONE: &'static str = "check api.base_url; if every tenant shows this, Microsoft has retired the API (notice \
                                MC1220762 names 2027-02-01): set api.source to \"graph\"";
}

#[cfg(test)]
mod tests;
