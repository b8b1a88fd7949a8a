//! A managed identity of Azure, which needs no secret.
//!
//! Its token is used in one of two ways. If the identity is the app itself, its token for the API is the tenant's token: this
//! holds for the tenant that the identity belongs to, and for no other. If the identity is a federated credential of the app
//! registration, its token for the exchange is the assertion that proves the app, in each customer's tenant.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::federated_token::OUT_OF_TIME;
use super::{Attempt, CredentialKind, Form, Proof, ProofKey, ProofPlace, TokenRequest};
use crate::core::health::failure::Failure;
use crate::microsoft::entra::IssuedToken;
use crate::microsoft::http::{ClientError, Clients};
use crate::microsoft::identity::{IdentityClient, IdentityToken};
use crate::ports::Clock;
use crate::settings::ManagedIdentity;

/// A token is asked for anew when less than this part of its life is left.
const LEFT: u32 = 5;
/// For so long a failure is the answer to all who ask: otherwise each tenant would wait for an endpoint that is silent.
const FAILURE_SERVES: Duration = Duration::from_secs(10);

pub(in crate::microsoft) const IDENTITY: ProofKey = ProofKey {
    name: "app.managed_identity",
    form: Form::Assertion,
    noun: "the managed identity",
    fill: "assign a managed identity to this machine in Azure: {place}",
    check: "check that a federated credential of the app registration names the managed identity {place}; check app.client_id; \
            the message says more",
    renew: "nothing to do: Azure renews the token of {place}",
    hints: &[
        (
            &[70_021, 700_211, 700_212, 700_213],
            "no federated credential of the app registration matches the managed identity {place}: add one for it (Certificates & \
             secrets, Federated credentials, Managed identity); a new one takes some minutes to be known everywhere",
        ),
        (
            &OUT_OF_TIME,
            "the token of the managed identity {place} is outside its valid time: set this machine's clock (NTP)",
        ),
    ],
};

pub(super) struct IdentityCredential {
    client: IdentityClient,
    clock: Arc<dyn Clock>,
    /// The identity is the app.
    is_app: bool,
    place: ProofPlace,
    /// The last answer for each audience; the clouds have different ones. Its lock is the right to ask for one.
    assertions: Mutex<HashMap<&'static str, LastAnswer>>,
}

struct LastAnswer {
    asked: Instant,
    answer: Result<IdentityToken, Failure>,
}

impl LastAnswer {
    fn serves(&self) -> bool {
        let longest = match &self.answer {
            Ok(token) => token.lifetime - token.lifetime / LEFT,
            Err(_) => FAILURE_SERVES,
        };
        self.asked.elapsed() < longest
    }
}

impl IdentityCredential {
    /// # Errors
    /// The HTTP client can't be built.
    pub(super) fn new(
        app: Uuid,
        identity: &ManagedIdentity,
        clients: &Clients,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let name = identity
            .client_id
            .map_or("system".to_owned(), |id| id.to_string());
        Ok(Self {
            client: IdentityClient::new(clients, identity)?,
            clock,
            is_app: identity.client_id.is_none_or(|id| id == app),
            place: ProofPlace::new(&IDENTITY, &name),
            assertions: Mutex::default(),
        })
    }

    /// The assertion for `audience`, asked for once in its life, however many tenants need it.
    async fn assertion(&self, audience: &'static str) -> Result<Proof, Failure> {
        let mut answers = self.assertions.lock().await;
        let last = answers.get(audience).filter(|last| last.serves());
        let answer = match last {
            Some(last) => last.answer.clone(),
            None => {
                let answer = self.client.token(audience, self.clock.now()).await;
                let asked = Instant::now();
                let last = LastAnswer {
                    asked,
                    answer: answer.clone(),
                };
                answers.insert(audience, last);
                answer
            }
        };
        answer.map(|IdentityToken { token, .. }| Proof {
            value: token,
            place: self.place.clone(),
        })
    }
}

impl CredentialKind for IdentityCredential {
    fn request<'a>(
        &'a self,
        request: &'a dyn TokenRequest,
    ) -> BoxFuture<'a, Result<IssuedToken, Failure>> {
        Box::pin(async {
            if self.is_app {
                let resource = request.resource();
                let IdentityToken { token, lifetime } =
                    self.client.token(resource, self.clock.now()).await?;
                return Ok(request.issued(token, lifetime));
            }
            let audience = request.exchange_audience();
            let proof = self.assertion(audience).await?;
            let sent = request.send(Attempt::alone(proof)).await;
            match sent {
                Ok(issued) => Ok(issued),
                Err(denial) => {
                    if denial.code.is_some_and(|code| OUT_OF_TIME.contains(&code)) {
                        self.assertions.lock().await.remove(audience);
                    }
                    Err(denial.failure)
                }
            }
        })
    }

    fn place(&self) -> ProofPlace {
        self.place.clone()
    }

    fn is_app(&self) -> bool {
        self.is_app
    }

    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }
}
