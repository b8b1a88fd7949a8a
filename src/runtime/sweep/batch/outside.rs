//! Incidents from before the tenant's first range, which nobody asked for.
//!
//! A single one is published: that its time is odd must not hide it. But a server that ignores `$filter` shows the whole
//! history, which is no news. So they wait for the end of their page, or for the walk's judgement of the server.

use bytes::Bytes;

use super::BatchBuilder;
use crate::core::incident::version::Reading;
use crate::core::sweep::pager::{Pager, TOLERANCE};
use crate::core::time::ticks::Ticks;
use crate::runtime::limits::Permit;
use crate::runtime::sweep::Halt;

impl BatchBuilder<'_> {
    /// The first range begins elsewhere, as it turns out.
    pub(in crate::runtime) fn set_start(&mut self, start: Ticks) {
        self.start = start;
    }

    /// Whether nobody asked for this incident, of a server that ignores what it is asked.
    pub(in crate::runtime) fn leaves_out(&self, reading: &Reading, walk: &Pager) -> bool {
        walk.unfiltered() && self.is_before_start(reading)
    }

    fn is_before_start(&self, reading: &Reading) -> bool {
        reading.updated < self.start.minus(TOLERANCE)
    }

    /// What has just been noted, unless it is from before the first range.
    pub(super) fn inside(
        &mut self,
        reading: Reading,
        raw: Bytes,
        walk: &Pager,
    ) -> Option<(Reading, Bytes)> {
        if !self.is_before_start(&reading) {
            return Some((reading, raw));
        }
        if walk.unfiltered() {
            self.drop_outside();
        } else {
            // Copied: a slice would keep all of the piece in memory that it came in.
            self.keep_aside(raw.len());
            self.outside.push((reading, Bytes::copy_from_slice(&raw)));
        }
        None
    }

    /// The page has come to its end: takes what was odd in it.
    pub(in crate::runtime) async fn take_outside(
        &mut self,
        walk: &Pager,
        permit: &mut Permit,
    ) -> Result<(), Halt> {
        if walk.unfiltered() {
            self.drop_outside();
        }
        let odd = std::mem::take(&mut self.outside);
        if odd.is_empty() {
            return Ok(());
        }
        self.account.received += odd.len() as u64;
        self.release_aside(odd.iter().map(|(_, raw)| raw.len()).sum());
        self.decide(odd, permit).await?;
        self.settle(0, permit).await
    }

    fn drop_outside(&mut self) {
        let dropped = std::mem::take(&mut self.outside);
        self.release_aside(dropped.iter().map(|(_, raw)| raw.len()).sum());
    }
}
