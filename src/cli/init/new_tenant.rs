//! What keeps a new tenant out of a configuration.

use crate::config::{ExistingTenants, Wrong, tenant_id, tenant_name};
use crate::core::ids::TenantId;

/// `None`, if nothing does.
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
        // A list of customers is typed by a loop: the id alone does not say which of two lines was refused.
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
