//! The endpoints that give tokens to what runs in Azure: the instance metadata service (IMDS) of a machine, and App Service's
//! (section 4.6, and "How to use managed identities to acquire an access token").

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Simulator;
use super::entra::Minted;
use super::jwt;
use super::local_server::LocalServer;
use super::service::Service;
use super::tenant::FederatedCredential;
use super::time::SECOND;
use super::urlencoded;

/// The life of an identity's token, in seconds.
const LIFE: i64 = 86_400;

/// A managed identity that is assigned to the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimulatedIdentity {
    /// `None`: the machine's own one, which is system-assigned.
    pub client_id: Option<Uuid>,
    /// The object id of its service principal.
    pub principal: Uuid,
    /// The directory that it belongs to.
    pub tenant: Uuid,
}

impl SimulatedIdentity {
    /// The record with which an app registration trusts it.
    pub fn federated(&self) -> FederatedCredential {
        FederatedCredential::new(&self.issuer(), &self.principal.to_string())
    }

    fn issuer(&self) -> String {
        format!("https://login.microsoftonline.com/{}/v2.0", self.tenant)
    }
}

/// Both endpoints on a loopback port. Dropping it stops it.
pub struct IdentityEndpoints {
    server: LocalServer,
    state: Arc<Endpoints>,
}

struct Endpoints {
    service: Arc<Service>,
    identities: Mutex<Vec<SimulatedIdentity>>,
}

impl IdentityEndpoints {
    /// What App Service puts into the environment for its clients.
    pub const HEADER: &'static str = "canary-identity-header~never.seen";

    /// For the tenants of `simulator`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(
        simulator: &Simulator,
        identities: Vec<SimulatedIdentity>,
    ) -> std::io::Result<Self> {
        let state = Arc::new(Endpoints {
            service: simulator.service.clone(),
            identities: Mutex::new(identities),
        });
        let routes = Router::new().fallback(answer).with_state(state.clone());
        let server = LocalServer::start(routes).await?;
        Ok(Self { server, state })
    }

    /// The host of the metadata service.
    pub fn imds(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// App Service's endpoint.
    pub fn app_service(&self) -> String {
        format!("http://{}/msi/token", self.server.address)
    }

    /// Assigns one more identity.
    pub fn assign(&self, identity: SimulatedIdentity) {
        self.state.identities.lock().push(identity);
    }
}

/// A refusal: status, `error`, `error_description`.
pub(super) type IdentityRefusal = (u16, &'static str, &'static str);

pub(super) const fn invalid(description: &'static str) -> IdentityRefusal {
    (400, "invalid_request", description)
}

async fn answer(State(state): State<Arc<Endpoints>>, request: Request) -> Response {
    let (status, body) = match state.token(&request) {
        Ok(token) => (200, token),
        Err((status, error, description)) => (
            status,
            json!({"error": error, "error_description": description}),
        ),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}

impl Endpoints {
    fn token(&self, request: &Request) -> Result<Value, IdentityRefusal> {
        let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
        let imds = match request.uri().path() {
            "/metadata/identity/oauth2/token" => true,
            "/msi/token" => false,
            _ => return Err((404, "not_found", "There is no such path.")),
        };
        if request.method() != Method::GET {
            return Err((405, "invalid_request", "Only GET is allowed."));
        }
        match imds {
            // A request that something passed on is not one of this machine's.
            true if header("x-forwarded-for").is_some() => {
                return Err(invalid("The request was forwarded."));
            }
            true if header("metadata") != Some("true") => {
                return Err(invalid("Required metadata header not specified"));
            }
            false if header("x-identity-header") != Some(IdentityEndpoints::HEADER) => {
                return Err((401, "unauthorized", "The identity header is wrong."));
            }
            _ => {}
        }
        let version = if imds { "2018-02-01" } else { "2019-08-01" };
        let query = identity_query(request, version)?;
        let identity = self.identity(query.client_id.as_deref())?;
        self.issue(&identity, &query.resource, imds)
    }

    fn identity(&self, client_id: Option<&str>) -> Result<SimulatedIdentity, IdentityRefusal> {
        let unknown = invalid("Identity not found");
        let id = match client_id {
            None => None,
            Some(text) => Some(Uuid::try_parse(text).map_err(|_| unknown)?),
        };
        let identities = self.identities.lock();
        let found = identities.iter().find(|identity| identity.client_id == id);
        found.cloned().ok_or(unknown)
    }

    fn issue(
        &self,
        identity: &SimulatedIdentity,
        resource: &str,
        imds: bool,
    ) -> Result<Value, IdentityRefusal> {
        let service = &self.service;
        if resource != FederatedCredential::AUDIENCE {
            return api_token(service, identity, resource, imds);
        }
        let now = service.world.now() / SECOND;
        let minted = Minted {
            token: own_token(identity, resource, now),
            until: now + LIFE,
        };
        Ok(given(service, identity, resource, minted, imds))
    }
}

/// The parameters of a request.
pub(super) struct IdentityQuery {
    pub resource: String,
    pub client_id: Option<String>,
}

pub(super) fn identity_query(
    request: &Request,
    version: &str,
) -> Result<IdentityQuery, IdentityRefusal> {
    let query = urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let query = query.ok_or(invalid("The query is malformed."))?;
    let known = ["api-version", "resource", "client_id"];
    if query
        .iter()
        .any(|field| !known.contains(&field.name.as_str()))
    {
        return Err(invalid("A parameter is unknown."));
    }
    let get = |name: &str| {
        let mut fields = query.iter().filter(|field| field.name == name);
        let first = fields.next().map(|field| field.value.clone());
        (first, fields.next().is_some())
    };
    if known.iter().any(|name| get(name).1) {
        return Err(invalid("A parameter is given twice."));
    }
    if get("api-version").0.as_deref() != Some(version) {
        return Err(invalid("The api-version is not supported."));
    }
    Ok(IdentityQuery {
        resource: get("resource").0.ok_or(invalid("resource is missing"))?,
        client_id: get("client_id").0,
    })
}

/// A token for one of the APIs, or for key vaults, in the identity's own directory.
pub(super) fn api_token(
    service: &Service,
    identity: &SimulatedIdentity,
    resource: &str,
    whole: bool,
) -> Result<Value, IdentityRefusal> {
    let unknown = (
        400,
        "invalid_resource",
        "The resource principal was not found.",
    );
    let tenant = service.world.tenant(identity.tenant).ok_or(unknown)?;
    let app = identity.client_id.unwrap_or(identity.principal);
    let minted = service.entra.mint(&tenant, app, resource).ok_or(unknown)?;
    Ok(given(service, identity, resource, minted, whole))
}

/// The answer with a token. App Service's has the instant only.
fn given(
    service: &Service,
    identity: &SimulatedIdentity,
    resource: &str,
    Minted { token, until }: Minted,
    whole: bool,
) -> Value {
    let now = service.world.now() / SECOND;
    service.journal.issued(token.clone());
    let mut body = json!({
        "access_token": token, "expires_on": until.to_string(), "resource": resource, "token_type": "Bearer",
        "client_id": identity.client_id.unwrap_or(identity.principal),
    });
    if whole {
        body["expires_in"] = json!((until - now).to_string());
        body["not_before"] = json!(now.to_string());
    }
    body
}

/// What the identity proves itself with.
fn own_token(identity: &SimulatedIdentity, audience: &str, now: i64) -> String {
    let claims = json!({
        "iss": identity.issuer(), "sub": identity.principal, "aud": audience, "iat": now,
        "nbf": now, "exp": now + LIFE,
    });
    // The tests search for signatures, which no two tokens share.
    let signature = Uuid::new_v4().to_string();
    jwt::join(
        claims.to_string().as_bytes(),
        format!("{signature}{signature}").as_bytes(),
    )
}
