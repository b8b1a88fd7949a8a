//! Where a value was given: a line of a file, or a variable of the environment.
//!
//! The `config` crate keeps an origin beside each value. Here it is the number of the line for what a file gives, and the
//! variable's name for what the environment gives: which file it is, its reader knows.

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
            // A file may have any name, and a report has a line for each mistake.
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
    /// One variable's name; more than one when they contradict each other.
    Variable(Arc<str>),
}

impl Spot {
    pub fn whole(file: &File) -> Self {
        Self::File {
            file: file.clone(),
            line: None,
        }
    }

    pub fn of(value: &Value, file: &File) -> Self {
        let line = match value.origin() {
            None => None,
            Some(origin) => match origin.parse() {
                Ok(line) => Some(line),
                Err(_) => return Self::Variable(origin.into()),
            },
        };
        Self::File {
            file: file.clone(),
            line,
        }
    }

    pub fn is_variable(&self) -> bool {
        matches!(self, Self::Variable(_))
    }

    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => *line,
            Self::Variable(_) => None,
        }
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
