//! One sweep's way through the pages.
//!
//! The list moves while it is read: an incident that is updated changes its place, and what stood behind it moves up.
//! The API documents neither an order nor a stable cursor for `$skip`, so a page that simply starts where the last one
//! ended may have jumped over incidents that nobody touched. Each page therefore overlaps the one before by an incident,
//! and a page counts as **joined** only when it shows at least one that this sweep has seen already. In whatever order
//! the server lists, as long as untouched incidents keep their relative order, all untouched ones before a joined page's
//! end have been seen. A page that is not joined is read again further up.
//!
//! What changed during the sweep itself has a last update later than the sweep's start; it is the next sweep's, which
//! begins at the overlap.
//!
//! Along nextLinks the server alone decides where a page begins. There an incident that shows up twice is the sign that
//! the list moved: the sweep is then not **trusted**, which means that everything is published and the cursor stays.
//! The same goes for pages of one, which can't overlap, and for a server that goes in circles.
//!
//! A sweep that is not trusted costs a repetition. Nothing here can lose an incident.

use std::collections::{HashMap, VecDeque};
use std::mem;

use super::cursor::{Kind, Plan, TenantState};
use super::ids::IncidentId;
use super::ticks::Ticks;
use super::version::ContentHash;

/// Incidents remembered for the joint between pages: enough to find back into a list that moved by twenty pages.
const REMEMBERED: usize = 2_000;
/// Steps back, or pages without anything new, one after the other, before the sweep is given up as going in circles.
const PATIENCE: u32 = 20;

/// Which page to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PageAsk {
    /// Incidents with a last update at or after `from`: `top` of them, after the first `skip`.
    Query { from: Ticks, top: u32, skip: u32 },
    /// A nextLink, followed whole. The adapter refuses one that leaves the configured host: it would carry the token.
    Link(String),
}

/// How many incidents a page has: as many as were asked for, or fewer if the server has a limit of its own. Microsoft
/// documents that it gives what `$top` asks for; should it ever give less, without a nextLink, a page that is merely full
/// would pass for the last one. So behind the first short page that a tenant shows, one more is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// What is asked for.
    top: u32,
    /// From so many incidents on, a page may have another behind it.
    full: u32,
    /// Whether it is known what a short page means.
    proven: bool,
}

impl PageSize {
    /// Pages of `top` incidents (at least 1), nothing being known of the server yet.
    pub fn of(top: u32) -> Self {
        let top = top.max(1);
        Self {
            top,
            full: top,
            proven: false,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Sweep {
    plan: Plan,
    size: PageSize,
    /// The incidents of a short page behind which one more is asked for.
    short: Option<u32>,
    ask: PageAsk,
    seen: Recent,
    page: PageCount,
    pages: u32,
    /// Pages in vain since the last that led on: not joined, or full of what was seen already.
    vain: u32,
    trusted: bool,
    greatest: Option<Ticks>,
    date: Option<Ticks>,
}

/// What the page being read has shown so far.
#[derive(Debug, Default)]
struct PageCount {
    incidents: u32,
    seen_before: u32,
    fresh: Vec<(Key, Ticks)>,
    repeated_ids: bool,
}

/// What stands at a place of the list. Unreadable elements count too: at a page's edge they are the joint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Incident(IncidentId),
    Malformed(ContentHash),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read the page that [`Sweep::ask`] now names.
    More,
    Done,
}

impl Sweep {
    pub fn new(plan: Plan, size: PageSize) -> Self {
        Self {
            plan,
            size,
            short: None,
            ask: PageAsk::Query {
                from: plan.from,
                top: size.top,
                skip: 0,
            },
            seen: Recent::default(),
            page: PageCount::default(),
            pages: 0,
            vain: 0,
            trusted: true,
            greatest: None,
            date: None,
        }
    }

    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// The size of pages, with what this sweep has learned of it.
    pub fn page_size(&self) -> PageSize {
        self.size
    }

    /// The page to read now. A page that failed may be asked for again; [`Sweep::begin_page`] forgets the attempt.
    pub fn ask(&self) -> &PageAsk {
        &self.ask
    }

    /// Pages read to their end.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    pub fn begin_page(&mut self) {
        self.page = PageCount::default();
    }

    /// Notes an incident of the page being read.
    pub fn note(&mut self, id: IncidentId, updated: Ticks) {
        self.greatest = self.greatest.max(Some(updated));
        self.note_place(Key::Incident(id), updated);
    }

    /// Notes an element that is no readable incident.
    pub fn note_malformed(&mut self, content: ContentHash) {
        self.note_place(Key::Malformed(content), Ticks(0));
    }

    fn note_place(&mut self, key: Key, updated: Ticks) {
        self.page.incidents += 1;
        match self.seen.tick_of(key) {
            Some(tick) if tick == updated => self.page.seen_before += 1,
            before => {
                self.page.repeated_ids |= before.is_some();
                self.page.fresh.push((key, updated));
            }
        }
    }

    /// The page was read to its end. `date` is the response's `Date`.
    pub fn end_page(&mut self, next_link: Option<String>, date: Option<Ticks>) -> Step {
        let page = mem::take(&mut self.page);
        self.pages = self.pages.saturating_add(1);
        // The earliest, because what happened after a page was made may be missing in it.
        self.date = match (self.date, date) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(link) = next_link {
            return self.follow(link, page);
        }
        match self.ask {
            PageAsk::Link(_) => {
                self.distrust_repetition(&page);
                Step::Done
            }
            PageAsk::Query { skip, .. } => self.skip_on(skip, page),
        }
    }

    /// The cursor after this sweep, `None` when it is not to be moved. Call it once [`Step::Done`] came and everything
    /// is published. `now` stands in for a missing `Date`.
    ///
    /// Never past the response's `Date`: one incident with a time in the future must not blind the tenant.
    pub fn state_after(&self, before: &TenantState, now: Ticks) -> Option<TenantState> {
        if !self.trusted {
            return None;
        }
        let seen = self.greatest.map(|seen| seen.min(self.date.unwrap_or(now)));
        Some(TenantState {
            cursor: seen.map_or(before.cursor, |seen| seen.max(before.cursor)),
            reconciled: match self.plan.kind {
                Kind::Reconcile => now,
                Kind::Full | Kind::Tip => before.reconciled,
            },
        })
    }

    /// Whether the list held still enough for the cursor to be moved.
    pub fn trusted(&self) -> bool {
        self.trusted
    }

    fn follow(&mut self, link: String, page: PageCount) -> Step {
        self.distrust_repetition(&page);
        let nothing_new = page.fresh.is_empty();
        if !nothing_new {
            self.vain = 0;
        }
        self.seen.extend(page.fresh);
        let next = PageAsk::Link(link);
        if next == self.ask || (nothing_new && self.in_vain()) {
            self.trusted = false;
            return Step::Done;
        }
        self.ask = next;
        Step::More
    }

    fn skip_on(&mut self, skip: u32, page: PageCount) -> Step {
        let overlap = u32::from(self.size.top > 1);
        if overlap == 0 {
            self.distrust_repetition(&page);
        }
        let joined = skip == 0 || overlap == 0 || page.seen_before > 0;
        let nothing_new = page.fresh.is_empty();
        self.seen.extend(page.fresh);
        if let Some(short) = self.short.take() {
            self.size.proven = true;
            if !nothing_new {
                self.size.full = short;
            }
        }
        if joined && page.incidents < self.size.full {
            // Behind a page of one, the overlap would ask for the same page again.
            if self.size.proven || page.incidents <= overlap {
                return Step::Done;
            }
            self.short = Some(page.incidents);
        }
        if joined && !nothing_new {
            self.vain = 0;
        } else if self.in_vain() {
            self.trusted = false;
            return Step::Done;
        }
        let skip = if joined {
            skip.saturating_add(page.incidents - overlap)
        } else {
            skip.saturating_sub(self.size.top - overlap)
        };
        self.ask = PageAsk::Query {
            from: self.plan.from,
            top: self.size.top,
            skip,
        };
        Step::More
    }

    /// Counts a page in vain; whether patience is at its end.
    fn in_vain(&mut self) -> bool {
        self.vain += 1;
        self.vain > PATIENCE
    }

    fn distrust_repetition(&mut self, page: &PageCount) {
        if page.repeated_ids || page.seen_before > 0 {
            self.trusted = false;
        }
    }
}

/// The incidents seen last, with the tick at which they were seen.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<(Key, Ticks)>,
    ticks: HashMap<Key, Ticks>,
}

impl Recent {
    fn tick_of(&self, key: Key) -> Option<Ticks> {
        self.ticks.get(&key).copied()
    }

    fn extend(&mut self, places: Vec<(Key, Ticks)>) {
        for (key, updated) in places {
            self.ticks.insert(key, updated);
            self.order.push_back((key, updated));
        }
        while self.order.len() > REMEMBERED {
            if let Some((key, updated)) = self.order.pop_front()
                && self.ticks.get(&key) == Some(&updated)
            {
                self.ticks.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
