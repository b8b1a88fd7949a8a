//! One client secret, in a file or in an environment variable. One attempt.

use std::path::Path;

use futures_util::future::BoxFuture;

use super::secret_file::read;
use super::{Attempt, CredentialKind, Form, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::Failure;
use crate::core::secret_text::trimmed;
use crate::microsoft::entra::IssuedToken;
use crate::settings::SecretSource;
use secrecy::ExposeSecret;

pub(in crate::microsoft) const FILE: ProofKey = secret("app.client_secret_file");
pub(in crate::microsoft) const VARIABLE: ProofKey = secret("app.client_secret_env");

pub(super) const fn secret(name: &'static str) -> ProofKey {
    ProofKey {
        name,
        form: Form::Secret,
        noun: "the client secret",
        fill: "put the secret's Value, and nothing else, into {place}",
        check: "check the client secret in {place} (it has to be its Value, not its ID) and app.client_id; the message says \
                more",
        renew: "make a new client secret in the app registration, put its Value into {place}, and set app.credential_not_after to \
                its end",
        hints: &[],
    }
}

pub(super) struct ClientSecret(SecretSource);

impl ClientSecret {
    pub(super) fn new(source: SecretSource) -> Self {
        Self(source)
    }
}

impl CredentialKind for ClientSecret {
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        Box::pin(async {
            let secret = read_secret(&self.0).await?;
            let sent = request.send(Attempt::alone(secret)).await;
            sent.map_err(|denial| denial.failure)
        })
    }

    fn place(&self) -> ProofPlace {
        place(&self.0)
    }

    fn files(&self) -> Vec<&Path> {
        self.0.file().into_iter().collect()
    }
}

pub(super) fn place(source: &SecretSource) -> ProofPlace {
    match source {
        SecretSource::File(path) => ProofPlace::file(&FILE, path),
        SecretSource::Env { name, .. } => ProofPlace::new(&VARIABLE, name),
    }
}

/// The secret as it is now.
pub(super) async fn read_secret(source: &SecretSource) -> Result<Proof, Failure> {
    match source {
        SecretSource::File(path) => read(path, &FILE).await,
        SecretSource::Env { value, .. } => Ok(Proof {
            value: trimmed(value.expose_secret()).into(),
            place: place(source),
        }),
    }
}
