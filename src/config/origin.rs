//! Where a value is given (a line of a file, or an environment variable), and which value of a key is in force.
//!
//! The `config` crate keeps an origin with each value. Here it is the number of the line in a file, or the name of a
//! variable. The reader of a file knows which file it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use crate::core::format::tame;

/// The values of a file, or of a table in it.
pub(super) type Table = Map<String, Value>;

/// A file, a line of it, or environment variables.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    text: Arc<str>,
    /// The order of a report: file by file, each from top to bottom, then the environment.
    pub order: (usize, usize),
}

impl Spot {
    /// A file as a whole. `rank` is its place in the order of reading.
    pub fn file(path: &Path, rank: usize) -> Self {
        Self {
            // A file's name may contain line breaks, and a report has one line for each mistake.
            text: tame(&path.display().to_string()).into(),
            order: (rank, 0),
        }
    }

    /// A line of this file.
    pub fn line(&self, line: usize) -> Self {
        Self {
            text: format!("{self}:{line}").into(),
            order: (self.order.0, line),
        }
    }

    /// One variable's name; several when they contradict each other.
    pub fn variable(name: &str) -> Self {
        Self {
            text: format!("environment variable {name}").into(),
            order: (usize::MAX, 0),
        }
    }

    /// Where a value of this file or of the environment is given.
    pub fn of(&self, value: &Value) -> Self {
        match value.origin().map(|origin| (origin, origin.parse())) {
            None => self.clone(),
            Some((_, Ok(line))) => self.line(line),
            Some((name, Err(_))) => Self::variable(name),
        }
    }

    pub fn is_variable(&self) -> bool {
        self.order.0 == usize::MAX
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The meaning of every key that has one, noted where it is read. The number is a tenant's, over all files; without it
/// the key is the main file's. `None`: the tenant does not use what the main file has.
pub(super) type Provenance = BTreeMap<(Option<usize>, String), Option<KeyMeaning>>;

/// A key's value, and why it holds. A value that may be a secret is never in here.
pub(super) struct KeyMeaning {
    /// As TOML.
    pub literal: String,
    pub origin: String,
}

/// A key below a table.
pub(super) fn dotted(table: &str, key: &str) -> String {
    match table {
        "" => key.into(),
        table => format!("{table}.{key}"),
    }
}

/// Every value in a table that is no table itself, with its path. A list of tables counts as a table: `tenants[3].id`.
pub(super) fn leaves<'a>(above: &str, table: &'a Table) -> Vec<(String, &'a Value)> {
    let below = table
        .iter()
        .flat_map(|(key, value)| leaves_of(dotted(above, key), value));
    below.collect()
}

fn leaves_of(path: String, value: &Value) -> Vec<(String, &Value)> {
    let is_table = |value: &Value| matches!(value.kind, ValueKind::Table(_));
    match &value.kind {
        ValueKind::Table(table) => leaves(&path, table),
        ValueKind::Array(values) if !values.is_empty() && values.iter().all(is_table) => {
            let values = values.iter().enumerate();
            let below = values.flat_map(|(n, value)| leaves_of(format!("{path}[{n}]"), value));
            below.collect()
        }
        _ => vec![(path, value)],
    }
}
