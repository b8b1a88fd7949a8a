//! Incidents from before the tenant's first range, which were not requested.
//!
//! A single one is published, because an odd time must not hide an incident. But a server that ignores `$filter` shows
//! the whole history, which is not news. So these incidents wait for the end of their page, or until the pager has
//! found out that the server does not filter.

use super::HeldBytes;
use crate::core::incident::version::Reading;
use crate::core::sweep::pager::TOLERANCE;
use crate::core::time::ticks::Ticks;
use crate::runtime::sweep::element::{ReadIncident, detached};

pub(super) struct BeforeStart {
    /// Where the tenant's first range begins.
    pub(super) start: Ticks,
    /// The incidents kept from the current page.
    kept: Vec<ReadIncident>,
}

impl BeforeStart {
    pub(super) fn new(start: Ticks) -> Self {
        let kept = Vec::new();
        Self { start, kept }
    }

    /// Whether an incident is from before the first range.
    pub(super) fn holds(&self, reading: &Reading) -> bool {
        reading.updated < self.start.minus(TOLERANCE)
    }

    /// Keeps an incident until the page ends.
    pub(super) fn keep(
        &mut self,
        ReadIncident { reading, raw }: ReadIncident,
        bytes: &mut HeldBytes,
    ) {
        bytes.keep_aside(raw.len());
        let raw = detached(raw);
        self.kept.push(ReadIncident { reading, raw });
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    pub(super) fn take(&mut self, bytes: &mut HeldBytes) -> Vec<ReadIncident> {
        let kept = std::mem::take(&mut self.kept);
        bytes.release_aside(kept.iter().map(|incident| incident.raw.len()).sum());
        kept
    }
}
