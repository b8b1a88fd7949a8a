//! The account of what arrived, checked at the end of the sweep: if it does not balance, nothing may be taken for read.

/// What became of the elements that arrived. Each is counted when it arrives and when it ends, and the two must agree: an
/// element that was neither published nor known would be lost without a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) received: u64,
    pub(super) published: u64,
    pub(super) unchanged: u64,
    pub(super) stale: u64,
    pub(super) dead: u64,
    /// Held back: Kafka refused them.
    pub(super) refused: u64,
}

impl Account {
    /// `waiting` incident versions are in the batch.
    pub(super) fn balances(&self, waiting: u64) -> bool {
        let ended = self.published + self.unchanged + self.stale + self.dead + self.refused;
        self.received == ended + waiting
    }
}
