//! What a live sweep has learned beside the incidents: of the time, and of the server.

use super::{LiveSweep, MANY_CIRCLES};
use crate::core::health::failure::Failure;
use crate::core::sweep::cursor::{LastFull, Plan, SweepKind};
use crate::core::sweep::pager::circles;
use crate::runtime::sweep::pages::AnswerDates;

impl LiveSweep<'_> {
    /// Moves a first range that began too late to where it belongs. `false`: what was read is what is to be read.
    pub(super) fn corrected_first_range(&mut self) -> bool {
        let AnswerDates {
            last,
            confirmed,
            too_early,
        } = self.told;
        self.waits = false;
        let Some(date) = confirmed.or(last) else {
            return false;
        };
        let lookback = self.tenant.rules.lookback;
        let now = self.sweeper.clock.now();
        let corrected = self.state.corrected(date, now, lookback, self.fresh);
        let Some(corrected) = corrected else {
            self.fresh = false;
            return false;
        };
        if confirmed.is_none() {
            // One answer is not enough. The second may say otherwise; and if it says the same, that may be because the
            // clock stands still. The next sweep knows, if this one leaves the cursor where it is.
            self.waits = too_early;
            return !std::mem::replace(&mut self.asked_again, true);
        }
        self.fresh = false;
        self.state = corrected;
        true
    }

    /// Why the cursor waits, when sweep after sweep the list came to no end: nothing else would tell of that.
    pub(super) fn in_circles(&self) -> Option<Failure> {
        let mut memory = self.tenant.memory();
        memory.circles = match self.reached.circles {
            true => memory.circles.saturating_add(1),
            false => 0,
        };
        (memory.circles >= MANY_CIRCLES).then(circles)
    }

    /// The server filters as it is asked to.
    pub(super) fn note_filtered(&self) {
        self.tenant.memory().unfiltered.not_met();
    }

    /// What the next plan has to know of this sweep.
    pub(super) fn remember(&self, plan: Plan) {
        if plan.kind == SweepKind::Full {
            self.tenant.memory().last_full = LastFull {
                ended: Some(self.sweeper.uptime()),
                pages: self.reached.pages,
                cursor: Some(self.state.cursor),
                date: self.told.confirmed,
            };
        }
    }
}
