//! The Microsoft Graph incidents API: `GET {base}/v1.0/security/incidents` ("List incidents"), and one incident alone at
//! `/v1.0/security/incidents/{id}` ("Get incident"). Alerts come along only when `$expand` asks for them.

use super::consent::{GRAPH, Permission};
use super::source::{Dialect, Source};
use crate::core::reading::Shape;
use crate::core::version::Origin;

/// One tenant's incidents at Microsoft Graph.
pub type Graph = Source<GraphApi>;

pub struct GraphApi;

impl Dialect for GraphApi {
    const NAME: &'static str = "graph";
    const LIST: &'static str = "/v1.0/security/incidents";
    /// Not documented; larger pages are answered with 400.
    const PAGE: u32 = 50;
    const SHAPE: &'static Shape = &Shape {
        origin: Origin::Graph,
        id: "id",
        updated: "lastUpdateDateTime",
        status: "status",
        redirect: "redirectIncidentId",
    };
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
