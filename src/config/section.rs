//! One table of the configuration, read key by key. What is asked for is taken out; what is left at the end is unknown.
//!
//! A value that is wrong is reported and then counts as not given, so that reading goes on to the next mistake.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::problems::{Findings, Problem, Wrong, scalar, shown, wrong};
use super::units;

/// Keys that people try, and what to do instead.
const HINTS: [(&str, &str); 6] = [
    (
        "client_secret",
        "put the secret into a file that only the daemon can read and name it in client_secret_file, or name an environment \
         variable in client_secret_env",
    ),
    (
        "max_concurrent",
        "it holds for the whole daemon: set it in [poll] of the main file",
    ),
    (
        "max_in_flight",
        "it holds for the whole daemon: set it in [poll] of the main file",
    ),
    (
        "brokers",
        "there is one Kafka for the whole daemon: set it in [kafka] of the main file",
    ),
    (
        "tenant_id",
        "a tenant's id is the key id in its [[tenants]]",
    ),
    (
        "interval",
        "set schedule in [poll], for example \"every 30s\"",
    ),
];

/// The file that is being read, and the tenant, when it is one's.
#[derive(Clone)]
pub(super) struct Place {
    pub file: Arc<str>,
    pub tenant: Option<String>,
}

pub(super) struct Section<'a> {
    pub findings: &'a mut Findings,
    place: Place,
    path: String,
    table: Map<String, Value>,
    asked: Vec<Asked>,
}

/// A key that was asked for, and how it was given.
struct Asked {
    key: &'static str,
    given: Option<Given>,
    refused: bool,
}

struct Given {
    origin: Option<String>,
    shown: Option<String>,
}

impl<'a> Section<'a> {
    pub fn new(
        findings: &'a mut Findings,
        place: Place,
        path: impl Into<String>,
        table: Map<String, Value>,
    ) -> Self {
        Self {
            findings,
            place,
            path: path.into(),
            table,
            asked: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A table within this one; an empty one when it is not given.
    pub fn section(&mut self, key: &'static str) -> Section<'_> {
        let table = match self.take(key).map(|value| value.kind) {
            Some(ValueKind::Table(table)) => table,
            Some(_) => {
                let remedy = format!("write it as [{}] with its keys below", self.path_of(key));
                self.refuse(
                    key,
                    wrong("it is a single value, and should be a table", remedy),
                );
                Map::new()
            }
            None => Map::new(),
        };
        let path = self.path_of(key);
        Section::new(self.findings, self.place.clone(), path, table)
    }

    /// A list of tables, each with the place of its own; an empty list when it is not given.
    pub fn tables(&mut self, key: &'static str) -> Vec<Map<String, Value>> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let tables: Option<Vec<_>> = match value.kind {
            ValueKind::Array(values) => values.into_iter().map(into_table).collect(),
            _ => None,
        };
        tables.unwrap_or_else(|| {
            let remedy = format!("write each as [[{key}]] with its keys below; this can't be set from the environment");
            self.refuse(key, wrong("it is not a list of tables", remedy));
            Vec::new()
        })
    }

    /// A single value. `parse` says what is wrong with its text.
    pub fn parse<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let parsed = match scalar(&value) {
            Some(text) => parse(text.trim()),
            None => Err(wrong("it is a list or a table", "give a single value")),
        };
        parsed.map_err(|wrong| self.refuse(key, wrong)).ok()
    }

    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.parse(key, |text| {
            let found = choices.iter().find(|(name, _)| *name == text);
            found.map(|(_, choice)| *choice).ok_or_else(|| {
                let names: Vec<String> = choices
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                wrong(
                    "there is no such choice",
                    format!("choose {}", names.join(" or ")),
                )
            })
        })
    }

    pub fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.parse(key, |text| units::number(text, range))
    }

    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.parse(key, |text| units::duration_in(text, range))
    }

    pub fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        self.parse(key, |text| units::size_in(text, range))
    }

    /// Whether the key was given, rightly or wrongly. Holds for keys already asked for.
    pub fn given(&self, key: &str) -> bool {
        self.asked
            .iter()
            .any(|asked| asked.key == key && asked.given.is_some())
    }

    pub fn refused(&self, key: &str) -> bool {
        self.asked
            .iter()
            .any(|asked| asked.key == key && asked.refused)
    }

    /// Reports what is wrong with a key already asked for.
    pub fn refuse(&mut self, key: &str, wrong: Wrong) {
        let asked = self.asked.iter_mut().find(|asked| asked.key == key);
        let (origin, shown) = match asked {
            Some(asked) => {
                asked.refused = true;
                let given = asked.given.as_ref();
                given.map_or((None, None), |given| {
                    (given.origin.clone(), given.shown.clone())
                })
            }
            None => (None, None),
        };
        self.report(self.path_of(key), origin, shown, wrong);
    }

    pub fn warn(&mut self, key: &str, text: String) {
        let place = format!("{}: {}", self.place.file, self.path_of(key));
        self.findings.warn(&place, text);
    }

    /// All that is left, for a table whose keys are free.
    pub fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.table)
    }

    /// Reports a key that was not asked for by name: one of [`Section::rest`].
    pub fn refuse_free(&mut self, key: &str, origin: Option<&str>, wrong: Wrong) {
        self.report(self.path_of(key), origin.map(Into::into), None, wrong);
    }

    /// Reports what nobody asked for.
    pub fn finish(mut self) {
        let mut unknown: Vec<(String, Value)> = self.rest().into_iter().collect();
        unknown.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in unknown {
            let remedy = self.remedy_for_unknown(&key);
            // Its value is not shown: nobody knows what it is, so that it may be a secret.
            let origin = value.origin().map(str::to_owned);
            self.report(
                self.path_of(&key),
                origin,
                None,
                wrong("there is no such key", remedy),
            );
        }
    }

    fn remedy_for_unknown(&self, key: &str) -> String {
        if let Some((_, hint)) = HINTS.iter().find(|(name, _)| *name == key) {
            return (*hint).into();
        }
        let near = self
            .asked
            .iter()
            .map(|asked| (units::distance(key, asked.key), asked.key))
            .min();
        match near {
            Some((distance, name)) if distance <= 2 && distance < name.len() / 2 => {
                format!("did you mean {name}?")
            }
            _ => {
                let known: Vec<&str> = self.asked.iter().map(|asked| asked.key).collect();
                format!("remove it; here are known: {}", known.join(", "))
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        let value = self.table.remove(key);
        let given = value.as_ref().map(|value| Given {
            origin: value.origin().map(str::to_owned),
            shown: shown(&self.path_of(key), value),
        });
        self.asked.push(Asked {
            key,
            given,
            refused: false,
        });
        value
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            // A key with odd characters would read like a path.
            return crate::core::failure::one_line(key, 80);
        }
        format!("{}.{}", self.path, crate::core::failure::one_line(key, 80))
    }

    fn report(&mut self, key: String, origin: Option<String>, value: Option<String>, wrong: Wrong) {
        self.findings.problems.push(Problem {
            origin: origin.unwrap_or_else(|| self.place.file.to_string()),
            key,
            tenant: self.place.tenant.clone(),
            value,
            what: wrong.what,
            remedy: wrong.remedy,
        });
    }
}

fn into_table(value: Value) -> Option<Map<String, Value>> {
    match value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}
