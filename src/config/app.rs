//! `[app]`: the app registration and its credential, for all tenants or for one.
//!
//! An app has one kind of credential. A tenant with a credential of its own takes nothing of the shared one: a second secret
//! belongs to its first one. A second secret alone is used with the shared first one.

use std::sync::Arc;

use secrecy::SecretString;

use super::credential_files::{self, FileKind};
use super::identities::{self, read_identity, read_vault};
use super::layers::read_regular;
use super::library_checks::WrongCertificate;
use super::origin::Spot;
use super::problems::{Wrong, wrong};
use super::section::Section;
use super::values::guid;
use crate::core::secret_text::MAX_FILE;
use crate::core::time::ticks::Ticks;
use crate::settings::{AppSettings, Credential, SecretSource};

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

const FILE: &str = "client_secret_file";
const VARIABLE: &str = "client_secret_env";
const NEXT: &str = "client_secret_next_file";
const FEDERATED: &str = identities::FEDERATED;
const CERTIFICATE: &str = "certificate_file";
const KEY: &str = "certificate_key_file";
const IDENTITY: &str = identities::IDENTITY;
const VAULT: &str = identities::VAULT;
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

/// Of these, one stands beside a secret in Key Vault: the identity whose token opens the vault.
const OPENERS: [&str; 2] = [IDENTITY, FEDERATED];

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
    let in_vault = section.given(VAULT);
    let mut kinds = KINDS.iter().filter_map(|(keys, why)| {
        let key = keys.iter().find(|key| section.given(key))?;
        let opens = in_vault && OPENERS.contains(key);
        (!opens).then_some((*key, *why))
    });
    let (key, other, why, remedy) = match (kinds.next()?, kinds.next_back()) {
        ((other, _), Some((key, why))) => (key, other, why, format!("remove {other}, or {key}")),
        ((FILE, _), None) if section.given(VARIABLE) => (
            VARIABLE,
            FILE,
            "there can be one first secret only",
            format!("keep one of the two; during a rotation the second secret goes into {NEXT}"),
        ),
        _ if in_vault && OPENERS.iter().all(|key| section.given(key)) => (
            IDENTITY,
            FEDERATED,
            "one identity opens the key vault",
            format!("remove {FEDERATED}, or {IDENTITY}"),
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
    if section.given(VAULT) {
        return read_vault(section);
    }
    if section.given(FEDERATED) {
        let token = credential_files::read(section, FEDERATED, FileKind::Token);
        return token.map(Credential::Federated);
    }
    if section.given(CERTIFICATE) || section.given(KEY) {
        return read_certificate(section);
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
