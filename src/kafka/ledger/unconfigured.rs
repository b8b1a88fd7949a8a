//! Tenants whose rows a partition of this process has, and that its configuration lacks. Another replica has read them, and
//! nobody does now: the replicas' configurations differ.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use tokio::sync::watch;

use super::memory::PartitionMemory;
use super::owned::Owned;
use crate::core::ids::TenantId;
use crate::core::ownership::Ownership;
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;

/// A tenant with an older cursor may have left the configuration on purpose.
const LATELY: Duration = Duration::from_secs(15 * 60);
/// A line names this many.
const MOST_NAMED: usize = 5;

/// Warns after each restore. Never ends.
pub(super) async fn warn(
    owned: &Owned,
    mut ownership: watch::Receiver<Ownership>,
    mut configured: impl FnMut() -> HashSet<TenantId>,
    clock: &dyn Clock,
) {
    let (mut looked_at, mut warned_of) = (BTreeSet::new(), BTreeSet::new());
    while ownership.changed().await.is_ok() {
        let (configured, since) = (configured(), clock.now().minus(LATELY));
        let all = owned.all();
        let mut unread = BTreeMap::new();
        for restored in all.iter().filter(|it| !looked_at.contains(&it.epoch)) {
            unread.extend(unconfigured(&restored.memory.read(), &configured, since));
        }
        looked_at = all.iter().map(|it| it.epoch).collect();
        warned_of.retain(|tenant| !configured.contains(tenant));
        unread.retain(|tenant, _| warned_of.insert(*tenant));
        if let Some(until) = unread.values().max() {
            let named = unread.keys().take(MOST_NAMED).map(TenantId::to_string);
            let named = named.collect::<Vec<_>>().join(", ");
            tracing::warn!(tenants = unread.len(), ids = named, %until,
                remedy = "give all replicas the same tenants; nothing to do for those that were removed on purpose",
                "tenants that were read lately are not in this replica's configuration: nobody reads them now");
        }
    }
    std::future::pending().await
}

/// Those whose cursor is at `since` or later.
fn unconfigured(
    memory: &PartitionMemory,
    configured: &HashSet<TenantId>,
    since: Ticks,
) -> Vec<(TenantId, Ticks)> {
    let others = memory.tenants().filter(|it| !configured.contains(it));
    let cursors = others.filter_map(|it| Some((it, memory.state(it)?.cursor)));
    cursors.filter(|(_, cursor)| *cursor >= since).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sweep::cursor::TenantState;
    use crate::ports::LedgerEntry;

    #[test]
    fn only_tenants_that_are_not_configured_and_were_read_lately_are_found() {
        let mut memory = PartitionMemory::default();
        let [configured, elsewhere, removed] = [1, 2, 3].map(|n| TenantId::from_bytes([n; 16]));
        let now = Ticks(17_000_000_000_000_000);
        let an_hour_ago = now.minus(Duration::from_secs(3600));
        for (tenant, cursor) in [(configured, now), (elsewhere, now), (removed, an_hour_ago)] {
            let state = TenantState::first(cursor, Duration::ZERO);
            let entry = LedgerEntry {
                state: Some(state),
                ..LedgerEntry::of(tenant)
            };
            let change = memory.change(std::iter::once(&entry));
            memory.accept(change);
        }
        let found = unconfigured(&memory, &HashSet::from([configured]), now.minus(LATELY));
        assert_eq!(found, [(elsewhere, now)]);
    }
}
