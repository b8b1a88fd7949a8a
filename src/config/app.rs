//! `[app]`: the app registration and its credential, for all tenants or for one.
//!
//! An app has one kind of credential. A tenant with a credential of its own takes nothing of the shared one: a second secret
//! belongs to its first one. A second secret alone is used with the shared first one.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use super::credential_files::{self, FileKind};
use super::identity_endpoint;
use super::layers::read_regular;
use super::library_checks::WrongCertificate;
use super::origin::Spot;
use super::problems::{Wrong, wrong};
use super::section::Section;
use crate::core::secret_text::MAX_FILE;
use crate::core::time::ticks::Ticks;
use crate::settings::{AppSettings, Credential, ManagedIdentity, SecretSource};

/// An app registration, for all tenants or for one.
#[derive(Clone)]
pub(super) struct AppChoice {
    /// Where its table begins.
    pub spot: Spot,
    /// `None` if a part is missing or was refused.
    pub settings: Option<Arc<AppSettings>>,
    /// The required keys that are given nowhere.
    pub missing: Vec<&'static str>,
    credential: Option<Credential>,
}

impl AppChoice {
    /// Reads a section. `shared`: for a tenant, what all tenants have.
    pub fn read(section: &mut Section<'_>, shared: Option<&AppChoice>) -> Self {
        let client_id = section.read("client_id", guid);
        let shared = shared.and_then(|shared| shared.credential.as_ref());
        let credential = read_credential(section, shared);
        let settings = client_id.zip(credential.clone());
        let own = section.own(NOT_AFTER, date);
        let not_after = match is_own(section) {
            // The shared date is that of the shared credential.
            true => {
                section.unset(NOT_AFTER);
                own
            }
            false => own.or_else(|| section.shared(NOT_AFTER, date)),
        };
        let settings = settings.map(|(client_id, credential)| AppSettings {
            client_id,
            credential,
            not_after,
        });
        let mut missing = Vec::new();
        if !section.in_force("client_id") {
            missing.push("client_id");
        }
        if !keys().any(|key| section.in_force(key)) {
            missing.push(FILE);
        }
        Self {
            spot: section.spot.clone(),
            settings: settings.map(Arc::new),
            missing,
            credential,
        }
    }
}

/// The remedy for a missing key.
pub(super) fn remedy(missing: &str) -> &'static str {
    match missing {
        "client_id" => {
            "set it to the \"Application (client) ID\" on the app registration's overview page in Microsoft Entra"
        }
        _ => {
            "set it to the path of a file that holds the secret's Value, or set app.client_secret_env, \
             app.federated_token_file, app.certificate_file, app.managed_identity or app.key_vault_secret"
        }
    }
}

fn guid(text: &str) -> Result<Uuid, Wrong> {
    let what = match Uuid::try_parse(text) {
        Ok(id) if text.len() == 36 && !id.is_nil() => return Ok(id),
        Ok(id) if id.is_nil() => "it is still the example's placeholder",
        _ => "it is not a GUID",
    };
    let remedy = "copy \"Application (client) ID\" from the app registration's overview page in Microsoft Entra";
    Err(wrong(what, remedy))
}

const FILE: &str = "client_secret_file";
const VARIABLE: &str = "client_secret_env";
const NEXT: &str = "client_secret_next_file";
const FEDERATED: &str = "federated_token_file";
const CERTIFICATE: &str = "certificate_file";
const KEY: &str = "certificate_key_file";
const IDENTITY: &str = "managed_identity";
const VAULT: &str = "key_vault_secret";
const NOT_AFTER: &str = "credential_not_after";

/// The keys of each kind of credential, and why a kind excludes those before it.
const KINDS: [(&[&str], &str); 5] = [
    (&[FILE, VARIABLE, NEXT], ""),
    (&[FEDERATED], "a federated token stands in place of secrets"),
    (
        &[CERTIFICATE, KEY],
        "a certificate stands in place of secrets and tokens",
    ),
    (
        &[VAULT],
        "a secret in Key Vault stands in place of every other credential",
    ),
    (
        &[IDENTITY],
        "a managed identity stands in place of every other credential",
    ),
];

/// The keys of all kinds.
fn keys() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|(keys, _)| *keys).copied()
}

/// The keys that give a credential by themselves. A second secret goes with a first one.
fn main_keys() -> impl Iterator<Item = &'static str> {
    keys().filter(|key| *key != NEXT)
}

/// Whether this section gives a whole credential.
fn is_own(section: &Section<'_>) -> bool {
    main_keys().any(|key| section.given(key))
}

/// A day, which begins at midnight UTC, or an instant.
fn date(text: &str) -> Result<Ticks, Wrong> {
    const REMEDY: &str = "write it as \"2027-05-01\": Microsoft Entra shows when the secret expires under Certificates & secrets";
    let at = text
        .parse()
        .or_else(|_| format!("{text}T00:00:00Z").parse());
    at.map_err(|_| wrong("it is not a date", REMEDY))
}

/// Reports keys that exclude each other as one mistake. Their values are not checked then.
fn refuse_two(section: &mut Section<'_>) -> Option<()> {
    let mut kinds = KINDS.iter().filter_map(|(keys, why)| {
        let key = keys.iter().find(|key| section.given(key))?;
        // The identity opens the vault.
        if *key == IDENTITY && section.given(VAULT) {
            return None;
        }
        Some((*key, *why))
    });
    let (key, other, why, remedy) = match (kinds.next()?, kinds.next_back()) {
        ((other, _), Some((key, why))) => (key, other, why, format!("remove {other}, or {key}")),
        ((FILE, _), None) if section.given(VARIABLE) => (
            VARIABLE,
            FILE,
            "there can be one first secret only",
            format!("keep one of the two; during a rotation the second secret goes into {NEXT}"),
        ),
        _ => return None,
    };
    let place = section.origin_of(other);
    let what = format!("{other} ({place}) is given too, and {why}");
    section.refuse(key, wrong(what, remedy));
    Some(())
}

/// The credential of this section. Without one, and for a second secret alone, that of all tenants.
fn read_credential(section: &mut Section<'_>, shared: Option<&Credential>) -> Option<Credential> {
    if refuse_two(section).is_some() {
        return None;
    }
    let is_own = is_own(section);
    if !is_own && !section.given(NEXT) {
        return shared.cloned();
    }
    if is_own {
        keys().for_each(|key| section.unset(key));
    }
    if section.given(FEDERATED) {
        let token = credential_files::read(section, FEDERATED, FileKind::Token);
        return token.map(Credential::Federated);
    }
    if section.given(CERTIFICATE) || section.given(KEY) {
        return read_certificate(section);
    }
    if section.given(VAULT) {
        return read_vault(section);
    }
    if section.given(IDENTITY) {
        return read_identity(section).map(Credential::ManagedIdentity);
    }
    let file = credential_files::read(section, FILE, FileKind::Secret);
    let own = file
        .map(SecretSource::File)
        .or_else(|| read_variable(section));
    let next = credential_files::read(section, NEXT, FileKind::NextSecret);
    let current = match shared {
        _ if is_own => own?,
        Some(Credential::Secret { current, .. }) => current.clone(),
        // The shared one was refused.
        None if main_keys().any(|key| section.in_force(key)) => return None,
        Some(_) | None => {
            let what = "it is the second of two secrets, and there is no first";
            let remedy = "set client_secret_file beside it, or name this file there";
            section.refuse(NEXT, wrong(what, remedy));
            return None;
        }
    };
    let is_good = next.is_some() || !section.given(NEXT);
    is_good.then_some(Credential::Secret { current, next })
}

/// Reads a certificate and its key, which may be in one file.
fn read_certificate(section: &mut Section<'_>) -> Option<Credential> {
    if section.given(KEY) && !section.given(CERTIFICATE) {
        let what = "it is the private key of a certificate, and there is no certificate";
        section.refuse(KEY, wrong(what, "set certificate_file beside it"));
        return None;
    }
    let (certificate, key, key_is_in) = match section.given(KEY) {
        true => {
            let certificate = credential_files::read(section, CERTIFICATE, FileKind::Certificate);
            let key = credential_files::read(section, KEY, FileKind::Key);
            (certificate?, key?, KEY)
        }
        false => {
            let both = credential_files::read(section, CERTIFICATE, FileKind::Key)?;
            (both.clone(), both, CERTIFICATE)
        }
    };
    // A path that leads to no file may be a secret in the wrong key: it is not shown, and what is wrong was said above.
    let content = |path| read_regular(path, MAX_FILE).ok();
    let contents = content(&certificate).zip(content(&key));
    let checks = section.scope.context.checks;
    let checked = contents.map_or(Ok(()), |(certificate, key)| {
        checks.certificate(&certificate, &key)
    });
    if let Err(WrongCertificate { of_key, wrong }) = checked {
        let (blamed, file) = match of_key {
            true => (key_is_in, &key),
            false => (CERTIFICATE, &certificate),
        };
        let wrong = Wrong {
            what: format!("the file {}", wrong.what),
            remedy: wrong.remedy.replace("{place}", &file.display().to_string()),
        };
        section.refuse_credential(blamed, wrong)?;
    }
    Some(Credential::Certificate { certificate, key })
}

/// A secret's identifier, and the identity that may read it.
fn read_vault(section: &mut Section<'_>) -> Option<Credential> {
    let secret = section.own(VAULT, vault_secret);
    if !section.given(IDENTITY) {
        let remedy = "set managed_identity beside it, to the identity whose token opens the vault";
        section.refuse(VAULT, wrong("nothing says who may read it", remedy));
        return None;
    }
    let identity = read_identity(section);
    Some(Credential::KeyVault {
        secret: secret?,
        identity: identity?,
    })
}

/// The domains of the vaults of Microsoft's clouds.
const VAULTS: [&str; 3] = [
    ".vault.azure.net",
    ".vault.usgovcloudapi.net",
    ".vault.azure.cn",
];

/// The identifier of a secret in a vault; loopback is for tests.
fn vault_secret(text: &str) -> Result<Url, Wrong> {
    const REMEDY: &str = "copy the secret's \"Secret Identifier\" from Azure: https://NAME.vault.azure.net/secrets/NAME";
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

fn read_identity(section: &mut Section<'_>) -> Option<ManagedIdentity> {
    const REMEDY: &str = "write \"system\", or the client id of a user-assigned managed identity, as its overview page in Azure shows it";
    let client_id = section.own(IDENTITY, |text| match text {
        "system" => Ok(None),
        id => guid(id)
            .map(Some)
            .map_err(|Wrong { what, .. }| wrong(what, REMEDY)),
    })?;
    match identity_endpoint::of_environment(section.scope.context.environment) {
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

/// Reads the variable that the key names.
fn read_variable(section: &mut Section<'_>) -> Option<SecretSource> {
    let name = section.own(VARIABLE, |name| Ok(name.to_owned()))?;
    let value = match secret(section.scope.context.environment.get(&name)) {
        Ok(value) => value,
        Err(wrong) => {
            section.refuse_credential(VARIABLE, wrong)?;
            SecretString::default()
        }
    };
    Some(SecretSource::Env { name, value })
}

fn secret(variable: Option<&String>) -> Result<SecretString, Wrong> {
    let what = match variable {
        None => "there is no environment variable of this name",
        Some(value) if value.trim().is_empty() => "the environment variable of this name is empty",
        Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => {
            "the environment variable of this name is not UTF-8"
        }
        Some(value) => return Ok(SecretString::from(value.trim_end_matches(['\r', '\n']))),
    };
    let remedy =
        "give the name of a variable (not the secret itself), and set it to the secret's value";
    Err(wrong(what, remedy))
}
