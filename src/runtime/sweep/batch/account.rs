//! The account of one intake, checked at its end: what does not add up must not be taken for read.

/// What became of the elements that arrived. Each is counted where it arrives and where it ends, and the two must agree:
/// an element that was neither published nor known would be lost without a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) received: u64,
    pub(super) published: u64,
    pub(super) unchanged: u64,
    pub(super) stale: u64,
    pub(super) dead: u64,
    /// Held back: Kafka refused them.
    pub(super) refused: u64,
    pub(super) waiting: u64,
}

impl Account {
    pub(super) fn balances(&self) -> bool {
        let ended = self.published + self.unchanged + self.stale + self.dead + self.refused;
        self.received == ended + self.waiting
    }
}
