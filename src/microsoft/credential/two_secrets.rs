//! Two client secrets during a rotation, so that one replaces the other without a gap.
//!
//! The secret that was accepted last is sent first; at the start that is the first one. If Entra refuses it *as a
//! secret*, the other is tried at once, within the same token request: nothing fails while one of them is accepted. An
//! unreadable file counts as refused.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::client_secret::{read_secret, secret};
use super::secret_file::{no_second, read_or};
use super::{Attempt, Attempts, CredentialKind, Denial, Proof, ProofKey};
use crate::core::health::failure::{Failure, Health};
use crate::settings::SecretSource;

pub(in crate::microsoft) const NEXT_FILE: ProofKey = secret("app.client_secret_next_file");

#[derive(Debug)]
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
    fn attempts(&self) -> Box<dyn Attempts + '_> {
        Box::new(TwoAttempts {
            secrets: self,
            stage: AttemptStage::Start,
        })
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

type Read = Result<Proof, Failure>;

struct TwoAttempts<'a> {
    secrets: &'a TwoSecrets,
    stage: AttemptStage,
}

enum AttemptStage {
    Start,
    /// The preferred secret was sent. `second_first`: the second one is preferred.
    Sent {
        second_first: bool,
        sent: Proof,
        other: Read,
    },
    /// The preferred secret was refused or could not be read, and the other one was sent.
    SentOther {
        second_first: bool,
        refused: FirstRefusal,
        sent: Proof,
    },
    Over,
}

/// Why the preferred secret is not accepted.
struct FirstRefusal {
    failure: Failure,
    /// Whether the file was not read because no thread was free, which says nothing about the secret.
    unknown: bool,
}

impl TwoAttempts<'_> {
    async fn start(&mut self) -> Result<Attempt, Failure> {
        let first = read_secret(&self.secrets.first).await;
        let second = read_or(&self.secrets.second, &NEXT_FILE, no_second).await;
        let second_first = self.secrets.second_secret_serves();
        let (one, other) = match second_first {
            true => (second, first),
            false => (first, second),
        };
        match one {
            Ok(sent) => {
                let hidden = other.iter().map(|other| other.value.clone()).collect();
                let proof = sent.clone();
                self.stage = AttemptStage::Sent {
                    second_first,
                    sent,
                    other,
                };
                Ok(Attempt { proof, hidden })
            }
            Err(failure) => {
                let refused = FirstRefusal {
                    unknown: failure.health != Health::Credential,
                    failure,
                };
                self.try_other(second_first, refused, other, None)
            }
        }
    }

    /// Sends the other secret, after the preferred one was refused.
    fn try_other(
        &mut self,
        second_first: bool,
        refused: FirstRefusal,
        other: Read,
        sent: Option<Proof>,
    ) -> Result<Attempt, Failure> {
        let proof = match other {
            Ok(other) => other,
            Err(unreadable) => return Err(both_refused(second_first, refused.failure, unreadable)),
        };
        let hidden = sent.into_iter().map(|sent| sent.value).collect();
        self.stage = AttemptStage::SentOther {
            second_first,
            refused,
            sent: proof.clone(),
        };
        Ok(Attempt { proof, hidden })
    }

    fn after(&mut self, denial: Denial) -> Result<Attempt, Failure> {
        match std::mem::replace(&mut self.stage, AttemptStage::Over) {
            AttemptStage::Sent {
                second_first,
                sent,
                other,
            } => {
                let same = matches!(&other, Ok(other) if other.same_as(&sent));
                if !denial.of_the_proof || same {
                    return Err(denial.failure);
                }
                let refused = FirstRefusal {
                    failure: denial.failure,
                    unknown: false,
                };
                self.try_other(second_first, refused, other, Some(sent))
            }
            AttemptStage::SentOther {
                second_first,
                refused,
                ..
            } if denial.of_the_proof => {
                Err(both_refused(second_first, refused.failure, denial.failure))
            }
            AttemptStage::Start | AttemptStage::SentOther { .. } | AttemptStage::Over => {
                Err(denial.failure)
            }
        }
    }
}

impl Attempts for TwoAttempts<'_> {
    fn next(&mut self, refused: Option<Denial>) -> BoxFuture<'_, Result<Attempt, Failure>> {
        Box::pin(async {
            match refused {
                None => self.start().await,
                Some(denial) => self.after(denial),
            }
        })
    }

    fn accepted(&mut self) {
        if let AttemptStage::SentOther {
            second_first,
            refused,
            sent,
        } = &self.stage
            && !refused.unknown
        {
            self.secrets
                .note_accepted(!second_first, sent, &refused.failure);
        }
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
