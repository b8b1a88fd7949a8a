//! What the agenda keeps of a tenant, of the tenants of a schedule, and of a turn.

use std::time::Duration;

use crate::core::ids::TenantId;
use crate::core::time::schedule::Schedule;
use crate::core::time::ticks::Ticks;
use crate::core::time::wallclock::Look;

/// The schedule and the state of one tenant.
#[derive(Debug)]
pub(super) struct AgendaEntry {
    pub(super) schedule: Schedule,
    pub(super) state: AgendaState,
    /// Nothing starts for it.
    pub(super) waits: bool,
    /// An operator's command is recorded before anything else is done for it.
    pub(super) command: bool,
    /// Failed sweeps in a row.
    pub(super) failures: u32,
    pub(super) fill_failures: u32,
    /// Since when the backlog has been without a turn in its lane.
    pub(super) fill_since: Duration,
    /// After a failed back-fill, the backlog rests until then.
    pub(super) fill_rests_until: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgendaState {
    Idle,
    Resting {
        until: Duration,
        credential: bool,
    },
    Sweeping {
        began: Duration,
    },
    Filling {
        /// A sweep follows as soon as the back-fill has given way.
        turn_waits: bool,
    },
    Leaving {
        sweeping: bool,
        /// The tenant stays, with new settings: it is swept as soon as this work has ended.
        stays: bool,
    },
}

impl AgendaEntry {
    pub(super) fn new(schedule: Schedule, state: AgendaState, now: Look) -> Self {
        Self {
            schedule,
            state,
            waits: false,
            command: false,
            failures: 0,
            fill_failures: 0,
            fill_since: now.steady,
            fill_rests_until: Duration::ZERO,
        }
    }
}

impl AgendaState {
    pub(super) fn rests(self, now: Look) -> bool {
        matches!(self, Self::Resting { until, .. } if until > now.steady)
    }

    /// A rest that only a command or a retry ends.
    pub(super) const PAUSED: Self = Self::Resting {
        until: Duration::MAX,
        credential: false,
    };

    pub(super) const GONE: [Self; 2] = [Self::leaving(true, false), Self::leaving(false, false)];

    const fn leaving(sweeping: bool, stays: bool) -> Self {
        Self::Leaving { sweeping, stays }
    }

    /// The state of a tenant whose work has to end. `None`: nothing runs.
    pub(super) fn left(self, stays: bool) -> Option<Self> {
        match self {
            Self::Idle | Self::Resting { .. } => None,
            Self::Sweeping { .. } => Some(Self::leaving(true, stays)),
            Self::Filling { .. } => Some(Self::leaving(false, stays)),
            Self::Leaving { sweeping, .. } => Some(Self::leaving(sweeping, stays)),
        }
    }
}

/// The tenants of one schedule.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) tenants: Vec<TenantId>,
    pub(super) last_firing: Option<Ticks>,
}

/// A turn in the queue. The earliest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuedTurn {
    pub(super) at: Duration,
    pub(super) tenant: TenantId,
    /// The turn ends a rest. An earlier regular turn makes it void.
    pub(super) retry: bool,
}
