//! An app registration, and how it proves that it is the one.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use crate::core::ids::TenantId;
use crate::core::time::ticks::Ticks;

/// The app registration that reads a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AppSettings {
    /// The app id, which Entra shows as "Application (client) ID".
    pub client_id: Uuid,
    /// How the app proves that it is the one.
    pub credential: Credential,
    /// When the credential ends, for one that does not say so itself.
    pub not_after: Option<Ticks>,
}

/// An app's credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A client secret, or two of them during a rotation.
    Secret {
        /// Tried first.
        current: SecretSource,
        /// The file of a second secret, which is tried when the first is refused.
        next: Option<PathBuf>,
    },
    /// The file of another issuer's token. Another program keeps it fresh.
    Federated(PathBuf),
    /// A certificate, which signs an assertion for each request.
    Certificate {
        /// PEM.
        certificate: PathBuf,
        /// PEM; may be the same file.
        key: PathBuf,
    },
    /// A managed identity of Azure.
    ManagedIdentity(ManagedIdentity),
    /// A client secret in Azure Key Vault.
    KeyVault {
        /// The secret's identifier, with or without a version.
        secret: Url,
        /// Whose token opens the vault.
        identity: VaultIdentity,
    },
}

impl Credential {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let (first, second) = match self {
            Self::Secret { current, next } => (current.file(), next.as_deref()),
            Self::Federated(file) => (Some(file.as_path()), None),
            Self::Certificate { certificate, key } => (Some(&**certificate), Some(&**key)),
            Self::KeyVault {
                identity: VaultIdentity::Workload(WorkloadIdentity { token_file, .. }),
                ..
            } => (Some(token_file.as_path()), None),
            Self::ManagedIdentity(_) | Self::KeyVault { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// Whose token opens a key vault.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VaultIdentity {
    /// Azure gives its tokens to what runs in it.
    Managed(ManagedIdentity),
    /// Another issuer's token proves it.
    Workload(WorkloadIdentity),
}

/// An app registration or a user-assigned managed identity that trusts another issuer's tokens (workload identity federation).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadIdentity {
    /// Its client id.
    pub client_id: Uuid,
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// The file of the issuer's token.
    pub token_file: PathBuf,
}

/// An identity that Azure gives to what runs in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ManagedIdentity {
    /// Of a user-assigned one. `None`: the system-assigned one.
    pub client_id: Option<Uuid>,
    /// Where its tokens come from.
    pub endpoint: IdentityEndpoint,
}

/// Where tokens of managed identities come from. Each is on this machine or near it: plain HTTP on loopback or a link-local
/// address, or HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IdentityEndpoint {
    /// The instance metadata service of a machine.
    Imds(Url),
    /// What App Service, Functions and Container Apps put into the environment.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        url: Url,
        /// `IDENTITY_HEADER`, which proves to the endpoint that a request is this process's.
        header: SecretSource,
    },
    /// The agent of Azure Arc, on a machine elsewhere.
    Arc {
        /// `IDENTITY_ENDPOINT`.
        url: Url,
        /// The folder of the keys that prove to the agent who asks.
        keys: PathBuf,
    },
}

impl IdentityEndpoint {
    pub(crate) fn url(&self) -> &Url {
        match self {
            Self::Imds(url) | Self::AppService { url, .. } | Self::Arc { url, .. } => url,
        }
    }
}

/// Where a client secret comes from. A file is read at each token request, so that a rotation needs no restart.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// The secret is the content of this file.
    File(PathBuf),
    /// An environment variable's name, and its value at the start.
    Env {
        /// As in the configuration.
        name: String,
        /// Read once: a rotation needs a restart.
        value: SecretString,
    },
}

impl SecretSource {
    /// The value of a variable.
    pub(crate) fn value(&self) -> Option<&SecretString> {
        match self {
            Self::File(_) => None,
            Self::Env { value, .. } => Some(value),
        }
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Env { .. } => None,
        }
    }
}

impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Env { value: one, .. }, Self::Env { value: other, .. }) => {
                one.expose_secret() == other.expose_secret()
            }
            _ => false,
        }
    }
}

impl Eq for SecretSource {}

/// As in `PartialEq`: a variable counts by its value.
impl Hash for SecretSource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::File(path) => (0_u8, path).hash(state),
            Self::Env { value, .. } => (1_u8, value.expose_secret()).hash(state),
        }
    }
}
