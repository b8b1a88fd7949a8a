//! The answers in plain text to requests that get nothing else.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::renderings::NoRendering;

/// The answer to a foreign host name. It never contains that name.
pub(super) const FOREIGN: &str = "The request's Host is no name of this daemon's. Use its IP address, or add the name to http.hosts in \
     incidentd's configuration.\n";

/// The answer to a tenant's address when nobody reads it here.
const MISSING: &str =
    "This daemon reads no tenant with this id now. With several replicas, ask the others.\n";

/// The answer to a path that does not exist.
pub(super) const UNKNOWN: &str = "There is nothing at this address. The status page is at /, and each tenant's at /tenants/ID.\n";

/// The answer to an address whose parameters can't be read.
pub(super) const UNREADABLE: &str =
    "The address can't be read: a parameter is there twice, or is not UTF-8.\n";

impl IntoResponse for NoRendering {
    fn into_response(self) -> Response {
        let busy = "This can't be made now; try again. /livez says whether the daemon gets on.\n";
        match self {
            NoRendering::Busy => (StatusCode::SERVICE_UNAVAILABLE, busy).into_response(),
            NoRendering::Missing => (StatusCode::NOT_FOUND, MISSING).into_response(),
            NoRendering::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}
