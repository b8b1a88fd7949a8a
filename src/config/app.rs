//! `[app]`: the app registration and its credential, for all tenants or for one.
//!
//! A tenant with a secret or a federated token of its own takes nothing of the shared credential: a second secret
//! belongs to its first one. A second secret alone is used with the shared first one.

use std::sync::Arc;

use secrecy::SecretString;
use uuid::Uuid;

use super::credential_files::{self, FileKind};
use super::origin::Spot;
use super::problems::{Wrong, wrong};
use super::section::Section;
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
        let settings = settings.map(|(client_id, credential)| AppSettings {
            client_id,
            credential,
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
            "set it to the path of a file that holds the secret's Value, or set app.client_secret_env or \
             app.federated_token_file"
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

/// The keys of each kind of credential, and why a kind excludes those before it.
const KINDS: [(&[&str], &str); 2] = [
    (&[FILE, VARIABLE, NEXT], ""),
    (&[FEDERATED], "a federated token stands in place of secrets"),
];

/// The keys of all kinds.
fn keys() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|(keys, _)| *keys).copied()
}

/// The keys that give a credential by themselves. A second secret goes with a first one.
fn main_keys() -> impl Iterator<Item = &'static str> {
    keys().filter(|key| *key != NEXT)
}

/// Reports keys that exclude each other as one mistake. Their values are not checked then.
fn refuse_two(section: &mut Section<'_>) -> Option<()> {
    let mut kinds = KINDS.iter().filter_map(|(keys, why)| {
        let key = keys.iter().find(|key| section.given(key))?;
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
    let is_own = main_keys().any(|key| section.given(key));
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
        Some(Credential::Federated(_)) | None => {
            let what = "it is the second of two secrets, and there is no first";
            let remedy = "set client_secret_file beside it, or name this file there";
            section.refuse(NEXT, wrong(what, remedy));
            return None;
        }
    };
    let is_good = next.is_some() || !section.given(NEXT);
    is_good.then_some(Credential::Secret { current, next })
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
