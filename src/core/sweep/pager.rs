//! Reads the pages of one span of last updates.
//!
//! The list moves while it is read: an updated incident changes its place, and the incidents behind it move up. The API
//! documents neither an order nor a stable cursor for `$skip`. A page that starts exactly where the last one ended may
//! therefore skip incidents that nobody touched. So each page overlaps the page before by one incident, and a page
//! counts as **joined** only if it shows at least one incident that this pager has seen already. In whatever order the
//! server lists, as long as untouched incidents keep their relative order, every untouched incident before the end of a
//! joined page has been seen. A page that is not joined is read again further up.
//!
//! An incident that changes while the pager reads has a last update after its start. The next sweep finds it, because
//! that sweep begins at the overlap.
//!
//! With nextLinks the server alone decides where a page begins. An incident that appears twice shows that the list
//! moved. Then the pager is not **trusted**: everything is published and the cursor stays. Only in a list that is
//! newest first, as documented, is an unchanged repetition harmless: an updated incident moves to the front, which
//! moves others down and none up. This holds only for a span without an end. In a span with an end an updated incident
//! vanishes, so such a span is read by `$skip`. So is the rest of a list when the server refuses a nextLink.
//!
//! A server that ignores `$filter` shows the whole history. Where that history was seen to be newest first, a pager may
//! end at the first page that lies wholly before its span. Otherwise it has to read all of it.
//!
//! When a page fails and its content may be the cause, the pager **narrows**: it asks for half the page, down to a
//! single place. The incident at that place is then read by other means, or passed and kept in the backlog as
//! unreadable. A narrowed pager is not trusted. Neither are pages of one incident, which can't overlap, nor a server
//! that goes in circles.
//!
//! If a pager is not trusted, its span is read again. Nothing here can lose an incident.

use std::mem;

use super::backlog::Span;
use crate::core::ids::IncidentId;
use crate::core::incident::version::ContentHash;
use crate::core::time::ticks::Ticks;

mod ask;
mod cursor_move;
mod filter;
mod loops;
mod position;
mod recent;
mod side_requests;
mod unreadable;

pub use ask::{PageAsk, PageSize, Query};
pub use cursor_move::SweepProgress;
use cursor_move::earliest;
use filter::{FilterCheck, OutsideCount};
pub use filter::{History, MOST_UNSORTED, TOLERANCE, unsorted_history};
use loops::LoopCheck;
pub use loops::circles;
use position::Position;
use recent::{PlaceKey, Recent};
use side_requests::SideRequests;
use unreadable::UnseenPlaces;
pub use unreadable::{Passed, UnreadableSpan};

/// See the module's documentation.
#[derive(Debug)]
pub struct Pager {
    span: Span,
    position: Position,
    seen: Recent,
    page: PageCount,
    beside: SideRequests,
    /// Pages read to their end.
    pages: u32,
    circles: LoopCheck,
    trusted: bool,
    filter: FilterCheck,
    unseen_places: UnseenPlaces,
    shown: Shown,
}

/// What the completed pages have shown.
#[derive(Debug)]
struct Shown {
    newest_first: bool,
    /// The last update of the last incident.
    last: Option<Ticks>,
    greatest: Option<Ticks>,
    /// The earliest `Date` of a page.
    date: Option<Ticks>,
}

/// What the current page has shown so far.
#[derive(Debug, Default)]
struct PageCount {
    incidents: u32,
    seen_before: u32,
    /// The last update of its first incident.
    first: Option<Ticks>,
    fresh: Vec<(PlaceKey, Ticks)>,
    repeated_ids: bool,
    outside: OutsideCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Read the page that [`Pager::ask`] names now.
    More,
    Done,
}

impl Pager {
    pub fn new(span: Span, size: PageSize) -> Self {
        Self {
            span,
            position: Position::new(size, span.to.is_none()),
            seen: Recent::default(),
            page: PageCount::default(),
            beside: SideRequests::default(),
            pages: 0,
            circles: LoopCheck::default(),
            trusted: true,
            filter: FilterCheck::default(),
            unseen_places: UnseenPlaces::default(),
            shown: Shown {
                newest_first: true,
                last: None,
                greatest: None,
                date: None,
            },
        }
    }

    /// Starts with pages of two, the smallest that overlap.
    #[must_use]
    pub fn cautious(mut self) -> Self {
        self.position.top = self.position.top.min(2);
        self
    }

    pub fn span(&self) -> Span {
        self.span
    }

    /// The page size, with what was learned about the server. If every incident could be read, the page was too large
    /// as a whole, and the next pager starts with the size that came through.
    pub fn page_size(&self) -> PageSize {
        let all_read = self.unseen_places.spans.is_empty() && self.unseen_places.count == 0;
        self.position.page_size(all_read)
    }

    /// The page to read now. A failed page may be asked for again; [`Pager::begin_page`] discards the failed attempt.
    pub fn ask(&self) -> PageAsk {
        match &self.position.link {
            Some(link) => PageAsk::Link(link.clone()),
            None => PageAsk::Query(self.position.query(self.span, true)),
        }
    }

    /// The same place without its alerts, if the page is narrowed to a single place.
    pub fn ask_bare(&self) -> Option<PageAsk> {
        let position = &self.position;
        position
            .is_single()
            .then(|| PageAsk::Query(position.query(self.span, false)))
    }

    /// The earliest `Date` of the pages.
    pub fn date(&self) -> Option<Ticks> {
        self.shown.date
    }

    /// The oldest last update shown, if the list was newest first as far as it was read.
    pub fn oldest_shown(&self) -> Option<Ticks> {
        self.shown.last.filter(|_| self.shown.newest_first)
    }

    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Whether the list moved little enough that the cursor may move or the span may be closed.
    pub fn trusted(&self) -> bool {
        self.trusted
    }

    /// Whether a pager that is done has read everything in its span.
    pub fn whole(&self) -> bool {
        self.trusted && self.unseen_places.spans.is_empty()
    }

    /// The spans that could not be read completely. They are complete once the pager is done.
    pub fn unreadable(&self) -> &[UnreadableSpan] {
        &self.unseen_places.spans
    }

    pub fn begin_page(&mut self) {
        self.page = PageCount::default();
    }

    /// Notes an incident of the current page.
    pub fn note(&mut self, id: IncidentId, updated: Ticks) {
        self.count_update(updated);
        self.note_counted(id, updated);
    }

    /// Notes an incident that [`Pager::count_update`] has already counted.
    pub fn note_counted(&mut self, id: IncidentId, updated: Ticks) {
        self.shown.greatest = self.shown.greatest.max(Some(updated));
        self.page.first.get_or_insert(updated);
        self.note_place(PlaceKey::Incident(id), updated);
    }

    /// Notes an element that can't be read as an incident.
    pub fn note_malformed(&mut self, content: ContentHash) {
        self.note_place(PlaceKey::Malformed(content), Ticks(0));
    }

    fn note_place(&mut self, key: PlaceKey, updated: Ticks) {
        self.page.incidents += 1;
        match self.seen.tick_of(key) {
            Some(tick) if tick == updated => self.page.seen_before += 1,
            before => {
                self.page.repeated_ids |= before.is_some();
                self.page.fresh.push((key, updated));
            }
        }
    }

    /// Whether the current page has shown anything so far.
    pub fn notes_any(&self) -> bool {
        self.page.incidents > 0
    }

    /// Ends the current page and names the next step. `date` is the response's `Date`.
    pub fn end_page(&mut self, next_link: Option<String>, date: Option<Ticks>) -> NextStep {
        let page = mem::take(&mut self.page);
        self.beside = SideRequests::default();
        self.note_order(&page);
        self.note_outside(&page);
        self.pages = self.pages.saturating_add(1);
        // Take the earliest `Date`: a page may miss what happened after it was made.
        self.shown.date = earliest(self.shown.date, date);
        if self.unseen_places.count > 0 && page.first.is_some() {
            self.name_unseen(page.first);
        }
        let came_by = self.position.link.take();
        let step = match next_link {
            _ if self.is_behind(&page) => NextStep::Done,
            Some(link) if self.position.linked => self.follow(link, came_by, page),
            None if self.position.linked && came_by.is_some() => {
                self.distrust_repetition(&page);
                NextStep::Done
            }
            // An empty page whose nextLink is not followed: nothing behind it can be reached.
            Some(_) if page.incidents == 0 && self.position.link_refused => {
                self.circles.led_to_itself();
                self.trusted = false;
                NextStep::Done
            }
            // An empty page with a nextLink: the incidents are behind the link.
            Some(link) if page.incidents == 0 && self.circles.empty_leads_on(&link) => {
                self.position.link = Some(link);
                NextStep::More
            }
            link => self.skip_on(link.is_some(), page),
        };
        if step == NextStep::Done && self.unseen_places.count > 0 {
            self.name_unseen(None);
        }
        step
    }

    /// Notes the order of a completed page. A page that breaks off does not count, because it starts again when asked
    /// for again.
    fn note_order(&mut self, page: &PageCount) {
        for (key, updated) in &page.fresh {
            if let PlaceKey::Incident(_) = key {
                self.shown.newest_first &= self.shown.last.is_none_or(|last| *updated <= last);
                self.shown.last = Some(*updated);
            }
        }
    }

    fn follow(&mut self, link: String, came_by: Option<String>, page: PageCount) -> NextStep {
        self.distrust_repetition(&page);
        self.position.passed = self.position.passed.saturating_add(page.incidents);
        let leads_on = page.leads_on();
        self.seen.extend(page.fresh);
        if came_by.as_ref() == Some(&link) {
            self.circles.led_to_itself();
        } else if leads_on {
            self.circles.led_on();
        } else if page.incidents > 0 {
            self.circles.in_vain();
        } else {
            self.circles.empty_leads_on(&link);
        }
        if self.circles.found() {
            self.trusted = false;
            return NextStep::Done;
        }
        self.position.link = Some(link);
        NextStep::More
    }

    /// Reads on by `$skip`. `more`: the server announces more pages.
    fn skip_on(&mut self, more: bool, page: PageCount) -> NextStep {
        let (overlap, skip) = (self.position.overlap(), self.position.skip());
        if overlap == 0 {
            self.distrust_repetition(&page);
        }
        let joined = skip == 0 || overlap == 0 || page.seen_before > 0;
        let (nothing_new, leads_on) = (page.fresh.is_empty(), page.leads_on());
        if joined {
            // Only a joined page counts: what a page beyond a gap has shown does not prove that a later page joins.
            self.seen.extend(page.fresh);
        }
        self.position.came_through(nothing_new);
        if joined && !more && self.position.ends_with(page.incidents) {
            return NextStep::Done;
        }
        if joined && leads_on {
            self.circles.led_on();
        } else if self.circles.in_vain() {
            self.trusted = false;
            return NextStep::Done;
        }
        if joined {
            self.position.go_on(page.incidents, more);
        } else {
            self.position.go_back();
        }
        NextStep::More
    }

    fn distrust_repetition(&mut self, page: &PageCount) {
        if page.repeated_ids || (page.seen_before > 0 && !self.shown.newest_first) {
            self.trusted = false;
        }
    }
}

#[cfg(test)]
mod tests;
