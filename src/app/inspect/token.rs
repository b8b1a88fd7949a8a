//! One tenant's token, taken apart. The token itself never leaves this module.

use std::sync::Arc;

use uuid::Uuid;

use super::{Claims, LIMIT, Role, expiry, now, within};
use crate::app::StartError;
use crate::app::connectors::Connectors;
use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;
use crate::core::time::ticks::Ticks;
use crate::microsoft::IssuedToken;
use crate::settings::TenantSettings;

/// A token that was issued, and what it should be.
// More than 12 fields: they are the lines that the command prints.
#[derive(Debug)]
pub struct TokenSeen {
    pub at: Ticks,
    pub tenant: TenantId,
    pub name: Arc<str>,
    pub source: &'static str,
    pub client_id: Uuid,
    /// Who issued it.
    pub login: String,
    /// The resource that was asked for.
    pub resource: String,
    /// The permission that is needed, and the API that has it.
    pub needed: &'static str,
    pub api: &'static str,
    pub expires: Ticks,
    /// `None`: it can't be read, which is no error.
    pub claims: Option<Claims>,
    pub roles: Vec<Role>,
    /// Why it is of no use, when it is not.
    pub unfit: Option<Failure>,
}

/// Asks for a token as the daemon would, and looks into it.
///
/// # Errors
/// The outer one: the settings can't be used. The inner one: no token was issued.
pub async fn token(tenant: &TenantSettings) -> Result<Result<TokenSeen, Failure>, StartError> {
    let connector = Connectors::default().open(tenant)?;
    let look = async {
        let issued = connector.entra.look().await?;
        Ok(seen(tenant, connector.source.name(), issued))
    };
    Ok(within(LIMIT, look).await)
}

fn seen(tenant: &TenantSettings, source: &'static str, issued: IssuedToken) -> TokenSeen {
    let permission = &tenant.api.source.facts().permission;
    let expires = expiry(&issued);
    let IssuedToken { claims, unfit, .. } = issued;
    let roles = claims.iter().flat_map(|claims| &claims.roles);
    let api = &tenant.api;
    TokenSeen {
        at: now(),
        tenant: tenant.id,
        name: tenant.name.clone(),
        source,
        client_id: tenant.app.client_id,
        login: api.login_url.host_str().unwrap_or_default().to_owned(),
        resource: api.scope.trim_end_matches("/.default").to_owned(),
        needed: permission.wanted(),
        api: permission.api,
        expires,
        roles: roles.map(|role| Role::explain(role, permission)).collect(),
        claims,
        unfit,
    }
}
