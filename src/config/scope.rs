//! What the sections of a file or a tenant share: the owner, and what values refer to.

use std::path::{Path, PathBuf};

use super::Environment;
use super::library_checks::{LibraryChecks, NoLibraryChecks};
use super::origin::{File, Spot};
use super::problems::{Problem, Wrong, wrong};

/// What values refer to.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Where relative paths start: the main file's folder.
    pub folder: &'a Path,
    pub environment: &'a Environment,
    pub checks: &'a dyn LibraryChecks,
    /// A credential that can't be read is a mistake. For other callers it causes a warning.
    pub needs_credentials: bool,
}

impl<'a> Context<'a> {
    /// For a caller that needs no credential, and asks no library.
    pub fn for_reading(main: &'a Path, environment: &'a Environment) -> Self {
        Self {
            folder: main.parent().unwrap_or(Path::new("")),
            environment,
            checks: &NoLibraryChecks,
            needs_credentials: false,
        }
    }

    pub fn path(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() || text.contains('\0') {
            return Err(wrong("it is empty, or no path", "give a path"));
        }
        Ok(self.folder.join(text))
    }
}

/// The owner of a table.
pub(super) enum Owner {
    /// The main file: it holds for all tenants.
    Daemon,
    /// A file of `tenants_dir`, outside of its tenants.
    Folder,
    Tenant {
        /// Its index within the file.
        index: usize,
        /// Its index over all files.
        number: usize,
        /// Its name or id, before it is checked.
        label: Option<String>,
    },
}

/// What all sections of one file or one tenant share.
pub(super) struct Scope<'a> {
    pub context: Context<'a>,
    pub file: File,
    pub owner: Owner,
}

impl<'a> Scope<'a> {
    pub fn new(context: Context<'a>, file: File, owner: Owner) -> Self {
        Self {
            context,
            file,
            owner,
        }
    }

    pub fn is_tenant(&self) -> bool {
        matches!(self.owner, Owner::Tenant { .. })
    }

    /// A mistake in a key of this path.
    pub fn problem(&self, spot: &Spot, path: &str, wrong: Wrong) -> Problem {
        match &self.owner {
            Owner::Tenant { index, label, .. } => Problem {
                tenant: label.clone(),
                ..Problem::at(spot, format!("tenants[{index}].{path}"), wrong)
            },
            Owner::Daemon | Owner::Folder => Problem::at(spot, path, wrong),
        }
    }
}
