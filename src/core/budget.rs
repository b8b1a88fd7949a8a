//! A tenant's request budget, spent before a request goes out, so that Microsoft's quota is never the regulator.
//!
//! The Defender API allows a list call 50 times a minute and 1,500 times an hour (Microsoft's page "List incidents API").
//! A bucket of `per_minute` requests that refills at 59/60 of that rate keeps both with the default of 25: a minute sees
//! at most 25 + 24.6, an hour at most 25 + 59 × 25 = 1,500. Any larger burst or refill breaks one of them.
//!
//! A fresh bucket holds only a fifth, so that a daemon that is restarted again and again does not spend the quota anew
//! each time.
//!
//! Time is a [`Duration`] on any clock that never goes back.

use std::fmt;
use std::time::Duration;

/// How many list calls Microsoft allows one app in one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub per_minute: u32,
    pub per_hour: Option<u32>,
}

/// "List incidents API in Microsoft Defender XDR", section Limitations.
pub const DEFENDER: Quota = Quota {
    per_minute: 50,
    per_hour: Some(1500),
};

/// "Microsoft Graph service-specific throttling limits", section Security: any request on `/security`.
pub const GRAPH: Quota = Quota {
    per_minute: 150,
    per_hour: None,
};

impl Quota {
    /// The largest budget that keeps the quota: a full bucket that is refilled at its own size a minute lets at most twice
    /// its size through in any minute, and once its size a minute over an hour.
    pub fn default_per_minute(&self) -> u32 {
        let by_minute = self.per_minute / 2;
        self.per_hour
            .map_or(by_minute, |hour| by_minute.min(hour / 60))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} a minute", self.per_minute)?;
        match self.per_hour {
            Some(hour) => write!(f, " and {hour} an hour"),
            None => Ok(()),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Budget {
    /// Time in which one request is regained.
    interval: Duration,
    burst: u32,
    /// When the bucket will be full again.
    full_at: Duration,
    /// No request before this: the other side asked for a pause.
    closed_until: Duration,
}

impl Budget {
    /// A budget of `per_minute` (at least 1) requests, as of `now`.
    pub fn new(per_minute: u32, now: Duration) -> Self {
        let burst = per_minute.max(1);
        let interval = MINUTE * 60 / 59 / burst;
        let spent = burst - burst.div_ceil(5);
        Self {
            interval,
            burst,
            full_at: now + interval * spent,
            closed_until: Duration::ZERO,
        }
    }

    /// Spends one request.
    ///
    /// # Errors
    /// The time to wait before asking again, when nothing is left.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let next_full = self.full_at.max(now) + self.interval;
        let earliest = next_full
            .saturating_sub(self.interval * self.burst)
            .max(self.closed_until);
        if earliest > now {
            return Err(earliest - now);
        }
        self.full_at = next_full;
        Ok(())
    }

    /// Lets no request out before `until`.
    pub fn close_until(&mut self, until: Duration) {
        self.closed_until = self.closed_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The instants at which requests go out when `gaps` is how long the caller idles before each.
    fn spend(budget: &mut Budget, gaps: &[u64]) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let mut spent = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(*gap);
            while let Err(wait) = budget.take(now) {
                now += wait;
            }
            spent.push(now);
        }
        spent
    }

    fn most_within(spent: &[Duration], window: Duration) -> usize {
        let within =
            |(i, start): (usize, &Duration)| spent.partition_point(|at| *at < *start + window) - i;
        spent.iter().enumerate().map(within).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_minute_and_no_hour_exceeds_the_documented_quota(
            gaps in prop::collection::vec(prop_oneof![8 => Just(0_u64), 1 => 0_u64..5_000, 1 => 0_u64..120_000], 0..2500)
        ) {
            let spent = spend(&mut Budget::new(25, Duration::ZERO), &gaps);
            prop_assert!(most_within(&spent, MINUTE) <= 50);
            prop_assert!(most_within(&spent, MINUTE * 60) <= 1500);
        }

        #[test]
        fn the_wait_it_names_is_enough(per_minute in 1_u32..1000, at in 0_u64..1_000_000) {
            let mut now = Duration::from_millis(at);
            let mut budget = Budget::new(per_minute, Duration::ZERO);
            for _ in 0..2 * per_minute {
                if let Err(wait) = budget.take(now) {
                    now += wait;
                    prop_assert_eq!(budget.take(now), Ok(()));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_default_of_each_source_keeps_its_quota(
            quota in prop_oneof![Just(DEFENDER), Just(GRAPH)],
            gaps in prop::collection::vec(prop_oneof![20 => Just(0_u64), 1 => 0_u64..60_000], 0..1000)
        ) {
            let spent = spend(&mut Budget::new(quota.default_per_minute(), Duration::ZERO), &gaps);
            prop_assert!(most_within(&spent, MINUTE) <= quota.per_minute as usize, "{quota}");
            let hour = most_within(&spent, MINUTE * 60);
            prop_assert!(quota.per_hour.is_none_or(|most| hour <= most as usize), "{quota}: {hour}");
        }
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        assert_eq!(DEFENDER.default_per_minute(), 25);
        assert_eq!(GRAPH.default_per_minute(), 75);
    }

    #[test]
    fn a_restart_does_not_spend_the_minute_again() {
        let mut restarts = Vec::new();
        for second in 0..5 {
            let now = Duration::from_secs(second * 10);
            let mut budget = Budget::new(25, now);
            while budget.take(now).is_ok() {
                restarts.push(now);
            }
        }
        assert_eq!(most_within(&restarts, MINUTE), 25);
    }

    #[test]
    fn an_imposed_pause_holds_however_full_the_bucket_is() {
        let mut budget = Budget::new(60, Duration::ZERO);
        budget.close_until(MINUTE);
        assert_eq!(budget.take(Duration::ZERO), Err(MINUTE));
        assert_eq!(budget.take(MINUTE), Ok(()));
    }
}
