//! From walks to the cursor.

use super::super::ticks::Ticks;
use super::{Walk, earliest};

/// What the walks of one sweep came to.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    pub pages: u32,
    /// Every walk was trusted.
    pub trusted: bool,
    greatest: Option<Ticks>,
    date: Option<Ticks>,
}

impl Default for Reached {
    fn default() -> Self {
        Self {
            pages: 0,
            trusted: true,
            greatest: None,
            date: None,
        }
    }
}

impl Reached {
    pub fn add(&mut self, walk: &Walk) {
        self.pages = self.pages.saturating_add(walk.pages);
        self.trusted &= walk.trusted;
        self.greatest = self.greatest.max(walk.greatest);
        self.date = earliest(self.date, walk.date);
    }

    /// The earliest `Date` of the pages.
    pub fn date(&self) -> Option<Ticks> {
        self.date
    }

    /// The cursor after this sweep, which began at `now` (for a missing `Date`).
    ///
    /// Never past the response's `Date`: one incident with a time in the future must not blind the tenant.
    pub fn cursor_after(&self, before: Ticks, now: Ticks) -> Ticks {
        let seen = self.greatest.map(|seen| seen.min(self.date.unwrap_or(now)));
        match seen {
            Some(seen) if self.trusted => seen.max(before),
            _ => before,
        }
    }
}
