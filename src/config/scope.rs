//! What the sections of a file or a tenant share: the owner, and what values refer to.

use std::path::{Path, PathBuf};

use super::Environment;
use super::library_checks::{LibraryChecks, NoLibraryChecks};
use super::origin::{Spot, Table};
use super::problems::{Problem, Wrong, wrong};

/// What values refer to.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The main file. Relative paths start from its folder.
    pub main: &'a Path,
    pub environment: &'a Environment,
    pub checks: &'a dyn LibraryChecks,
    /// A credential that can't be read is a mistake. For other callers it causes a warning.
    pub needs_credentials: bool,
}

impl<'a> Context<'a> {
    /// For a caller that needs no credential, and asks no library.
    pub fn for_reading(main: &'a Path, environment: &'a Environment) -> Self {
        Self {
            main,
            environment,
            checks: &NoLibraryChecks,
            needs_credentials: false,
        }
    }

    /// The folder of the main file.
    pub fn folder(&self) -> &'a Path {
        self.main.parent().unwrap_or(Path::new(""))
    }

    pub fn path(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() || text.contains('\0') {
            return Err(wrong("it is empty, or no path", "give a path"));
        }
        Ok(self.folder().join(text))
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
    pub file: Spot,
    pub owner: Owner,
    /// For a tenant: what the main file and the environment give all tenants.
    pub shared: Option<&'a Table>,
}

impl<'a> Scope<'a> {
    pub fn of_main(context: Context<'a>, file: Spot) -> Self {
        Self {
            context,
            file,
            owner: Owner::Daemon,
            shared: None,
        }
    }

    pub fn is_tenant(&self) -> bool {
        matches!(self.owner, Owner::Tenant { .. })
    }

    /// The tenant's index over all files.
    pub fn tenant_number(&self) -> Option<usize> {
        match self.owner {
            Owner::Tenant { number, .. } => Some(number),
            Owner::Daemon | Owner::Folder => None,
        }
    }

    /// A path as a report shows it: `tenants[3].api.base_url`.
    pub fn path(&self, path: &str) -> String {
        match self.owner {
            Owner::Tenant { index, .. } => format!("tenants[{index}].{path}"),
            Owner::Daemon | Owner::Folder => path.into(),
        }
    }

    /// A mistake in a key of this path.
    pub fn problem(&self, spot: &Spot, path: &str, wrong: Wrong) -> Problem {
        let tenant = match &self.owner {
            Owner::Tenant { label, .. } => label.clone(),
            Owner::Daemon | Owner::Folder => None,
        };
        Problem {
            tenant,
            ..Problem::at(spot, self.path(path), wrong)
        }
    }
}
