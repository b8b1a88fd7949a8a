//! The token endpoint of one tenant: sends a request, and tells a token from a refusal.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::super::credential::{Attempt, Denial, Form};
use super::super::grant::{lifetime, token};
use super::super::http::{ClientError, Clients, Http};
use super::refusal::TokenAnswer;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::settings::{ApiSettings, TokenEndpoint};

const V2_PATH: &str = "oauth2/v2.0/token";
/// A token is a few KB even with hundreds of roles.
pub(super) const MAX_TOKEN_ANSWER: usize = 1 << 20;

/// The requests of one app at one tenant.
pub(in crate::microsoft) struct TokenService {
    http: Http,
    url: Url,
    client_id: Uuid,
    /// The request parameter that names what tokens are for.
    target: (&'static str, String),
    /// The remedy for an app that lacks its consent in the tenant.
    consent_remedy: String,
}

/// The fields of a good answer that are used. v1 writes numbers as strings.
#[derive(Deserialize)]
pub(in crate::microsoft) struct TokenBody {
    #[serde(deserialize_with = "token")]
    pub(in crate::microsoft) access_token: SecretString,
    #[serde(deserialize_with = "lifetime")]
    pub(super) expires_in: Duration,
}

impl TokenBody {
    pub(super) fn new(access_token: SecretString, expires_in: Duration) -> Self {
        Self {
            access_token,
            expires_in,
        }
    }
}

impl TokenService {
    /// Asks for tokens for `api.scope` at `api.login_url`.
    ///
    /// # Errors
    /// The HTTP client can't be built: proxy or certificates are unusable.
    pub(in crate::microsoft) fn new(
        clients: &Clients,
        tenant: TenantId,
        client_id: Uuid,
        api: &ApiSettings,
        consent_remedy: String,
    ) -> Result<Self, ClientError> {
        let (path, target) = match api.token_endpoint {
            TokenEndpoint::V1 => (
                "oauth2/token",
                ("resource", resource(&api.scope).to_owned()),
            ),
            TokenEndpoint::V2 => (V2_PATH, ("scope", api.scope.clone())),
        };
        Ok(Self {
            http: clients.reach(&api.login_url, "api.login_url", api)?,
            url: endpoint(&api.login_url, tenant, path),
            client_id,
            target,
            consent_remedy,
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.http.peer.host
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// # Errors
    /// No token was issued.
    pub(in crate::microsoft) async fn ask(&self, attempt: &Attempt) -> Result<TokenBody, Denial> {
        let client_id = self.client_id.to_string();
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id.as_str()),
        ];
        form.extend(attempt.proof.parameters());
        form.push((self.target.0, self.target.1.as_str()));
        let http = match attempt.proof.place.key.form {
            Form::OneTimeAssertion => self.http.never_resending(),
            Form::Secret | Form::Assertion => self.http.clone(),
        };
        let request = http
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .form(&form);
        let mut answer = http.send(request).await?;
        let status = answer.status();
        let body = match status {
            StatusCode::OK => answer.body(MAX_TOKEN_ANSWER).await?,
            _ => answer.error_body().await,
        };
        self.read(&TokenAnswer {
            status,
            headers: answer.headers(),
            body: &body,
            place: &attempt.proof.place,
            secrets: &attempt.secrets(),
        })
    }

    /// Reads a complete answer.
    pub(super) fn read(&self, answer: &TokenAnswer<'_>) -> Result<TokenBody, Denial> {
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer));
        }
        let json = answer.json();
        serde_json::from_slice(json).map_err(|_| self.no_token(json, answer))
    }

    fn refused(&self, answer: &TokenAnswer<'_>) -> Denial {
        answer.classify(self.host(), &self.consent_remedy)
    }

    /// The denial for a 200 without a token: an error, or not an answer of Entra.
    fn no_token(&self, json: &[u8], answer: &TokenAnswer<'_>) -> Denial {
        let is_error = serde_json::from_slice::<Value>(json)
            .is_ok_and(|value| value.get("error").is_some_and(Value::is_string));
        if is_error {
            return self.refused(answer);
        }
        let failure = Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!(
                "{} answered a token request with {}, and with something that is no token",
                self.host(),
                answer.status.as_u16()
            ),
            "check api.login_url, and what stands between here and Microsoft: it looks like a proxy's log-in page",
        );
        failure
            .with_status(answer.status.as_u16())
            .caused_by("entra 200 without a token")
            .into()
    }
}

/// The audience of the app's own assertions. It is documented for the v2 endpoint only, and v1 accepts it, too.
pub(super) fn audience(login_url: &Url, tenant: TenantId) -> String {
    endpoint(login_url, tenant, V2_PATH).into()
}

/// An endpoint of the tenant's.
fn endpoint(login_url: &Url, tenant: TenantId, path: &str) -> Url {
    let mut url = login_url.clone();
    let path = format!("{}/{tenant}/{path}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The resource that a `/.default` scope names.
pub(super) fn resource(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope)
}
