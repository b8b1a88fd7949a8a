//! One table of the configuration, read key by key.
//!
//! A wrong value is reported and then counts as not given, so that reading goes on to the next mistake. The meaning of
//! each key is noted. A tenant without a key has what all tenants have.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::keys::{self, ConfigKey, KeyType};
use super::origin::{KeyMeaning, Spot, Table, dotted};
use super::problems::{Diagnosis, Problem, Wrong, quoted_text, scalar, shown, wrong};
use super::scope::{Owner, Scope};
use super::unknown_keys;
use super::values::{FromText, literal};
use crate::core::health::failure::one_line;

pub(super) struct Section<'a> {
    pub diagnosis: &'a mut Diagnosis,
    pub scope: &'a Scope<'a>,
    /// Its name from the root, or from the tenant: `kafka.properties`.
    name: String,
    /// Where it begins: a missing key is reported there.
    spot: Spot,
    values: Table,
    refused: Vec<String>,
    has_free_keys: bool,
}

impl<'a> Section<'a> {
    /// The table of a whole file, or of a tenant.
    pub fn new(
        diagnosis: &'a mut Diagnosis,
        scope: &'a Scope<'_>,
        spot: Spot,
        values: Table,
    ) -> Self {
        Self {
            diagnosis,
            scope,
            name: String::new(),
            spot,
            values,
            refused: Vec::new(),
            has_free_keys: false,
        }
    }

    /// Reads a table within this one, which is empty if it is not given. Then reports its unknown keys.
    pub fn within<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let mut values = Table::new();
        match self.values.get_mut(key).map(|value| &mut value.kind) {
            None => {}
            Some(ValueKind::Table(table)) => values = std::mem::take(table),
            Some(_) => {
                let remedy = match self.scope.is_tenant() {
                    true => format!("write its keys as {key}.KEY = …"),
                    false => format!("write it as [{}] with its keys below", self.path_of(key)),
                };
                let what = "it is a single value, and should be a table";
                self.refuse(key, wrong(what, remedy));
            }
        }
        // A table that only the environment gives has no line.
        let spot = self.given_at(key).filter(|spot| !spot.is_variable());
        let mut section = Section {
            spot: spot.unwrap_or_else(|| self.spot.clone()),
            scope: self.scope,
            name: dotted(&self.name, key),
            values,
            refused: Vec::new(),
            has_free_keys: false,
            diagnosis: self.diagnosis,
        };
        let value = read(&mut section);
        section.finish();
        value
    }

    /// A list of tables, each with its place; an empty list if it is not given.
    pub fn tables(&mut self, key: &'static str) -> Vec<(Spot, Table)> {
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

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Whether this section gives the key, rightly or wrongly.
    pub fn given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn refused(&self, key: &str) -> bool {
        self.refused.iter().any(|refused| refused == key)
    }

    pub fn given_at(&self, key: &str) -> Option<Spot> {
        let value = self.values.get(key)?;
        Some(Spot::of(value, &self.scope.file))
    }

    /// Where the key is given; where the section begins, if it is not given.
    pub fn place_of(&self, key: &str) -> Spot {
        self.given_at(key).unwrap_or_else(|| self.spot.clone())
    }

    /// The origin of a key's value, for a sentence about another key.
    pub fn origin_of(&self, key: &str) -> String {
        match self.given_at(key) {
            Some(spot) => spot.to_string(),
            None if self.scope.is_tenant() => "what all tenants have".into(),
            None => "the default".into(),
        }
    }

    /// The value of this section, or the default; `None` if there is none.
    pub fn get<T: FromText>(&mut self, key: &'static str) -> Option<T> {
        self.get_or(key, None)
    }

    /// The value of this section. Without one that of all tenants, for a tenant; otherwise the default.
    pub fn get_or<T: FromText>(&mut self, key: &'static str, shared: Option<T>) -> Option<T> {
        let row = keys::find(&self.name, key);
        self.read_or(key, shared, |text| T::from_text(text, row))
    }

    /// As [`Section::get`]; `parse` says what is wrong with a text.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.read_or(key, None, parse)
    }

    /// As [`Section::get_or`]; `parse` says what is wrong with a text.
    pub fn read_or<T>(
        &mut self,
        key: &'static str,
        shared: Option<T>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if let Some(value) = self.own(key, &parse).or(shared) {
            return Some(value);
        }
        let row = keys::find(&self.name, key);
        let default = row.default()?;
        let literal = literal(row, default, &self.scope.context);
        self.mean(key, literal, "default");
        parse(default).ok()
    }

    /// The value of this section.
    pub fn own<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let row = keys::find(&self.name, key);
        let text = text(self.values.get(key)?, row);
        match text.and_then(|text| parse(&text).map(|value| (value, text))) {
            Ok((value, text)) => {
                let origin = self.given_at(key)?.to_string();
                self.mean(key, literal(row, &text, &self.scope.context), origin);
                Some(value)
            }
            Err(wrong) => {
                self.refuse(key, wrong);
                None
            }
        }
    }

    /// Notes the value of a key as TOML, and its origin.
    pub fn mean(&mut self, key: &str, literal: String, origin: impl Into<String>) {
        let origin = origin.into();
        self.insert(key, Some(KeyMeaning { literal, origin }));
    }

    /// Notes that a tenant does not use the main file's value of a key.
    pub fn unset(&mut self, key: &str) {
        if !self.given(key) {
            self.insert(key, None);
        }
    }

    fn insert(&mut self, key: &str, meaning: Option<KeyMeaning>) {
        let tenant = match self.scope.owner {
            Owner::Tenant { number, .. } => Some(number),
            Owner::Daemon | Owner::Folder => None,
        };
        let path = dotted(&self.name, key);
        self.diagnosis.provenance.insert((tenant, path), meaning);
    }

    /// Reports what is wrong with a key.
    pub fn refuse(&mut self, key: &str, wrong: Wrong) {
        self.refused.push(key.into());
        let path = self.path_of(key);
        let value = self.values.get(key);
        let problem = Problem {
            value: value.and_then(|value| shown(&path, value)),
            ..self.problem(&self.place_of(key), key, wrong)
        };
        self.diagnosis.problems.push(problem);
    }

    pub fn warn(&mut self, key: &str, text: String) {
        let place = format!("{}: {}", self.place_of(key), self.path_of(key));
        self.diagnosis.warn(place, text);
    }

    /// Reports a credential that can't be used: as a mistake, or as a warning to a caller that needs none.
    pub fn refuse_credential(&mut self, key: &str, wrong: Wrong) -> Option<()> {
        if self.scope.context.needs_credentials {
            self.refuse(key, wrong);
            return None;
        }
        self.warn(key, format!("{}: {}", wrong.what, wrong.remedy));
        Some(())
    }

    /// Gives each value below this table a dotted name, for a table whose keys are free: `sasl.password`. The environment
    /// takes precedence.
    pub fn flatten(&mut self) {
        self.has_free_keys = true;
        let values = std::mem::take(&mut self.values);
        self.flatten_into("", values);
    }

    fn flatten_into(&mut self, above: &str, values: Table) {
        let sorted: BTreeMap<String, Value> = values.into_iter().collect();
        for (name, value) in sorted {
            let name = dotted(above, &name);
            if let ValueKind::Table(table) = value.kind {
                self.flatten_into(&name, table);
                continue;
            }
            let spot = Spot::of(&value, &self.scope.file);
            match self.given_at(&name) {
                Some(other) if other.is_variable() == spot.is_variable() => {
                    let what = format!("it is given at {other}, too");
                    let wrong = wrong(what, "remove one of the two");
                    let problem = self.problem(&spot, &name, wrong);
                    self.diagnosis.problems.push(problem);
                }
                Some(other) if other.is_variable() => {}
                _ => drop(self.values.insert(name, value)),
            }
        }
    }

    /// All names in their order, each with its value, which is `None` for a list; for a table whose keys are free.
    pub fn all(&self) -> BTreeMap<String, Option<String>> {
        let all = self.values.iter();
        all.map(|(name, value)| (name.clone(), scalar(value)))
            .collect()
    }

    /// Reports unknown keys.
    pub fn finish(self) {
        if !self.has_free_keys {
            unknown_keys::report(self.scope, &self.name, &self.values, self.diagnosis);
        }
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

/// The single value of a key, as text. The environment gives a list as one text with commas, so a list becomes that.
fn text(value: &Value, key: &ConfigKey) -> Result<String, Wrong> {
    if let KeyType::List = key.kind {
        let list = match &value.kind {
            ValueKind::Array(values) => values.iter().map(quoted_text).collect::<Option<Vec<_>>>(),
            _ => quoted_text(value).map(|text| vec![text]),
        };
        let no_list = || wrong("it should be a list of texts", "write it as [\"…\", \"…\"]");
        return list.map(|texts| texts.join(",")).ok_or_else(no_list);
    }
    let Some(text) = scalar(value) else {
        return Err(wrong("it is a list or a table", "give a single value"));
    };
    let names_something = matches!(
        key.kind,
        KeyType::Path | KeyType::Credential | KeyType::Variable
    );
    let what = match &value.kind {
        ValueKind::String(_) => return Ok(text.trim().to_owned()),
        _ if !names_something => return Ok(text),
        // A number would be taken for the name of a file.
        ValueKind::Boolean(_) => "it is true or false, and should be a text",
        _ => "it is a number, and should be a text",
    };
    Err(wrong(what, "give a text in quotes"))
}
