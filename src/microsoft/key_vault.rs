//! A client secret in Azure Key Vault, read with the token of an identity.
//!
//! Invariant: the secret's value goes to Entra only, and the identity's token to the vault only. Neither is in any text.

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::http::{ClientError, Clients, Http};
use super::retry_after;
use super::scrub::scrub_all;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::health::validity::Validity;
use crate::core::secret_text::{MAX_FILE, secret_in};
use crate::core::time::ticks::Ticks;
use crate::settings::ApiSettings;

const KEY: &str = "app.key_vault_secret";
const VERSION: &str = "7.4";
/// A secret has at most 25 KB, and is escaped.
const MAX_ANSWER: usize = 1 << 18;
const MAX_TEXT: usize = 300;

/// Reads one secret.
pub(super) struct VaultClient {
    http: Http,
    secret: Url,
}

/// The secret as the vault has it now.
#[derive(Clone)]
pub(super) struct VaultSecret {
    pub(super) value: SecretString,
    /// `None`: the vault does not know when it ends.
    pub(super) validity: Option<Validity>,
}

impl VaultClient {
    /// The vault is reached as the tenant's API is: `api` has the proxy and the authorities to trust.
    ///
    /// # Errors
    /// An HTTP client can't be built.
    pub(super) fn new(
        clients: &Clients,
        secret: &Url,
        api: &ApiSettings,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            http: clients.reach(secret, KEY, api)?,
            secret: secret.clone(),
        })
    }

    pub(super) fn address(&self) -> &str {
        self.secret.as_str()
    }

    /// Whether the address is of one version of the secret, which never changes.
    pub(super) fn names_version(&self) -> bool {
        let names = self.secret.path_segments();
        names.is_some_and(|names| names.count() > 2)
    }

    /// The present secret, with a token of the identity that is called `name` in texts.
    ///
    /// # Errors
    /// The vault does not give the secret.
    pub(super) async fn read(
        &self,
        token: &SecretString,
        name: &str,
    ) -> Result<VaultSecret, Failure> {
        let request = self.http.client.get(self.secret.clone());
        let request = request
            .query(&[("api-version", VERSION)])
            .bearer_auth(token.expose_secret());
        let mut answer = self.http.send(request).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let again = retry_after::reaction(answer.headers());
            let body = answer.error_body().await;
            let said = said(&body, token.expose_secret());
            return Err(self.refused(status, again, &said, name));
        }
        let body = answer.body(MAX_ANSWER).await?;
        let bundle = serde_json::from_slice::<SecretBundle>(&body).ok();
        bundle
            .and_then(SecretBundle::secret)
            .ok_or_else(|| self.no_secret())
    }

    /// What tokens for the vault are asked for: each cloud's vaults share a domain.
    pub(super) fn resource(&self) -> String {
        let host = self.secret.host_str().unwrap_or_default();
        let domain = host.split_once('.').map(|(_, domain)| domain);
        let domain = domain.filter(|domain| domain.starts_with("vault."));
        format!("https://{}", domain.unwrap_or("vault.azure.net"))
    }

    fn refused(&self, status: StatusCode, again: Reaction, said: &str, name: &str) -> Failure {
        let host = &self.http.peer.host;
        let what = format!(
            "the key vault {host} did not give the secret ({}){}",
            status.as_u16(),
            said
        );
        let fix = |remedy: String| (Health::Credential, Reaction::Slow, remedy);
        let (health, reaction, remedy) = match status.as_u16() {
            401 => fix(format!(
                "check that the vault in {KEY} belongs to the tenant and the cloud of {name}: a vault takes tokens of its own \
                 tenant and cloud only; the message says more"
            )),
            403 => fix(format!(
                "give {name} the role \"Key Vault Secrets User\" on the vault (or the permission Get of its access policy), let the \
                 vault's firewall pass this machine, and see that the secret is enabled; a new role takes some minutes"
            )),
            404 => fix(format!(
                "check {KEY}: the vault has no such secret, or it was deleted"
            )),
            408 | 429 | 500.. => (
                Health::Unreachable,
                again,
                "nothing to do unless it lasts: it usually passes by itself; then look at Azure's service health".to_owned(),
            ),
            _ => fix(format!("check {KEY}; the message says more")),
        };
        Failure::new(health, reaction, what, remedy).caused_by(format!(
            "key vault {} {}",
            status.as_u16(),
            self.secret.path()
        ))
    }

    fn no_secret(&self) -> Failure {
        let what = format!(
            "the key vault {} answered with something that is no secret",
            self.http.peer.host
        );
        let remedy =
            format!("check {KEY}, and that the secret is one line of text of at most 25 KB");
        Failure::new(Health::Credential, Reaction::Slow, what, remedy)
            .caused_by("key vault without a secret")
    }
}

/// Code and message of an error's body, safe to show.
fn said(body: &[u8], token: &str) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| {
        value
            .pointer(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (code, message) = (text("/error/code"), text("/error/message"));
    match (code, message) {
        ("", "") => String::new(),
        _ => {
            let text = format!("{code}: {message}");
            format!(": {}", one_line(&scrub_all(&text, &[token]), MAX_TEXT))
        }
    }
}

/// What is used of a secret ("Get Secret", Key Vault's REST API).
#[derive(Deserialize)]
struct SecretBundle {
    value: String,
    #[serde(default)]
    attributes: SecretAttributes,
}

#[derive(Deserialize, Default)]
struct SecretAttributes {
    /// In seconds since 1970, as is `nbf`.
    exp: Option<i64>,
    nbf: Option<i64>,
}

impl SecretBundle {
    /// `None`: a client secret is one line.
    fn secret(self) -> Option<VaultSecret> {
        let value = SecretString::from(self.value);
        let text = value.expose_secret();
        let text = (text.len() as u64 <= MAX_FILE).then(|| secret_in(text.as_bytes()).ok())??;
        let at = |seconds: Option<i64>| {
            let seconds = seconds.filter(|seconds| *seconds > 0)?;
            Some(Ticks::from_unix_seconds(seconds))
        };
        let from = at(self.attributes.nbf);
        let validity = at(self.attributes.exp).map(|until| Validity { from, until });
        Some(VaultSecret {
            value: text.into(),
            validity,
        })
    }
}
