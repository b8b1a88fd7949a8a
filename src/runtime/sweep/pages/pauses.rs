//! What an answer means for the requests to come: pauses that Microsoft asks for, and what the budget has to know.

use std::time::Duration;

use super::PageReader;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::pace::backoff::pause;
use crate::core::pace::budget::Purpose;
use crate::core::pace::throttle::Throttle;
use crate::core::time::spread::{Use, jitter};
use crate::ports::{AccessToken, Event};

impl PageReader<'_> {
    /// Takes from the budget what the source has sent beside the request that was taken before.
    pub(super) fn account(&self) {
        let resent = self.tenant.source.take_resent();
        if resent > 0 {
            let uptime = self.sweeper.uptime();
            self.tenant.memory().budget.charge(resent, uptime);
        }
    }

    /// A request that bore `token` was answered well.
    pub(super) fn note_served(&self, token: &AccessToken) {
        self.tenant.tokens.note_served(token);
        let mut memory = self.tenant.memory();
        memory.throttle.served();
        // A gateway that serves again has recovered; a quota has not.
        memory.stumbles = Throttle::default();
    }

    /// Waits as long as Microsoft asks, and longer when it asks again and again: the failure then names that pause. A pause for a page of the backlog that fails is no reason to leave new incidents
    /// alone; one for too many requests is.
    /// `took`: how long ago the request was sent.
    pub(super) fn heed(&self, mut failure: Failure, took: Duration) -> Failure {
        let Reaction::Wait(asked) = failure.reaction else {
            return failure;
        };
        let uptime = self.sweeper.uptime();
        let sent = uptime.saturating_sub(took);
        let mut memory = self.tenant.memory();
        let too_many = failure.health == Health::Throttled;
        let refusals = match too_many {
            true => &mut memory.throttle,
            false => &mut memory.stumbles,
        };
        failure.reaction = Reaction::Wait(refusals.refused(asked, sent, uptime));
        let chance = jitter(self.tenant.id, Use::Backoff, uptime.as_secs());
        let until = uptime + pause(failure.reaction, 1, chance);
        match self.purpose {
            _ if too_many => {
                let source = self.tenant.source.name();
                self.sweeper.observer.see(Event::Throttled { source });
                memory.budget.close_until(until);
                memory.pause(until, &failure);
            }
            Purpose::Live => memory.budget.close_until(until),
            Purpose::Backlog => memory.budget.close_backlog_until(until),
        }
        failure
    }
}
