//! `[app]`: the app registration and its credential, for all tenants or for one.
//!
//! A tenant with a secret or a federated token of its own takes nothing of the shared credential: a second secret
//! belongs to its first one. A second secret alone is used with the shared first one.

use std::path::PathBuf;

use secrecy::SecretString;
use uuid::Uuid;

use super::context::Context;
use super::credential_files::{self, FileKind};
use super::problems::{Wrong, wrong};
use super::section::ConfigSection;
use super::values::{Literal, quoted};
use crate::settings::{AppSettings, Credential, SecretSource};

/// A part of an app registration that may be given for all tenants, for one, or not at all.
#[derive(Clone)]
pub(super) enum Field<T> {
    Missing,
    /// Given, refused and reported.
    Refused,
    Valid(T),
}

impl<T> Field<T> {
    /// The result of a key that was read as `value`; `base` if it is not given.
    fn of(section: &ConfigSection<'_>, key: &str, value: Option<T>, base: Field<T>) -> Self {
        match value {
            Some(value) => Field::Valid(value),
            None if section.given(key) => Field::Refused,
            None => base,
        }
    }
}

#[derive(Clone)]
pub(super) struct AppParts {
    client_id: Field<Uuid>,
    credential: Field<Credential>,
}

impl AppParts {
    pub const NONE: AppParts = AppParts {
        client_id: Field::Missing,
        credential: Field::Missing,
    };

    /// Reads a section; `base` holds what it does not give.
    pub fn read(section: &mut ConfigSection<'_>, base: &AppParts, context: &Context<'_>) -> Self {
        let client_id = section.own("client_id", guid);
        Self {
            client_id: Field::of(section, "client_id", client_id, base.client_id.clone()),
            credential: read_credential(section, &base.credential, context),
        }
    }

    /// Required keys that are not given.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let client_id = matches!(self.client_id, Field::Missing).then_some("client_id");
        let secret = matches!(self.credential, Field::Missing).then_some("client_secret_file");
        client_id.into_iter().chain(secret)
    }

    /// `None` if a part is missing or was refused.
    pub fn complete(&self) -> Option<AppSettings> {
        match (&self.client_id, &self.credential) {
            (Field::Valid(client_id), Field::Valid(credential)) => Some(AppSettings {
                client_id: *client_id,
                credential: credential.clone(),
            }),
            _ => None,
        }
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
fn read_credential(
    section: &mut ConfigSection<'_>,
    base: &Field<Credential>,
    context: &Context<'_>,
) -> Field<Credential> {
    if refuse_too_many(section) {
        return Field::Refused;
    }
    let file = credential_files::read(section, FILE, context, FileKind::Secret);
    let variable = read_variable(section, context);
    let next = credential_files::read(section, NEXT, context, FileKind::NextSecret);
    let federated = credential_files::read(section, FEDERATED, context, FileKind::Token);
    if [FILE, VARIABLE, FEDERATED]
        .iter()
        .any(|key| section.given(key))
    {
        // A tenant with a credential of its own uses nothing of the shared one.
        for key in [FILE, VARIABLE, NEXT, FEDERATED] {
            section.unset(key);
        }
    }
    if section.given(FEDERATED) {
        return federated.map_or(Field::Refused, |file| {
            Field::Valid(Credential::Federated(file))
        });
    }
    let next = Field::of(section, NEXT, next, Field::Missing);
    if section.given(FILE) || section.given(VARIABLE) {
        let first = file.map(SecretSource::File).or(variable);
        return with_next(first, next);
    }
    beside_shared(section, next, base)
}

/// The credential of `base`, with a second secret if one is given.
fn beside_shared(
    section: &mut ConfigSection<'_>,
    next: Field<PathBuf>,
    base: &Field<Credential>,
) -> Field<Credential> {
    match (next, base) {
        (Field::Missing, base) => base.clone(),
        (next, Field::Valid(Credential::Secret { current, .. })) => {
            with_next(Some(current.clone()), next)
        }
        (_, Field::Refused) => Field::Refused,
        (_, Field::Missing | Field::Valid(Credential::Federated(_))) => {
            let alone = wrong(
                "it is the second of two secrets, and there is no first",
                "set client_secret_file beside it, or name this file there",
            );
            section.refuse(NEXT, alone);
            Field::Refused
        }
    }
}

fn with_next(first: Option<SecretSource>, next: Field<PathBuf>) -> Field<Credential> {
    let next = match next {
        Field::Missing => None,
        Field::Valid(file) => Some(file),
        Field::Refused => return Field::Refused,
    };
    first.map_or(Field::Refused, |current| {
        Field::Valid(Credential::Secret { current, next })
    })
}

/// Reports keys that exclude each other as one mistake. Their values are not checked then.
fn refuse_too_many(section: &mut ConfigSection<'_>) -> bool {
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
    let place = section.whence(other);
    section.refuse(
        blamed,
        wrong(format!("{other} ({place}) is given too, and {why}"), remedy),
    );
    true
}

/// Reads the variable that the key names.
fn read_variable(section: &mut ConfigSection<'_>, context: &Context<'_>) -> Option<SecretSource> {
    let mut unfit = None;
    let variable = section.own(VARIABLE, |name| {
        let found = secret_variable(name, context);
        let value = found.as_ref().ok().cloned().unwrap_or_default();
        unfit = context.on_unreadable.weigh(found.map(|_| ()))?;
        Ok(Variable {
            name: name.into(),
            value,
            is_there: context.environment.contains_key(name),
        })
    })?;
    if let Some(Wrong { what, remedy }) = unfit {
        section.warn(VARIABLE, format!("{what}: {remedy}"));
    }
    let Variable { name, value, .. } = variable;
    Some(SecretSource::Env { name, value })
}

struct Variable {
    name: String,
    value: SecretString,
    is_there: bool,
}

/// The name of a missing variable is not shown: it could be a secret in the wrong key.
impl Literal for Variable {
    fn literal(&self) -> String {
        match self.is_there {
            true => quoted(&self.name),
            false => quoted("(not shown: there is no such variable now)"),
        }
    }
}

fn secret_variable(name: &str, context: &Context<'_>) -> Result<SecretString, Wrong> {
    match context.environment.get(name) {
        Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => Err(wrong(
            "the environment variable of this name is not UTF-8",
            "set it to the secret's value",
        )),
        Some(value) if !value.trim().is_empty() => {
            Ok(SecretString::from(value.trim_end_matches(['\r', '\n'])))
        }
        found => Err(wrong(
            match found {
                Some(_) => "the environment variable of this name is empty",
                None => "there is no environment variable of this name",
            },
            "give the name of a variable (not the secret itself), and set it to the secret's value",
        )),
    }
}
