//! One tenant's token, taken apart. The token itself never leaves this module.

use std::sync::Arc;

use super::{Claims, LIMIT, Role, expiry, now, roles, within};
use crate::app::StartError;
use crate::app::connectors::Connectors;
use crate::core::health::failure::Failure;
use crate::core::time::ticks::Ticks;
use crate::settings::TenantSettings;
use crate::telemetry::clock::SystemClock;

/// A token that was issued, and the tenant that says what it should be.
#[derive(Debug)]
pub struct TokenSeen<'a> {
    pub at: Ticks,
    pub tenant: &'a TenantSettings,
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
pub async fn token(tenant: &TenantSettings) -> Result<Result<TokenSeen<'_>, Failure>, StartError> {
    let entra = Connectors::new(Arc::new(SystemClock)).entra(tenant)?;
    let look = async {
        let issued = entra.look().await?;
        Ok(TokenSeen {
            at: now(),
            tenant,
            expires: expiry(&issued),
            roles: roles(tenant, &issued),
            claims: issued.claims,
            unfit: issued.unfit,
        })
    };
    Ok(within(LIMIT, look).await)
}
