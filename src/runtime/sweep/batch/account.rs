//! The account of what arrived, checked at the end of the sweep. If it does not balance, nothing may count as read.

/// What happened to the elements that arrived. Each is counted on arrival and at its end, and the two must agree: an
/// element that is neither published nor known would be lost without a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) received: u64,
    pub(super) published: u64,
    pub(super) unchanged: u64,
    pub(super) stale: u64,
    pub(super) dead: u64,
    /// Held back because Kafka refused them.
    pub(super) refused: u64,
}

impl Account {
    /// Whether every element has an end, or is among the `waiting` versions in the batch.
    pub(super) fn balances(&self, waiting: u64) -> bool {
        let ended = self.published + self.unchanged + self.stale + self.dead + self.refused;
        self.received == ended + waiting
    }
}
