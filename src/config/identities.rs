//! Identities that need no secret of their own, and the key vault that one of them opens.

use url::Url;
use uuid::Uuid;

use super::credential_files::{self, FileKind};
use super::identity_endpoint;
use super::problems::{Wrong, wrong};
use super::section::Section;
use super::values::guid;
use crate::core::ids::TenantId;
use crate::settings::{
    Credential, IdentityEndpoint, ManagedIdentity, VaultIdentity, WorkloadIdentity,
};

pub(super) const FEDERATED: &str = "federated_token_file";
pub(super) const IDENTITY: &str = "managed_identity";
pub(super) const VAULT: &str = "key_vault_secret";

/// Reads a secret's identifier, and the identity that may read it.
pub(super) fn read_vault(section: &mut Section<'_>) -> Option<Credential> {
    let secret = section.own(VAULT, vault_secret);
    if secret.as_ref().is_some_and(names_version) {
        let text = "it names one version: a renewed secret is never read; cut the version off";
        section.warn(VAULT, text);
    }
    let identity = if section.given(IDENTITY) {
        read_identity(section).map(VaultIdentity::Managed)
    } else if section.given(FEDERATED) {
        read_workload_identity(section).map(VaultIdentity::Workload)
    } else {
        let remedy = "set managed_identity beside it, to the identity whose token opens the vault; in Kubernetes set \
             federated_token_file, to the path in AZURE_FEDERATED_TOKEN_FILE";
        section.refuse(VAULT, wrong("nothing says who may read it", remedy));
        None
    };
    Some(Credential::KeyVault {
        secret: secret?,
        identity: identity?,
    })
}

/// Reads whose tokens are in the file: Azure's webhook for Kubernetes says it in the environment.
fn read_workload_identity(section: &mut Section<'_>) -> Option<WorkloadIdentity> {
    let token_file = credential_files::read(section, FEDERATED, FileKind::Token);
    let client_id = read_id(section, "AZURE_CLIENT_ID", "client-id");
    let tenant = read_id(section, "AZURE_TENANT_ID", "tenant-id");
    Some(WorkloadIdentity {
        client_id: client_id?,
        tenant: TenantId::from_bytes(tenant?.into_bytes()),
        token_file: token_file?,
    })
}

/// Reads an id of the identity that opens the vault from the environment.
fn read_id(section: &mut Section<'_>, variable: &str, annotation: &str) -> Option<Uuid> {
    let text = section.scope.context.environment.get(variable);
    let what = match text.map(|text| guid(text.trim())) {
        Some(Ok(id)) => return Some(id),
        Some(Err(_)) => format!("{variable} of the environment is not a GUID"),
        None => format!("the environment has no {variable}"),
    };
    let what = format!("it is to open the key vault, and nothing says whose token it is: {what}");
    let remedy = format!(
        "set {variable} to that of the identity that may read the vault: in Kubernetes Azure's webhook sets it for pods with the \
         label azure.workload.identity/use, from the service account's annotation azure.workload.identity/{annotation}"
    );
    section
        .refuse_credential(FEDERATED, wrong(what, remedy))
        .map(|()| Uuid::nil())
}

/// The domains of the vaults of Microsoft's clouds.
const VAULTS: [&str; 3] = [
    ".vault.azure.net",
    ".vault.usgovcloudapi.net",
    ".vault.azure.cn",
];

/// The identifier of a secret in a vault; loopback is for tests.
fn vault_secret(text: &str) -> Result<Url, Wrong> {
    const REMEDY: &str = "copy the secret's \"Secret Identifier\" from Azure, and leave out the version at its end: \
         https://NAME.vault.azure.net/secrets/NAME";
    let url = Url::parse(text).map_err(|_| wrong("it is not a URL", REMEDY))?;
    let host = url.host_str().unwrap_or_default();
    let is_vault = url.scheme() == "https"
        && url.port().is_none()
        && VAULTS.iter().any(|domain| host.ends_with(domain));
    let is_local = url.scheme() == "http" && host == "127.0.0.1";
    if !is_vault && !is_local {
        let what = "it is not in a key vault of one of Microsoft's clouds";
        return Err(wrong(what, REMEDY));
    }
    let names: Vec<&str> = url.path().split('/').skip(1).collect();
    let is_secret = match names.as_slice() {
        ["secrets", name] => !name.is_empty(),
        ["secrets", name, version] => !name.is_empty() && !version.is_empty(),
        _ => false,
    };
    let is_plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match is_secret && is_plain {
        true => Ok(url),
        false => Err(wrong("it does not name a secret of the vault", REMEDY)),
    }
}

fn names_version(secret: &Url) -> bool {
    secret
        .path_segments()
        .is_some_and(|names| names.count() > 2)
}

pub(super) fn read_identity(section: &mut Section<'_>) -> Option<ManagedIdentity> {
    const REMEDY: &str = "write \"system\", or the client id of a user-assigned managed identity, as its overview page in Azure shows it";
    let client_id = section.own(IDENTITY, |text| match text {
        "system" => Ok(None),
        id => guid(id)
            .map(Some)
            .map_err(|Wrong { what, .. }| wrong(what, REMEDY)),
    })?;
    match identity_endpoint::of_environment(section.scope.context.environment) {
        Ok(IdentityEndpoint::Arc { .. }) if client_id.is_some() => {
            let what = "Azure Arc has no user-assigned identities";
            let remedy = "write \"system\": the machine's own identity can read the tenant that it belongs to, or open a key vault";
            section.refuse(IDENTITY, wrong(what, remedy));
            None
        }
        Ok(endpoint) => Some(ManagedIdentity {
            client_id,
            endpoint,
        }),
        Err(wrong) => {
            section.refuse(IDENTITY, wrong);
            None
        }
    }
}
