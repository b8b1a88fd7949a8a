//! The inputs of the agenda, and the actions with which it answers.

use std::collections::HashSet;
use std::time::Duration;

use crate::core::health::failure::Reaction;
use crate::core::ids::TenantId;
use crate::core::time::schedule::Schedule;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// These are the tenants from now on; ids are unique.
    Fleet(Vec<FleetMember>),
    /// The schedule fires now.
    Fired(Schedule),
    /// Time has passed.
    Due,
    Ended(TenantId, WorkEnd),
    /// Try these tenants again now if they rest.
    Retry(Vec<TenantId>),
    /// Try all resting tenants again now.
    RetryAll,
    /// An operator's command waits for the tenant.
    Command(TenantId),
    /// Give these tenants up.
    Release(HashSet<TenantId>),
    /// The daemon stops: nothing may start any more.
    Stop,
}

/// A tenant of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetMember {
    pub id: TenantId,
    pub schedule: Schedule,
    /// Its settings differ from those in the previous fleet.
    pub changed: bool,
    /// It is not swept until a later fleet says otherwise: the ledger is not ready for it.
    pub waits: bool,
}

/// How a sweep or a back-fill ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkEnd {
    pub result: WorkResult,
    /// When it last had a turn in its lane, if it had one.
    pub last_turn: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkResult {
    /// Everything was read, though a few records may wait for the next sweep. `backlog`: part of the backlog can be
    /// read now.
    Done { backlog: bool },
    Failed {
        reaction: Reaction,
        /// The credential was refused: a new one ends the rest.
        credential: bool,
    },
    /// It gave way.
    Stopped,
    /// An operator's command is recorded, or refused.
    Recorded,
    /// An operator has paused the tenant.
    Paused,
}

/// An action for the dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sweep the tenant. `failing`: its last sweep failed.
    Sweep { tenant: TenantId, failing: bool },
    /// Read the tenant's backlog, which has had no turn since `since`.
    Fill { tenant: TenantId, since: Duration },
    /// Record the operator's command that waits for the tenant.
    Record(TenantId),
    /// Ask the tenant's work to stop early.
    GiveWay(TenantId),
    /// Show when the tenant is swept next.
    Plan { tenant: TenantId, within: Duration },
    /// The tenant, or its backlog, rests after a failure.
    Rest { tenant: TenantId, pause: Duration },
    /// This many turns were missed.
    Missed(u64),
    /// The tenant was removed or released, and none of its work runs any more.
    Released(TenantId),
}
