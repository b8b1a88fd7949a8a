//! Which proof a token request is made with, and what follows when Entra does not accept it.
//!
//! - One secret: it is asked with, and that is all.
//! - Two secrets: the one that served last, at first the first. Refused *as a secret*, the other is tried at once, within
//!   the same request; nothing fails while one of them serves. A file that can't be read counts as refused.
//! - A federated token: the file is read each time. Outside its valid time, it is read again at once, and another one
//!   than before is tried.
//!
//! Whatever is shown of an answer is searched for all that was read, sent or not.

use std::path::Path;

use super::super::credential::{Kind, Proof, read_token};
use super::super::secret::Secret;
use super::refusal::Denial;
use super::{Entra, IssuedToken};
use crate::core::health::failure::{Failure, Health};

impl Entra {
    pub(super) async fn exchange(&self) -> Result<IssuedToken, Failure> {
        match &self.credential.kind {
            Kind::Secret(secret) => {
                let proof = secret.read().await?;
                let issued = self.ask(&proof, &[&proof]).await;
                issued.map_err(|denial| denial.failure)
            }
            Kind::TwoSecrets(first, second) => self.with_two(first, second).await,
            Kind::Federated(file) => self.with_token(file).await,
        }
    }

    async fn with_token(&self, file: &Path) -> Result<IssuedToken, Failure> {
        let token = read_token(file).await?;
        let denial = match self.ask(&token, &[&token]).await {
            Ok(issued) => return Ok(issued),
            Err(denial) => denial,
        };
        if !denial.out_of_time {
            return Err(denial.failure);
        }
        let newer = read_token(file).await?;
        if newer.same_as(&token) {
            return Err(denial.failure);
        }
        let issued = self.ask(&newer, &[&newer, &token]).await;
        issued.map_err(|denial| denial.failure)
    }

    async fn with_two(&self, first: &Secret, second: &Secret) -> Result<IssuedToken, Failure> {
        let (first, second) = (first.read().await, second.read_as_next().await);
        let hidden: Vec<&Proof> = [&first, &second].into_iter().flatten().collect();
        let second_first = self.credential.second_serves();
        let (one, other) = match second_first {
            true => (&second, &first),
            false => (&first, &second),
        };
        let refused = match self.try_secret(one, &hidden).await {
            Ok(issued) => return Ok(issued),
            Err(denial) => denial,
        };
        let same = matches!((one, other), (Ok(one), Ok(other)) if one.same_as(other));
        if !refused.of_the_proof || same {
            return Err(refused.failure);
        }
        let refused_too = match self.try_secret(other, &hidden).await {
            Ok(issued) => {
                // A file that no reader came to says nothing about what it holds.
                let refused_it = one
                    .as_ref()
                    .err()
                    .is_none_or(|it| it.health == Health::Credential);
                if let (Ok(serves), true) = (other, refused_it) {
                    self.note_turn(!second_first, serves, &refused.failure);
                }
                return Ok(issued);
            }
            Err(denial) => denial,
        };
        if !refused_too.of_the_proof {
            return Err(refused_too.failure);
        }
        Err(match second_first {
            true => both_refused(refused_too.failure, refused.failure),
            false => both_refused(refused.failure, refused_too.failure),
        })
    }

    /// A secret that can't be read is as good as refused.
    async fn try_secret(
        &self,
        secret: &Result<Proof, Failure>,
        hidden: &[&Proof],
    ) -> Result<IssuedToken, Denial> {
        match secret {
            Ok(proof) => self.ask(proof, hidden).await,
            Err(unreadable) => Err(Denial {
                failure: unreadable.clone(),
                of_the_proof: true,
                out_of_time: false,
            }),
        }
    }

    fn note_turn(&self, to_second: bool, serves: &Proof, refused: &Failure) {
        if self.credential.turned_to_second(to_second) {
            tracing::warn!(
                client_id = %self.client_id,
                error = %refused,
                serves = %serves.place.hint(),
                "the first of two secrets is refused, the second serves: put it into the place of the first",
            );
        }
    }
}

/// One failure of two. When Entra blames something else than the secrets, it is that.
fn both_refused(first: Failure, second: Failure) -> Failure {
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
