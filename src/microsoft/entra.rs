//! Tokens from Entra: the client-credentials grant, v2 and v1.
//!
//! Role: makes one token request at the customer's tenant, and examines the token. Entra issues tokens that lack the
//! permission, or are for another API or tenant, without an error. They would fail later, with a worse error. The
//! [credential](super::credential) decides what a request is made with, and whether it is repeated. Failure modes:
//! [`refusal`] for Entra's answers, [`claims`] for unusable tokens, [`transport`](super::transport) for the connection.
//! A 200 without a token is `unreachable`: a proxy's log-in page looks like that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::consent::{consent_link, consent_remedy, identity_remedy};
use super::credential::{AppCredential, Attempt, Denial, TokenRequest};
use super::grant::{lifetime, token};
use super::http::{ClientError, Clients, Http};
use crate::core::health::expiry::CredentialEnd;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::ports::{AccessToken, Grant, TokenSource};
use crate::settings::{ApiSettings, TokenEndpoint};
pub(super) use aadsts::CONDITIONAL_ACCESS;
use claims::TokenExpectation;
pub use claims::{Claims, IssuedToken};
use refusal::TokenAnswer;

mod aadsts;
mod claims;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod refusal;

const V2_PATH: &str = "oauth2/v2.0/token";
/// A token is a few KB even with hundreds of roles.
const MAX_TOKEN_ANSWER: usize = 1 << 20;

/// The roles of a token that are kept to be shown. An app for incidents needs one.
const MOST_ROLES: usize = 20;

/// Requests the tokens of one tenant.
pub struct Entra {
    http: Http,
    authority: String,
    token_url: Url,
    /// The audience of the app's own assertions.
    audience: String,
    /// Shared by all tenants of one app registration.
    credential: Arc<AppCredential>,
    /// The request parameter that names what tokens are for.
    target: (&'static str, String),
    expected: TokenExpectation,
    /// `None`: no administrator consents to a managed identity.
    consent_link: Option<String>,
}

impl Entra {
    /// # Errors
    /// The HTTP client can't be built: proxy or certificates are unusable.
    pub fn new(
        clients: &Clients,
        tenant: TenantId,
        credential: Arc<AppCredential>,
        api: &ApiSettings,
    ) -> Result<Self, ClientError> {
        let http = clients.reach(&api.login_url, "api.login_url", api)?;
        let permission = api.source.facts().permission;
        let link = consent_link(&api.login_url, tenant, credential.client_id, &api.scope);
        let (consent_remedy, tenant_remedy) = match credential.is_app() {
            false => (
                consent_remedy(&permission, &link),
                "check the tenant's id and api.login_url",
            ),
            true => (
                identity_remedy(&permission),
                "a managed identity gets tokens of its own tenant only: for other tenants, make it a federated credential of a \
                 multitenant app registration, and set app.client_id to that app",
            ),
        };
        let consent_link = (!credential.is_app()).then_some(link);
        let resource = resource(&api.scope).to_owned();
        let (path, target) = match api.token_endpoint {
            TokenEndpoint::V1 => ("oauth2/token", ("resource", resource.clone())),
            TokenEndpoint::V2 => (V2_PATH, ("scope", api.scope.clone())),
        };
        let token_url = endpoint(&api.login_url, tenant, path);
        Ok(Self {
            http,
            authority: token_url.origin().ascii_serialization(),
            token_url,
            // Documented for the v2 endpoint only, which v1 accepts, too.
            audience: endpoint(&api.login_url, tenant, V2_PATH).into(),
            credential,
            target,
            expected: TokenExpectation {
                tenant,
                resource,
                permission,
                consent_remedy,
                tenant_remedy,
            },
            consent_link,
        })
    }

    /// Requests a token like [`TokenSource::request`], but also returns an unusable one.
    ///
    /// # Errors
    /// No token was issued.
    pub async fn look(&self) -> Result<IssuedToken, Failure> {
        self.credential.request(self).await
    }

    /// Whether the second of two secrets was the last one accepted.
    pub fn second_secret_serves(&self) -> bool {
        self.credential.second_secret_serves()
    }

    async fn ask(&self, attempt: &Attempt) -> Result<IssuedToken, Denial> {
        let client_id = self.credential.client_id.to_string();
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id.as_str()),
        ];
        form.extend(attempt.proof.parameters());
        form.push((self.target.0, self.target.1.as_str()));
        let request = self
            .http
            .client
            .post(self.token_url.clone())
            .header(ACCEPT, "application/json")
            .form(&form);
        let mut answer = self.http.send(request).await?;
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
    fn read(&self, answer: &TokenAnswer<'_>) -> Result<IssuedToken, Denial> {
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer));
        }
        let json = answer.json();
        match serde_json::from_slice::<TokenBody>(json) {
            Ok(granted) => Ok(self.granted(granted, answer.secrets)),
            Err(_) => Err(self.no_token(json, answer)),
        }
    }

    fn refused(&self, answer: &TokenAnswer<'_>) -> Denial {
        answer.classify(&self.http.peer.host, &self.expected.consent_remedy)
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
                self.http.peer.host,
                answer.status.as_u16()
            ),
            "check api.login_url, and what stands between here and Microsoft: it looks like a proxy's log-in page",
        );
        failure
            .with_status(answer.status.as_u16())
            .caused_by("entra 200 without a token")
            .into()
    }

    fn granted(&self, granted: TokenBody, secrets: &[&str]) -> IssuedToken {
        let token = granted.access_token;
        let examined = self.expected.examine(token.expose_secret(), secrets);
        let roles = examined.claims.as_ref().map(|claims| claims.roles.iter());
        IssuedToken {
            grant: Grant {
                token: AccessToken::new(token),
                lifetime: granted.expires_in,
                roles: roles.map(|roles| roles.take(MOST_ROLES).cloned().collect()),
            },
            claims: examined.claims,
            unfit: examined.verdict.err(),
        }
    }
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

/// Each cloud has its own ("Considerations for workload identity federation").
fn exchange_audience(login_host: &str) -> &'static str {
    match login_host {
        host if host.ends_with(".us") => "api://AzureADTokenExchangeUSGov",
        host if host.ends_with(".cn") => "api://AzureADTokenExchangeChina",
        _ => "api://AzureADTokenExchange",
    }
}

/// The resource that a `/.default` scope names.
fn resource(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope)
}

impl TokenRequest for Entra {
    fn audience(&self) -> &str {
        &self.audience
    }

    fn exchange_audience(&self) -> &'static str {
        exchange_audience(&self.http.peer.host)
    }

    fn resource(&self) -> &str {
        &self.expected.resource
    }

    fn issued(&self, token: SecretString, lifetime: Duration) -> IssuedToken {
        let granted = TokenBody {
            access_token: token,
            expires_in: lifetime,
        };
        self.granted(granted, &[])
    }

    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Result<IssuedToken, Denial>> {
        Box::pin(async move { self.ask(&attempt).await })
    }
}

impl TokenSource for Entra {
    fn authority(&self) -> &str {
        &self.authority
    }

    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>> {
        Box::pin(async { self.look().await?.fit() })
    }

    fn credential_stamp(&self) -> u64 {
        self.credential.stamp()
    }

    fn consent_link(&self) -> Option<String> {
        self.consent_link.clone()
    }

    fn credential_end(&self) -> Option<CredentialEnd> {
        self.credential.end()
    }
}

/// The fields of a good answer that are used. v1 writes numbers as strings.
#[derive(Deserialize)]
struct TokenBody {
    #[serde(deserialize_with = "token")]
    access_token: SecretString,
    #[serde(deserialize_with = "lifetime")]
    expires_in: Duration,
}

#[cfg(test)]
mod tests;
