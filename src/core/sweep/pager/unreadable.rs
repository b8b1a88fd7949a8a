//! Finds the incident that makes a page fail, and passes it.

use std::time::Duration;

use super::{PageAsk, Pager, Query};
use crate::core::sweep::backlog::Interval;
use crate::core::time::ticks::Ticks;

/// After this many places in a row without an answer, the service may be at fault instead of an incident.
pub(super) const DOUBTFUL: u32 = 3;
/// After this many, the service is at fault.
const MOST_UNSEEN_IN_A_ROW: u32 = 150;
/// How far behind such places to look for an incident that may come through.
const BEYOND: [u32; 5] = [0, 2, 8, 32, 160];

/// A span of last updates in which something could not be read completely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnreadableSpan {
    pub from: Ticks,
    pub to: Ticks,
    /// It was not read at all. Otherwise it was published, perhaps without its alerts.
    pub unseen: bool,
}

impl UnreadableSpan {
    /// The span as an interval of the backlog.
    pub fn interval(&self) -> Interval {
        Interval {
            from: self.from,
            to: self.to,
            again: !self.unseen,
        }
    }
}

/// The places of the list that could not be read.
#[derive(Debug, Default)]
pub(super) struct UnseenPlaces {
    pub(super) spans: Vec<UnreadableSpan>,
    /// The number of places passed unseen since the last incident.
    pub(super) count: u32,
    /// The last update of the incident before them.
    before: Option<Ticks>,
    /// The time of this machine's clock. A `Date` after it can't say where an unseen place lies.
    now: Option<Ticks>,
}

/// How to judge a single place that was passed unseen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passed {
    /// The incident is at fault: read on.
    On,
    /// The incidents are at fault if one of these requests returns an incident; otherwise the service is. An empty
    /// answer proves nothing, because only the part of the service that serves incidents may be broken.
    IfOneComes(Vec<PageAsk>),
    /// The service is at fault.
    InVain,
}

impl Pager {
    /// Sets the time of this machine's clock.
    pub fn set_clock(&mut self, now: Ticks) {
        self.unseen_places.now = Some(now);
    }

    /// Halves the page after a failure that its content may have caused. `false`: a single place failed.
    pub fn narrow(&mut self) -> bool {
        let narrowed = self.position.narrow();
        self.trusted &= !narrowed;
        narrowed
    }

    /// Reads on by `$skip` after the server refused its own nextLink, or the link is not followed. `false`: there was
    /// no link.
    pub fn link_refused(&mut self) -> bool {
        let followed = self.position.link.is_some();
        self.position.link_refused |= followed;
        self.position.by_skip();
        followed
    }

    /// Records that a single place was read by other means than a page. Even if the incident is complete, every page
    /// with it fails. If it were left out of the backlog, no later pager would be trusted, and each would search for it
    /// again.
    pub fn pass_single(&mut self, updated: Ticks) {
        self.shown.greatest = self.shown.greatest.max(Some(updated));
        if self.unseen_places.count > 0 {
            self.name_unseen(Some(updated));
        }
        self.incomplete(updated);
        self.pass();
    }

    /// Passes a single place that holds no readable incident.
    pub fn pass_unreadable(&mut self) {
        self.pass();
    }

    /// Records that an incident came without some of its alerts, or in no page.
    pub fn incomplete(&mut self, updated: Ticks) {
        self.unseen_places.spans.push(UnreadableSpan {
            from: updated,
            to: just_behind(updated),
            unseen: false,
        });
    }

    /// Records that something unknown is missing in the current page.
    pub fn distrust(&mut self) {
        self.trusted = false;
    }

    /// Passes a single place that could not be read at all.
    pub fn pass_unseen(&mut self) -> Passed {
        if self.unseen_places.count == 0 {
            self.unseen_places.before = self.shown.last;
        }
        self.unseen_places.count += 1;
        self.pass();
        match self.unseen_places.count {
            MOST_UNSEEN_IN_A_ROW.. => Passed::InVain,
            unseen if unseen.is_multiple_of(DOUBTFUL) => Passed::IfOneComes(self.proofs()),
            _ => Passed::On,
        }
    }

    /// Places that may come through although the last ones did not: the one before them, and some behind.
    fn proofs(&self) -> Vec<PageAsk> {
        let before = self
            .position
            .passed
            .checked_sub(self.unseen_places.count + 1);
        let before = before.filter(|_| self.unseen_places.before.is_some());
        let behind = BEYOND.map(|beyond| self.position.passed.saturating_add(beyond));
        let place = |skip| {
            PageAsk::Query(Query {
                span: self.span,
                top: 1,
                skip,
                alerts: true,
            })
        };
        before.into_iter().chain(behind).map(place).collect()
    }

    fn pass(&mut self) {
        self.position.pass();
        self.trusted = false;
    }

    /// Records the span of the places passed unseen. In a sorted list it lies between the neighbours. In an unsorted
    /// list the incident may lie elsewhere, and the next pager meets it again.
    pub(super) fn name_unseen(&mut self, after: Option<Ticks>) {
        self.unseen_places.count = 0;
        let oldest = self.span.from;
        // A `Date` in the future would put all future incidents into the backlog.
        let date = self
            .shown
            .date
            .map(|date| self.unseen_places.now.map_or(date, |now| date.min(now)));
        let newest = self.span.to.or(date).or(self.shown.greatest);
        let newest = newest.unwrap_or(oldest).max(oldest);
        let (before, after) = match (self.unseen_places.before, after) {
            (Some(before), Some(after)) => (before, after),
            (Some(before), None) if self.shown.newest_first => (before, oldest),
            (None, Some(after)) if self.shown.newest_first => (newest, after),
            (Some(before), None) => (before, newest),
            (None, Some(after)) => (oldest, after),
            (None, None) => (oldest, newest),
        };
        // The span must not reach into the future, because live sweeps leave out the backlog.
        self.unseen_places.spans.push(UnreadableSpan {
            from: before.min(after).min(newest),
            to: just_behind(before.max(after).min(newest)),
            unseen: true,
        });
    }
}

fn just_behind(tick: Ticks) -> Ticks {
    tick.plus(Duration::from_nanos(100))
}
