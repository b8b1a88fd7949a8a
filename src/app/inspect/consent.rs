//! Admin-consent links, which need no network.

use std::collections::HashSet;

use crate::microsoft;
use crate::settings::TenantSettings;

/// The link through which an administrator of this tenant consents.
pub fn consent_link(tenant: &TenantSettings) -> String {
    let api = &tenant.api;
    microsoft::consent_link(&api.login_url, tenant.id, tenant.app.client_id, &api.scope)
}

/// Links for customers who are not configured yet: one for each app, cloud and source that the tenants have, each with the
/// first tenant that is reached in the same way.
pub fn invitations(tenants: &[TenantSettings]) -> Vec<(String, &TenantSettings)> {
    let mut seen = HashSet::new();
    let link = |tenant: &TenantSettings| {
        let api = &tenant.api;
        microsoft::any_tenant_link(&api.login_url, tenant.app.client_id, &api.scope)
    };
    let links = tenants.iter().map(|tenant| (link(tenant), tenant));
    links
        .filter(|(link, _)| seen.insert(link.clone()))
        .collect()
}
