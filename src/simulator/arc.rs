//! The agent of Azure Arc, which gives tokens of a machine's own identity to those who can read its keys ("Access Azure resources
//! by using managed identity on Azure Arc-enabled servers").

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Simulator;
use super::identity::{IdentityRefusal, SimulatedIdentity, api_token, identity_query, invalid};
use super::local_server::LocalServer;
use super::service::Service;

/// The agent on a loopback port. Dropping it stops it.
pub struct ArcAgent {
    server: LocalServer,
    state: Arc<ArcState>,
}

struct ArcState {
    service: Arc<Service>,
    identity: Mutex<Option<SimulatedIdentity>>,
    /// Where the keys are written.
    keys: PathBuf,
    /// The keys that were not used yet, and their files.
    open: Mutex<HashMap<String, PathBuf>>,
    /// All keys.
    given: Mutex<Vec<String>>,
}

impl ArcAgent {
    /// The folder of the keys that it names.
    pub const FOLDER: &'static str = "/var/opt/azcmagent/tokens";

    /// For the tenants of `simulator`. `keys` is the folder that the machine sees as [`Self::FOLDER`].
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(simulator: &Simulator, keys: &Path) -> std::io::Result<Self> {
        let state = Arc::new(ArcState {
            service: simulator.service.clone(),
            identity: Mutex::default(),
            keys: keys.to_owned(),
            open: Mutex::default(),
            given: Mutex::default(),
        });
        let routes = Router::new().fallback(answer).with_state(state.clone());
        let server = LocalServer::start(routes).await?;
        Ok(Self { server, state })
    }

    /// What it puts into the environment: the agent's address, and the endpoint.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let host = format!("http://{}", self.server.address);
        let endpoint = format!("{host}/metadata/identity/oauth2/token");
        [("IMDS_ENDPOINT", host), ("IDENTITY_ENDPOINT", endpoint)]
    }

    /// Connects the machine to Azure: its identity from now on.
    pub fn connect(&self, identity: SimulatedIdentity) {
        *self.state.identity.lock() = Some(identity);
    }

    /// All keys so far.
    pub fn keys(&self) -> Vec<String> {
        self.state.given.lock().clone()
    }
}

async fn answer(State(state): State<Arc<ArcState>>, request: Request) -> Response {
    let (status, error, description) = match state.token(&request) {
        Ok(token) => return axum::Json(token).into_response(),
        Err(Refused::Challenge(realm)) => {
            let challenge = [(WWW_AUTHENTICATE, format!("Basic realm={realm}"))];
            return (StatusCode::UNAUTHORIZED, challenge).into_response();
        }
        Err(Refused::Error(refusal)) => refusal,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": error, "error_description": description});
    (status, axum::Json(body)).into_response()
}

enum Refused {
    /// The path of a key file.
    Challenge(String),
    Error(IdentityRefusal),
}

impl From<IdentityRefusal> for Refused {
    fn from(refusal: IdentityRefusal) -> Self {
        Self::Error(refusal)
    }
}

impl ArcState {
    fn token(&self, request: &Request) -> Result<Value, Refused> {
        let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
        if request.uri().path() != "/metadata/identity/oauth2/token" {
            return Err((404, "not_found", "There is no such path.").into());
        }
        if request.method() != Method::GET {
            return Err((405, "invalid_request", "Only GET is allowed.").into());
        }
        if header("metadata") != Some("true") || header("x-forwarded-for").is_some() {
            return Err(invalid("Required metadata header not specified").into());
        }
        let query = identity_query(request, "2020-06-01")?;
        if query.client_id.is_some() {
            return Err(invalid("There is the machine's own identity only.").into());
        }
        let Some(authorization) = header("authorization") else {
            return Err(Refused::Challenge(self.new_key()?));
        };
        let key = authorization.strip_prefix("Basic ").unwrap_or_default();
        // Each key serves once.
        let Some(file) = self.open.lock().remove(key) else {
            return Err((401, "unauthorized", "The key is wrong.").into());
        };
        let _ = std::fs::remove_file(file);
        let identity = self.identity.lock().clone();
        let identity = identity.ok_or((403, "forbidden", "The machine is not connected."))?;
        Ok(api_token(&self.service, &identity, &query.resource, true)?)
    }

    /// Writes a key, and returns the path that the machine sees.
    fn new_key(&self) -> Result<String, IdentityRefusal> {
        let name = format!("{}.key", Uuid::new_v4());
        let file = self.keys.join(&name);
        let key = format!("canary-arc-key~{}", Uuid::new_v4());
        std::fs::write(&file, &key)
            .map_err(|_| (500, "server_error", "The key can't be written."))?;
        self.given.lock().push(key.clone());
        self.open.lock().insert(key, file);
        Ok(format!("{}/{name}", ArcAgent::FOLDER))
    }
}
