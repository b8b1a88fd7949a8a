//! `[app]`: the app registration and its secret, for all tenants or for one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use uuid::Uuid;

use super::layers::read_regular;
use super::problems::{Wrong, wrong};
use super::section::Section;
use super::settings::{AppSettings, SecretSource};

/// A secret has some forty characters, a federated one a few thousand: what is larger is another file.
const MAX_SECRET: u64 = 64 << 10;

/// What values refer to.
pub(super) struct World<'a> {
    /// Where relative paths start: the main file's folder.
    pub folder: &'a Path,
    pub environment: &'a HashMap<String, String>,
}

impl World<'_> {
    pub fn path(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() || text.contains('\0') {
            return Err(wrong("it is empty, or no path", "give a path"));
        }
        Ok(self.folder.join(text))
    }
}

/// A part of an app registration that may be given for all tenants, for one, or for neither.
#[derive(Clone)]
pub(super) enum Part<T> {
    Absent,
    /// Given, refused and reported.
    Wrong,
    Good(T),
}

impl<T: Clone> Part<T> {
    fn or(&self, base: &Part<T>) -> Part<T> {
        match self {
            Part::Absent => base.clone(),
            given => given.clone(),
        }
    }
}

pub(super) struct AppParts {
    client_id: Part<Uuid>,
    secret: Part<SecretSource>,
}

impl AppParts {
    pub fn read(section: &mut Section<'_>, world: &World<'_>) -> Self {
        let client_id = section.parse("client_id", guid);
        Self {
            client_id: match client_id {
                Some(id) => Part::Good(id),
                None if section.given("client_id") => Part::Wrong,
                None => Part::Absent,
            },
            secret: read_secret(section, world),
        }
    }

    /// These parts where given, else those of `base`. File and variable count as one part.
    pub fn over(&self, base: &AppParts) -> AppParts {
        AppParts {
            client_id: self.client_id.or(&base.client_id),
            secret: self.secret.or(&base.secret),
        }
    }

    /// The keys that are given nowhere.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let client_id = matches!(self.client_id, Part::Absent).then_some("client_id");
        let secret = matches!(self.secret, Part::Absent).then_some("client_secret_file");
        client_id.into_iter().chain(secret)
    }

    /// `None` when a part is missing or was refused.
    pub fn complete(&self) -> Option<AppSettings> {
        match (&self.client_id, &self.secret) {
            (Part::Good(client_id), Part::Good(secret)) => Some(AppSettings {
                client_id: *client_id,
                secret: secret.clone(),
            }),
            _ => None,
        }
    }
}

fn guid(text: &str) -> Result<Uuid, Wrong> {
    let id = (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten();
    id.ok_or_else(|| {
        wrong(
            "it is not a GUID",
            "copy \"Application (client) ID\" from the app registration's overview page",
        )
    })
}

fn read_secret(section: &mut Section<'_>, world: &World<'_>) -> Part<SecretSource> {
    let file = section.parse("client_secret_file", |text| secret_file(text, world));
    let variable = section.parse("client_secret_env", |text| secret_variable(text, world));
    match (
        section.given("client_secret_file"),
        section.given("client_secret_env"),
    ) {
        (false, false) => Part::Absent,
        (true, true) => {
            let both = wrong("client_secret_file is given too", "keep one of the two");
            section.refuse("client_secret_env", both);
            Part::Wrong
        }
        _ => file.or(variable).map_or(Part::Wrong, Part::Good),
    }
}

/// The values themselves are not named in these errors: a secret pasted into the wrong key must not get into a log.
fn secret_file(text: &str, world: &World<'_>) -> Result<SecretSource, Wrong> {
    let path = world.path(text)?;
    let content = read_regular(&path, MAX_SECRET).map_err(|error| {
        wrong(
            format!("the file can't be read: {error}"),
            "give the path of a file that holds the secret's value and that the daemon's user can read",
        )
    })?;
    match String::from_utf8(content) {
        Ok(secret) if !secret.trim().is_empty() => Ok(SecretSource::File(path)),
        Ok(_) => Err(wrong(
            "the file is empty",
            "write the secret's value into it",
        )),
        Err(_) => Err(wrong(
            "the file is not text",
            "write the secret's value, and nothing else, into it",
        )),
    }
}

fn secret_variable(name: &str, world: &World<'_>) -> Result<SecretSource, Wrong> {
    match world.environment.get(name) {
        Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => Err(wrong(
            "the environment variable of this name is not UTF-8",
            "set it to the secret's value",
        )),
        Some(value) if !value.trim().is_empty() => Ok(SecretSource::Env {
            name: name.into(),
            value: SecretString::from(value.trim_end_matches(['\r', '\n'])),
        }),
        found => Err(wrong(
            match found {
                Some(_) => "the environment variable of this name is empty",
                None => "there is no environment variable of this name",
            },
            "give the name of a variable (not the secret itself), and set it to the secret's value",
        )),
    }
}
