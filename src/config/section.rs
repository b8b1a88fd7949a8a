//! One table of the configuration, read key by key. What is asked for is taken out; what is left at the end is unknown.
//!
//! A value that is wrong is reported and then counts as not given, so that reading goes on to the next mistake. What each
//! key came to is noted on the way.

mod values;

use config::{Map, Value, ValueKind};

use super::origin::{File, Spot};
use super::problems::{Diagnosis, Problem, Wrong, scalar, shown, wrong};
use crate::config::provenance::{Entry, Meaning, Table, quoted};
use crate::config::unknown_keys::{Known, Stray, StrayKey};
use crate::core::health::failure::one_line;

/// Whose table it is.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    /// The main file's: it holds for all.
    Daemon,
    /// A file of `tenants_dir`, outside of its tenants.
    Folder,
    Tenant {
        /// Its place within the file.
        index: usize,
        /// Its place over all files.
        number: usize,
        /// Its name or id, before anything is known to be right.
        label: Option<String>,
    },
}

/// What all sections of one file, or of one tenant, have in common.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub file: File,
    pub owner: Owner,
}

pub(super) struct ConfigSection<'a> {
    pub diagnosis: &'a mut Diagnosis,
    scope: Scope,
    /// Its name from the root, or from the tenant: `kafka.properties`.
    name: String,
    /// Where it begins: a missing key is reported there.
    spot: Spot,
    values: Map<String, Value>,
    asked: Vec<Asked>,
}

/// A key that was asked for, and how it was given.
struct Asked {
    key: &'static str,
    is_table: bool,
    given: Option<Given>,
    refused: bool,
    /// What it came to; without, nobody has said.
    meaning: Option<Meaning>,
}

struct Given {
    spot: Spot,
    shown: Option<String>,
}

impl<'a> ConfigSection<'a> {
    /// The table of a whole file, or of a tenant.
    pub fn new(
        diagnosis: &'a mut Diagnosis,
        scope: Scope,
        spot: Spot,
        values: Map<String, Value>,
    ) -> Self {
        Self {
            diagnosis,
            scope,
            name: String::new(),
            spot,
            values,
            asked: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// A table within this one; an empty one when it is not given.
    pub fn section(&mut self, key: &'static str) -> ConfigSection<'_> {
        let value = self.take(key, true);
        // A table that only the environment gives has no place of its own.
        let spot = value
            .as_ref()
            .map(|value| Spot::of(value, &self.scope.file))
            .filter(|spot| !spot.is_variable())
            .unwrap_or_else(|| self.spot.clone());
        let values = match value.map(|value| value.kind) {
            Some(ValueKind::Table(values)) => values,
            Some(_) => {
                let name = self.path_of(key);
                let remedy = match self.scope.owner {
                    Owner::Tenant { .. } => format!("write its keys as {key}.KEY = …"),
                    _ => format!("write it as [{name}] with its keys below"),
                };
                self.refuse(
                    key,
                    wrong("it is a single value, and should be a table", remedy),
                );
                Map::new()
            }
            None => Map::new(),
        };
        ConfigSection {
            scope: self.scope.clone(),
            name: dotted(&self.name, key),
            spot,
            values,
            asked: Vec::new(),
            diagnosis: self.diagnosis,
        }
    }

    /// A list of tables, each with where it begins; an empty list when it is not given.
    pub fn tables(&mut self, key: &'static str) -> Vec<(Spot, Map<String, Value>)> {
        let Some(value) = self.take(key, true) else {
            return Vec::new();
        };
        let spot = Spot::of(&value, &self.scope.file);
        let what = match value.kind {
            ValueKind::Array(values) => {
                let file = &self.scope.file;
                let table = |value: Value| {
                    let spot = Spot::of(&value, file);
                    match value.kind {
                        ValueKind::Table(table) => Some((spot, table)),
                        _ => None,
                    }
                };
                let tables: Option<Vec<_>> = values.into_iter().map(table).collect();
                match tables {
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

    /// Whether the key is there, asked for or not.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key) || self.given(key)
    }

    /// Whether the key was given, rightly or wrongly. Holds for keys already asked for.
    pub fn given(&self, key: &str) -> bool {
        self.asked(key).is_some_and(|asked| asked.given.is_some())
    }

    pub fn refused(&self, key: &str) -> bool {
        self.asked(key).is_some_and(|asked| asked.refused)
    }

    /// Where a key already asked for was given.
    pub fn given_at(&self, key: &str) -> Option<&Spot> {
        Some(&self.asked(key)?.given.as_ref()?.spot)
    }

    /// The place of a key already asked for, for a sentence about another one.
    pub fn whence(&self, key: &str) -> String {
        match (self.given_at(key), &self.scope.owner) {
            (Some(spot), _) => spot.to_string(),
            (None, Owner::Tenant { .. }) => "what all tenants have".into(),
            (None, _) => "the default".into(),
        }
    }

    pub fn is_tenant(&self) -> bool {
        matches!(self.scope.owner, Owner::Tenant { .. })
    }

    /// Reports what is wrong with a key already asked for.
    pub fn refuse(&mut self, key: &str, wrong: Wrong) {
        let asked = self.asked.iter_mut().find(|asked| asked.key == key);
        let (spot, shown) = match asked {
            Some(asked) => {
                asked.refused = true;
                let given = asked.given.as_ref();
                given.map_or((None, None), |given| {
                    (Some(given.spot.clone()), given.shown.clone())
                })
            }
            None => (None, None),
        };
        let spot = spot.unwrap_or_else(|| self.spot.clone());
        self.report(&spot, key, shown, wrong);
    }

    pub fn warn(&mut self, key: &str, text: String) {
        let spot = self.given_at(key).unwrap_or(&self.spot).clone();
        self.warn_free(key, &spot, text);
    }

    /// All that is left, for a table whose keys are free.
    pub fn rest(&mut self) -> Vec<(String, Value)> {
        let mut rest: Vec<_> = std::mem::take(&mut self.values).into_iter().collect();
        rest.sort_by(|(a, _), (b, _)| a.cmp(b));
        rest
    }

    pub fn spot_of(&self, value: &Value) -> Spot {
        Spot::of(value, &self.scope.file)
    }

    /// Reports a key that was not asked for by name: one of [`ConfigSection::rest`].
    pub fn refuse_free(&mut self, key: &str, spot: &Spot, wrong: Wrong) {
        self.report(spot, key, None, wrong);
    }

    pub fn warn_free(&mut self, key: &str, spot: &Spot, text: String) {
        let place = format!("{spot}: {}", self.path_of(key));
        self.diagnosis.warn(place, text);
    }

    /// Reports what nobody asked for, and notes what was asked for.
    pub fn finish(self) {
        self.finish_with(Vec::new());
    }

    /// The same for a table with free keys, which came to these.
    pub fn finish_with(mut self, free: Vec<(String, Meaning)>) {
        let keys: Vec<StrayKey> = self
            .rest()
            .into_iter()
            .map(|(key, value)| StrayKey {
                spot: self.spot_of(&value),
                is_table: matches!(value.kind, ValueKind::Table(_) | ValueKind::Array(_)),
                key,
            })
            .collect();
        let tenant = match self.scope.owner {
            Owner::Tenant { number, .. } => Some(number),
            Owner::Daemon | Owner::Folder => None,
        };
        if !keys.is_empty() {
            let known = |asked: &Asked| Known {
                table: self.name.clone(),
                key: asked.key.into(),
                is_table: asked.is_table,
            };
            self.diagnosis.strays.push(Stray {
                known: self.asked.iter().map(known).collect(),
                headless: matches!(self.scope.owner, Owner::Folder) && !self.given("tenants"),
                scope: self.scope.clone(),
                table: self.name.clone(),
                keys,
            });
        }
        if matches!(self.scope.owner, Owner::Folder) {
            return;
        }
        let asked = self.asked.into_iter().map(|asked| Entry {
            meaning: asked.meaning.unwrap_or(match tenant {
                Some(_) if asked.given.is_none() => Meaning::Inherited,
                _ => Meaning::Unset,
            }),
            key: asked.key.into(),
            is_table: asked.is_table,
        });
        let free = free.into_iter().map(|(key, meaning)| Entry {
            key: quoted(&key),
            is_table: false,
            meaning,
        });
        self.diagnosis.record.tables.push(Table {
            path: self.name,
            tenant,
            entries: asked.chain(free).collect(),
        });
    }

    fn asked(&self, key: &str) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.key == key)
    }

    fn take(&mut self, key: &'static str, is_table: bool) -> Option<Value> {
        let value = self.values.remove(key);
        let given = value.as_ref().map(|value| Given {
            spot: self.spot_of(value),
            shown: shown(&self.path_of(key), value),
        });
        self.asked.push(Asked {
            key,
            is_table,
            given,
            refused: false,
            meaning: None,
        });
        value
    }

    /// The single value of a key, as text; of one that `is_text`, nothing but a text. The environment's values all are.
    fn take_text(&mut self, key: &'static str, is_text: bool) -> Option<Result<String, Wrong>> {
        let value = self.take(key, false)?;
        let other = match value.kind {
            ValueKind::String(_) => None,
            ValueKind::Boolean(_) => Some("it is true or false, and should be a text"),
            _ => Some("it is a number, and should be a text"),
        };
        Some(match (scalar(&value), other.filter(|_| is_text)) {
            (None, _) => Err(wrong("it is a list or a table", "give a single value")),
            (Some(_), Some(what)) => Err(wrong(what, "give a text in quotes")),
            (Some(text), None) => Ok(text.trim().to_owned()),
        })
    }

    fn mean(&mut self, key: &str, meaning: Meaning) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.key == key) {
            asked.meaning = Some(meaning);
        }
    }

    fn path_of(&self, key: &str) -> String {
        // A key with odd characters would read like a path.
        let path = dotted(&self.name, &one_line(key, 80));
        match self.scope.owner {
            Owner::Tenant { index, .. } => format!("tenants[{index}].{path}"),
            Owner::Daemon | Owner::Folder => path,
        }
    }

    fn report(&mut self, spot: &Spot, key: &str, value: Option<String>, wrong: Wrong) {
        let tenant = match &self.scope.owner {
            Owner::Tenant { label, .. } => label.as_ref(),
            Owner::Daemon | Owner::Folder => None,
        };
        let problem = Problem::at(spot, self.path_of(key), wrong);
        let problem = problem.of(tenant).with_value(value);
        self.diagnosis.problems.push(problem);
    }
}

/// A key below a table.
pub(super) fn dotted(table: &str, key: &str) -> String {
    match table {
        "" => key.into(),
        table => format!("{table}.{key}"),
    }
}
