//! Why a new tenant can't be added to a configuration.

use crate::config::{ExistingTenants, Wrong, tenant_id, tenant_name};
use crate::core::ids::TenantId;

/// `None` if it can.
pub(super) fn objection(
    existing: &ExistingTenants,
    id: TenantId,
    name: Option<&str>,
) -> Option<String> {
    let refused = |whose: &str, Wrong { what, remedy }| {
        Some(format!("the {whose}{id}: {what}\n    {remedy}"))
    };
    if let Err(wrong) = tenant_id(&id.to_string()) {
        return refused("id ", wrong);
    }
    let checked = name.map(|name| tenant_name(name, Some(id))).transpose();
    if let Some(place) = existing.of_id(id) {
        // The command may run in a loop over a list, so the name is needed to find the line.
        let which = match &checked {
            Ok(Some(name)) => format!(": {name:?} is not added"),
            Ok(None) | Err(_) => String::new(),
        };
        return Some(format!("{place} has the tenant {id} already{which}"));
    }
    let name = match checked {
        Ok(name) => name?,
        Err(wrong) => return refused("name of the tenant ", wrong),
    };
    let place = existing.of_name(&name)?;
    Some(format!(
        "the tenant {id} is not added: {place} has a tenant of the name {name:?} already\n    give another with --name"
    ))
}
