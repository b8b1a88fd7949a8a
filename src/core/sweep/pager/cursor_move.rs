//! How far one sweep moves the cursor.

use super::Pager;
use crate::core::time::ticks::Ticks;

/// The sum of a sweep's pagers.
#[derive(Debug, Clone, Copy)]
pub struct SweepProgress {
    pub pages: u32,
    /// Every pager was trusted.
    pub trusted: bool,
    /// A server led a pager in circles.
    pub circles: bool,
    /// A list was neither filtered nor sorted, so that all of it had to be read.
    pub unsorted: bool,
    greatest: Option<Ticks>,
    /// Everything before this instant is left to the backlog.
    left: Option<Ticks>,
    date: Option<Ticks>,
}

impl Default for SweepProgress {
    fn default() -> Self {
        Self {
            pages: 0,
            trusted: true,
            circles: false,
            unsorted: false,
            greatest: None,
            left: None,
            date: None,
        }
    }
}

impl SweepProgress {
    pub fn add(&mut self, pager: &Pager) {
        self.pages = self.pages.saturating_add(pager.pages);
        self.trusted &= pager.trusted;
        self.circles |= pager.went_in_circles();
        self.unsorted |= pager.unsorted();
        self.greatest = self.greatest.max(pager.shown.greatest);
        self.date = earliest(self.date, pager.shown.date);
    }

    /// Records that everything before `cut` is in the backlog now. The cursor moves to `cut` even if nothing newer was
    /// shown; otherwise the same range would be found too long, and left to the backlog, again and again.
    pub fn leave(&mut self, cut: Ticks) {
        self.left = self.left.max(Some(cut));
    }

    /// The cursor after this sweep, which began at `now` by our own clock. `confirmed`: one of its `Date`s is confirmed
    /// by a second clock.
    ///
    /// The cursor never passes the response's `Date`: one incident with a time in the future must not blind the tenant.
    /// It also never passes our own clock because of an unconfirmed `Date` in the future.
    pub fn cursor_after(&self, before: Ticks, now: Ticks, confirmed: bool) -> Ticks {
        if !self.trusted {
            return before;
        }
        // The earliest `Date` is no later than the confirmed one.
        let date = self
            .date
            .map(|date| if confirmed { date } else { date.min(now) });
        let seen = self.greatest.map(|seen| seen.min(date.unwrap_or(now)));
        // By our own clock alone, the cut could lie in the future.
        let left = self.left.zip(date).map(|(cut, date)| cut.min(date));
        before
            .max(seen.unwrap_or(before))
            .max(left.unwrap_or(before))
    }
}

pub(super) fn earliest(a: Option<Ticks>, b: Option<Ticks>) -> Option<Ticks> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
