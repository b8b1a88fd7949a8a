//! How far a tenant has been read, and what its next sweep reads.
//!
//! A **live** sweep reads from the cursor on, in one of two reaches:
//! - **full**: from where the last full one left the cursor, minus the overlap; finds what was indexed late and what
//!   changed in alerts only;
//! - **tip**: from just behind the cursor. Only between full sweeps that have become dear: after a bulk change of
//!   thousands, each full sweep reads them all again until they leave the overlap, and would eat the budget of the rest.
//!
//! Neither a full sweep's overlap nor a reconcile goes back beyond the **start** of the tenant's first range: what lies
//! before it was never asked for, so it can't be late there.
//!
//! Everything else is **backlog** ([`super::backlog`]), read beside live polling: the rest of a range that turned out to be
//! long ([`cut`]), and, seldom, the whole `reconcile_window` again ([`reconcile`]), which finds what no overlap can.
//!
//! A live sweep reads everything from its start on that is not backlog, so it may move the cursor: never past the time
//! that Microsoft's answers bear, and not by what a single answer says of the time ([`ServerTime`]).

use std::time::Duration;

use super::backlog::{Backlog, Interval, Span};
use crate::core::time::ticks::Ticks;

pub use server_time::ServerTime;

/// Pages after which a live sweep of a long range leaves the rest to the backlog. What it shows first must not wait for
/// what it shows last.
pub const DEEP: u32 = 5;

/// By so much two clocks may differ that show the same time.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What the ledger keeps for a tenant beside the versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantState {
    /// Where the first range began. Nothing older is ever asked for, however long overlap, `reconcile_window` or, later on,
    /// `lookback` are. [`Ticks::MIN`] when the ledger is older than this field: no bound then, since to guess one could
    /// hide for ever what was shown late. Never after the cursor.
    pub start: Ticks,
    /// Every version with a last update before this instant that the API showed is published, but for the backlog's. Starts
    /// at a fixed instant (first contact minus `lookback`) and never moves back.
    pub cursor: Ticks,
    /// When the last reconcile began.
    pub reconciled: Ticks,
    /// What is still to be read beside that.
    pub backlog: Backlog,
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
        }
    }

    /// The cursor is still where first contact put it. In a ledger from before `start` the cursor alone has to tell.
    pub fn is_first(&self, lookback: Duration) -> bool {
        let unmoved = self.start == self.cursor || self.start == Ticks::MIN;
        unmoved && self.cursor == self.reconciled.minus(lookback)
    }

    /// The state with its range where it belongs, when it began too late because this machine's clock was ahead: a cursor
    /// in the future would blind the tenant. `date` is the API's time, which is [confirmed](ServerTime::is_confirmed); `now` is
    /// what our clock shows; `fresh` is whether the state is a [first](Self::is_first) one.
    ///
    /// Once anything was shown, the start is where Microsoft's own answers have proved it to be: a `Date` alone moves
    /// neither it nor the cursor any more, whatever stands behind it.
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
        // Where only the cursor is wrong the first range stays where it began, even if `lookback` is longer by now.
        let start = if begun_late { first.start } else { self.start };
        (begun_late || self.cursor > future).then(|| Self {
            start,
            cursor: first.cursor.max(start),
            ..self.clone()
        })
    }

    /// Whether a live sweep reads all from the start on, so that there is nothing to compare again.
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

/// What the last full sweep cost; kept in memory only, since a restart may well begin with a full sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LastFull {
    /// When it ended, on the clock that never goes back; `None`: never.
    pub ended: Option<Duration>,
    pub pages: u32,
    /// Where it left the cursor. The next one's overlap counts from there: what was indexed late since then may lie
    /// further behind the cursor that tips have moved meanwhile.
    pub cursor: Option<Ticks>,
    /// The API's time, if that was confirmed.
    pub date: Option<Ticks>,
}

/// A live sweep to be made: everything with a last update at or after `from`, backlog apart.
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

/// The state with the reconcile window in its backlog, when a reconcile is due; what a full sweep reads anyway is left out,
/// and what lies before the first range. `now` is wall-clock time; where that is behind what Microsoft has shown, this
/// machine's clock was set back, and the window must not go back with it; where it is ahead of the time that Microsoft told
/// last, the window must not go ahead with it.
pub fn reconcile(
    state: &TenantState,
    reach: &Reach,
    last_full: LastFull,
    now: Ticks,
) -> Option<TenantState> {
    // A reconcile time in the future is a clock that was set back since: due, or it might never be again.
    let due = state.reconciled > now || now.since(state.reconciled) >= reach.reconcile_every;
    // None is made before anything was shown: `reconciled` then still tells when first contact was, on which a fast
    // clock is known later on.
    (due && !state.is_at_start()).then(|| {
        let mut state = state.clone();
        state.reconciled = now;
        let told = last_full.date.unwrap_or(now);
        let window = now
            .min(told)
            .max(state.cursor)
            .minus(reach.reconcile_window);
        state.backlog.open(Interval::again(
            window.max(state.start),
            full_from(&state, reach, last_full),
        ));
        state
    })
}

/// Where a live sweep over `span` that has become deep is cut: what is older is left to the backlog. `None` when it is too
/// short to be worth it. `now` is the earlier of the API's time and ours.
pub fn cut(span: Span, reach: &Reach, now: Ticks) -> Option<Ticks> {
    let cut = span.to.unwrap_or_else(|| now.minus(reach.overlap));
    let shortest = reach.overlap / 2;
    (cut > span.from && cut.since(span.from) > shortest).then_some(cut)
}

/// Microsoft keeps incidents for 180 days ("Data security and privacy in Microsoft Defender XDR"), counted from an instant
/// it does not name: twice that is beyond doubt.
const KEPT: Duration = Duration::from_secs(2 * 180 * 86_400);

/// Versions from before this instant can't be shown again: Microsoft has deleted them, and nothing that is still to be read
/// reaches so far back. Counted from what Microsoft itself has shown, since this machine's clock may be wrong.
pub fn forgettable(state: &TenantState, reach: &Reach, now: Ticks) -> Ticks {
    let open = state.backlog.intervals().first().map(|open| open.from);
    let read_again = now.minus(reach.reconcile_window).minus(reach.overlap);
    let kept = state.cursor.minus(KEPT).minus(reach.overlap);
    kept.min(read_again).min(open.unwrap_or(kept))
}

fn full_from(state: &TenantState, reach: &Reach, last_full: LastFull) -> Ticks {
    last_full
        .cursor
        .map_or(state.cursor, |left| left.min(state.cursor))
        .minus(reach.overlap)
        .max(state.start)
}

/// The least time between two full sweeps: what they read beyond the one page that a tip costs too may take half of the
/// budget, no more.
fn full_spacing(pages: u32, reach: &Reach) -> Duration {
    let half_budget = f64::from(reach.requests_per_minute.max(1)) / 2.0;
    Duration::from_secs_f64(f64::from(pages.saturating_sub(1)) * 60.0 / half_budget)
}

/// How long the next window of a back-fill is, by what the last one cost. A window is what a restart may have to read
/// again, so it is a few pages; an empty stretch is crossed in growing steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowLength(Duration);

impl WindowLength {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30 * 86_400);
    /// Pages from which on a window is given up and a shorter one taken.
    pub const TOO_DEEP: u32 = 10;

    pub fn longest() -> Self {
        Self(Self::LONGEST)
    }

    /// The newest part of `interval` that is to be read now.
    pub fn window(self, interval: &Interval) -> (Ticks, Ticks) {
        (interval.from.max(interval.to.minus(self.0)), interval.to)
    }

    /// After a window that took `pages`.
    #[must_use]
    pub fn after(self, pages: u32) -> Self {
        let next = match pages {
            0..=2 => self.0.saturating_mul(2),
            3..=6 => self.0,
            _ => self.0 / 2,
        };
        Self(next.clamp(Self::SHORTEST, Self::LONGEST))
    }

    /// After a window that became deep: half as long, or as long as what its pages have shown so far, where the list is
    /// newest first. `None` when it is as short as can be.
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
    /// Six hours: of a tenant with 200 incidents a day about one page.
    fn default() -> Self {
        Self(Duration::from_secs(6 * 3600))
    }
}

mod server_time;
#[cfg(test)]
mod tests;
