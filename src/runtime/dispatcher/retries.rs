//! Tenants that rest, and what has them tried again before their rest is over: somebody asks for it, or their credential has
//! changed.

use futures_util::future::join_all;

use super::*;

impl Dispatcher {
    /// Has all tenants that rest tried again at once.
    pub(super) fn retry_all(&mut self) {
        self.retry(self.posts.keys().copied().collect());
    }

    /// Looks beside the loop for tenants whose credential has changed since it was refused: a disk may hang.
    pub(super) fn look_at_credentials(&mut self) {
        if !self.looks.is_empty() {
            return;
        }
        let now = Instant::now();
        let refused = self.posts.values();
        let refused = refused.filter(|post| post.rests(now) && post.wants_credential);
        let look = |tenant: Arc<Tenant>| async move {
            let changed = tenant.tokens.credential_changed().await;
            changed.then_some(tenant.id)
        };
        let looks: Vec<_> = refused.map(|post| look(post.tenant.clone())).collect();
        if !looks.is_empty() {
            self.looks
                .spawn(async { join_all(looks).await.into_iter().flatten().collect() });
        }
    }

    /// Has those of `tenants` that rest tried again at once, a large crowd spread.
    pub(super) fn retry(&mut self, mut tenants: Vec<TenantId>) {
        let now = Instant::now();
        tenants.retain(|tenant| self.posts.get(tenant).is_some_and(|post| post.rests(now)));
        let crowd = crowd(tenants.len());
        for tenant in tenants {
            let within = offset(tenant, crowd);
            if let Some(post) = self.posts.get_mut(&tenant) {
                post.resting_until = Some(now + within);
                post.wants_credential = false;
            }
            self.enqueue(tenant, within, true);
        }
    }
}

impl Post {
    fn rests(&self, now: Instant) -> bool {
        self.running.is_none() && self.resting_until.is_some_and(|until| until > now)
    }
}
