//! What a new tenant has to fit into, read from a configuration that need not be right yet.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::problems::{ConfigErrors, Diagnosis};
use super::read;
use super::tenants::{self, Taken};
use crate::config::credential_files::OnUnreadable;
use crate::config::library_checks::NoLibraryChecks;
use crate::core::ids::TenantId;

pub struct Survey {
    tenants_dir: Option<PathBuf>,
    taken: Taken,
}

/// Looks at the tenants that there are.
///
/// # Errors
/// The main file is not there, or can't be parsed. Other mistakes are no matter here.
pub fn survey(path: &Path, environment: &HashMap<String, String>) -> Result<Survey, ConfigErrors> {
    let mut diagnosis = Diagnosis::default();
    match read::read(
        path,
        environment,
        &NoLibraryChecks,
        OnUnreadable::Warn,
        &mut diagnosis,
    ) {
        Some(reading) => Ok(Survey {
            tenants_dir: reading.tenants_dir,
            taken: reading.taken,
        }),
        None => Err(ConfigErrors::new(diagnosis.problems)),
    }
}

impl Survey {
    /// The folder of tenants' files, when the configuration names one.
    pub fn tenants_dir(&self) -> Option<&Path> {
        self.tenants_dir.as_deref()
    }

    /// What keeps a tenant of this id and name out: `None`, if nothing does.
    pub fn objection(&self, id: TenantId, name: Option<&str>) -> Option<String> {
        if let Err(wrong) = tenants::tenant_id(&id.to_string()) {
            return Some(format!("the id {id}: {}\n    {}", wrong.what, wrong.remedy));
        }
        let checked = name.map(|name| tenants::name(name, Some(id))).transpose();
        if let Some(place) = self.taken.ids.get(&id) {
            // A list of customers is typed by a loop: the id alone does not say which of two lines was refused.
            let who = match &checked {
                Ok(Some(name)) => format!(": {name:?} is not added"),
                Ok(None) | Err(_) => String::new(),
            };
            return Some(format!("{place} has the tenant {id} already{who}"));
        }
        let name = match checked {
            Ok(name) => name?,
            Err(wrong) => {
                let (what, remedy) = (wrong.what, wrong.remedy);
                return Some(format!("the name of the tenant {id}: {what}\n    {remedy}"));
            }
        };
        let place = self.taken.names.get(&name)?;
        Some(format!(
            "the tenant {id} is not added: {place} has a tenant of the name {name:?} already\n    \
             give another with --name"
        ))
    }
}
