//! Whether a server still leads on, or in circles.

use std::collections::HashSet;

use super::recent::PlaceKey;
use super::{PageCount, Pager};
use crate::core::codec::raw_hash;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::incident::version::ContentHash;

/// Steps back, or pages without anything new, one after the other, before the walk is given up as going in circles.
const PATIENCE: u32 = 20;
/// Empty pages of one walk that lead on to others. Microsoft allows for any number of them; somewhere there is an end.
const MOST_EMPTY: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct LoopCheck {
    /// Pages in vain since the last that led on: not joined, or full of what was seen already or can't be read.
    vain: u32,
    /// The nextLinks of empty pages, hashed.
    behind_empty: HashSet<ContentHash>,
    /// Patience came to its end.
    found: bool,
}

impl LoopCheck {
    pub(super) fn led_on(&mut self) {
        self.vain = 0;
    }

    /// Counts a page in vain; whether patience is at its end.
    pub(super) fn in_vain(&mut self) -> bool {
        self.vain += 1;
        self.found |= self.vain > PATIENCE;
        self.found
    }

    /// Whether an empty page leads on: its nextLink is a new one, or patience lasts.
    pub(super) fn empty_leads_on(&mut self, link: &str) -> bool {
        let new = self.behind_empty.len() < MOST_EMPTY
            && self.behind_empty.insert(raw_hash(link.as_bytes()));
        new || !self.in_vain()
    }

    /// A nextLink leads to its own page.
    pub(super) fn led_to_itself(&mut self) {
        self.found = true;
    }

    pub(super) fn found(&self) -> bool {
        self.found
    }
}

impl PageCount {
    /// Whether it shows an incident that was not seen before. What can't be read is no sign of a list that gets on: a
    /// server may make it up anew for each request.
    pub(super) fn leads_on(&self) -> bool {
        let incident = |(key, _): &(PlaceKey, _)| matches!(key, PlaceKey::Incident(_));
        self.fresh.iter().any(incident)
    }
}

impl Pager {
    /// Whether the server led in circles, so that the walk was ended before the list was.
    pub fn went_in_circles(&self) -> bool {
        self.circles.found()
    }
}

/// A list comes to no end, time and again.
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
