//! What values refer to: the folder of relative paths, the environment, and the checks of libraries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::library_checks::LibraryChecks;
use super::problems::{Wrong, wrong};

pub(super) struct Context<'a> {
    /// Where relative paths start: the main file's folder.
    pub folder: &'a Path,
    pub environment: &'a HashMap<String, String>,
    pub checks: &'a dyn LibraryChecks,
    pub on_unreadable: OnUnreadable,
}

impl Context<'_> {
    pub fn path(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() || text.contains('\0') {
            return Err(wrong("it is empty, or no path", "give a path"));
        }
        Ok(self.folder.join(text))
    }
}

/// How to treat a credential that can't be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum OnUnreadable {
    /// As a mistake.
    Refuse,
    /// As a warning: the caller needs no credential.
    Warn,
}

impl OnUnreadable {
    /// Turns a mistake into a warning, where it is one.
    pub fn weigh(self, found: Result<(), Wrong>) -> Result<Option<Wrong>, Wrong> {
        match (self, found) {
            (_, Ok(())) => Ok(None),
            (Self::Refuse, Err(wrong)) => Err(wrong),
            (Self::Warn, Err(wrong)) => Ok(Some(wrong)),
        }
    }
}
