//! One table of the configuration, read key by key.
//!
//! A wrong value is reported and then counts as not given, so that reading goes on to the next mistake. The meaning of
//! each key is noted. A tenant without a key has what all tenants have.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::keys::{self, ConfigKey, KeyType};
use super::origin::{KeyMeaning, Spot, Table, dotted, leaves};
use super::problems::{Diagnosis, Problem, Wrong, quoted_text, scalar, shown, wrong};
use super::scope::Scope;
use super::unknown_keys;
use super::values::{FromText, literal};
use crate::core::health::failure::one_line;

pub(super) struct Section<'a> {
    pub diagnosis: &'a mut Diagnosis,
    pub scope: &'a Scope<'a>,
    /// Its name from the root, or from the tenant: `kafka.properties`.
    name: String,
    /// Where it begins: a missing key is reported there.
    pub spot: Spot,
    values: Table,
    refused: Vec<String>,
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
        }
    }

    /// Reads a table within this one, which is empty if it is not given. Then reports its unknown keys.
    pub fn within<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let mut section = self.enter(key);
        let value = read(&mut section);
        section.finish();
        value
    }

    /// A table within this one, some of whose keys are read elsewhere, or are free.
    pub fn enter(&mut self, key: &'static str) -> Section<'_> {
        let values = match self.values.get(key).map(|value| &value.kind) {
            None => Table::new(),
            Some(ValueKind::Table(table)) => table.clone(),
            Some(_) => {
                let remedy = match self.scope.is_tenant() {
                    true => format!("write its keys as {key}.KEY = …"),
                    false => format!("write it as [{}] with its keys below", self.path_of(key)),
                };
                let what = "it is a single value, and should be a table";
                self.refuse(key, wrong(what, remedy));
                Table::new()
            }
        };
        // A table that only the environment gives has no line.
        let spot = self.given_at(key).filter(|spot| !spot.is_variable());
        let spot = spot.unwrap_or_else(|| self.spot.clone());
        let name = dotted(&self.name, key);
        Section {
            name,
            ..Section::new(self.diagnosis, self.scope, spot, values)
        }
    }

    /// A list of tables, each with its place; an empty list if it is not given.
    pub fn tables(&mut self, key: &'static str) -> Vec<(Spot, Table)> {
        let Some(value) = self.values.get_mut(key) else {
            return Vec::new();
        };
        let place = |value: &Value| self.scope.file.of(value);
        let is_table = |value: &Value| matches!(value.kind, ValueKind::Table(_));
        let what = match &mut value.kind {
            ValueKind::Array(values) if values.iter().all(is_table) => {
                let tables = std::mem::take(values).into_iter();
                let placed = tables.map(|table| (place(&table), table.into_table()));
                return placed
                    .filter_map(|(spot, table)| Some((spot, table.ok()?)))
                    .collect();
            }
            ValueKind::Array(_) => "it is a list of other things than tables",
            ValueKind::Table(_) => "it is one table, and should be a list of tables",
            _ => "it is a single value, and should be a list of tables",
        };
        let remedy = match place(value).is_variable() {
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

    /// Whether this section gives the key, or all tenants have it.
    pub fn in_force(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub fn refused(&self, key: &str) -> bool {
        self.refused.iter().any(|refused| refused == key)
    }

    pub fn given_at(&self, key: &str) -> Option<Spot> {
        let value = self.values.get(key)?;
        Some(self.scope.file.of(value))
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

    /// The value in force as text, for a sentence about another key.
    pub fn text_of(&self, key: &str) -> String {
        let row = keys::find(&self.name, key);
        let given = self.value(key).and_then(|value| text(value, row).ok());
        given.unwrap_or_else(|| row.default.to_owned())
    }

    /// What this section gives, or what all tenants have.
    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).or_else(|| self.shared_value(key))
    }

    fn shared_value(&self, key: &str) -> Option<&Value> {
        match &self.scope.shared?.get(&self.name)?.kind {
            ValueKind::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// The value in force: this section's, for a tenant without one that of all tenants, otherwise the default. `None` if
    /// there is none.
    pub fn get<T: FromText>(&mut self, key: &'static str) -> Option<T> {
        let row = keys::find(&self.name, key);
        self.read(key, |text| T::from_text(text, row))
    }

    /// As [`Section::get`]; `parse` says what is wrong with a text.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let given = self.own(key, &parse).or_else(|| self.shared(key, &parse));
        if given.is_some() {
            return given;
        }
        let row = keys::find(&self.name, key);
        let default = row.default()?;
        if self.scope.shared.is_none() {
            self.mean(key, literal(row, default, &self.scope.context), "default");
        }
        parse(default).ok()
    }

    /// What all tenants have, for a tenant. A wrong value is reported where it is given.
    pub fn shared<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = text(self.shared_value(key)?, keys::find(&self.name, key));
        text.and_then(|text| parse(&text)).ok()
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
                let literal = literal(row, &text, &self.scope.context);
                self.mean(key, literal, self.place_of(key).to_string());
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
        self.note(key, Some(KeyMeaning { literal, origin }));
    }

    /// Notes that a tenant does not use the main file's value of a key.
    pub fn unset(&mut self, key: &str) {
        if !self.given(key) {
            self.note(key, None);
        }
    }

    fn note(&mut self, key: &str, meaning: Option<KeyMeaning>) {
        let tenant = self.scope.tenant().map(|tenant| tenant.number);
        let path = dotted(&self.name, key);
        self.diagnosis.provenance.insert((tenant, path), meaning);
    }

    /// Reports what is wrong with a key.
    pub fn refuse(&mut self, key: &str, wrong: Wrong) {
        self.refused.push(key.into());
        let path = self.path_of(key);
        let value = self.values.get(key);
        self.diagnosis.problems.push(Problem {
            value: value.and_then(|value| shown(&path, value)),
            ..self.scope.problem(&self.place_of(key), &path, wrong)
        });
    }

    /// Reports what is wrong with the table as a whole.
    pub fn refuse_whole(&mut self, wrong: Wrong) {
        let problem = self.scope.problem(&self.spot, &self.name, wrong);
        self.diagnosis.problems.push(problem);
    }

    pub fn warn(&mut self, key: &str, text: impl Into<String>) {
        let path = self.scope.path(&self.path_of(key));
        let place = format!("{}: {path}", self.place_of(key));
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
    /// takes precedence. Returns the names and the values, which are `None` for a list.
    pub fn flatten(&mut self) -> BTreeMap<String, Option<String>> {
        let values = std::mem::take(&mut self.values);
        let placed = leaves("", &values).into_iter();
        let mut placed: Vec<(Spot, String, &Value)> = placed
            .map(|(name, value)| (self.scope.file.of(value), name, value))
            .collect();
        // The environment comes last.
        placed.sort_by_key(|(spot, ..)| spot.order);
        for (spot, name, value) in placed {
            match self.given_at(&name) {
                Some(other) if other.is_variable() == spot.is_variable() => {
                    let wrong = wrong(
                        format!("it is given at {other}, too"),
                        "remove one of the two",
                    );
                    let problem = self.scope.problem(&spot, &self.path_of(&name), wrong);
                    self.diagnosis.problems.push(problem);
                }
                _ => drop(self.values.insert(name, value.clone())),
            }
        }
        let all = self.values.iter();
        all.map(|(name, value)| (name.clone(), scalar(value)))
            .collect()
    }

    /// Reports unknown keys. Returns the values.
    pub fn finish(self) -> Table {
        unknown_keys::report(self.scope, &self.name, &self.values, self.diagnosis);
        self.values
    }

    /// A key's path from the root, or from the tenant, in one line whatever characters the key has.
    fn path_of(&self, key: &str) -> String {
        dotted(&self.name, &one_line(key, 80))
    }
}

/// The single value of a key, as text. The environment gives a list as one text with commas, so a list becomes that.
fn text(value: &Value, key: &ConfigKey) -> Result<String, Wrong> {
    match (key.kind, &value.kind) {
        (_, ValueKind::String(text)) => Ok(text.trim().to_owned()),
        (KeyType::List, ValueKind::Array(values)) if values.iter().all(is_text) => {
            let texts: Vec<&str> = values.iter().filter_map(quoted_text).collect();
            Ok(texts.join(","))
        }
        (KeyType::List, _) => {
            let remedy = "write it as [\"…\", \"…\"]";
            Err(wrong("it should be a list of texts", remedy))
        }
        (_, ValueKind::Table(_) | ValueKind::Array(_)) => {
            Err(wrong("it is a list or a table", "give a single value"))
        }
        // A number would be taken for the name of a file.
        (KeyType::Path | KeyType::Credential | KeyType::Variable, kind) => {
            let what = match kind {
                ValueKind::Boolean(_) => "it is true or false, and should be a text",
                _ => "it is a number, and should be a text",
            };
            Err(wrong(what, "give a text in quotes"))
        }
        _ => Ok(scalar(value).unwrap_or_default()),
    }
}

fn is_text(value: &Value) -> bool {
    quoted_text(value).is_some()
}
