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
use secrecy::{ExposeSecret, SecretString};

use super::consent::{consent_link, consent_remedy, identity_remedy};
use super::credential::{AppCredential, Attempt, Denial, TokenRequest};
use super::http::{ClientError, Clients};
use crate::core::health::expiry::CredentialEnd;
use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;
use crate::ports::{AccessToken, Grant, TokenSource};
use crate::settings::ApiSettings;
pub(super) use aadsts::CONDITIONAL_ACCESS;
use claims::TokenExpectation;
pub use claims::{Claims, IssuedToken};
pub(super) use token_service::TokenService;
use token_service::{TokenBody, audience, resource};

mod aadsts;
mod claims;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod refusal;
mod token_service;

/// The roles of a token that are kept to be shown. An app for incidents needs one.
const MOST_ROLES: usize = 20;

/// Requests the tokens of one tenant.
pub struct Entra {
    service: TokenService,
    authority: String,
    /// The audience of the app's own assertions.
    audience: String,
    /// Shared by all tenants of one app registration.
    credential: Arc<AppCredential>,
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
        let (id, remedy) = (credential.client_id, consent_remedy.clone());
        let service = TokenService::new(clients, tenant, id, api, remedy)?;
        Ok(Self {
            authority: service.origin(),
            service,
            audience: audience(&api.login_url, tenant),
            credential,
            expected: TokenExpectation {
                tenant,
                resource: resource(&api.scope).to_owned(),
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
        let granted = self.service.ask(attempt).await?;
        Ok(self.granted(granted, &attempt.secrets()))
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

/// Each cloud has its own ("Considerations for workload identity federation").
fn exchange_audience(login_host: &str) -> &'static str {
    match login_host {
        host if host.ends_with(".us") => "api://AzureADTokenExchangeUSGov",
        host if host.ends_with(".cn") => "api://AzureADTokenExchangeChina",
        _ => "api://AzureADTokenExchange",
    }
}

impl TokenRequest for Entra {
    fn audience(&self) -> &str {
        &self.audience
    }

    fn exchange_audience(&self) -> &'static str {
        exchange_audience(self.service.host())
    }

    fn resource(&self) -> &str {
        &self.expected.resource
    }

    fn issued(&self, token: SecretString, lifetime: Duration) -> IssuedToken {
        self.granted(TokenBody::new(token, lifetime), &[])
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

#[cfg(test)]
mod tests;
