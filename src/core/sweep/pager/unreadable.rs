//! A page that fails for what it holds: the way down to a single incident, and past it.

use std::time::Duration;

use super::{PageAsk, Pager, Query};
use crate::core::sweep::backlog::Interval;
use crate::core::time::ticks::Ticks;

/// So many places one after the other that nothing could be read from may be the service's fault, and no incident's.
pub(super) const DOUBTFUL: u32 = 3;
/// And so many are.
const MOST_UNSEEN_IN_A_ROW: u32 = 150;
/// How far behind such places something is asked for that may come through.
const BEYOND: [u32; 5] = [0, 2, 8, 32, 160];

/// Last updates at which something could not be read whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnreadableSpan {
    pub from: Ticks,
    pub to: Ticks,
    /// It was not read at all. Otherwise it was published, without its alerts perhaps.
    pub unseen: bool,
}

impl UnreadableSpan {
    /// As part of the backlog.
    pub fn interval(&self) -> Interval {
        Interval {
            from: self.from,
            to: self.to,
            again: !self.unseen,
        }
    }
}

/// Places of the list that could not be read.
#[derive(Debug, Default)]
pub(super) struct UnseenPlaces {
    pub(super) spans: Vec<UnreadableSpan>,
    /// Places just passed unseen.
    pub(super) count: u32,
    /// The last incident noted before them.
    before: Option<Ticks>,
    /// This machine's clock: a `Date` later than this does not say where an unseen place lies.
    now: Option<Ticks>,
}

/// What to make of a single place that was passed unseen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passed {
    /// The incident's fault.
    On,
    /// The incidents' fault if an incident comes for one of these; else the service's. That nothing is there proves nothing:
    /// what is broken may be whatever makes up incidents.
    IfOneComes(Vec<PageAsk>),
    /// The service's fault.
    InVain,
}

impl Pager {
    /// This machine's clock shows `now`.
    pub fn set_clock(&mut self, now: Ticks) {
        self.unseen_places.now = Some(now);
    }

    /// The page failed, and its content may be why: half of it is asked for next. `false` when a single place failed.
    pub fn narrow(&mut self) -> bool {
        let narrowed = self.position.narrow();
        self.trusted &= !narrowed;
        narrowed
    }

    /// The server no longer takes its own nextLink, or it is not followed: the list is read on by `$skip`. `false` when there
    /// was none.
    pub fn link_refused(&mut self) -> bool {
        let followed = self.position.link.is_some();
        self.position.link_refused |= followed;
        self.position.by_skip();
        followed
    }

    /// A single place was read by other means than a page. Even if it came whole so, each page that holds it fails: left out
    /// of the backlog, it would keep all later walks from being trusted, and have each of them search for it anew.
    pub fn pass_single(&mut self, updated: Ticks) {
        self.shown.greatest = self.shown.greatest.max(Some(updated));
        if self.unseen_places.count > 0 {
            self.name_unseen(Some(updated));
        }
        self.incomplete(updated);
        self.pass();
    }

    /// A single place holds what is no readable incident.
    pub fn pass_unreadable(&mut self) {
        self.pass();
    }

    /// An incident came without some of its alerts, or in no page.
    pub fn incomplete(&mut self, updated: Ticks) {
        self.unseen_places.spans.push(UnreadableSpan {
            from: updated,
            to: just_behind(updated),
            unseen: false,
        });
    }

    /// Something is missing in the page being read, and nobody knows what.
    pub fn distrust(&mut self) {
        self.trusted = false;
    }

    /// A single place could not be read at all.
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

    /// What may well come through although the places just passed did not: the one before them, and some behind.
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

    /// What was passed unseen lies between its neighbours, in a list that is sorted. In another it lies elsewhere, and the
    /// next walk meets it there.
    pub(super) fn name_unseen(&mut self, after: Option<Ticks>) {
        self.unseen_places.count = 0;
        let oldest = self.span.from;
        // A `Date` in the future would put all to come into the backlog.
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
        // Never into the future: live sweeps leave out what is backlog.
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
