//! How far a tenant has been read, and what its next sweep reads.
//!
//! A **live** sweep reads from the cursor on. There are two kinds:
//! - A **full** sweep starts where the last full sweep left the cursor, minus the overlap. It finds incidents that were
//!   indexed late, and incidents of which only the alerts changed.
//! - A **tip** sweep starts just after the cursor. It runs only between full sweeps that have become expensive: after a
//!   bulk change of thousands of incidents, each full sweep reads them all again until they leave the overlap, which
//!   would use up the budget.
//!
//! Neither the overlap of a full sweep nor a reconcile goes back beyond the **start** of the tenant's first range:
//! nothing older was ever asked for, so nothing older can be late.
//!
//! Everything else is **backlog** ([`super::backlog`]), which is read beside live polling: the rest of a range that
//! turned out to be long ([`cut`]) and, at long intervals, the whole `reconcile_window` again ([`reconcile`]), which
//! finds what no overlap can find.
//!
//! A live sweep reads everything after its start that is not backlog, so it may move the cursor. It never moves the
//! cursor past the time in Microsoft's answers, and it does not trust the time of a single answer ([`ServerTime`]).

use std::time::Duration;

use super::backlog::{Backlog, Interval, Span};
use super::pause::Pause;
use crate::core::time::ticks::Ticks;

pub use server_time::ServerTime;

/// The number of pages after which a live sweep of a long range leaves the rest to the backlog. Otherwise the first
/// incidents would wait until the last ones are read.
pub const DEEP: u32 = 5;

/// The most by which two correct clocks may differ.
pub(super) const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Microsoft keeps Defender XDR's data for 180 days ("Data security and retention in Microsoft Defender XDR").
pub(super) const RETENTION: Duration = Duration::from_secs(180 * 86_400);

/// The state that the ledger keeps for a tenant, besides the versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantState {
    /// Where the first range began. Nothing older is ever asked for, however long the overlap, `reconcile_window` or a
    /// later `lookback` is. It is [`Ticks::MIN`] when the ledger is older than this field. Then there is no bound,
    /// because a guess could hide a late incident for ever. It is never after the cursor.
    pub start: Ticks,
    /// Every version with a last update before this instant that the API showed is published, except those in the
    /// backlog. The cursor begins at a fixed instant (first contact minus `lookback`) and never moves back.
    pub cursor: Ticks,
    /// When the last reconcile began.
    pub reconciled: Ticks,
    /// The open intervals, which are still to be read.
    pub backlog: Backlog,
    /// Set while an operator has paused the tenant.
    pub paused: Option<Pause>,
}

impl TenantState {
    /// The state of a tenant that was never read, at first contact.
    pub fn first(now: Ticks, lookback: Duration) -> Self {
        let start = now.minus(lookback);
        Self {
            start,
            cursor: start,
            reconciled: now,
            backlog: Backlog::default(),
            paused: None,
        }
    }

    /// Whether nobody has read the tenant for as long as Microsoft keeps incidents: everything recorded is gone there.
    pub fn is_abandoned(&self, now: Ticks) -> bool {
        self.cursor.max(self.reconciled).plus(RETENTION) < now
    }

    /// Whether the cursor is still where first contact put it. In a ledger older than `start`, only the cursor can show
    /// this.
    pub fn is_first(&self, lookback: Duration) -> bool {
        let unmoved = self.start == self.cursor || self.start == Ticks::MIN;
        unmoved && self.cursor == self.reconciled.minus(lookback)
    }

    /// The corrected state when the range began too late because this machine's clock was ahead. A cursor in the future
    /// would blind the tenant. `date` is the API's time, which is [confirmed](ServerTime::is_confirmed); `now` is the
    /// time of our own clock; `fresh` is whether the state is a [first](Self::is_first) state. `None`: the state needs
    /// no correction.
    ///
    /// After the first incident, Microsoft's own answers have proved the start right. From then on a `Date` alone moves
    /// neither the start nor the cursor.
    pub fn corrected(
        &self,
        date: Ticks,
        now: Ticks,
        lookback: Duration,
        fresh: bool,
    ) -> Option<Self> {
        let first = Self::first(date, lookback);
        let future = match self.cursor == self.start {
            true => date.plus(CLOCKS_DIFFER),
            false => date.max(now).plus(CLOCKS_DIFFER),
        };
        let begun_late =
            self.start > future || (fresh && self.cursor > first.cursor.plus(CLOCKS_DIFFER));
        // If only the cursor is wrong, the first range keeps its start, even if `lookback` is longer now.
        let start = if begun_late { first.start } else { self.start };
        (begun_late || self.cursor > future).then(|| Self {
            start,
            cursor: first.cursor.max(start),
            ..self.clone()
        })
    }

    /// Whether a live sweep reads everything from the start on, so that a reconcile has nothing to compare.
    fn is_at_start(&self) -> bool {
        self.cursor == self.start && self.backlog.is_empty()
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
pub enum SweepKind {
    Full,
    Tip,
}

/// What the last full sweep cost. It is kept only in memory, because a restart may begin with a full sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LastFull {
    /// When it ended, on a clock that never goes back. `None`: there was no full sweep.
    pub ended: Option<Duration>,
    pub pages: u32,
    /// Where it left the cursor. The overlap of the next full sweep counts from here: an incident indexed late since
    /// then may lie further behind the cursor, which tip sweeps have moved.
    pub cursor: Option<Ticks>,
    /// The API's time, if it was confirmed.
    pub date: Option<Ticks>,
}

/// The next live sweep: it reads every last update at or after `from` that is not backlog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub kind: SweepKind,
    pub from: Ticks,
}

/// Chooses the next live sweep. `uptime` is a clock that never goes back.
pub fn plan(state: &TenantState, reach: &Reach, last_full: LastFull, uptime: Duration) -> Plan {
    let full_is_due = last_full
        .ended
        .is_none_or(|ended| uptime.saturating_sub(ended) >= full_spacing(last_full.pages, reach));
    if full_is_due {
        Plan {
            kind: SweepKind::Full,
            from: full_from(state, reach, last_full),
        }
    } else {
        Plan {
            kind: SweepKind::Tip,
            from: Ticks(state.cursor.0.saturating_add(1)),
        }
    }
}

/// The state with the reconcile window added to its backlog, except for what a full sweep reads anyway and what lies
/// before the first range. `None`: no reconcile is due. `now` is wall-clock time. If `now` is behind what
/// Microsoft has shown, this machine's clock was set back, and the window must not move back with it. If `now` is ahead
/// of the time in Microsoft's last answer, the window must not move ahead with it.
pub fn reconcile(
    state: &TenantState,
    reach: &Reach,
    last_full: LastFull,
    now: Ticks,
) -> Option<TenantState> {
    // If the last reconcile lies in the future, the clock was set back since. A reconcile is due, or it might never be
    // due again.
    let due = state.reconciled > now || now.since(state.reconciled) >= reach.reconcile_every;
    // There is no reconcile before the first incident: until then `reconciled` records the time of first contact, which
    // later shows whether the clock was fast.
    (due && !state.is_at_start()).then(|| {
        let mut state = state.clone();
        state.reconciled = now;
        let server_time = last_full.date.unwrap_or(now);
        let window = now
            .min(server_time)
            .max(state.cursor)
            .minus(reach.reconcile_window);
        state.backlog.open(Interval::again(
            window.max(state.start),
            full_from(&state, reach, last_full),
        ));
        state
    })
}

/// Where a live sweep over `span` that took too many pages is cut; the older part is left to the backlog. `None`: the
/// older part would be too short to be worth it. `now` is the earlier of the API's time and ours.
pub fn cut(span: Span, reach: &Reach, now: Ticks) -> Option<Ticks> {
    let cut = span.to.unwrap_or_else(|| now.minus(reach.overlap));
    let shortest = reach.overlap / 2;
    (cut > span.from && cut.since(span.from) > shortest).then_some(cut)
}

/// Microsoft keeps incidents for 180 days ("Data security and privacy in Microsoft Defender XDR"). It does not say from
/// which instant they count, so twice that time is safe.
const KEPT: Duration = Duration::from_secs(2 * 180 * 86_400);

/// Versions from before this instant can be forgotten: Microsoft has deleted them, and nothing that is still to be read
/// goes back that far. The instant follows from what Microsoft has shown, because this machine's clock may be wrong.
pub fn forgettable(state: &TenantState, reach: &Reach, now: Ticks) -> Ticks {
    let open = state.backlog.intervals().first().map(|open| open.from);
    let read_again = now.minus(reach.reconcile_window).minus(reach.overlap);
    let kept = state.cursor.minus(KEPT).minus(reach.overlap);
    kept.min(read_again).min(open.unwrap_or(kept))
}

pub(super) fn full_from(state: &TenantState, reach: &Reach, last_full: LastFull) -> Ticks {
    last_full
        .cursor
        .map_or(state.cursor, |left| left.min(state.cursor))
        .minus(reach.overlap)
        .max(state.start)
}

/// The least time between two full sweeps. The pages that a full sweep reads beyond the one page of a tip sweep may
/// take at most half of the budget.
fn full_spacing(pages: u32, reach: &Reach) -> Duration {
    let half_budget = f64::from(reach.requests_per_minute.max(1)) / 2.0;
    Duration::from_secs_f64(f64::from(pages.saturating_sub(1)) * 60.0 / half_budget)
}

/// The length of the next window of a back-fill, adapted to the cost of the last one. After a restart a window may be
/// read again, so a window is a few pages long. Windows grow while they are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowLength(Duration);

impl WindowLength {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30 * 86_400);
    /// The number of pages at which a window is given up and a shorter one is taken.
    pub const TOO_DEEP: u32 = 10;

    pub fn longest() -> Self {
        Self(Self::LONGEST)
    }

    /// The newest part of `interval`, which is read now.
    pub fn window(self, interval: &Interval) -> (Ticks, Ticks) {
        (interval.from.max(interval.to.minus(self.0)), interval.to)
    }

    /// The next length after a window of `pages` pages.
    #[must_use]
    pub fn after(self, pages: u32) -> Self {
        let next = match pages {
            0..=2 => self.0.saturating_mul(2),
            3..=6 => self.0,
            _ => self.0 / 2,
        };
        Self(next.clamp(Self::SHORTEST, Self::LONGEST))
    }

    /// The next length after a window that took too many pages: half as long, or shorter
    /// if its pages, in a list that is newest first, have shown less than that so far. `None`: the window can't be any shorter.
    pub fn shrunk(self, window: Span, oldest_shown: Option<Ticks>) -> Option<Self> {
        let shown = window
            .to
            .zip(oldest_shown)
            .map(|(to, oldest)| to.since(oldest));
        let next = shown.unwrap_or(self.0).min(self.0 / 2).max(Self::SHORTEST);
        (self.0 > Self::SHORTEST).then_some(Self(next))
    }
}

impl Default for WindowLength {
    /// Six hours: about one page for a tenant with 200 incidents a day.
    fn default() -> Self {
        Self(Duration::from_secs(6 * 3600))
    }
}

mod server_time;
#[cfg(test)]
mod tests;
