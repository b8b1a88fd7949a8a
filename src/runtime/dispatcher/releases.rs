//! Releases that are not acknowledged yet.

use std::collections::HashSet;

use tokio::sync::oneshot;

use crate::core::ids::TenantId;

#[derive(Default)]
pub(super) struct Releases(Vec<Release>);

struct Release {
    /// Tenants whose work has not ended.
    at_work: HashSet<TenantId>,
    done: oneshot::Sender<()>,
}

impl Releases {
    /// Sends `done` when the work of all tenants in `at_work` has ended.
    pub(super) fn add(&mut self, at_work: HashSet<TenantId>, done: oneshot::Sender<()>) {
        self.0.push(Release { at_work, done });
        self.at_rest(|_| false);
    }

    /// Records that the work of the tenants for which `rests` is true has ended.
    pub(super) fn at_rest(&mut self, rests: impl Fn(&TenantId) -> bool) {
        for release in &mut self.0 {
            release.at_work.retain(|tenant| !rests(tenant));
        }
        let at_rest = |release: &mut Release| release.at_work.is_empty();
        for Release { done, .. } in self.0.extract_if(.., at_rest) {
            // A caller that no longer waits needs no answer.
            let _ = done.send(());
        }
    }
}
