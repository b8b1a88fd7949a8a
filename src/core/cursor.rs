//! How far a tenant has been read.

use super::ticks::Ticks;

/// What the ledger keeps for a tenant beside the versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TenantState {
    /// Every version with a last update before this instant that the API showed is published. Starts at a fixed instant
    /// (first contact minus `lookback`) and never moves back.
    pub cursor: Ticks,
    /// When the last reconcile sweep ended.
    pub reconciled: Ticks,
}
