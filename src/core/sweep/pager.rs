//! The way through the pages of one span of last updates.
//!
//! The list moves while it is read: an incident that is updated changes its place, and what stood behind it moves up.
//! The API documents neither an order nor a stable cursor for `$skip`, so a page that simply starts where the last one
//! ended may have jumped over incidents that nobody touched. Each page therefore overlaps the one before by an incident,
//! and a page counts as **joined** only when it shows at least one that this walk has seen already. In whatever order
//! the server lists, as long as untouched incidents keep their relative order, all untouched ones before a joined page's
//! end have been seen. A page that is not joined is read again further up.
//!
//! What changed during the walk itself has a last update later than its start; it is the next sweep's, which begins at the
//! overlap.
//!
//! Along nextLinks the server alone decides where a page begins. There an incident that shows up twice is the sign that
//! the list moved: the walk is then not **trusted**, which means that everything is published and the cursor stays. Only
//! in a list that is newest first, as documented, an incident repeated unchanged is harmless: what is updated goes to the
//! front there, which moves others down and none up. That holds only where the span has no end: from a span that has one,
//! what is updated vanishes, so it is read by `$skip`. A nextLink that is refused is done without in the same way.
//!
//! A server that ignores `$filter` shows the whole history. Where that was seen to be newest first, a walk may end at the
//! first page that lies wholly before its span; elsewhere all of it has to be read.
//!
//! When a page fails and its content may be why, the walk is **narrowed**: half the page, down to a single place. What is
//! at that place is then read by other means, or passed as a **trouble** that the backlog keeps. A narrowed walk is not
//! trusted, and neither are pages of one, which can't overlap, nor a server that goes in circles.
//!
//! A walk that is not trusted costs a repetition. Nothing here can lose an incident.

use std::mem;

use super::backlog::Span;
use crate::core::ids::IncidentId;
use crate::core::incident::version::ContentHash;
use crate::core::time::ticks::Ticks;

mod ask;
mod filter;
mod loops;
mod reached;
mod recent;
mod side_requests;
mod unreadable;

pub use ask::{PageAsk, PageSize, Query};
use filter::OutsideCount;
pub use filter::{History, MOST_UNSORTED, TOLERANCE, unsorted_history};
use loops::LoopCheck;
pub use loops::circles;
pub use reached::SweepProgress;
use reached::earliest;
use recent::{PlaceKey, Recent};
use side_requests::SideRequests;
pub use unreadable::{Passed, UnreadableSpan};

/// See the module's documentation.
#[derive(Debug)]
pub struct Pager {
    span: Span,
    size: PageSize,
    /// What the next page has.
    top: u32,
    /// The nextLink to be followed; without one, the place is `passed`.
    link: Option<String>,
    /// Places of the list that are read.
    passed: u32,
    /// The next page begins behind what was passed, without overlap: the last place can't be read in a page.
    no_overlap: bool,
    /// The incidents of a short page behind which one more is asked for.
    short: Option<u32>,
    seen: Recent,
    page: PageCount,
    beside: SideRequests,
    pages: u32,
    circles: LoopCheck,
    trusted: bool,
    /// Whether nextLinks are followed page by page.
    linked: bool,
    /// A nextLink was refused.
    link_refused: bool,
    /// The server was seen to ignore `$filter`.
    unfiltered: bool,
    to_the_end: bool,
    /// Incidents of the last pages, when all were older than what was asked for.
    older_in_a_row: u32,
    /// What its pages have shown so far, an incident once.
    outside: OutsideCount,
    /// This machine's clock: no `Date` beyond it says where something lies that was not seen.
    now: Option<Ticks>,
    /// A page failed, and less was asked for.
    narrowed: bool,
    /// The smallest page that came through after a larger one failed.
    came_through: Option<u32>,
    unreadable: Vec<UnreadableSpan>,
    /// Places just passed unseen.
    unseen: u32,
    /// The last incident noted before them.
    before_unseen: Option<Ticks>,
    newest_first: bool,
    last: Option<Ticks>,
    greatest: Option<Ticks>,
    date: Option<Ticks>,
}

/// What the page being read has shown so far.
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
    /// Read the page that [`Pager::ask`] now names.
    More,
    Done,
}

impl Pager {
    pub fn new(span: Span, size: PageSize) -> Self {
        Self {
            span,
            size,
            top: size.top,
            link: None,
            passed: 0,
            no_overlap: false,
            short: None,
            seen: Recent::default(),
            page: PageCount::default(),
            beside: SideRequests::default(),
            pages: 0,
            circles: LoopCheck::default(),
            trusted: true,
            linked: span.to.is_none(),
            link_refused: false,
            unfiltered: false,
            to_the_end: false,
            older_in_a_row: 0,
            outside: OutsideCount::default(),
            now: None,
            narrowed: false,
            came_through: None,
            unreadable: Vec::new(),
            unseen: 0,
            before_unseen: None,
            newest_first: true,
            last: None,
            greatest: None,
            date: None,
        }
    }

    /// The same, begun with pages of two, the smallest that overlap.
    #[must_use]
    pub fn cautious(mut self) -> Self {
        self.top = self.top.min(2);
        self
    }

    pub fn span(&self) -> Span {
        self.span
    }

    /// The size of pages, with what this walk has learned of it: where no single incident was the trouble, the page was
    /// too large as a whole, and the next walk begins with what came through.
    pub fn page_size(&self) -> PageSize {
        match self.came_through {
            Some(top) if self.unreadable.is_empty() && self.unseen == 0 => {
                self.size.narrowed_to(top)
            }
            _ => self.size,
        }
    }

    /// The page to read now. A page that failed may be asked for again; [`Pager::begin_page`] forgets the attempt.
    pub fn ask(&self) -> PageAsk {
        match &self.link {
            Some(link) => PageAsk::Link(link.clone()),
            None => PageAsk::Query(self.query(true)),
        }
    }

    /// The same place without alerts, when a single one is left to be read.
    pub fn ask_bare(&self) -> Option<PageAsk> {
        (self.top == 1 && self.link.is_none()).then(|| PageAsk::Query(self.query(false)))
    }

    fn query(&self, alerts: bool) -> Query {
        Query {
            span: self.span,
            top: self.top,
            skip: self.passed.saturating_sub(self.overlap()),
            alerts,
        }
    }

    fn overlap(&self) -> u32 {
        u32::from(self.top > 1 && !self.no_overlap)
    }

    /// The earliest `Date` of the pages.
    pub fn date(&self) -> Option<Ticks> {
        self.date
    }

    /// The oldest last update shown, in a list that was newest first as far as it was read.
    pub fn oldest_shown(&self) -> Option<Ticks> {
        self.last.filter(|_| self.newest_first)
    }

    /// Pages read to their end.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Whether the list held still enough for the cursor to be moved, or the span to be closed.
    pub fn trusted(&self) -> bool {
        self.trusted
    }

    /// Whether a walk that is done has read all that its span holds.
    pub fn whole(&self) -> bool {
        self.trusted && self.unreadable.is_empty()
    }

    /// What could not be read whole, once the walk is done.
    pub fn unreadable(&self) -> &[UnreadableSpan] {
        &self.unreadable
    }

    pub fn begin_page(&mut self) {
        self.page = PageCount::default();
    }

    /// Notes an incident of the page being read.
    pub fn note(&mut self, id: IncidentId, updated: Ticks) {
        self.foresee(updated);
        self.note_foreseen(id, updated);
    }

    /// Notes an incident of which [`Pager::foresee`] was told.
    pub fn note_foreseen(&mut self, id: IncidentId, updated: Ticks) {
        self.greatest = self.greatest.max(Some(updated));
        self.page.first.get_or_insert(updated);
        self.note_place(PlaceKey::Incident(id), updated);
    }

    /// Notes an element that is no readable incident.
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

    /// Whether the page being read has shown anything so far.
    pub fn notes_any(&self) -> bool {
        self.page.incidents > 0
    }

    /// The page was read to its end. `date` is the response's `Date`.
    pub fn end_page(&mut self, next_link: Option<String>, date: Option<Ticks>) -> NextStep {
        let page = mem::take(&mut self.page);
        self.beside = SideRequests::default();
        self.note_order(&page);
        self.note_outside(&page);
        self.pages = self.pages.saturating_add(1);
        // The earliest, because what happened after a page was made may be missing in it.
        self.date = earliest(self.date, date);
        if self.unseen > 0 && page.first.is_some() {
            self.name_unseen(page.first);
        }
        let came_by = self.link.take();
        let step = match next_link {
            _ if self.is_behind(&page) => NextStep::Done,
            Some(link) if self.linked => self.follow(link, came_by, page),
            None if self.linked && came_by.is_some() => {
                self.distrust_repetition(&page);
                NextStep::Done
            }
            // What is behind it can't be reached in any way.
            Some(_) if page.incidents == 0 && self.link_refused => {
                self.circles.led_to_itself();
                self.trusted = false;
                NextStep::Done
            }
            // The page itself is behind it.
            Some(link) if page.incidents == 0 && self.circles.empty_leads_on(&link) => {
                self.link = Some(link);
                NextStep::More
            }
            link => self.skip_on(link.is_some(), page),
        };
        if step == NextStep::Done && self.unseen > 0 {
            self.name_unseen(None);
        }
        step
    }

    /// Only of pages that came whole: one that breaks off begins anew when it is asked for again.
    fn note_order(&mut self, page: &PageCount) {
        for (key, updated) in &page.fresh {
            if let PlaceKey::Incident(_) = key {
                self.newest_first &= self.last.is_none_or(|last| *updated <= last);
                self.last = Some(*updated);
            }
        }
    }

    fn follow(&mut self, link: String, came_by: Option<String>, page: PageCount) -> NextStep {
        self.distrust_repetition(&page);
        self.passed = self.passed.saturating_add(page.incidents);
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
        self.link = Some(link);
        NextStep::More
    }

    fn skip_on(&mut self, more: bool, page: PageCount) -> NextStep {
        let (overlap, skip) = (self.overlap(), self.query(true).skip);
        if overlap == 0 {
            self.distrust_repetition(&page);
        }
        let joined = skip == 0 || overlap == 0 || page.seen_before > 0;
        let (nothing_new, leads_on) = (page.fresh.is_empty(), page.leads_on());
        if joined {
            // Only these: what a page beyond a jump has shown is no evidence that another page follows on what was read.
            self.seen.extend(page.fresh);
        }
        if self.narrowed && self.top < self.size.top {
            let least = self.came_through.unwrap_or(self.top);
            self.came_through = Some(least.min(self.top));
        }
        if let Some(short) = self.short.take() {
            self.size.proven = true;
            if !nothing_new {
                self.size.full = short;
            }
        }
        if joined && !more && page.incidents < self.top.min(self.size.full) {
            // Behind a page of one, the overlap would ask for the same page again.
            if self.size.proven || page.incidents <= overlap {
                return NextStep::Done;
            }
            self.short = Some(page.incidents);
        }
        if joined && leads_on {
            self.circles.led_on();
        } else if self.circles.in_vain() {
            self.trusted = false;
            return NextStep::Done;
        }
        if joined {
            self.passed = skip.saturating_add(page.incidents);
            // From a server that gives but one at a time, the overlap would be the same page again.
            self.no_overlap = more && overlap > 0 && page.incidents <= overlap;
            self.top = self.top.saturating_mul(2).min(self.size.top);
        } else {
            self.passed = self.passed.saturating_sub(self.top - overlap);
        }
        NextStep::More
    }

    fn distrust_repetition(&mut self, page: &PageCount) {
        if page.repeated_ids || (page.seen_before > 0 && !self.newest_first) {
            self.trusted = false;
        }
    }
}

#[cfg(test)]
mod tests;
