//! Where a value is given (a line of a file, or an environment variable), and which value of a key is in force.
//!
//! The `config` crate keeps an origin with each value. Here it is the number of the line in a file, or the name of a
//! variable. The reader of a file knows which file it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use config::{Map, Value};

use crate::core::format::tame;

/// The values of a file, or of a table in it.
pub(super) type Table = Map<String, Value>;

/// One of the files that make up the configuration.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub name: Arc<str>,
    /// Its place in the order of reading.
    pub rank: usize,
}

impl File {
    pub fn new(path: &Path, rank: usize) -> Self {
        // A file's name may contain line breaks, and a report has one line for each mistake.
        let name = tame(&path.display().to_string()).into();
        Self { name, rank }
    }
}

/// A place in a file, or environment variables.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    text: Arc<str>,
    /// The order of a report: file by file, each from top to bottom, then the environment.
    pub order: (usize, usize),
}

impl Spot {
    pub fn whole(file: &File) -> Self {
        Self {
            text: Arc::clone(&file.name),
            order: (file.rank, 0),
        }
    }

    pub fn line(file: &File, line: usize) -> Self {
        Self {
            text: format!("{}:{line}", file.name).into(),
            order: (file.rank, line),
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
    pub fn of(value: &Value, file: &File) -> Self {
        match value.origin().map(|origin| (origin, origin.parse())) {
            None => Self::whole(file),
            Some((_, Ok(line))) => Self::line(file, line),
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
