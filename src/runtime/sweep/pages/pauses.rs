//! The effect of an answer on later requests: pauses that Microsoft asks for, and charges to the budget.

use std::time::Duration;

use super::requests::SweepRequests;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::pace::backoff::pause;
use crate::core::pace::budget::Purpose;
use crate::core::pace::throttle::Throttle;
use crate::core::time::spread::{Use, jitter};
use crate::ports::{AccessToken, Event};

impl SweepRequests<'_> {
    /// Charges the budget for requests that the source sent again.
    pub(super) fn charge_resent(&mut self) {
        let resent = self.tenant().source.take_resent();
        if resent > 0 {
            let uptime = self.uptime();
            self.memory.pace.budget.charge(resent, uptime);
        }
    }

    /// Records a good answer to a request with `token`.
    pub(super) fn note_served(&mut self, token: &AccessToken) {
        self.tenant().tokens.note_served(token);
        self.memory.pace.throttle.served();
        // A gateway that serves again has recovered. A quota has not.
        self.memory.pace.gateway = Throttle::default();
    }

    /// Pauses for as long as Microsoft asks, and longer if it asks repeatedly. The returned failure names the actual
    /// pause. A pause because of too many requests also holds for live sweeps; any other pause of the backlog does not.
    /// `took`: how long ago the request was sent.
    pub(super) fn heed(&mut self, mut failure: Failure, took: Duration) -> Failure {
        let Reaction::Wait(asked) = failure.reaction else {
            return failure;
        };
        let (tenant, uptime) = (self.tenant(), self.uptime());
        let sent = uptime.saturating_sub(took);
        let pace = &mut self.memory.pace;
        let too_many = failure.health == Health::Throttled;
        let refusals = match too_many {
            true => &mut pace.throttle,
            false => &mut pace.gateway,
        };
        failure.reaction = Reaction::Wait(refusals.refused(asked, sent, uptime));
        let chance = jitter(tenant.id, Use::Backoff, uptime.as_secs());
        let until = uptime + pause(failure.reaction, 1, chance);
        match self.purpose {
            _ if too_many => {
                let source = tenant.source.name();
                let observer = &self.batch.scope.sweeper.observer;
                observer.see(Event::Throttled { source });
                pace.budget.close_until(until);
                pace.pause(until, &failure);
            }
            Purpose::Live => pace.budget.close_until(until),
            Purpose::Backlog => pace.budget.close_backlog_until(until),
        }
        failure
    }
}
