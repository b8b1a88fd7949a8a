//! Admin-consent links, which need no network.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::core::ids::TenantId;
use crate::microsoft::{any_tenant_link, consent_link};
use crate::settings::TenantSettings;

/// One tenant's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantConsent {
    pub tenant: TenantId,
    pub name: Arc<str>,
    pub link: String,
    pub asks: Asks,
}

/// What is consented to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asks {
    pub client_id: Uuid,
    /// The application permission, and the API that has it.
    pub permission: &'static str,
    pub api: &'static str,
}

/// A link for a customer who is not configured yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub link: String,
    pub asks: Asks,
    /// A tenant that is reached in the same way.
    pub like: Arc<str>,
    pub cloud: String,
}

pub fn consents(tenants: &[&TenantSettings]) -> Vec<TenantConsent> {
    let consent = |tenant: &&TenantSettings| TenantConsent {
        tenant: tenant.id,
        name: tenant.name.clone(),
        link: link(tenant),
        asks: asks(tenant),
    };
    tenants.iter().map(consent).collect()
}

/// One for each app, cloud and source that the tenants have, the first tenant's first.
pub fn invitations(tenants: &[TenantSettings]) -> Vec<Invitation> {
    let mut seen = HashSet::new();
    let mut invitations = Vec::new();
    for tenant in tenants {
        let api = &tenant.api;
        let link = any_tenant_link(&api.login_url, tenant.app.client_id, &api.scope);
        if seen.insert(link.clone()) {
            invitations.push(Invitation {
                link,
                asks: asks(tenant),
                like: tenant.name.clone(),
                cloud: api.login_url.host_str().unwrap_or_default().to_owned(),
            });
        }
    }
    invitations
}

pub(super) fn link(tenant: &TenantSettings) -> String {
    let api = &tenant.api;
    consent_link(&api.login_url, tenant.id, tenant.app.client_id, &api.scope)
}

fn asks(tenant: &TenantSettings) -> Asks {
    let permission = &tenant.api.source.facts().permission;
    Asks {
        client_id: tenant.app.client_id,
        permission: permission.wanted(),
        api: permission.api,
    }
}
