//! Tokens of a managed identity, which Azure gives to what runs in it: from the instance metadata service (IMDS) of a machine, from
//! the endpoint that App Service, Functions and Container Apps put into the environment, or from Azure Arc's agent.
//!
//! The endpoint is on this machine, or on a link-local address that no router passes on: no proxy is used, and plain HTTP is right.
//! Its answers contain tokens: nothing of a good answer is ever shown, and of a refusal only a short text without the header's
//! secret or the agent's key.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::grant::{bounded_lifetime, seconds, token};
use super::http::{ClientError, Clients, Http, StreamedAnswer};
use super::retry_after;
use super::scrub::scrub_all;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::time::ticks::Ticks;
use crate::settings::{IdentityEndpoint, ManagedIdentity};

mod arc;

const KEY: &str = "app.managed_identity";
/// The versions of the endpoints that are documented for all clouds.
const IMDS_VERSION: &str = "2018-02-01";
const APP_SERVICE_VERSION: &str = "2019-08-01";
/// A token is a few KB.
const MAX_ANSWER: usize = 1 << 20;
/// The endpoint is near, but asks Entra itself.
const SILENCE: Duration = Duration::from_secs(20);
const MAX_TEXT: usize = 300;

/// Gets the tokens of one managed identity.
pub(super) struct IdentityClient {
    http: Http,
    identity: ManagedIdentity,
}

/// A token of the identity.
#[derive(Clone)]
pub(super) struct IdentityToken {
    pub(super) token: SecretString,
    pub(super) lifetime: Duration,
}

impl IdentityClient {
    /// # Errors
    /// The HTTP client can't be built.
    pub(super) fn new(clients: &Clients, identity: &ManagedIdentity) -> Result<Self, ClientError> {
        let url = identity.endpoint.url();
        Ok(Self {
            http: clients.reach_directly(url, KEY, SILENCE)?,
            identity: identity.clone(),
        })
    }

    /// The identity in words.
    pub(super) fn name(&self) -> String {
        match self.identity.client_id {
            Some(id) => format!("the managed identity {id}"),
            None => "the system-assigned managed identity".to_owned(),
        }
    }

    /// A token for `resource`, which has no `/.default`, at `now`.
    ///
    /// # Errors
    /// The endpoint gives none.
    pub(super) async fn token(&self, resource: &str, now: Ticks) -> Result<IdentityToken, Failure> {
        let (mut request, mut secret) = self.request(resource);
        let mut answer = self.send(request).await?;
        if let IdentityEndpoint::Arc { keys, .. } = &self.identity.endpoint
            && answer.status() == StatusCode::UNAUTHORIZED
        {
            secret = arc::key(answer.headers(), keys).await?;
            let key = format!("Basic {}", secret.expose_secret());
            request = self.request(resource).0.header(AUTHORIZATION, key);
            answer = self.send(request).await?;
        }
        let status = answer.status();
        if status != StatusCode::OK {
            let again = retry_after::reaction(answer.headers());
            let body = answer.error_body().await;
            return Err(self.refused(status, again, &body, secret.expose_secret()));
        }
        let body = answer.body(MAX_ANSWER).await;
        let body = body.map_err(|failure| self.unanswered(failure))?;
        let answer = serde_json::from_slice::<IdentityAnswer>(&body).ok();
        answer
            .and_then(|answer| answer.token(now))
            .ok_or_else(|| self.no_token())
    }

    async fn send(&self, request: RequestBuilder) -> Result<StreamedAnswer, Failure> {
        let sent = self.http.send(request).await;
        sent.map_err(|failure| self.unanswered(failure))
    }

    /// A failure on the way to the endpoint, which is not the way to Microsoft.
    fn unanswered(&self, failure: Failure) -> Failure {
        if failure.health != Health::Unreachable {
            return failure;
        }
        let host = &self.http.peer.host;
        let remedy = match self.identity.endpoint {
            IdentityEndpoint::Arc { .. } => format!(
                "check that Azure Arc's agent runs (azcmagent show): it is the identity endpoint {host} that {KEY} needs; no \
                 proxy is used"
            ),
            _ => format!(
                "check {KEY}, and what keeps this process from the identity endpoint {host} that it needs: is this machine in Azure, \
                 and does a firewall or a network policy stand between? no proxy is used"
            ),
        };
        Failure { remedy, ..failure }
    }

    /// A request, and the secret in it.
    fn request(&self, resource: &str) -> (RequestBuilder, SecretString) {
        let get = |url: &Url| self.http.client.get(url.clone());
        let no_secret = SecretString::default();
        let (version, request, secret) = match &self.identity.endpoint {
            IdentityEndpoint::Imds(url) => {
                (IMDS_VERSION, get(url).header("Metadata", "true"), no_secret)
            }
            IdentityEndpoint::Arc { url, .. } => {
                (arc::VERSION, get(url).header("Metadata", "true"), no_secret)
            }
            IdentityEndpoint::AppService { url, header } => {
                let secret = header.value().cloned().unwrap_or_default();
                let request = get(url).header("X-IDENTITY-HEADER", secret.expose_secret());
                (APP_SERVICE_VERSION, request, secret)
            }
        };
        let mut query = vec![("api-version", version), ("resource", resource)];
        let id = self.identity.client_id.map(|id| id.to_string());
        query.extend(id.as_deref().map(|id| ("client_id", id)));
        let request = request.header(ACCEPT, "application/json").query(&query);
        (request, secret)
    }

    /// 404 and 410 are documented as passing: the service is being updated.
    fn refused(&self, status: StatusCode, again: Reaction, body: &[u8], secret: &str) -> Failure {
        let name = self.name();
        let text = said(body, secret);
        let what = format!(
            "the identity endpoint {} gave no token of {name} ({}){text}",
            self.http.peer.host,
            status.as_u16()
        );
        let passes = matches!(status.as_u16(), 404 | 408 | 410 | 429 | 500..);
        let failure = match passes {
            true => Failure::new(
                Health::Unreachable,
                again,
                what,
                "nothing to do unless it lasts: it usually passes by itself; then look at Azure's service health, and whether \
                 this machine is in Azure",
            ),
            false => Failure::new(
                Health::Credential,
                Reaction::Slow,
                what,
                match self.identity.endpoint {
                    IdentityEndpoint::Arc { .. } => {
                        "connect this machine to Azure Arc: azcmagent show says how it stands; if it is connected, restart its \
                         agent (systemctl restart himdsd)"
                            .to_owned()
                    }
                    _ => format!(
                        "assign {name} to this machine, scale set or app in Azure (its page Identity), or correct {KEY} \
                         (\"system\", or the client id of a user-assigned identity)"
                    ),
                },
            ),
        };
        failure.caused_by(format!("identity endpoint {}", status.as_u16()))
    }

    fn no_token(&self) -> Failure {
        let what = format!(
            "the identity endpoint {} answered with something that is no token",
            self.http.peer.host
        );
        let remedy = "look at what answers there: this machine may not be in Azure, or IDENTITY_ENDPOINT leads elsewhere";
        Failure::new(Health::Unreachable, Reaction::Backoff, what, remedy)
            .caused_by("identity endpoint without a token")
    }
}

/// The description in an error's body, safe to show.
fn said(body: &[u8], secret: &str) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let names = ["error_description", "message", "error"];
    let text = names.iter().find_map(|name| value.get(*name)?.as_str());
    text.map_or(String::new(), |text| {
        format!(": {}", one_line(&scrub_all(text, &[secret]), MAX_TEXT))
    })
}

/// What is used of a good answer. IMDS writes both numbers as text; App Service has only the instant.
#[derive(Deserialize)]
struct IdentityAnswer {
    #[serde(deserialize_with = "token")]
    access_token: SecretString,
    expires_in: Option<Value>,
    /// In seconds since 1970.
    expires_on: Option<Value>,
}

impl IdentityAnswer {
    /// `None`: it is not a token, or does not say how long it lives.
    fn token(self, now: Ticks) -> Option<IdentityToken> {
        let from_now = |at: f64| at - now.as_unix_f64();
        let lives = self.expires_in.as_ref().and_then(seconds);
        let until = self.expires_on.as_ref().and_then(seconds);
        let lifetime = bounded_lifetime(lives.or(until.map(from_now))?);
        Some(IdentityToken {
            token: self.access_token,
            lifetime,
        })
    }
}
