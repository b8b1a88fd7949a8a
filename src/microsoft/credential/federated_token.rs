//! A token of another issuer that the app registration trusts (workload identity federation), in a file that the issuer
//! renews.
//!
//! The file is read at each token request. If Entra finds the token outside its validity period, the file is read again
//! at once, and a changed token is tried.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::time::sleep;

use super::known_validity::KnownValidity;
use super::secret_file::read;
use super::{Attempt, CredentialKind, Denial, Form, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::Failure;
use crate::core::health::validity::Validity;
use crate::core::secret_text::{MAX_FILE, secret_in};
use crate::microsoft::entra::IssuedToken;
use crate::microsoft::{files, jwt};

pub(in crate::microsoft) const FILE: ProofKey = ProofKey {
    name: "app.federated_token_file",
    form: Form::Assertion,
    noun: "the federated token",
    fill: "let what issues the token (in Kubernetes, the projected service account token) write it to {place}",
    check: "check that a federated credential of the app registration has issuer, subject and audience of the token in \
            {place}; check app.client_id; the message says more",
    renew: "see to it that what issues the token renews it in {place}",
    hints: &[],
};

/// AADSTS numbers of an assertion that is not yet, or no longer, valid.
pub(in crate::microsoft) const OUT_OF_TIME: [u64; 2] = [700_024, 500_133];

/// How long to wait for a file that is being replaced.
pub(super) const REPLACED_WITHIN: Duration = Duration::from_millis(200);

pub(super) struct FederatedToken {
    file: PathBuf,
    key: &'static ProofKey,
    validity: KnownValidity,
}

impl FederatedToken {
    /// `key`: [`FILE`], or the same with other words.
    pub(super) fn new(file: PathBuf, key: &'static ProofKey) -> Self {
        Self {
            file,
            key,
            validity: KnownValidity::default(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What `send` gets with the token, or with a newer one if the first is out of time.
    pub(super) async fn prove<T, F>(&self, send: impl Fn(Attempt) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Denial>>,
    {
        let token = self.read().await?;
        let denial = match send(Attempt::alone(token.clone())).await {
            Ok(issued) => return Ok(issued),
            Err(denial) => denial,
        };
        if !denial.code.is_some_and(|code| OUT_OF_TIME.contains(&code)) {
            return Err(denial.failure);
        }
        let newer = self.read().await?;
        if newer.same_as(&token) {
            return Err(denial.failure);
        }
        let sent = send(Attempt {
            proof: newer,
            hidden: vec![token.value],
        });
        sent.await.map_err(|denial| denial.failure)
    }

    /// Reads the present token. A file that is unreadable, empty or cut short may be in the middle of a replacement, so it
    /// is read once more. Entra judges what it holds then.
    async fn read(&self) -> Result<Proof, Failure> {
        match read(&self.file, self.key).await {
            Ok(token) if jwt::is_whole(token.value.expose_secret()) => Ok(token),
            _ => {
                sleep(REPLACED_WITHIN).await;
                read(&self.file, self.key).await
            }
        }
    }
}

impl CredentialKind for FederatedToken {
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        Box::pin(self.prove(|attempt| request.send(attempt)))
    }

    fn place(&self) -> ProofPlace {
        ProofPlace::file(self.key, &self.file)
    }

    fn files(&self) -> Vec<&Path> {
        vec![&self.file]
    }

    /// That of the token in the file, not of the token sent last: the file is renewed more often than tokens are
    /// requested, so the old expiry would be a false alarm.
    fn validity(&self, stamp: &dyn Fn() -> u64) -> Option<Validity> {
        self.validity.get(stamp, || {
            let content = files::read_now(&self.file, MAX_FILE).ok()?;
            jwt::validity(secret_in(&content).ok()?)
        })
    }
}
