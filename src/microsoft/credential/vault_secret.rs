//! A client secret in Azure Key Vault.
//!
//! The secret is kept in memory and read again every few hours, and at once when Entra does not accept it any more: then it was
//! renewed, as a rule.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex as Lock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::vault_access::VaultAccess;
use super::{Attempt, CredentialKind, Form, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::Failure;
use crate::core::health::validity::Validity;
use crate::microsoft::entra::IssuedToken;
use crate::microsoft::key_vault::{VaultClient, VaultSecret};
use crate::ports::Clock;

/// How long a secret serves before it is read again.
const SERVES: Duration = Duration::from_secs(4 * 3600);
/// For so long an answer of the vault is the answer to all who ask, whatever Entra says: a wrong secret of ten thousand tenants
/// must not be ten thousand requests.
const AT_LEAST: Duration = Duration::from_secs(5);
/// AADSTS numbers of a secret that is wrong or has expired.
const NOT_ACCEPTED: [u64; 3] = [7_000_215, 7_000_222, 70_002];

pub(in crate::microsoft) const VAULT: ProofKey = ProofKey {
    name: "app.key_vault_secret",
    form: Form::Secret,
    noun: "the client secret",
    fill: "put the client secret's Value into {place}",
    check: "check the client secret in {place} (it has to be its Value, not its ID) and app.client_id; the message says more",
    renew: "make a new client secret in the app registration, and put its Value and its end into {place} as a new version",
    hints: &[],
};

pub(super) struct VaultCredential {
    client: VaultClient,
    access: VaultAccess,
    clock: Arc<dyn Clock>,
    place: ProofPlace,
    /// The last answer. Its lock is the right to ask.
    last: Mutex<Option<(Instant, Result<VaultSecret, Failure>)>>,
    validity: Lock<Option<Validity>>,
}

impl VaultCredential {
    pub(super) fn new(client: VaultClient, access: VaultAccess, clock: Arc<dyn Clock>) -> Self {
        Self {
            place: ProofPlace::new(&VAULT, client.address()),
            client,
            access,
            clock,
            last: Mutex::default(),
            validity: Lock::default(),
        }
    }

    /// The secret, not older than `age`.
    async fn secret(&self, age: Duration) -> Result<Proof, Failure> {
        let mut last = self.last.lock().await;
        let known = last.as_ref().filter(|(asked, answer)| {
            let age = if answer.is_ok() { age } else { AT_LEAST };
            asked.elapsed() < age
        });
        let answer = match known {
            Some((_, answer)) => answer.clone(),
            None => {
                let answer = self.read().await;
                if let Ok(secret) = &answer {
                    *self.validity.lock() = secret.validity;
                }
                *last = Some((Instant::now(), answer.clone()));
                answer
            }
        };
        answer.map(|VaultSecret { value, .. }| Proof {
            value,
            place: self.place.clone(),
        })
    }

    async fn read(&self) -> Result<VaultSecret, Failure> {
        let token = self.access.token(self.clock.now()).await?;
        self.client.read(&token, self.access.name()).await
    }
}

impl CredentialKind for VaultCredential {
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        Box::pin(async {
            let secret = self.secret(SERVES).await?;
            let denial = match request.send(Attempt::alone(secret.clone())).await {
                Ok(issued) => return Ok(issued),
                Err(denial) => denial,
            };
            if !denial.code.is_some_and(|code| NOT_ACCEPTED.contains(&code)) {
                return Err(denial.failure);
            }
            let newer = self.secret(AT_LEAST).await?;
            if newer.same_as(&secret) {
                return Err(denial.failure);
            }
            let sent = request.send(Attempt {
                proof: newer,
                hidden: vec![secret.value],
            });
            sent.await.map_err(|denial| denial.failure)
        })
    }

    fn place(&self) -> ProofPlace {
        self.place.clone()
    }

    fn files(&self) -> Vec<&Path> {
        self.access.file().into_iter().collect()
    }

    fn validity(&self, _stamp: &dyn Fn() -> u64) -> Option<Validity> {
        *self.validity.lock()
    }
}
