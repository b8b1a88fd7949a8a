//! A client secret in Azure Key Vault.
//!
//! The secret is kept in memory and read again every few hours, and at once when Entra does not accept it any more: then it was
//! renewed, as a rule. While the vault, or the identity that opens it, has a passing fault, the secret that was read last serves
//! on: an outage there must not stop tenants whose secret Entra would take.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex as Lock;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::vault_access::VaultAccess;
use super::{Attempt, CredentialKind, Form, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::{Failure, Health};
use crate::core::health::validity::Validity;
use crate::microsoft::entra::IssuedToken;
use crate::microsoft::key_vault::{VaultClient, VaultSecret};
use crate::ports::Clock;

/// How long a secret serves before it is read again.
const SERVES: Duration = Duration::from_secs(4 * 3600);
/// For so long an answer of the vault is the answer to all who ask, whatever Entra says: a wrong secret of ten thousand tenants
/// must not be ten thousand requests.
const AT_LEAST: Duration = Duration::from_secs(5);
/// While a kept secret serves, a vault that fails is asked again after this pause, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
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

/// The same for the address of one version, which never changes: the remedy has to lead to the latest.
const VERSION: ProofKey = ProofKey {
    check: "check app.client_id, and the client secret in {place} (it has to be its Value, not its ID): it is one version, so cut \
            the version off to have the latest read; the message says more",
    renew: "make a new client secret in the app registration, put its Value and its end into the vault as a new version, and cut \
            the version off {place}",
    hints: &[(
        &NOT_ACCEPTED,
        "the client secret is wrong or has expired, and {place} names one version of it: put a valid one's Value, not its ID, \
         into the vault, and cut the version off",
    )],
    ..VAULT
};

pub(super) struct VaultCredential {
    client: VaultClient,
    access: VaultAccess,
    clock: Arc<dyn Clock>,
    place: ProofPlace,
    /// Its lock is the right to ask.
    kept: Mutex<KeptSecret>,
    validity: Lock<Option<Validity>>,
}

/// What the vault said last.
#[derive(Default)]
struct KeptSecret {
    /// The secret, and when it was read.
    secret: Option<(Instant, VaultSecret)>,
    /// Why it can't be read now.
    fault: Option<VaultFault>,
}

struct VaultFault {
    failure: Failure,
    since: Instant,
    /// The vault is not asked before it is over.
    pause: Duration,
}

impl KeptSecret {
    /// Forgets the secret that Entra refused, unless it was read just now or is another one already.
    fn forget(&mut self, refused: &Proof) {
        let is_over = self.secret.as_ref().is_some_and(|(read, secret)| {
            read.elapsed() >= AT_LEAST
                && secret.value.expose_secret() == refused.value.expose_secret()
        });
        if is_over {
            *self = Self::default();
        }
    }

    /// The answer to all who ask now. `None`: the vault has to be asked.
    fn answer(&self) -> Option<Result<VaultSecret, Failure>> {
        match (&self.secret, &self.fault) {
            (_, Some(fault)) if fault.since.elapsed() >= fault.pause => None,
            (Some((read, _)), None) if read.elapsed() >= SERVES => None,
            (Some((_, secret)), _) => Some(Ok(secret.clone())),
            (None, fault) => fault.as_ref().map(|fault| Err(fault.failure.clone())),
        }
    }

    /// Takes what the vault says. A failure that does not pass by itself ends the use of the secret.
    fn take(&mut self, answer: Result<VaultSecret, Failure>) -> Result<VaultSecret, Failure> {
        let since = Instant::now();
        let failure = match answer {
            Ok(secret) => {
                self.secret = Some((since, secret.clone()));
                self.fault = None;
                return Ok(secret);
            }
            Err(failure) => failure,
        };
        if !matches!(failure.health, Health::Unreachable | Health::Throttled) {
            self.secret = None;
        }
        let pause = match (&self.secret, &self.fault) {
            (None, _) => AT_LEAST,
            (Some(_), Some(before)) => LONGEST_PAUSE.min(before.pause * 2),
            (Some(_), None) => {
                tracing::warn!(
                    error = %failure,
                    remedy = failure.remedy,
                    "the key vault can't be read: the client secret that was read last serves until it can",
                );
                FIRST_PAUSE
            }
        };
        self.fault = Some(VaultFault {
            failure: failure.clone(),
            since,
            pause,
        });
        let kept = self.secret.as_ref().map(|(_, secret)| secret.clone());
        kept.ok_or(failure)
    }
}

impl VaultCredential {
    pub(super) fn new(client: VaultClient, access: VaultAccess, clock: Arc<dyn Clock>) -> Self {
        let key = match client.names_version() {
            true => &VERSION,
            false => &VAULT,
        };
        Self {
            place: ProofPlace::new(key, client.address()),
            client,
            access,
            clock,
            kept: Mutex::default(),
            validity: Lock::default(),
        }
    }

    /// The secret; if Entra has `refused` it, as the vault has it now.
    async fn secret(&self, refused: Option<&Proof>) -> Result<Proof, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(refused) = refused {
            kept.forget(refused);
        }
        let answer = match kept.answer() {
            Some(answer) => answer,
            None => {
                let answer = self.read().await;
                if let Ok(secret) = &answer {
                    *self.validity.lock() = secret.validity;
                }
                kept.take(answer)
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
            let secret = self.secret(None).await?;
            let denial = match request.send(Attempt::alone(secret.clone())).await {
                Ok(issued) => return Ok(issued),
                Err(denial) => denial,
            };
            if !denial.code.is_some_and(|code| NOT_ACCEPTED.contains(&code)) {
                return Err(denial.failure);
            }
            let newer = self.secret(Some(&secret)).await?;
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
