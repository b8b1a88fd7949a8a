//! Detects a server that leads in circles.

use std::collections::HashSet;

use super::recent::PlaceKey;
use super::{PageCount, Pager};
use crate::core::codec::raw_hash;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::incident::version::ContentHash;

/// The number of steps back, or pages without anything new, in a row after which the pager gives up.
const PATIENCE: u32 = 20;
/// The most empty pages of one pager that may lead on. Microsoft allows any number of them, but there must be an end.
const MOST_EMPTY: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct LoopCheck {
    /// Pages without progress since the last useful page: not joined, or full of incidents already seen or unreadable.
    vain: u32,
    /// Hashes of the nextLinks of empty pages.
    behind_empty: HashSet<ContentHash>,
    /// Whether a circle was found.
    found: bool,
}

impl LoopCheck {
    pub(super) fn led_on(&mut self) {
        self.vain = 0;
    }

    /// Counts a page without progress. Returns whether the limit is reached.
    pub(super) fn in_vain(&mut self) -> bool {
        self.vain += 1;
        self.found |= self.vain > PATIENCE;
        self.found
    }

    /// Whether an empty page leads on: its nextLink is new, or the limit is not reached yet.
    pub(super) fn empty_leads_on(&mut self, link: &str) -> bool {
        let new = self.behind_empty.len() < MOST_EMPTY
            && self.behind_empty.insert(raw_hash(link.as_bytes()));
        new || !self.in_vain()
    }

    /// Records a nextLink that leads to its own page.
    pub(super) fn led_to_itself(&mut self) {
        self.found = true;
    }

    pub(super) fn found(&self) -> bool {
        self.found
    }
}

impl PageCount {
    /// Whether the page shows a new incident. Unreadable elements don't count as progress: a server may make up new
    /// ones for each request.
    pub(super) fn leads_on(&self) -> bool {
        let incident = |(key, _): &(PlaceKey, _)| matches!(key, PlaceKey::Incident(_));
        self.fresh.iter().any(incident)
    }
}

impl Pager {
    /// Whether the server led in circles, so that the pager ended before the list did.
    pub fn went_in_circles(&self) -> bool {
        self.circles.found()
    }
}

/// The failure for a list that has no end, several times in a row.
pub fn circles() -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        "Microsoft's list leads in circles: page after page shows nothing new, and none is the last",
        "Nothing to do unless it lasts: what it shows is published, and the cursor waits. If it lasts for hours, report it to \
         Microsoft, and look whether a proxy (api.proxy) keeps old answers; or read the tenant through the other API \
         (api.source).",
    )
    .caused_by("a list in circles")
}
