//! Finds the tenants whose credential has changed since it was refused.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::core::ids::TenantId;
use crate::runtime::tenant::Tenant;

/// A check of the credential files, in its own task because a disk may hang.
#[derive(Default)]
pub(super) struct CredentialLook(JoinSet<Vec<TenantId>>);

impl CredentialLook {
    /// Checks the credentials of `tenants`, unless the last check still runs.
    pub(super) fn begin<'a>(&mut self, tenants: impl Iterator<Item = &'a Arc<Tenant>>) {
        if !self.0.is_empty() {
            return;
        }
        let look = |tenant: Arc<Tenant>| async move {
            let changed = tenant.tokens.credential_changed().await;
            changed.then_some(tenant.id)
        };
        let looks: Vec<_> = tenants.cloned().map(look).collect();
        if !looks.is_empty() {
            self.0
                .spawn(async { join_all(looks).await.into_iter().flatten().collect() });
        }
    }

    /// The tenants whose credential has changed, once the check ends. `None`: no check runs.
    pub(super) async fn changed(&mut self) -> Option<Vec<TenantId>> {
        let ended = self.0.join_next().await?;
        Some(ended.unwrap_or_default())
    }
}
