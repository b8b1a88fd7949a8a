//! Forgetting old versions in small steps.
//!
//! A sweep asks now and then to forget versions from before an instant. They are found by a pass over the tenant's versions in
//! the order of their ids. Each commit of the tenant goes on with it, until the pass has seen all of them; a transaction looks at
//! no more than [`LOOKS`] versions and removes no more than [`MOST_TOMBSTONES`] rows. So no transaction is long because a tenant
//! has a million versions, and there is no index. A version that is not removed yet is harmless: Microsoft does not show it any
//! more.

use std::collections::BTreeMap;

use crate::core::ids::IncidentId;
use crate::core::time::ticks::Ticks;

/// The most rows that a transaction removes, over all its tenants.
pub(super) const MOST_TOMBSTONES: usize = 1_000;
/// The most versions that a transaction looks at to find them.
const LOOKS: usize = 10_000;

/// A pass over a tenant's versions that removes those from before an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForgetPass {
    before: Ticks,
    /// The next version to look at.
    pub(super) from: IncidentId,
}

/// What a transaction may still do to forget.
pub(super) struct ForgetBudget {
    looks: usize,
    pub(super) removals: usize,
}

impl ForgetBudget {
    pub(super) fn new() -> Self {
        Self {
            looks: LOOKS,
            removals: MOST_TOMBSTONES,
        }
    }
}

impl ForgetPass {
    /// The pass that a commit goes on with. A pass under way is not begun anew, because it might never end.
    pub(super) fn next(under_way: Option<Self>, before: Option<Ticks>) -> Option<Self> {
        match (under_way, before) {
            (Some(pass), Some(before)) => Some(Self {
                before: pass.before.max(before),
                ..pass
            }),
            (Some(pass), None) => Some(pass),
            (None, before) => before.map(|before| Self {
                before,
                from: IncidentId(0),
            }),
        }
    }

    /// The next expired versions, and how the pass goes on.
    pub(super) fn go_on<V>(
        self,
        versions: &BTreeMap<IncidentId, V>,
        updated: impl Fn(&V) -> Ticks,
        budget: &mut ForgetBudget,
    ) -> (Vec<IncidentId>, Option<Self>) {
        let mut expired = Vec::new();
        for (id, version) in versions.range(self.from..) {
            if budget.looks == 0 || budget.removals == 0 {
                return (expired, Some(Self { from: *id, ..self }));
            }
            budget.looks -= 1;
            if updated(version) < self.before {
                budget.removals -= 1;
                expired.push(*id);
            }
        }
        (expired, None)
    }
}
