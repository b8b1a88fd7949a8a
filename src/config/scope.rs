//! The owner of a table, and how its mistakes are reported.

use super::origin::{File, Spot};
use super::problems::{Problem, Wrong};

/// The owner of a table.
#[derive(Debug)]
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
#[derive(Debug)]
pub(super) struct Scope {
    pub file: File,
    pub owner: Owner,
}

impl Scope {
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
