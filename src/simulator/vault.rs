//! A key vault with one secret ("Get Secret" of Key Vault's REST API).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Simulator;
use super::entra::VAULTS;
use super::local_server::LocalServer;
use super::service::Service;

/// A vault on a loopback port. Dropping it stops it.
pub struct KeyVault {
    server: LocalServer,
    state: Arc<VaultState>,
}

struct VaultState {
    service: Arc<Service>,
    secret: Mutex<Option<VaultEntry>>,
}

/// The secret called `app`.
#[derive(Clone)]
struct VaultEntry {
    value: String,
    /// In seconds since 1970.
    ends: Option<i64>,
}

impl KeyVault {
    /// A vault that every identity may read as long as it has a secret.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(simulator: &Simulator) -> std::io::Result<Self> {
        let state = Arc::new(VaultState {
            service: simulator.service.clone(),
            secret: Mutex::default(),
        });
        let routes = Router::new().fallback(answer).with_state(state.clone());
        let server = LocalServer::start(routes).await?;
        Ok(Self { server, state })
    }

    /// The secret's identifier.
    pub fn secret(&self) -> String {
        format!("http://{}/secrets/app", self.server.address)
    }

    /// Puts a new version of the secret, which ends at an instant in seconds since 1970, if it says so.
    pub fn put(&self, value: &str, ends: Option<i64>) {
        let value = value.to_owned();
        *self.state.secret.lock() = Some(VaultEntry { value, ends });
    }
}

async fn answer(State(state): State<Arc<VaultState>>, request: Request) -> Response {
    let (status, body) = match state.secret(&request) {
        Ok(secret) => (StatusCode::OK, secret),
        Err((status, code, message)) => {
            (status, json!({"error": {"code": code, "message": message}}))
        }
    };
    (status, axum::Json(body)).into_response()
}

impl VaultState {
    fn secret(&self, request: &Request) -> Result<Value, (StatusCode, &'static str, &'static str)> {
        let token = request.headers().get("authorization");
        let token = token.and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
        let issued = token.and_then(|token| self.service.entra.find(token));
        let refused = match issued {
            None => Some("AKV10032: Invalid issuer, or no token."),
            Some(issued) if issued.audience != VAULTS => Some("AKV10022: Invalid audience."),
            Some(issued) if issued.until <= self.service.world.now() => {
                Some("AKV10046: The token has expired.")
            }
            Some(_) => None,
        };
        if let Some(message) = refused {
            return Err((StatusCode::UNAUTHORIZED, "Unauthorized", message));
        }
        if request.method() != Method::GET || request.uri().query() != Some("api-version=7.4") {
            let message = "The request or its api-version is not supported.";
            return Err((StatusCode::BAD_REQUEST, "BadParameter", message));
        }
        if request.uri().path() != "/secrets/app" {
            let message = "A secret with this name was not found in this key vault.";
            return Err((StatusCode::NOT_FOUND, "SecretNotFound", message));
        }
        let secret = self.secret.lock().clone();
        let secret = secret.ok_or((
            StatusCode::FORBIDDEN,
            "Forbidden",
            "Caller is not authorized to perform action on resource.",
        ))?;
        let mut attributes = json!({"enabled": true, "recoveryLevel": "Recoverable"});
        if let Some(ends) = secret.ends {
            attributes["exp"] = json!(ends);
        }
        Ok(json!({
            "value": secret.value, "id": "https://simulated.vault.azure.net/secrets/app/0", "attributes": attributes,
        }))
    }
}
