//! Where the next page begins, and how large it is.

use super::{PageSize, Query};
use crate::core::sweep::backlog::Span;

#[derive(Debug)]
pub(super) struct Position {
    pub(super) size: PageSize,
    /// What the next page has.
    pub(super) top: u32,
    /// The nextLink to be followed; without one, the place is `passed`.
    pub(super) link: Option<String>,
    /// Places of the list that are read.
    pub(super) passed: u32,
    /// The next page begins behind what was passed, without overlap: the last place can't be read in a page.
    pub(super) no_overlap: bool,
    /// The incidents of a short page behind which one more is asked for.
    short: Option<u32>,
    /// Whether nextLinks are followed page by page.
    pub(super) linked: bool,
    /// A nextLink was refused.
    pub(super) link_refused: bool,
    /// A page failed, and less was asked for.
    narrowed: bool,
    /// The smallest page that came through after a larger one failed.
    came_through: Option<u32>,
}

impl Position {
    pub(super) fn new(size: PageSize, linked: bool) -> Self {
        Self {
            size,
            top: size.top,
            link: None,
            passed: 0,
            no_overlap: false,
            short: None,
            linked,
            link_refused: false,
            narrowed: false,
            came_through: None,
        }
    }

    pub(super) fn query(&self, span: Span, alerts: bool) -> Query {
        Query {
            span,
            top: self.top,
            skip: self.skip(),
            alerts,
        }
    }

    pub(super) fn skip(&self) -> u32 {
        self.passed.saturating_sub(self.overlap())
    }

    /// Incidents that the next page shares with the one before.
    pub(super) fn overlap(&self) -> u32 {
        u32::from(self.top > 1 && !self.no_overlap)
    }

    /// Whether the next page is a single place.
    pub(super) fn is_single(&self) -> bool {
        self.top == 1 && self.link.is_none()
    }

    /// The size of pages; `all_read`: no incident was found that can't be read.
    pub(super) fn page_size(&self, all_read: bool) -> PageSize {
        match self.came_through {
            Some(top) if all_read => self.size.narrowed_to(top),
            _ => self.size,
        }
    }

    /// Asks for half a page. `false` when a single place failed.
    pub(super) fn narrow(&mut self) -> bool {
        if self.is_single() {
            return false;
        }
        self.narrowed = true;
        self.by_skip();
        self.top = (self.top / 2).max(1);
        true
    }

    /// Goes on by `$skip` from now on.
    pub(super) fn by_skip(&mut self) {
        self.link = None;
        self.linked = false;
    }

    /// Passes a single place that no page could show.
    pub(super) fn pass(&mut self) {
        self.passed = self.passed.saturating_add(1);
        self.no_overlap = true;
    }

    /// A page by `$skip` came through.
    pub(super) fn came_through(&mut self, nothing_new: bool) {
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
    }

    /// Whether the list ends with a page of so many incidents, behind which the server announces no more. The first short
    /// page proves nothing: one more is asked for.
    pub(super) fn ends_with(&mut self, incidents: u32) -> bool {
        if incidents >= self.top.min(self.size.full) {
            return false;
        }
        // Behind a page of one, the overlap would ask for the same page again.
        if self.size.proven || incidents <= self.overlap() {
            return true;
        }
        self.short = Some(incidents);
        false
    }

    /// The next page follows on one of so many incidents.
    pub(super) fn go_on(&mut self, incidents: u32, more: bool) {
        let overlap = self.overlap();
        self.passed = self.skip().saturating_add(incidents);
        // From a server that gives but one at a time, the overlap would be the same page again.
        self.no_overlap = more && overlap > 0 && incidents <= overlap;
        self.top = self.top.saturating_mul(2).min(self.size.top);
    }

    /// The page did not join: the next one begins further up.
    pub(super) fn go_back(&mut self) {
        self.passed = self.passed.saturating_sub(self.top - self.overlap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(top: u32) -> Position {
        let mut size = PageSize::of(top);
        size.proven = true;
        Position::new(size, false)
    }

    #[test]
    fn pages_overlap_by_one_and_a_short_one_is_the_last() {
        let mut position = known(10);
        position.go_on(10, false);
        assert_eq!((position.skip(), position.overlap()), (9, 1));
        assert!(!position.ends_with(10));
        assert!(position.ends_with(9));
        position.go_back();
        assert_eq!(position.skip(), 0);
    }

    #[test]
    fn a_page_is_halved_down_to_a_single_place_and_grows_again() {
        let mut position = known(10);
        let narrowed: Vec<u32> =
            std::iter::from_fn(|| position.narrow().then_some(position.top)).collect();
        assert_eq!(narrowed, [5, 2, 1]);
        position.came_through(false);
        assert_eq!(position.page_size(true).top, 1);
        assert_eq!(position.page_size(false).top, 10);
        position.go_on(1, false);
        assert_eq!(position.top, 2);
    }
}
