//! The token that opens a key vault: of a managed identity, or of an identity that a federated token proves.

use std::path::Path;

use secrecy::SecretString;

use super::ProofKey;
use super::federated_token::{FILE, FederatedToken};
use crate::core::health::failure::Failure;
use crate::core::time::ticks::Ticks;
use crate::microsoft::entra::TokenService;
use crate::microsoft::http::{ClientError, Clients};
use crate::microsoft::identity::IdentityClient;
use crate::settings::{ApiSettings, TokenEndpoint, VaultIdentity, WorkloadIdentity};

/// The federated token that proves the identity, and not the app.
const WORKLOAD: ProofKey = ProofKey {
    check: "check AZURE_CLIENT_ID and AZURE_TENANT_ID, and that a federated credential of that identity has issuer, subject and \
            audience of the token in {place}; the message says more",
    hints: &[
        (
            &[70_021, 700_211, 700_212, 700_213],
            "no federated credential of the identity of AZURE_CLIENT_ID matches the token in {place}: add one with the token's \
             issuer, subject and audience, letter by letter; a new one takes some minutes to be known everywhere",
        ),
        (
            &[700_016, 700_011, 7_000_229, 90_002, 900_023, 50_049],
            NOT_FOUND,
        ),
        (
            &[7_000_112, 70_001],
            "the identity of AZURE_CLIENT_ID is disabled: enable it under Enterprise applications",
        ),
        (
            &[500_011, 500_014, 50_001],
            "the tenant of AZURE_TENANT_ID has no Azure Key Vault in this cloud: check that app.key_vault_secret and api.cloud \
             are of the same cloud",
        ),
    ],
    ..FILE
};

const NOT_FOUND: &str = "there is no identity with the client id in AZURE_CLIENT_ID in the tenant in AZURE_TENANT_ID: set both as the \
     identity's overview page shows them (in Kubernetes the annotations azure.workload.identity/client-id and tenant-id of \
     the service account), and restart incidentd";

pub(super) struct VaultAccess {
    /// The identity in words.
    name: String,
    identity: AccessIdentity,
}

enum AccessIdentity {
    /// And what its tokens are asked for.
    Managed(IdentityClient, String),
    Workload(FederatedToken, TokenService),
}

impl VaultAccess {
    /// For tokens for `resource`.
    ///
    /// # Errors
    /// An HTTP client can't be built.
    pub(super) fn new(
        clients: &Clients,
        identity: &VaultIdentity,
        resource: String,
        api: &ApiSettings,
    ) -> Result<Self, ClientError> {
        Ok(match identity {
            VaultIdentity::Managed(identity) => {
                let client = IdentityClient::new(clients, identity)?;
                Self {
                    name: client.name(),
                    identity: AccessIdentity::Managed(client, resource),
                }
            }
            VaultIdentity::Workload(identity) => {
                let WorkloadIdentity {
                    client_id,
                    tenant,
                    token_file,
                } = identity;
                let api = ApiSettings {
                    scope: format!("{resource}/.default"),
                    token_endpoint: TokenEndpoint::V2,
                    ..api.clone()
                };
                let remedy = NOT_FOUND.to_owned();
                let service = TokenService::new(clients, *tenant, *client_id, &api, remedy)?;
                let token = FederatedToken::new(token_file.clone(), &WORKLOAD);
                Self {
                    name: format!("the identity {client_id}"),
                    identity: AccessIdentity::Workload(token, service),
                }
            }
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file that is read.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.identity {
            AccessIdentity::Managed(..) => None,
            AccessIdentity::Workload(token, _) => Some(token.file()),
        }
    }

    /// A new token, at `now`.
    ///
    /// # Errors
    /// The identity gets none.
    pub(super) async fn token(&self, now: Ticks) -> Result<SecretString, Failure> {
        match &self.identity {
            AccessIdentity::Managed(client, resource) => {
                Ok(client.token(resource, now).await?.token)
            }
            AccessIdentity::Workload(token, service) => {
                let proven = token.prove(|attempt| async move { service.ask(&attempt).await });
                let granted = proven.await.map_err(|failure| Failure {
                    what: format!("no token for the key vault: {}", failure.what),
                    ..failure
                })?;
                Ok(granted.access_token)
            }
        }
    }
}
