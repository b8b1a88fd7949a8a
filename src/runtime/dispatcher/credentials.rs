//! Finds the tenants whose credential has changed since it was refused.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::core::ids::TenantId;
use crate::runtime::tenant::Tenant;

/// A look at the files of credentials, in a task of its own: a disk may hang.
#[derive(Default)]
pub(super) struct CredentialLook(JoinSet<Vec<TenantId>>);

impl CredentialLook {
    /// Looks at the credentials of `tenants`, unless the last look still runs.
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

    /// The tenants whose credential has changed, when the look ends. `None`: no look runs.
    pub(super) async fn changed(&mut self) -> Option<Vec<TenantId>> {
        let ended = self.0.join_next().await?;
        Some(ended.unwrap_or_default())
    }
}
