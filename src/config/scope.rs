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
    Tenant(TenantPlace),
}

/// Which tenant a table is of.
pub(super) struct TenantPlace {
    /// Its index within the file.
    pub index: usize,
    /// Its index over all files.
    pub number: usize,
    /// Its name or id, before it is checked.
    pub label: Option<String>,
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

    pub fn tenant(&self) -> Option<&TenantPlace> {
        match &self.owner {
            Owner::Tenant(place) => Some(place),
            Owner::Daemon | Owner::Folder => None,
        }
    }

    pub fn is_tenant(&self) -> bool {
        self.tenant().is_some()
    }

    /// A path as a report shows it: `tenants[3].api.base_url`.
    pub fn path(&self, path: &str) -> String {
        match self.tenant() {
            Some(TenantPlace { index, .. }) => format!("tenants[{index}].{path}"),
            None => path.into(),
        }
    }

    /// A mistake in a key of this path.
    pub fn problem(&self, spot: &Spot, path: &str, wrong: Wrong) -> Problem {
        Problem {
            tenant: self.tenant().and_then(|tenant| tenant.label.clone()),
            ..Problem::at(spot, self.path(path), wrong)
        }
    }
}
