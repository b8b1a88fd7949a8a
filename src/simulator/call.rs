//! One request, as the APIs see it.

use axum::http::{HeaderMap, Uri};
use uuid::Uuid;

use super::faults::{Api, Endpoint, Target};
use super::link;

pub(super) struct Call<'a> {
    pub target: Target,
    /// The API whose forms the answer has.
    pub api: Api,
    /// The tenant or the incident in the path.
    pub id: &'a str,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    pub request: Uuid,
}

impl<'a> Call<'a> {
    pub fn new(uri: &'a Uri, headers: &'a HeaderMap, request: Uuid) -> Self {
        let (endpoint, api, id) = route(uri.path());
        let documented = !matches!(endpoint, Endpoint::Token | Endpoint::Other);
        Self {
            target: Target {
                api: documented.then_some(api),
                endpoint,
                tenant: Uuid::try_parse(id).ok(),
                link: uri.query().and_then(link::token).is_some(),
            },
            api,
            id,
            uri,
            headers,
            request,
        }
    }

    pub fn path(&self) -> &'a str {
        self.uri.path()
    }

    pub fn query(&self) -> &'a str {
        self.uri.query().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn bearer(&self) -> Option<&'a str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Whether the client asks for the members of enumerations that came after the first (section 3.3).
    pub fn unknown_members(&self) -> bool {
        let values = self.headers.get_all("prefer").iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim() == "include-unknown-enum-members")
    }

    /// A coding with a weight is never used.
    pub fn accepts_gzip(&self) -> bool {
        let accepted = self.header("accept-encoding").unwrap_or_default();
        accepted.split(',').any(|coding| coding.trim() == "gzip")
    }
}

/// What a path is for: the endpoint, the API whose forms the answer has, and the tenant or the incident in the path.
fn route(path: &str) -> (Endpoint, Api, &str) {
    let segments: Vec<_> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        [tenant, "oauth2", "token"] => (Endpoint::Token, Api::Defender, tenant),
        [tenant, "oauth2", "v2.0", "token"] => (Endpoint::Token, Api::Defender, tenant),
        ["api", "incidents"] => (Endpoint::List, Api::Defender, ""),
        ["api", "incidents", id] => (Endpoint::Get, Api::Defender, id),
        ["v1.0", "security", "incidents"] => (Endpoint::List, Api::Graph, ""),
        ["v1.0", "security", "incidents", id] => (Endpoint::Get, Api::Graph, id),
        ["v1.0", "security", "incidents", id, "alerts"] => (Endpoint::Alerts, Api::Graph, id),
        ["v1.0" | "beta", ..] => (Endpoint::Other, Api::Graph, ""),
        _ => (Endpoint::Other, Api::Defender, ""),
    }
}
