//! Two client secrets during a rotation, so that one replaces the other without a gap.
//!
//! The secret that was accepted last is sent first; at the start that is the first one. If Entra refuses it *as a
//! secret*, the other is tried at once, within the same token request: nothing fails while one of them is accepted. An
//! unreadable file counts as refused.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::client_secret::{place, read_secret, secret};
use super::secret_file::{no_second, read_or};
use super::{Attempt, CredentialKind, Denial, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::{Failure, Health};
use crate::microsoft::entra::IssuedToken;
use crate::settings::SecretSource;

pub(in crate::microsoft) const NEXT_FILE: ProofKey = secret("app.client_secret_next_file");

pub(super) struct TwoSecrets {
    client_id: Uuid,
    first: SecretSource,
    second: PathBuf,
    second_serves: AtomicBool,
}

impl TwoSecrets {
    pub(super) fn new(client_id: Uuid, first: SecretSource, second: PathBuf) -> Self {
        Self {
            client_id,
            first,
            second,
            second_serves: AtomicBool::new(false),
        }
    }

    /// Records which secret was accepted, and logs once that only the second is. `refused` is why the first one is not.
    fn note_accepted(&self, second: bool, accepted: &Proof, refused: &Failure) {
        let before = self.second_serves.swap(second, Ordering::Relaxed);
        if second && !before {
            tracing::warn!(
                client_id = %self.client_id,
                error = %refused,
                serves = %accepted.place.hint(),
                "the first of two secrets is refused, the second serves: put it into the place of the first",
            );
        }
    }
}

impl CredentialKind for TwoSecrets {
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        Box::pin(async {
            let first = read_secret(&self.first).await;
            let second = read_or(&self.second, &NEXT_FILE, no_second).await;
            let second_first = self.second_secret_serves();
            let (preferred, other) = match second_first {
                true => (second, first),
                false => (first, second),
            };
            let refused = match &preferred {
                Ok(proof) => {
                    let hidden = other.iter().map(|other| other.value.clone()).collect();
                    let proof = proof.clone();
                    match request.send(Attempt { proof, hidden }).await {
                        Ok(issued) => return Ok(issued),
                        Err(denial) => denial,
                    }
                }
                Err(unreadable) => Denial {
                    of_the_proof: true,
                    ..Denial::from(unreadable.clone())
                },
            };
            let same = matches!((&preferred, &other), (Ok(sent), Ok(other)) if other.same_as(sent));
            if !refused.of_the_proof || same {
                return Err(refused.failure);
            }
            let refused = refused.failure;
            let other = match other {
                Ok(other) => other,
                Err(unreadable) => return Err(both_refused(second_first, refused, unreadable)),
            };
            // A file that was not read because no thread was free says nothing about its secret.
            let known = preferred
                .as_ref()
                .map_or_else(|failure| failure.health == Health::Credential, |_| true);
            let hidden = preferred.into_iter().map(|sent| sent.value).collect();
            let proof = other.clone();
            match request.send(Attempt { proof, hidden }).await {
                Ok(issued) => {
                    if known {
                        self.note_accepted(!second_first, &other, &refused);
                    }
                    Ok(issued)
                }
                Err(denial) if denial.of_the_proof => {
                    Err(both_refused(second_first, refused, denial.failure))
                }
                Err(denial) => Err(denial.failure),
            }
        })
    }

    fn place(&self) -> ProofPlace {
        place(&self.first)
    }

    fn files(&self) -> Vec<&Path> {
        self.first
            .file()
            .into_iter()
            .chain([&*self.second])
            .collect()
    }

    fn second_secret_serves(&self) -> bool {
        self.second_serves.load(Ordering::Relaxed)
    }
}

/// One failure made of two, in the order of the secrets. If Entra blames something other than the secrets, that failure
/// counts.
fn both_refused(second_first: bool, preferred: Failure, other: Failure) -> Failure {
    let (first, second) = match second_first {
        true => (other, preferred),
        false => (preferred, other),
    };
    if second.health != Health::Credential {
        return second;
    }
    if first.health != Health::Credential {
        return first;
    }
    Failure {
        what: format!(
            "both client secrets are refused. The first: {}. The second: {}",
            first.what, second.what
        ),
        ..first
    }
}
