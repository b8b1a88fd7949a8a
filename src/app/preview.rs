//! What a reload would change, found out without a reload: the files are read in the same way and compared in the same way.

mod keys;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fleet::is_untouched;
use crate::config::ConfigErrors;
use crate::core::diff::Diff;
use crate::core::health::reload_preview::{ChangedTenant, NamedTenant, ReloadPreview};
use crate::core::ids::TenantId;
use crate::settings::{Settings, TenantSettings};

/// Reads the configuration again, as at the start. Blocks.
pub type Load = Arc<dyn Fn() -> Result<Settings, ConfigErrors> + Send + Sync>;

/// The settings in force, and how they are read again. [`ReloadPreviewer::accept`] keeps up with the reloads.
pub struct ReloadPreviewer {
    /// The settings at the start: those that can't change at run time are in force.
    started_with: Arc<Settings>,
    settings: Mutex<Arc<Settings>>,
    /// `None`: this daemon reloads nothing.
    load: Mutex<Option<Load>>,
}

impl ReloadPreviewer {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            started_with: settings.clone(),
            settings: Mutex::new(settings),
            load: Mutex::default(),
        }
    }

    pub fn reads_with(&self, load: Load) {
        *self.load.lock() = Some(load);
    }

    pub fn accept(&self, settings: Arc<Settings>) {
        *self.settings.lock() = settings;
    }

    /// Reads the files. Blocks. `None`: this daemon reloads nothing.
    pub fn preview(&self) -> Option<ReloadPreview> {
        let load = self.load.lock().clone()?;
        let wanted = load();
        let settings = self.settings.lock().clone();
        Some(match wanted {
            Ok(wanted) => ReloadPreview {
                restart_needed: texts(self.started_with.restart_needed(&wanted)),
                ..compare(&settings, &wanted)
            },
            Err(errors) => ReloadPreview {
                error: Some(errors.to_string()),
                ..ReloadPreview::default()
            },
        })
    }
}

fn compare(before: &Settings, wanted: &Settings) -> ReloadPreview {
    let diff = Diff::between(by_id(before), by_id(wanted), |was, is| {
        is_untouched(before, was, wanted, is)
    });
    ReloadPreview {
        added: named(&diff.added, wanted),
        removed: named(&diff.removed, before),
        changed: changed(&diff.changed, before, wanted),
        untouched: diff.untouched,
        keys: texts(taken(before, wanted)),
        restart_needed: Vec::new(),
        warnings: wanted.warnings.clone(),
        error: None,
    }
}

/// The keys of the whole daemon whose values differ, and that a reload takes.
fn taken(before: &Settings, wanted: &Settings) -> Vec<&'static str> {
    let mut keys = keys::of_all_records(before, wanted);
    if before.log.level != wanted.log.level {
        keys.push("log.level");
    }
    keys
}

/// The tenants with these ids, and the keys whose values differ.
fn changed(ids: &[TenantId], before: &Settings, wanted: &Settings) -> Vec<ChangedTenant> {
    let of_all = keys::of_all_records(before, wanted);
    let before: HashMap<_, _> = by_id(before).collect();
    let tenants = by_id(wanted).filter(|(id, _)| ids.binary_search(id).is_ok());
    let changed = tenants.filter_map(|(id, is)| {
        let mut keys = keys::of_tenant(before.get(&id)?, is);
        keys.extend(&of_all);
        Some(ChangedTenant {
            tenant: named_tenant(is),
            keys: texts(keys),
        })
    });
    changed.collect()
}

fn by_id(settings: &Settings) -> impl Iterator<Item = (TenantId, &TenantSettings)> {
    settings.tenants.iter().map(|tenant| (tenant.id, tenant))
}

/// The tenants with these ids, which are in ascending order, in the order of the files.
fn named(ids: &[TenantId], settings: &Settings) -> Vec<NamedTenant> {
    let tenants = settings.tenants.iter();
    let tenants = tenants.filter(|tenant| ids.binary_search(&tenant.id).is_ok());
    tenants.map(named_tenant).collect()
}

fn named_tenant(tenant: &TenantSettings) -> NamedTenant {
    NamedTenant {
        id: tenant.id.to_string(),
        name: tenant.name.to_string(),
    }
}

fn texts(keys: Vec<&str>) -> Vec<String> {
    keys.into_iter().map(str::to_owned).collect()
}
