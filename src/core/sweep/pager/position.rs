//! The place and size of the next page.

use super::{PageSize, Query};
use crate::core::sweep::backlog::Span;

#[derive(Debug)]
pub(super) struct Position {
    pub(super) size: PageSize,
    /// How many incidents to request.
    pub(super) top: u32,
    /// The nextLink to follow. Without a link, the next page begins after `passed` places.
    pub(super) link: Option<String>,
    /// Places of the list that were read.
    pub(super) passed: u32,
    /// The next page begins after the passed places without overlap, because no page can show the last of them.
    pub(super) no_overlap: bool,
    /// The number of incidents on a short page after which one more page is requested.
    short: Option<u32>,
    /// Whether the list is read by nextLinks.
    pub(super) linked: bool,
    /// Whether a nextLink was refused.
    pub(super) link_refused: bool,
    /// Whether a page failed and a smaller one was requested.
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

    /// How many incidents the next page shares with the page before.
    pub(super) fn overlap(&self) -> u32 {
        u32::from(self.top > 1 && !self.no_overlap)
    }

    /// Whether the next page is a single place.
    pub(super) fn is_single(&self) -> bool {
        self.top == 1 && self.link.is_none()
    }

    /// The page size. `all_read`: no unreadable incident was found.
    pub(super) fn page_size(&self, all_read: bool) -> PageSize {
        match self.came_through {
            Some(top) if all_read => self.size.narrowed_to(top),
            _ => self.size,
        }
    }

    /// Halves the page. `false`: a single place failed.
    pub(super) fn narrow(&mut self) -> bool {
        if self.is_single() {
            return false;
        }
        self.narrowed = true;
        self.by_skip();
        self.top = (self.top / 2).max(1);
        true
    }

    /// Reads on by `$skip` from now on.
    pub(super) fn by_skip(&mut self) {
        self.link = None;
        self.linked = false;
    }

    /// Passes a single place that no page can show.
    pub(super) fn pass(&mut self) {
        self.passed = self.passed.saturating_add(1);
        self.no_overlap = true;
    }

    /// Records that a page by `$skip` came through.
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

    /// Whether the list ends with a page of `incidents` incidents and no announced successor. The first short page
    /// proves nothing, so one more page is requested.
    pub(super) fn ends_with(&mut self, incidents: u32) -> bool {
        if incidents >= self.top.min(self.size.full) {
            return false;
        }
        // After a page of one, the overlap would request the same page again.
        if self.size.proven || incidents <= self.overlap() {
            return true;
        }
        self.short = Some(incidents);
        false
    }

    /// Moves on after a page of `incidents` incidents.
    pub(super) fn go_on(&mut self, incidents: u32, more: bool) {
        let overlap = self.overlap();
        self.passed = self.skip().saturating_add(incidents);
        // If the server returns only one incident at a time, the overlap would request the same page again.
        self.no_overlap = more && overlap > 0 && incidents <= overlap;
        self.top = self.top.saturating_mul(2).min(self.size.top);
    }

    /// Moves the next page further up, because the page did not join.
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
