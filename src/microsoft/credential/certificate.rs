//! A certificate that is registered with the app: the app signs an assertion for each request with the private key.
//!
//! Both files are read at each token request, so that a renewed certificate is used at once. Assertions are signed with
//! PS256, as documented. If Entra can't do that with the registered key (AADSTS5002730), they are signed with RS256 from
//! then on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::certified_key::{CertificateError, CertifiedKey, Signature};
use super::federated_token::{OUT_OF_TIME, REPLACED_WITHIN};
use super::known_validity::KnownValidity;
use super::secret_file::{content, unusable};
use super::{Attempt, CredentialKind, Form, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::health::validity::Validity;
use crate::core::secret_text::MAX_FILE;
use crate::microsoft::entra::IssuedToken;
use crate::microsoft::files;
use crate::ports::Clock;

/// The AADSTS number of a key that Entra can't verify with PS256.
const NO_PSS: u64 = 5_002_730;
/// How long an assertion is valid: long enough for clocks that differ by some minutes.
const LIFE: Duration = Duration::from_secs(600);

pub(in crate::microsoft) const CERTIFICATE: ProofKey = ProofKey {
    name: "app.certificate_file",
    form: Form::OneTimeAssertion,
    noun: "the certificate",
    fill: "put the certificate that is registered with the app into {place}, as PEM",
    check: "check that the certificate in {place} is registered with the app (Certificates & secrets); check app.client_id; \
            the message says more",
    renew: "make a new certificate, register it with the app (Certificates & secrets), and some minutes later put it into {place} \
            and its private key beside it",
    hints: &[
        (
            &OUT_OF_TIME,
            "the assertion was outside its valid time when Entra read it: set this machine's clock (NTP)",
        ),
        (
            &[700_027, 900_384, 50_006],
            "Entra does not find the certificate in {place}, or can't verify its signature: register this certificate with the \
             app (Certificates & secrets); a new one takes some minutes to be known everywhere",
        ),
        (
            &[NO_PSS],
            "Entra can't verify a signature of the key of the certificate in {place}: use a certificate with an RSA key of \
             2048 bits or more",
        ),
        (
            &[1_000_502, 700_030],
            "Entra does not accept the certificate in {place}: check that it is registered with the app, and valid today",
        ),
        (
            &[50_012, 50_013, 50_027, 50_048],
            "Entra does not accept the assertion that the certificate in {place} signed: check api.login_url, app.client_id \
             and this machine's clock (NTP)",
        ),
    ],
};

const KEY: ProofKey = ProofKey {
    name: "app.certificate_key_file",
    noun: "the private key",
    fill: "put the private key of the certificate into {place}, as PEM",
    ..CERTIFICATE
};

pub(super) struct Certificate {
    client_id: Uuid,
    certificate: PathBuf,
    /// The same file, if it holds both.
    key: PathBuf,
    clock: Arc<dyn Clock>,
    /// Entra has answered that it can't verify PS256.
    without_pss: AtomicBool,
    validity: KnownValidity,
}

impl Certificate {
    pub(super) fn new(
        client_id: Uuid,
        certificate: PathBuf,
        key: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client_id,
            certificate,
            key,
            clock,
            without_pss: AtomicBool::new(false),
            validity: KnownValidity::default(),
        }
    }

    /// The present certificate and key.
    async fn read(&self) -> Result<CertifiedKey, Failure> {
        let certificate = content(&self.certificate, &CERTIFICATE).await?;
        let key = content(&self.key, &KEY).await?;
        CertifiedKey::read(&certificate, &key).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: CertificateError) -> Failure {
        let place = match error.is_of_key() {
            true => ProofPlace::file(&KEY, &self.key),
            false => self.place(),
        };
        unusable(&place, &error.to_string(), error.remedy())
    }

    /// An assertion for the token service at `audience`. Entra takes each only once, so each has an id of its own.
    fn attempt(
        &self,
        key: &CertifiedKey,
        audience: &str,
        signature: Signature,
    ) -> Result<Attempt, Failure> {
        let now = self.clock.now();
        let client_id = self.client_id.to_string();
        let claims = json!({
            "aud": audience, "iss": client_id, "sub": client_id, "jti": Uuid::new_v4(),
            "iat": now.unix_seconds(), "nbf": now.unix_seconds(), "exp": now.plus(LIFE).unix_seconds(),
        });
        let assertion = key.sign(&claims, signature).map_err(|_| not_signed())?;
        Ok(Attempt::alone(Proof {
            value: SecretString::from(assertion),
            place: self.place(),
        }))
    }

    /// Records that Entra can't verify PS256, and logs it once.
    fn note_without_pss(&self) {
        if !self.without_pss.swap(true, Ordering::Relaxed) {
            tracing::info!(
                client_id = %self.client_id,
                "Entra can't verify PS256 with this app's key: assertions are signed with RS256 from now on"
            );
        }
    }
}

fn not_signed() -> Failure {
    Failure::new(
        Health::Credential,
        Reaction::Backoff,
        "the certificate's key could not sign an assertion: the system gives no random numbers",
        "look at what keeps this machine from giving random numbers (getrandom)",
    )
}

impl CredentialKind for Certificate {
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        Box::pin(async {
            let key = match self.read().await {
                Ok(key) => key,
                // Certificate and key may be in the middle of a replacement.
                Err(_) => {
                    sleep(REPLACED_WITHIN).await;
                    self.read().await?
                }
            };
            let valid = key.valid_at(self.clock.now());
            valid.map_err(|error| self.failure(error))?;
            let audience = request.audience();
            if !self.without_pss.load(Ordering::Relaxed) {
                let attempt = self.attempt(&key, audience, Signature::Ps256)?;
                match request.send(attempt).await {
                    Err(denial) if denial.code == Some(NO_PSS) => self.note_without_pss(),
                    answer => return answer.map_err(|denial| denial.failure),
                }
            }
            let attempt = self.attempt(&key, audience, Signature::Rs256)?;
            let sent = request.send(attempt).await;
            sent.map_err(|denial| denial.failure)
        })
    }

    fn place(&self) -> ProofPlace {
        ProofPlace::file(&CERTIFICATE, &self.certificate)
    }

    fn files(&self) -> Vec<&Path> {
        let mut files = vec![&*self.certificate, &*self.key];
        files.dedup();
        files
    }

    fn validity(&self, stamp: &dyn Fn() -> u64) -> Option<Validity> {
        self.validity.get(stamp, || {
            let certificate = files::read_now(&self.certificate, MAX_FILE).ok()?;
            let key = files::read_now(&self.key, MAX_FILE).ok()?;
            let key = CertifiedKey::read(&certificate, &key).ok()?;
            Some(key.validity())
        })
    }
}
