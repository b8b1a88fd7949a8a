//! Detects a server that ignores `$filter`. Such a server shows the whole history, page after page, at each sweep.

use std::time::Duration;

use super::super::backlog::Span;
use super::{PageCount, Pager, PlaceKey};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::time::ticks::Ticks;

/// How far a last update may lie outside the requested span. Servers round, but no further than this.
pub const TOLERANCE: Duration = Duration::from_secs(60);
/// Incidents of one page that may lie further outside, so that a single odd incident is not taken for a server's habit.
const MOST_ODD: u32 = 2;
/// The number of pages after which an unsorted list of a server that ignores `$filter` is given up.
pub const MOST_UNSORTED: u32 = 40;

/// The order in which a server that ignores `$filter` lists its history, as seen when the whole list was last read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The list was not read to its end yet. Its first pages prove nothing: a list with the newest *created* incidents
    /// first may look sorted by last update too.
    #[default]
    Unread,
    /// Newest last update first, as seen at this uptime.
    Sorted(Duration),
    Unsorted,
}

impl History {
    /// Whether to read the whole list at `uptime`, however old its incidents are. A list sorted by creation gives
    /// itself away only when an old incident is updated. So a list that was sorted once is read whole again after
    /// `every`.
    pub fn is_read_whole(self, uptime: Duration, every: Duration) -> bool {
        match self {
            History::Sorted(at) => uptime.saturating_sub(at) >= every,
            History::Unread | History::Unsorted => true,
        }
    }
}

/// What a page shows about the server's filter.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct OutsideCount {
    incidents: u32,
    older: u32,
    newer: u32,
}

impl OutsideCount {
    fn note(&mut self, updated: Ticks, span: Span) {
        self.incidents += 1;
        self.older += u32::from(updated < span.from.minus(TOLERANCE));
        let newer = span.to.is_some_and(|to| updated >= to.plus(TOLERANCE));
        self.newer += u32::from(newer);
    }

    /// Whether the page shows that the filter is ignored. A few incidents may become newer than the window while it is
    /// read, or before the server's index has them. Many can't.
    fn shows(&self) -> bool {
        self.older > MOST_ODD || (self.newer > MOST_ODD && 2 * self.newer > self.incidents)
    }

    /// The same for all pages of a pager, where more than two odd incidents are possible: most must lie outside.
    fn shows_over_pages(&self) -> bool {
        let outside = self.older.saturating_add(self.newer);
        outside > MOST_ODD && outside > self.incidents / 2
    }
}

/// What is known about the server's filter.
#[derive(Debug, Default)]
pub(super) struct FilterCheck {
    /// The server ignores `$filter`.
    unfiltered: bool,
    /// Read the list to its end even so.
    to_the_end: bool,
    /// Incidents of the last pages, while all of them are older than the requested span.
    older_in_a_row: u32,
    /// What the pages have shown so far; an incident counts once.
    outside: OutsideCount,
}

impl Pager {
    /// Whether the server ignores `$filter`.
    pub fn unfiltered(&self) -> bool {
        self.filter.unfiltered
    }

    /// Whether each sweep has to read the whole list, because it is neither filtered nor sorted by last update.
    pub fn unsorted(&self) -> bool {
        self.filter.unfiltered && !self.shown.newest_first
    }

    /// Counts the last update of an incident that [`Pager::note_counted`] notes later.
    pub fn count_update(&mut self, updated: Ticks) {
        self.page.outside.note(updated, self.span);
        self.filter.unfiltered |= self.page.outside.shows();
    }

    /// Counts a completed page. With small pages, a server's habit shows only over several of them.
    pub(super) fn note_outside(&mut self, page: &PageCount) {
        let OutsideCount {
            incidents, older, ..
        } = page.outside;
        self.filter.older_in_a_row = match older == incidents {
            true => self.filter.older_in_a_row.saturating_add(older),
            false => 0,
        };
        for (key, updated) in &page.fresh {
            if let PlaceKey::Incident(_) = key {
                self.filter.outside.note(*updated, self.span);
            }
        }
        self.filter.unfiltered |=
            self.filter.older_in_a_row > MOST_ODD || self.filter.outside.shows_over_pages();
    }

    /// Reads to the end of the list if `whole`, even if the server ignores the filter.
    #[must_use]
    pub fn reading_to_the_end(mut self, whole: bool) -> Self {
        self.filter.to_the_end = whole;
        self
    }

    /// What is known about the list after a page that ended at `uptime`. `done`: it was the pager's last page.
    pub fn history(&self, before: History, done: bool, uptime: Duration) -> History {
        match self.filter.unfiltered {
            true if !self.shown.newest_first => History::Unsorted,
            true if done && self.filter.to_the_end && self.trusted => History::Sorted(uptime),
            _ => before,
        }
    }

    /// Whether a list that is newest first but not filtered shows nothing more of the span from this page on.
    pub(super) fn is_behind(&self, page: &PageCount) -> bool {
        let OutsideCount {
            incidents, older, ..
        } = page.outside;
        let may_end = self.filter.unfiltered && self.shown.newest_first && !self.filter.to_the_end;
        may_end && incidents > 0 && older == incidents
    }
}

/// The failure for a list that is neither filtered nor sorted.
pub fn unsorted_history() -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        "the API ignores `$filter` and does not list the newest first: each sweep has to read the whole history",
        "check api.base_url, and what stands between here and Microsoft: Microsoft's APIs filter by the last update. \
         Incidents are published, but only every few minutes; the other API (api.source) may do better",
    )
    .caused_by("filter ignored")
}
