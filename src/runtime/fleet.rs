//! The tenants to read, as one value that a reload replaces as a whole.
//!
//! The dispatcher gets each fleet as a command; scheduler and token renewal follow it with a [`FleetWatch`]. A tenant that is
//! the same [`Arc`] as before is untouched and must not notice the reload. A tenant with the same id and another `Arc` has
//! new settings.

use std::sync::Arc;

use tokio::sync::watch;

use super::tenant::Tenant;
use crate::core::time::schedule::Schedule;

/// Its ids are unique.
pub type Fleet = Arc<[Arc<Tenant>]>;

/// Follows the fleet.
#[derive(Clone)]
pub struct FleetWatch(watch::Receiver<Fleet>);

impl FleetWatch {
    /// A watch on `fleet`, and the sender that replaces the fleet.
    pub fn new(fleet: Fleet) -> (watch::Sender<Fleet>, Self) {
        let (sender, receiver) = watch::channel(fleet);
        (sender, Self(receiver))
    }

    /// The present fleet, which counts as seen from now on.
    pub fn now(&mut self) -> Fleet {
        self.0.borrow_and_update().clone()
    }

    /// Resolves when there is a fleet that was not seen yet. Never resolves after the sender is dropped.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Each schedule of `fleet` once, in the order of the tenants.
pub fn distinct_schedules(fleet: &Fleet) -> Vec<Schedule> {
    let mut seen = std::collections::HashSet::new();
    let schedules = fleet.iter().map(|tenant| &tenant.schedule);
    schedules
        .filter(|schedule| seen.insert(*schedule))
        .cloned()
        .collect()
}
