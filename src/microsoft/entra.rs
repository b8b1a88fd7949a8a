//! Tokens from Entra: the client-credentials grant, v2 and v1.
//!
//! Role: one token request at the customer's tenant, and a look at what came back: a token without the permission, or
//! for another API or tenant, is issued without complaint and would only fail later, with less to say.
//! With which secret or assertion, [`proving`] decides.
//! Failure modes: [`refusal`] for answers of Entra, [`claims`] for tokens of no use, [`network`](crate::microsoft::transport) for the
//! wire. A 200 that holds no token is `unreachable`: a proxy's log-in page looks like that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::consent::{consent_link, consent_remedy};
use super::credential::{Credential, Key, Place, Proof};
use super::http::{ClientError, Clients, Http, HttpOptions};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::sources::Permission;
use crate::core::time::ticks::Ticks;
use crate::ports::{AccessToken, Grant, TokenSource};
pub(super) use aadsts::CONDITIONAL_ACCESS;
pub use claims::Claims;
use claims::TokenExpectation;
use refusal::{Denial, TokenRefusal};

mod aadsts;
mod claims;
pub(super) mod fuzzing;
mod proving;
mod refusal;

/// The kind of assertion that a federated token is (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A token is a few KB even with hundreds of roles.
const MAX_TOKEN_ANSWER: usize = 1 << 20;
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// Taken for the life of a token that is over when it comes. Believed, each look would ask for another one, which Entra
/// answers with AADSTS50196 and a pause for all tenants; the API's 401 says when it has ended.
const LIFE_IF_OVER: Duration = Duration::from_secs(60);
/// Beyond the 28 h that the longest-lived tokens have ("Access tokens", token lifetime).
const LONGEST_LIFE: Duration = Duration::from_secs(48 * 3600);

/// Which of Entra's token endpoints is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/oauth2/token`, which takes a `resource`.
    V1,
    /// `/oauth2/v2.0/token`, which takes a `scope`.
    V2,
}

/// What one tenant's token source needs.
pub struct EntraOptions {
    pub http: HttpOptions,
    /// The customer's tenant, never the app's own.
    pub tenant: TenantId,
    pub client_id: Uuid,
    /// The same for all tenants of one app registration.
    pub credential: Arc<Credential>,
    /// Scheme and host of the token service.
    pub login_url: Url,
    /// Ends in `/.default`; the v1 endpoint's resource is what stands before that.
    pub scope: String,
    pub endpoint: Endpoint,
    /// What the token must allow.
    pub permission: Permission,
}

/// One tenant's way to a token.
pub struct Entra {
    http: Http,
    authority: String,
    token_url: Url,
    client_id: String,
    credential: Arc<Credential>,
    scope: String,
    endpoint: Endpoint,
    expected: TokenExpectation,
}

/// A token as it was issued, fit for its purpose or not.
#[derive(Debug)]
pub struct IssuedToken {
    pub grant: Grant,
    /// `None`: the token can't be read, which is no fault.
    pub claims: Option<Claims>,
    /// Why the token is of no use, when it is not.
    pub unfit: Option<Failure>,
}

impl IssuedToken {
    fn fit(self) -> Result<Grant, Failure> {
        self.unfit.map_or(Ok(self.grant), Err)
    }
}

impl Entra {
    /// # Errors
    /// The HTTP client can't be built: proxy or certificates are unusable.
    pub fn new(clients: &Clients, options: EntraOptions) -> Result<Self, ClientError> {
        let http = clients.reach(&options.login_url, "api.login_url", &options.http)?;
        let EntraOptions {
            tenant, client_id, ..
        } = options;
        let link = consent_link(&options.login_url, tenant, client_id, &options.scope);
        let mut token_url = options.login_url;
        let path = match options.endpoint {
            Endpoint::V1 => "oauth2/token",
            Endpoint::V2 => "oauth2/v2.0/token",
        };
        let path = format!("{}/{tenant}/{path}", token_url.path().trim_end_matches('/'));
        token_url.set_path(&path);
        token_url.set_query(None);
        token_url.set_fragment(None);
        Ok(Self {
            http,
            authority: token_url.origin().ascii_serialization(),
            token_url,
            client_id: client_id.to_string(),
            credential: options.credential,
            endpoint: options.endpoint,
            expected: TokenExpectation {
                tenant,
                resource: resource(&options.scope).to_owned(),
                permission: options.permission,
                consent_remedy: consent_remedy(&options.permission, &link),
            },
            scope: options.scope,
        })
    }

    /// One exchange as for [`TokenSource::request`]; what the token says is told whether or not it is fit.
    ///
    /// # Errors
    /// No token was issued.
    pub async fn look(&self) -> Result<IssuedToken, Failure> {
        self.exchange().await
    }

    /// Whether, of two secrets, the second is the one that was accepted last.
    pub fn second_secret_serves(&self) -> bool {
        self.credential.second_serves()
    }

    /// One request. `hidden` is all that must not be shown, `proof` included.
    async fn ask(&self, proof: &Proof, hidden: &[&Proof]) -> Result<IssuedToken, Denial> {
        let target = match self.endpoint {
            Endpoint::V1 => ("resource", resource(&self.scope)),
            Endpoint::V2 => ("scope", self.scope.as_str()),
        };
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
        ];
        form.extend(parameters(proof));
        form.push(target);
        let request = self
            .http
            .client
            .post(self.token_url.clone())
            .header(ACCEPT, "application/json")
            .form(&form);
        let mut answer = self.http.send(request).await?;
        let asked = Asked {
            place: &proof.place,
            hidden,
        };
        let status = answer.status();
        let body = match status {
            StatusCode::OK => answer.body(MAX_TOKEN_ANSWER).await?,
            _ => answer.error_body().await,
        };
        self.read(status, answer.headers(), &body, &asked)
    }

    /// What a whole answer says.
    fn read(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        asked: &Asked<'_>,
    ) -> Result<IssuedToken, Denial> {
        let refusal = TokenRefusal {
            status,
            headers,
            body,
            place: asked.place,
            hidden: asked.hidden,
        };
        if status != StatusCode::OK {
            return Err(self.refused(&refusal));
        }
        let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match serde_json::from_slice::<TokenAnswer>(json) {
            Ok(token) => Ok(self.issued(token, asked.hidden)),
            Err(_) => Err(self.no_token(json, &refusal)),
        }
    }

    fn refused(&self, refusal: &TokenRefusal<'_>) -> Denial {
        refusal.classify(&self.http.peer.host, &self.expected.consent_remedy)
    }

    /// A 200 without a token: an error in disguise, or not Entra's at all.
    fn no_token(&self, json: &[u8], refusal: &TokenRefusal<'_>) -> Denial {
        let is_error = serde_json::from_slice::<Value>(json)
            .is_ok_and(|value| value.get("error").is_some_and(Value::is_string));
        if is_error {
            return self.refused(refusal);
        }
        let failure = Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!(
                "{} answered a token request with {}, and with something that is no token",
                self.http.peer.host,
                refusal.status.as_u16()
            ),
            "check api.login_url, and what stands between here and Microsoft: it looks like a proxy's log-in page",
        );
        failure
            .with_status(refusal.status.as_u16())
            .caused_by("entra 200 without a token")
            .into()
    }

    fn issued(&self, answer: TokenAnswer, hidden: &[&Proof]) -> IssuedToken {
        let token = answer.access_token;
        let examined = self.expected.examine(token.expose_secret(), hidden);
        IssuedToken {
            grant: Grant {
                token: AccessToken::new(token),
                lifetime: answer.expires_in,
            },
            claims: examined.claims,
            unfit: examined.verdict.err(),
        }
    }
}

/// What an answer has to be read with.
struct Asked<'a> {
    place: &'a Place,
    hidden: &'a [&'a Proof],
}

/// What of the form the proof makes up.
fn parameters(proof: &Proof) -> Vec<(&'static str, &str)> {
    let value = proof.value.expose_secret();
    match proof.place.key {
        Key::TokenFile => vec![
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", value),
        ],
        _ => vec![("client_secret", value)],
    }
}

/// The resource that a `/.default` scope names.
fn resource(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope)
}

impl TokenSource for Entra {
    fn authority(&self) -> &str {
        &self.authority
    }

    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>> {
        Box::pin(async { self.exchange().await?.fit() })
    }

    fn credential_stamp(&self) -> u64 {
        self.credential.stamp()
    }

    fn credential_expires(&self) -> Option<Ticks> {
        self.credential.expires()
    }
}

/// The fields that count in a good answer. v1 writes numbers as strings.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "token")]
    access_token: SecretString,
    #[serde(deserialize_with = "lifetime")]
    expires_in: Duration,
}

/// A token is visible ASCII: anything else could not be sent.
fn token<'de, D: serde::Deserializer<'de>>(input: D) -> Result<SecretString, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(serde::de::Error::custom("no token"));
    }
    Ok(SecretString::from(text))
}

/// Seconds as a number or as text. Absurd values are brought into bounds: a token that is said to live for ever is asked
/// for again some day, one that is said to be dead on arrival does not make the daemon ask without a pause.
fn lifetime<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let seconds = match Value::deserialize(input)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds
        .filter(|seconds| !f64::is_nan(*seconds))
        .ok_or_else(|| serde::de::Error::custom("expires_in is no number"))?;
    if seconds < SHORTEST_LIFE.as_secs_f64() {
        return Ok(LIFE_IF_OVER);
    }
    let bounded = seconds.clamp(SHORTEST_LIFE.as_secs_f64(), LONGEST_LIFE.as_secs_f64());
    Ok(Duration::from_secs(bounded as u64))
}

#[cfg(test)]
mod tests;
