//! One table of the configuration, read key by key.
//!
//! A wrong value is reported and then counts as not given, so that reading goes on to the next mistake. The meaning of
//! each key is noted. A tenant's key falls back to the main file's value, and that to the default.

use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::keys::{self, ConfigKey, KeyType};
use super::origin::{Spot, dotted};
use super::problems::{Diagnosis, Problem, Wrong, scalar, shown, wrong};
use super::provenance::KeyMeaning;
use super::scope::{Owner, Scope};
use super::unknown_keys::{self, UnknownKey};
use super::values::{FromText, Literal};
use crate::core::health::failure::one_line;

pub(super) struct ConfigSection<'a> {
    pub diagnosis: &'a mut Diagnosis,
    scope: &'a Scope,
    /// Its name from the root, or from the tenant: `kafka.properties`.
    name: String,
    /// Where it begins: a missing key is reported there.
    spot: Spot,
    values: Map<String, Value>,
    /// For a tenant's section: the same table of the main file.
    shared: Option<&'a Map<String, Value>>,
    refused: Vec<String>,
}

impl<'a> ConfigSection<'a> {
    /// The table of a whole file, or of a tenant.
    pub fn new(
        diagnosis: &'a mut Diagnosis,
        scope: &'a Scope,
        spot: Spot,
        values: Map<String, Value>,
    ) -> Self {
        Self {
            diagnosis,
            scope,
            name: String::new(),
            spot,
            values,
            shared: None,
            refused: Vec::new(),
        }
    }

    /// The same for a tenant, with the tables of the main file.
    pub fn over(self, shared: &'a Map<String, Value>) -> Self {
        Self {
            shared: Some(shared),
            ..self
        }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// A table within this one; an empty one if it is not given.
    pub fn section(&mut self, key: &'static str) -> ConfigSection<'_> {
        let (mut values, mut is_table) = (Map::new(), true);
        match self.values.get_mut(key).map(|value| &mut value.kind) {
            Some(ValueKind::Table(table)) => values = std::mem::take(table),
            Some(_) => is_table = false,
            None => {}
        }
        if !is_table {
            let remedy = match self.scope.is_tenant() {
                true => format!("write its keys as {key}.KEY = …"),
                false => format!("write it as [{}] with its keys below", self.path_of(key)),
            };
            self.refuse(
                key,
                wrong("it is a single value, and should be a table", remedy),
            );
        }
        // A table that only the environment gives has no line.
        let spot = self.given_at(key).filter(|spot| !spot.is_variable());
        let shared = self.shared.and_then(|shared| match &shared.get(key)?.kind {
            ValueKind::Table(table) => Some(table),
            _ => None,
        });
        ConfigSection {
            spot: spot.unwrap_or_else(|| self.spot.clone()),
            scope: self.scope,
            name: dotted(&self.name, key),
            values,
            shared,
            refused: Vec::new(),
            diagnosis: self.diagnosis,
        }
    }

    /// A list of tables, each with its place; an empty list if it is not given.
    pub fn tables(&mut self, key: &'static str) -> Vec<(Spot, Map<String, Value>)> {
        let file = &self.scope.file;
        let Some(value) = self.values.get_mut(key) else {
            return Vec::new();
        };
        let spot = Spot::of(value, file);
        let what = match &mut value.kind {
            ValueKind::Array(values) => {
                let table = |value: Value| match (Spot::of(&value, file), value.kind) {
                    (spot, ValueKind::Table(table)) => Some((spot, table)),
                    _ => None,
                };
                match std::mem::take(values).into_iter().map(table).collect() {
                    Some(tables) => return tables,
                    None => "it is a list of other things than tables",
                }
            }
            ValueKind::Table(_) => "it is one table, and should be a list of tables",
            _ => "it is a single value, and should be a list of tables",
        };
        let remedy = match spot.is_variable() {
            true => format!("unset it: the environment can't hold [[{key}]], only files can"),
            false => {
                format!("write [[{key}]], with two brackets on either side, above the keys of each")
            }
        };
        self.refuse(key, wrong(what, remedy));
        Vec::new()
    }

    /// Whether this section gives the key, rightly or wrongly.
    pub fn given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn refused(&self, key: &str) -> bool {
        self.refused.iter().any(|refused| refused == key)
    }

    pub fn given_at(&self, key: &str) -> Option<Spot> {
        self.values.get(key).map(|value| self.spot_of(value))
    }

    /// The origin of a key's value, for a sentence about another key.
    pub fn whence(&self, key: &str) -> String {
        match self.given_at(key) {
            Some(spot) => spot.to_string(),
            None if self.scope.is_tenant() => "what all tenants have".into(),
            None => "the default".into(),
        }
    }

    /// The value of this section, of the main file, or the default; `None` if there is none.
    pub fn get<T: FromText>(&mut self, key: &'static str) -> Option<T> {
        let bounds = keys::find(&self.name, key).bounds();
        self.read(key, |text| T::from_text(text, bounds))
    }

    /// The same; `parse` says what is wrong with a text.
    pub fn read<T: Literal>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if let Some(own) = self.own(key, &parse) {
            return Some(own);
        }
        let row = keys::find(&self.name, key);
        let shared = self
            .shared
            .and_then(|shared| text(shared.get(key)?, row).ok());
        if let Some(shared) = shared.and_then(|text| parse(&text).ok()) {
            return Some(shared);
        }
        let default = parse(row.default()?).ok()?;
        if let Owner::Daemon = self.scope.owner {
            let literal = default.literal();
            self.mean(key, KeyMeaning::Default { literal });
        }
        Some(default)
    }

    /// The value of this section.
    pub fn own<T: Literal>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let row = keys::find(&self.name, key);
        let parsed = text(self.values.get(key)?, row).and_then(|text| parse(&text));
        self.note(key, parsed)
    }

    /// A list of texts, empty if it is not given. The environment gives it as one text with commas.
    pub fn texts(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<Arc<str>, Wrong>,
    ) -> Vec<Arc<str>> {
        let no_list = || wrong("it should be a list of texts", "write it as [\"…\", \"…\"]");
        let texts: Result<Vec<String>, Wrong> = match self.values.get(key).map(|value| &value.kind)
        {
            None => return Vec::new(),
            Some(ValueKind::Array(values)) => {
                let text = |value: &'_ Value| match &value.kind {
                    ValueKind::String(text) => Ok(text.clone()),
                    _ => Err(no_list()),
                };
                values.iter().map(text).collect()
            }
            Some(ValueKind::String(text)) if text.trim().is_empty() => Ok(Vec::new()),
            Some(ValueKind::String(text)) => Ok(text.split(',').map(str::to_owned).collect()),
            Some(_) => Err(no_list()),
        };
        let texts = texts.and_then(|texts| texts.iter().map(|text| parse(text.trim())).collect());
        self.note(key, texts).unwrap_or_default()
    }

    /// Notes the meaning of a given key, or reports what is wrong with it.
    fn note<T: Literal>(&mut self, key: &str, parsed: Result<T, Wrong>) -> Option<T> {
        match parsed {
            Ok(value) => {
                let (literal, spot) = (value.literal(), self.given_at(key)?);
                self.mean(key, KeyMeaning::Given { literal, spot });
                Some(value)
            }
            Err(wrong) => {
                self.refuse(key, wrong);
                None
            }
        }
    }

    /// Notes that a key follows from others.
    pub fn derive(&mut self, key: &str, value: &impl Literal, from: String) {
        let literal = value.literal();
        self.mean(key, KeyMeaning::Derived { literal, from });
    }

    /// Notes that a tenant does not use the main file's value of a key.
    pub fn unset(&mut self, key: &str) {
        if !self.given(key) {
            self.mean(key, KeyMeaning::Unset);
        }
    }

    pub fn mean(&mut self, key: &str, meaning: KeyMeaning) {
        let tenant = match self.scope.owner {
            Owner::Tenant { number, .. } => Some(number),
            Owner::Daemon | Owner::Folder => None,
        };
        let path = dotted(&self.name, key);
        self.diagnosis.provenance.insert(tenant, path, meaning);
    }

    /// Reports what is wrong with a key.
    pub fn refuse(&mut self, key: &str, wrong: Wrong) {
        self.refused.push(key.into());
        let path = self.path_of(key);
        let value = self.values.get(key);
        let problem = Problem {
            value: value.and_then(|value| shown(&path, value)),
            ..self.problem(&self.spot_or_own(key), key, wrong)
        };
        self.diagnosis.problems.push(problem);
    }

    pub fn warn(&mut self, key: &str, text: String) {
        let spot = self.spot_or_own(key);
        self.warn_free(key, &spot, text);
    }

    /// Reports a key of a table whose keys are free.
    pub fn refuse_free(&mut self, key: &str, spot: &Spot, wrong: Wrong) {
        let problem = self.problem(spot, key, wrong);
        self.diagnosis.problems.push(problem);
    }

    pub fn warn_free(&mut self, key: &str, spot: &Spot, text: String) {
        let place = format!("{spot}: {}", self.path_of(key));
        self.diagnosis.warn(place, text);
    }

    /// All values, for a table whose keys are free.
    pub fn take_all(&mut self) -> Vec<(String, Value)> {
        sorted(std::mem::take(&mut self.values))
    }

    pub fn spot_of(&self, value: &Value) -> Spot {
        Spot::of(value, &self.scope.file)
    }

    /// Reports unknown keys.
    pub fn finish(mut self) {
        let known: Vec<&'static ConfigKey> = match self.scope.owner {
            Owner::Tenant { .. } => keys::of_tenant(&self.name).collect(),
            Owner::Daemon => keys::of_main_file()
                .filter(|key| key.table == self.name)
                .collect(),
            Owner::Folder => vec![keys::find("", "tenants")],
        };
        let is_known = |name: &str| known.iter().any(|key| key.name == name);
        let has_tenants = self.given("tenants");
        let unknown: Vec<UnknownKey> = self
            .take_all()
            .into_iter()
            .filter(|(name, _)| !is_known(name))
            .map(|(name, value)| UnknownKey {
                spot: self.spot_of(&value),
                is_table: matches!(value.kind, ValueKind::Table(_) | ValueKind::Array(_)),
                name,
            })
            .collect();
        if !unknown.is_empty() {
            let table = unknown_keys::UnknownKeys {
                scope: self.scope,
                table: &self.name,
                known,
                has_tenants,
            };
            table.report(unknown, self.diagnosis);
        }
    }

    fn spot_or_own(&self, key: &str) -> Spot {
        self.given_at(key).unwrap_or_else(|| self.spot.clone())
    }

    fn problem(&self, spot: &Spot, key: &str, wrong: Wrong) -> Problem {
        // One line, whatever characters the key has.
        let path = dotted(&self.name, &one_line(key, 80));
        self.scope.problem(spot, &path, wrong)
    }

    fn path_of(&self, key: &str) -> String {
        self.problem(&self.spot, key, wrong("", "")).key
    }
}

/// The single value of a key, as text.
fn text(value: &Value, key: &ConfigKey) -> Result<String, Wrong> {
    let is_text = matches!(key.kind, KeyType::Path | KeyType::Variable);
    match (&value.kind, scalar(value)) {
        (_, None) => Err(wrong("it is a list or a table", "give a single value")),
        (ValueKind::String(_), Some(text)) => Ok(text.trim().to_owned()),
        (_, Some(text)) if !is_text => Ok(text),
        // A number would be taken for the name of a file.
        (kind, Some(_)) => {
            let what = match kind {
                ValueKind::Boolean(_) => "it is true or false, and should be a text",
                _ => "it is a number, and should be a text",
            };
            Err(wrong(what, "give a text in quotes"))
        }
    }
}

/// In the order of the keys.
pub(super) fn sorted(table: Map<String, Value>) -> Vec<(String, Value)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}
