//! `[app]`: the app registration and its credential, for all tenants or for one.
//!
//! A tenant with a secret or a federated token of its own takes nothing of the shared credential: a second secret
//! belongs to its first one. A second secret alone is used with the shared first one.

use secrecy::SecretString;
use uuid::Uuid;

use super::credential_files::{self, FileKind};
use super::problems::{Wrong, wrong};
use super::section::Section;
use crate::settings::{AppSettings, Credential, SecretSource};

/// Why there is no part of an app registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    NotGiven,
    /// It is given, and what is wrong with it is reported.
    Refused,
}

/// A part of an app registration that may be given for all tenants, for one, or not at all.
type AppPart<T> = Result<T, Lack>;

/// A key that was read as `value`.
fn part<T>(section: &Section<'_>, key: &str, value: Option<T>) -> AppPart<T> {
    value.ok_or(match section.given(key) {
        true => Lack::Refused,
        false => Lack::NotGiven,
    })
}

#[derive(Clone)]
pub(super) struct AppParts {
    client_id: AppPart<Uuid>,
    credential: AppPart<Credential>,
}

impl AppParts {
    pub const NONE: AppParts = AppParts {
        client_id: Err(Lack::NotGiven),
        credential: Err(Lack::NotGiven),
    };

    /// Reads a section; `base` holds what it does not give.
    pub fn read(section: &mut Section<'_>, base: &AppParts) -> Self {
        let client_id = section.own("client_id", guid);
        let client_id = match part(section, "client_id", client_id) {
            Err(Lack::NotGiven) => base.client_id,
            own => own,
        };
        Self {
            client_id,
            credential: read_credential(section, &base.credential),
        }
    }

    /// Required keys that are not given.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let client_id = self.client_id.as_ref().err();
        let credential = self.credential.as_ref().err();
        let keys = [(client_id, "client_id"), (credential, FILE)].into_iter();
        keys.filter_map(|(lack, key)| (lack == Some(&Lack::NotGiven)).then_some(key))
    }

    /// `None` if a part is missing or was refused.
    pub fn complete(&self) -> Option<AppSettings> {
        Some(AppSettings {
            client_id: self.client_id.ok()?,
            credential: self.credential.clone().ok()?,
        })
    }
}

fn guid(text: &str) -> Result<Uuid, Wrong> {
    const REMEDY: &str = "copy \"Application (client) ID\" from the app registration's overview page in Microsoft Entra";
    let id = (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten();
    match id {
        None => Err(wrong("it is not a GUID", REMEDY)),
        Some(id) if id.is_nil() => Err(wrong("it is still the example's placeholder", REMEDY)),
        Some(id) => Ok(id),
    }
}

const FILE: &str = "client_secret_file";
const VARIABLE: &str = "client_secret_env";
const NEXT: &str = "client_secret_next_file";
const FEDERATED: &str = "federated_token_file";

/// File and variable count as one part, and so do the first and the second secret.
fn read_credential(section: &mut Section<'_>, base: &AppPart<Credential>) -> AppPart<Credential> {
    if refuse_too_many(section) {
        return Err(Lack::Refused);
    }
    let file = credential_files::read(section, FILE, FileKind::Secret);
    let first = file
        .map(SecretSource::File)
        .or_else(|| read_variable(section));
    let next = credential_files::read(section, NEXT, FileKind::NextSecret);
    let federated = credential_files::read(section, FEDERATED, FileKind::Token);
    let is_own = [FILE, VARIABLE, FEDERATED]
        .iter()
        .any(|key| section.given(key));
    if is_own {
        // A tenant with a credential of its own uses nothing of the shared one.
        for key in [FILE, VARIABLE, NEXT, FEDERATED] {
            section.unset(key);
        }
    }
    if section.given(FEDERATED) {
        return federated.map(Credential::Federated).ok_or(Lack::Refused);
    }
    let next = part(section, NEXT, next);
    let current = match (is_own, next.as_ref(), base) {
        (true, ..) => first.ok_or(Lack::Refused)?,
        (false, Err(Lack::NotGiven), base) => return base.clone(),
        (false, _, Ok(Credential::Secret { current, .. })) => current.clone(),
        (false, _, Err(Lack::Refused)) => return Err(Lack::Refused),
        (false, _, Ok(Credential::Federated(_)) | Err(Lack::NotGiven)) => {
            let alone = wrong(
                "it is the second of two secrets, and there is no first",
                "set client_secret_file beside it, or name this file there",
            );
            section.refuse(NEXT, alone);
            return Err(Lack::Refused);
        }
    };
    let next = match next {
        Err(Lack::NotGiven) => None,
        next => Some(next?),
    };
    Ok(Credential::Secret { current, next })
}

/// Reports keys that exclude each other as one mistake. Their values are not checked then.
fn refuse_too_many(section: &mut Section<'_>) -> bool {
    let secret = [FILE, VARIABLE, NEXT]
        .into_iter()
        .find(|key| section.given(key));
    let (blamed, other, why, remedy) = match secret {
        Some(secret) if section.given(FEDERATED) => (
            FEDERATED,
            secret,
            "a federated token stands in place of secrets",
            format!("remove {secret}, or {FEDERATED}"),
        ),
        Some(FILE) if section.given(VARIABLE) => (
            VARIABLE,
            FILE,
            "there can be one first secret only",
            format!("keep one of the two; during a rotation the second secret goes into {NEXT}"),
        ),
        _ => return false,
    };
    let place = section.origin_of(other);
    section.refuse(
        blamed,
        wrong(format!("{other} ({place}) is given too, and {why}"), remedy),
    );
    true
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
        Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => {
            let what = "the environment variable of this name is not UTF-8";
            return Err(wrong(what, "set it to the secret's value"));
        }
        Some(value) if !value.trim().is_empty() => {
            return Ok(SecretString::from(value.trim_end_matches(['\r', '\n'])));
        }
        Some(_) => "the environment variable of this name is empty",
        None => "there is no environment variable of this name",
    };
    let remedy =
        "give the name of a variable (not the secret itself), and set it to the secret's value";
    Err(wrong(what, remedy))
}
