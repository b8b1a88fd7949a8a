//! How far a tenant has been read, and from where its next sweep reads.
//!
//! Three kinds of sweep keep the promise that nothing is lost:
//! - **full**: from where the last full one left the cursor, minus the overlap; finds what was indexed late and what changed in alerts only;
//! - **tip**: from just behind the cursor. Only between full sweeps that have become dear: after a bulk change of
//!   thousands, each full sweep reads them all again until they leave the overlap, and would eat the budget of the rest;
//! - **reconcile**: over the whole `reconcile_window`, seldom; finds what no overlap can.
//!
//! Each reads everything from its `from` on, so any of them may move the cursor.

use std::time::Duration;

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

impl TenantState {
    /// The state of a tenant that was never read, at first contact.
    pub fn first(now: Ticks, lookback: Duration) -> Self {
        Self {
            cursor: now.minus(lookback),
            reconciled: now,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    pub overlap: Duration,
    pub reconcile_every: Duration,
    pub reconcile_window: Duration,
    pub requests_per_minute: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Full,
    Tip,
    Reconcile,
}

/// What the last full sweep cost; kept in memory only, since a restart may well begin with a full sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LastFull {
    /// When it ended, on the clock that never goes back; `None`: never.
    pub ended: Option<Duration>,
    pub pages: u32,
    /// Where it left the cursor. The next one's overlap counts from there: what was indexed late since then may lie
    /// further behind the cursor that tips have moved meanwhile.
    pub cursor: Option<Ticks>,
}

/// A sweep to be made: everything with a last update at or after `from`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub from: Ticks,
}

/// Chooses the next sweep. `now` is wall-clock time, `uptime` a clock that never goes back.
pub fn plan(
    state: &TenantState,
    reach: &Reach,
    last_full: LastFull,
    now: Ticks,
    uptime: Duration,
) -> Plan {
    let covered = last_full
        .cursor
        .map_or(state.cursor, |left| left.min(state.cursor));
    let full_from = covered.minus(reach.overlap);
    // A reconcile time in the future is a clock that was set back since: due, or it might never be again.
    if state.reconciled > now || now.since(state.reconciled) >= reach.reconcile_every {
        return Plan {
            kind: Kind::Reconcile,
            from: now.minus(reach.reconcile_window).min(full_from),
        };
    }
    let full_is_due = last_full
        .ended
        .is_none_or(|ended| uptime.saturating_sub(ended) >= full_spacing(last_full.pages, reach));
    if full_is_due {
        Plan {
            kind: Kind::Full,
            from: full_from,
        }
    } else {
        Plan {
            kind: Kind::Tip,
            from: Ticks(state.cursor.0.saturating_add(1)),
        }
    }
}

/// The least time between two full sweeps: what they read beyond the one page that a tip costs too may take half of the
/// budget, no more.
fn full_spacing(pages: u32, reach: &Reach) -> Duration {
    let half_budget = f64::from(reach.requests_per_minute.max(1)) / 2.0;
    Duration::from_secs_f64(f64::from(pages.saturating_sub(1)) * 60.0 / half_budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const REACH: Reach = Reach {
        overlap: Duration::from_secs(900),
        reconcile_every: Duration::from_secs(6 * 3600),
        reconcile_window: Duration::from_secs(7 * 86_400),
        requests_per_minute: 25,
    };
    const NOW: Ticks = Ticks(17_000_000_000_000_000);

    fn state() -> TenantState {
        TenantState {
            cursor: NOW.minus(HOUR),
            reconciled: NOW.minus(HOUR),
        }
    }

    #[test]
    fn the_first_range_starts_at_a_fixed_instant() {
        let first = TenantState::first(NOW, 24 * HOUR);
        let plan = plan(&first, &REACH, LastFull::default(), NOW.plus(HOUR), HOUR);
        assert_eq!(plan.kind, Kind::Full);
        assert_eq!(plan.from, NOW.minus(24 * HOUR).minus(REACH.overlap));
    }

    #[test]
    fn cheap_sweeps_are_always_full() {
        let last = LastFull {
            ended: Some(HOUR),
            pages: 1,
            cursor: None,
        };
        assert_eq!(plan(&state(), &REACH, last, NOW, HOUR).kind, Kind::Full);
    }

    #[test]
    fn dear_full_sweeps_take_at_most_half_of_the_budget() {
        let last = LastFull {
            ended: Some(HOUR),
            pages: 31,
            cursor: None,
        };
        let spacing = Duration::from_secs(144);
        let before = plan(
            &state(),
            &REACH,
            last,
            NOW,
            HOUR + spacing - Duration::from_millis(1),
        );
        assert_eq!(
            before,
            Plan {
                kind: Kind::Tip,
                from: Ticks(state().cursor.0 + 1)
            }
        );
        assert_eq!(
            plan(&state(), &REACH, last, NOW, HOUR + spacing).kind,
            Kind::Full
        );
    }

    #[test]
    fn a_full_sweep_overlaps_the_full_one_before_whatever_tips_did_in_between() {
        let left = state().cursor;
        let last = LastFull {
            ended: Some(HOUR),
            pages: 300,
            cursor: Some(left),
        };
        let mut moved = state();
        moved.cursor = left.plus(HOUR / 2);
        let plan_at = |uptime| plan(&moved, &REACH, last, NOW, uptime);
        assert_eq!(plan_at(HOUR).from, Ticks(moved.cursor.0 + 1));
        assert_eq!(
            plan_at(HOUR + HOUR / 2),
            Plan {
                kind: Kind::Full,
                from: left.minus(REACH.overlap)
            }
        );
    }

    #[test]
    fn reconcile_is_due_after_its_interval_and_after_a_clock_was_set_back() {
        let due = NOW.minus(HOUR).plus(REACH.reconcile_every);
        let last = LastFull {
            ended: Some(HOUR),
            pages: 1,
            cursor: None,
        };
        let plan_at = |now| plan(&state(), &REACH, last, now, HOUR);
        assert_eq!(plan_at(Ticks(due.0 - 1)).kind, Kind::Full);
        assert_eq!(
            plan_at(due),
            Plan {
                kind: Kind::Reconcile,
                from: due.minus(REACH.reconcile_window)
            }
        );
        assert_eq!(plan_at(NOW.minus(2 * HOUR)).kind, Kind::Reconcile);
    }

    #[test]
    fn reconcile_never_reads_less_than_a_full_sweep() {
        let mut old = state();
        old.cursor = NOW.minus(30 * 24 * HOUR);
        old.reconciled = NOW.minus(24 * HOUR);
        let plan = plan(&old, &REACH, LastFull::default(), NOW, HOUR);
        assert_eq!(
            plan,
            Plan {
                kind: Kind::Reconcile,
                from: old.cursor.minus(REACH.overlap)
            }
        );
    }
}
