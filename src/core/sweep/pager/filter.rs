//! Whether the server asks its list what it was asked for: a server that ignores `$filter` shows the whole history, page
//! after page, at each sweep.

use std::time::Duration;

use super::super::backlog::Span;
use super::{PageCount, Pager, PlaceKey};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::time::ticks::Ticks;

/// By so much a last update may lie outside what was asked for. Servers round, and no more.
pub const TOLERANCE: Duration = Duration::from_secs(60);
/// Incidents of one page that may lie further outside: a single odd one must not be taken for a server's habit.
const MOST_ODD: u32 = 2;
/// Pages after which a list that is not sorted, from a server that ignores `$filter`, is given up.
pub const MOST_UNSORTED: u32 = 40;

/// How a server lists that ignores `$filter`, as its whole list showed when it was read last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It was not read to its end yet. Its first pages prove nothing: where the newest *created* come first, they may look
    /// sorted by last update, too.
    #[default]
    Unread,
    /// Newest last update first, at this uptime.
    Sorted(Duration),
    Unsorted,
}

impl History {
    /// Whether all of it is to be read at `uptime`, however old what it shows is. A list by creation shows what it is only
    /// when an old incident is updated: so what was sorted once is read whole `every` so often.
    pub fn is_read_whole(self, uptime: Duration, every: Duration) -> bool {
        match self {
            History::Sorted(at) => uptime.saturating_sub(at) >= every,
            History::Unread | History::Unsorted => true,
        }
    }
}

/// What a page shows of how the server filters.
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

    /// Incidents may become newer than a window while it is read, or before the server's index knows of it: only of many
    /// that is no explanation.
    fn shows(&self) -> bool {
        self.older > MOST_ODD || (self.newer > MOST_ODD && 2 * self.newer > self.incidents)
    }

    /// The same of a whole walk, in whose many pages more than two may be odd: most of what it shows lies outside.
    fn shows_over_pages(&self) -> bool {
        let outside = self.older.saturating_add(self.newer);
        outside > MOST_ODD && outside > self.incidents / 2
    }
}

/// How the server was seen to filter.
#[derive(Debug, Default)]
pub(super) struct FilterCheck {
    /// It ignores `$filter`.
    unfiltered: bool,
    /// The list is read to its end even so.
    to_the_end: bool,
    /// Incidents of the last pages, when all were older than what was asked for.
    older_in_a_row: u32,
    /// What the pages have shown so far, an incident once.
    outside: OutsideCount,
}

impl Pager {
    /// Whether the server was seen to ignore `$filter`.
    pub fn unfiltered(&self) -> bool {
        self.filter.unfiltered
    }

    /// Whether each sweep of this list has to read all of it: it is not filtered, and not sorted by last update either.
    pub fn unsorted(&self) -> bool {
        self.filter.unfiltered && !self.shown.newest_first
    }

    /// Notes the last update of an incident that [`Pager::note`] is told of, or will be later on.
    pub fn foresee(&mut self, updated: Ticks) {
        self.page.outside.note(updated, self.span);
        self.filter.unfiltered |= self.page.outside.shows();
    }

    /// A page has come to its end. In small pages a server's habit shows only over several.
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

    /// The same, read to the end of the list when `whole`, even if that is not filtered.
    #[must_use]
    pub fn to_the_end(mut self, whole: bool) -> Self {
        self.filter.to_the_end = whole;
        self
    }

    /// What a page that came to its end at `uptime` adds to what is known of the list; `done`: it was the walk's last.
    pub fn history(&self, before: History, done: bool, uptime: Duration) -> History {
        match self.filter.unfiltered {
            true if !self.shown.newest_first => History::Unsorted,
            true if done && self.filter.to_the_end && self.trusted => History::Sorted(uptime),
            _ => before,
        }
    }

    /// Whether a list that is newest first, though it is not filtered, shows nothing from this page on that was asked for.
    pub(super) fn is_behind(&self, page: &PageCount) -> bool {
        let OutsideCount {
            incidents, older, ..
        } = page.outside;
        let may_end = self.filter.unfiltered && self.shown.newest_first && !self.filter.to_the_end;
        may_end && incidents > 0 && older == incidents
    }
}

/// A list that is neither filtered nor sorted.
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
