//! The tenants that are to be read, as one value that a reload replaces whole.
//!
//! Whoever works on tenants (dispatcher, scheduler, token renewal) follows it with a [`FleetWatch`] and compares by
//! pointer: a tenant that is the same [`Arc`] as before is untouched, and must not notice that there was a reload. One with
//! the same id and another `Arc` has new settings.

use std::sync::Arc;

use tokio::sync::watch;

use super::tenant::Tenant;
use crate::core::time::schedule::Schedule;

/// Ids are unique in it.
pub type Fleet = Arc<[Arc<Tenant>]>;

/// Follows the fleet.
#[derive(Clone)]
pub struct FleetWatch(watch::Receiver<Fleet>);

impl FleetWatch {
    /// A watch on `fleet`, and the way to replace it.
    pub fn new(fleet: Fleet) -> (watch::Sender<Fleet>, Self) {
        let (sender, receiver) = watch::channel(fleet);
        (sender, Self(receiver))
    }

    /// The fleet as it is now, which counts as seen.
    pub fn now(&mut self) -> Fleet {
        self.0.borrow_and_update().clone()
    }

    /// Resolves when there is a fleet that was not seen yet. Never, when there can be none any more.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Each schedule of `fleet` once, in the order of the first tenant that has it.
pub fn distinct_schedules(fleet: &Fleet) -> Vec<Schedule> {
    let mut seen = std::collections::HashSet::new();
    let schedules = fleet.iter().map(|tenant| &tenant.schedule);
    schedules
        .filter(|schedule| seen.insert(*schedule))
        .cloned()
        .collect()
}
