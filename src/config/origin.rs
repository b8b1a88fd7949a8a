//! Where a value is given: a line of a file, or an environment variable.
//!
//! The `config` crate keeps an origin with each value. Here it is the number of the line in a file, or the name of a
//! variable. The reader of a file knows which file it is.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use config::Value;

use crate::core::format::tame;

/// One of the files that make up the configuration.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub name: Arc<str>,
    /// Its place in the order of reading.
    pub rank: usize,
}

impl File {
    pub fn new(path: &Path, rank: usize) -> Self {
        Self {
            // A file's name may contain line breaks, and a report has one line for each mistake.
            name: tame(&path.display().to_string()).into(),
            rank,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Spot {
    File {
        file: File,
        line: Option<usize>,
    },
    /// One variable's name; several when they contradict each other.
    Variable(Arc<str>),
}

impl Spot {
    pub fn whole(file: &File) -> Self {
        Self::File {
            file: file.clone(),
            line: None,
        }
    }

    pub fn line(file: &File, line: usize) -> Self {
        Self::File {
            file: file.clone(),
            line: Some(line),
        }
    }

    /// Where a value of this file or of the environment is given.
    pub fn of(value: &Value, file: &File) -> Self {
        let Some(origin) = value.origin() else {
            return Self::whole(file);
        };
        match origin.parse() {
            Ok(line) => Self::line(file, line),
            Err(_) => Self::Variable(origin.into()),
        }
    }

    pub fn is_variable(&self) -> bool {
        matches!(self, Self::Variable(_))
    }

    /// The order of a report: file by file, each from top to bottom, then the environment.
    pub fn order(&self) -> (usize, usize) {
        match self {
            Self::File { file, line } => (file.rank, line.unwrap_or(0)),
            Self::Variable(_) => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                file,
                line: Some(line),
            } => write!(f, "{}:{line}", file.name),
            Self::File { file, line: None } => f.write_str(&file.name),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A key below a table.
pub(super) fn dotted(table: &str, key: &str) -> String {
    match table {
        "" => key.into(),
        table => format!("{table}.{key}"),
    }
}
