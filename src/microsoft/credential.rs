//! How an app registration authenticates at Entra: one file per kind of credential.
//!
//! All tenants of one app registration share one [`AppCredential`], so that what one of them learns (which of two
//! secrets is accepted) holds for all, and is logged once.
//!
//! To add a kind, add a variant to [`Credential`] in the settings, a file here, a row in [`kind_of`], and a row of `KINDS` in
//! `config/app.rs`.
//!
//! Invariant: files are read at each use and never kept, because nothing announces that a file was replaced.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::entra::IssuedToken;
use super::http::{ClientError, Clients};
use super::key_vault::VaultClient;
use crate::core::health::expiry::CredentialEnd;
use crate::core::health::failure::{Failure, one_line};
use crate::core::health::validity::Validity;
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::settings::{ApiSettings, AppSettings, Credential};
use certificate::Certificate;
use certified_key::{CertificateError, CertifiedKey};
use client_secret::ClientSecret;
use federated_token::FederatedToken;
use managed_identity::IdentityCredential;
use two_secrets::TwoSecrets;
use vault_access::VaultAccess;
use vault_secret::VaultCredential;

pub(super) mod certificate;
mod certified_key;
pub(super) mod client_secret;
pub(super) mod federated_token;
mod known_validity;
mod managed_identity;
mod secret_file;
pub(super) mod two_secrets;
mod vault_access;
mod vault_secret;

/// The table of kinds.
fn kind_of(
    app: &AppSettings,
    api: &ApiSettings,
    clients: &Clients,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn CredentialKind>, ClientError> {
    Ok(match &app.credential {
        Credential::Secret {
            current,
            next: None,
        } => Box::new(ClientSecret::new(current.clone())),
        Credential::Secret {
            current,
            next: Some(next),
        } => Box::new(TwoSecrets::new(
            app.client_id,
            current.clone(),
            next.clone(),
        )),
        Credential::Federated(file) => {
            Box::new(FederatedToken::new(file.clone(), &federated_token::FILE))
        }
        Credential::Certificate { certificate, key } => Box::new(Certificate::new(
            app.client_id,
            certificate.clone(),
            key.clone(),
            clock,
        )),
        Credential::ManagedIdentity(identity) => Box::new(IdentityCredential::new(
            app.client_id,
            identity,
            clients,
            clock,
        )?),
        Credential::KeyVault { secret, identity } => {
            let client = VaultClient::new(clients, secret, api)?;
            let access = VaultAccess::new(clients, identity, client.resource(), api)?;
            Box::new(VaultCredential::new(client, access, clock))
        }
    })
}

/// Checks PEM texts of a certificate and its key; their dates, too, when `now` is given.
///
/// # Errors
/// They can't be used together, or not now.
pub(crate) fn check_certificate(
    certificate: &[u8],
    key: &[u8],
    now: Option<Ticks>,
) -> Result<(), CertificateError> {
    let key = CertifiedKey::read(certificate, key)?;
    now.map_or(Ok(()), |now| key.valid_at(now))
}

/// One kind of credential.
pub(super) trait CredentialKind: Send + Sync {
    /// Requests a token with `request`, a small number of times at most. Another request follows only a refusal of the proof.
    ///
    /// # Errors
    /// There is no proof, or none was accepted.
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>>;

    /// Where the proof is that is sent as a rule.
    fn place(&self) -> ProofPlace;

    /// The files that are read.
    fn files(&self) -> Vec<&Path>;

    /// When the credential is valid, if it contains the dates. `stamp` changes with the files. Both may block: only a kind
    /// that needs a file accesses the disk.
    fn validity(&self, _stamp: &dyn Fn() -> u64) -> Option<Validity> {
        None
    }

    /// Whether it is a managed identity that is the app itself, so that tokens come from Azure.
    fn is_app(&self) -> bool {
        false
    }

    /// Whether the second of two secrets was the last one accepted.
    fn second_secret_serves(&self) -> bool {
        false
    }
}

/// The token requests of one tenant.
pub(super) trait TokenRequest: Sync {
    /// The audience of an assertion that the app signs itself.
    fn audience(&self) -> &str;

    /// The audience of a managed identity's token that is to prove the app.
    fn exchange_audience(&self) -> &'static str;

    /// The API that the token is for, as a managed identity is asked for it.
    fn resource(&self) -> &str;

    /// A token that did not come from the token service, examined as one that did.
    fn issued(&self, token: SecretString, lifetime: Duration) -> IssuedToken;

    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Result<IssuedToken, Denial>>;
}

/// The proof for one request.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) proof: Proof,
    /// Everything else that was read. Like the proof, it is removed from all texts.
    pub(super) hidden: Vec<SecretString>,
}

impl Attempt {
    fn alone(proof: Proof) -> Self {
        Self {
            proof,
            hidden: Vec::new(),
        }
    }

    /// Everything that must not be shown.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let hidden = self.hidden.iter().map(ExposeSecret::expose_secret);
        hidden.chain([self.proof.value.expose_secret()]).collect()
    }
}

/// A failed token request, and what the answer says about the proof.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) failure: Failure,
    /// According to `error`, Entra does not accept the app's proof of identity: another secret may be accepted.
    pub(super) of_the_proof: bool,
    /// The AADSTS number of a refusal (400 or 401).
    pub(super) code: Option<u64>,
}

/// A failure on the way, which says nothing about the proof.
impl From<Failure> for Denial {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            of_the_proof: false,
            code: None,
        }
    }
}

/// A configuration key with a proof, and the words for it in failures and remedies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProofKey {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What the proof is.
    pub(super) noun: &'static str,
    /// The remedy for a file without a proof; `{place}` stands for the place.
    pub(super) fill: &'static str,
    /// The remedy when Entra refuses the proof without a known reason.
    pub(super) check: &'static str,
    /// What to do before it ends.
    pub(super) renew: &'static str,
    /// AADSTS numbers that are about the proof, or about who it is for, with this kind's own remedy.
    pub(super) hints: &'static [(&'static [u64], &'static str)],
}

impl ProofKey {
    /// The remedy for an AADSTS number, if this kind has its own.
    pub(super) fn hint(&self, code: u64) -> Option<&'static str> {
        let own = self.hints.iter().find(|(codes, _)| codes.contains(&code));
        own.map(|(_, hint)| *hint)
    }
}

/// How a proof is sent in the token request's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Secret,
    Assertion,
    /// Entra takes it once: sent a second time, it is a replay.
    OneTimeAssertion,
}

/// The assertion type of a signed token (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where a proof was read. A tenant may have its own credential under the same key; the file shows which one is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProofPlace {
    pub(super) key: &'static ProofKey,
    /// The file's path, or the variable's name.
    name: String,
}

/// Where systemd stores the copies that it makes when a service starts.
const SYSTEMD_COPIES: &str = "/run/credentials/";
const LONGEST_NAME: usize = 300;

impl ProofPlace {
    pub(super) fn new(key: &'static ProofKey, name: &str) -> Self {
        let name = one_line(name, LONGEST_NAME);
        Self { key, name }
    }

    pub(super) fn file(key: &'static ProofKey, path: &Path) -> Self {
        Self::new(key, &path.display().to_string())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How a remedy names the place.
    pub(super) fn hint(&self) -> String {
        let (name, key) = (&self.name, self.key.name);
        if *self.key == client_secret::VARIABLE {
            return format!("the environment variable {name} ({key}; then restart incidentd)");
        }
        if name.starts_with(SYSTEMD_COPIES) {
            return format!(
                "the file that the systemd unit's LoadCredential= copies to {name} ({key}; then restart incidentd)"
            );
        }
        format!("{name} ({key})")
    }

    /// `text` with the place in place of `{place}`.
    pub(super) fn fill_in(&self, text: &str) -> String {
        text.replace("{place}", &self.hint())
    }
}

/// The proof with which one request authenticates the app.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) value: SecretString,
    pub(super) place: ProofPlace,
}

impl Proof {
    /// The parameters of the token request that carry it.
    pub(super) fn parameters(&self) -> Vec<(&'static str, &str)> {
        let value = self.value.expose_secret();
        match self.place.key.form {
            Form::Secret => vec![("client_secret", value)],
            Form::Assertion | Form::OneTimeAssertion => vec![
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", value),
            ],
        }
    }

    fn same_as(&self, other: &Proof) -> bool {
        self.value.expose_secret() == other.value.expose_secret()
    }
}

/// One app registration's credential.
pub struct AppCredential {
    pub(super) client_id: Uuid,
    kind: Box<dyn CredentialKind>,
    /// When it ends, according to the configuration.
    not_after: Option<Ticks>,
}

impl AppCredential {
    /// Reads no file: the credential is read at each token request.
    ///
    /// A key vault, and the token service that opens it, are reached as those of `api` are, which is that of the first tenant
    /// that uses the credential.
    ///
    /// # Errors
    /// The credential comes from a service, and its HTTP client can't be built.
    pub fn new(
        app: &AppSettings,
        api: &ApiSettings,
        clients: &Clients,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            client_id: app.client_id,
            kind: kind_of(app, api, clients, clock)?,
            not_after: app.not_after,
        })
    }

    /// # Errors
    /// No token was issued.
    pub(super) fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        self.kind.request(request)
    }

    /// A number that changes whenever a file in use changes, also through symbolic links; 0 without files.
    pub(super) fn stamp(&self) -> u64 {
        let files = self.kind.files();
        if files.is_empty() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        let stamps = files.into_iter().map(stamp_of);
        stamps.for_each(|stamp| stamp.hash(&mut hasher));
        hasher.finish()
    }

    /// What it is, and when it ends. What the credential itself says counts more than the configuration.
    pub(super) fn end(&self) -> Option<CredentialEnd> {
        let read = self.kind.validity(&|| self.stamp());
        let validity = read.or_else(|| self.not_after.map(Validity::until))?;
        let place = self.kind.place();
        Some(CredentialEnd {
            name: format!("{} in {}", place.key.noun, place.hint()),
            validity,
            remedy: place.fill_in(place.key.renew),
        })
    }

    pub(super) fn is_app(&self) -> bool {
        self.kind.is_app()
    }

    pub(super) fn second_secret_serves(&self) -> bool {
        self.kind.second_secret_serves()
    }
}

/// Distinguishes one state of a file from the next; the change time also covers permissions. `None`: the file can't be
/// reached.
fn stamp_of(file: &Path) -> Option<impl Hash + use<>> {
    let data = std::fs::metadata(file).ok()?;
    Some((
        (data.dev(), data.ino(), data.len()),
        (data.mtime(), data.mtime_nsec()),
        (data.ctime(), data.ctime_nsec()),
    ))
}

#[cfg(test)]
mod tests;
