//! A tenant's request budget. Each request is spent before it goes out, so that Microsoft's quota is never reached.
//!
//! The Defender API allows 50 list calls a minute and 1,500 an hour (Microsoft's page "List incidents API"). A bucket
//! of `per_minute` requests that refills at 59/60 of that rate keeps both with the default of 25: at most 25 + 24.6
//! requests in any minute, and at most 25 + 59 × 25 = 1,500 in any hour. A larger burst or refill rate breaks one of
//! them.
//!
//! A new bucket is empty. Nobody knows what the daemon spent before a restart, or before a tenant was removed and added
//! again, so the budget assumes that everything was spent. The quotas hold however often the daemon restarts. The price
//! is a wait of a few seconds at the start.
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

impl Quota {
    /// The largest budget that keeps the quota. A full bucket that refills its own size per minute lets through at most
    /// twice its size in any minute, and its size per minute over an hour.
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

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Live polling.
    Live,
    /// The backlog, which is read beside live polling.
    Backlog,
}

/// One request in this many belongs to the backlog, however busy live polling is.
const BACKLOG_SHARE: u32 = 4;
/// After this time without a request of the backlog, live polling may use the backlog's share.
const BACKLOG_AWAY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Budget {
    all: Bucket,
    /// The backlog's share.
    backlog: Bucket,
    /// When the backlog last asked for a request.
    backlog_asked: Option<Duration>,
    /// No request goes out before this: the server asked for a pause.
    closed_until: Duration,
    /// No request of the backlog goes out before this.
    backlog_closed_until: Duration,
}

impl Budget {
    /// A budget of `per_minute` (at least 1) requests, as of `now`.
    pub fn new(per_minute: u32, now: Duration) -> Self {
        let burst = per_minute.max(1);
        let interval = MINUTE * 60 / 59 / burst;
        Self {
            all: Bucket::empty(interval, burst, now),
            backlog: Bucket::empty(interval * BACKLOG_SHARE, burst.div_ceil(BACKLOG_SHARE), now),
            backlog_asked: None,
            closed_until: Duration::ZERO,
            backlog_closed_until: Duration::ZERO,
        }
    }

    /// Spends one request.
    ///
    /// Live polling goes first: the backlog uses its own share, or what live polling leaves while the bucket is more
    /// than half full.
    ///
    /// # Errors
    /// If nothing is left, the time to wait before asking again.
    pub fn take(&mut self, purpose: Purpose, now: Duration) -> Result<(), Duration> {
        if purpose == Purpose::Backlog {
            self.backlog_asked = Some(now);
        }
        let wait = self.wait(purpose, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.all.spend(now);
        if purpose == Purpose::Backlog {
            self.backlog.spend_what_there_is(now);
        }
        Ok(())
    }

    /// How long until a request may go out.
    pub fn wait(&self, purpose: Purpose, now: Duration) -> Duration {
        let closed = self.closed_until.saturating_sub(now);
        match purpose {
            Purpose::Live => {
                let reserved = if self.backlog_is_at_work(now) {
                    self.backlog.level(now)
                } else {
                    0
                };
                closed.max(self.all.wait(1 + reserved, now))
            }
            Purpose::Backlog => {
                let closed = closed.max(self.backlog_closed_until.saturating_sub(now));
                let plenty = self.all.wait(1 + self.all.burst / 2, now);
                let share = self.backlog.wait(1, now).max(self.all.wait(1, now));
                closed.max(plenty.min(share))
            }
        }
    }

    /// Spends requests that went out without being taken first, because the quota counts them too.
    pub fn charge(&mut self, requests: u32, now: Duration) {
        for _ in 0..requests.min(self.all.burst) {
            self.all.spend(now);
        }
    }

    fn backlog_is_at_work(&self, now: Duration) -> bool {
        self.backlog_asked
            .is_some_and(|asked| now.saturating_sub(asked) < BACKLOG_AWAY)
    }

    /// Continues from `other`, which was spent on the same server: equally empty, and closed for as long.
    pub fn succeed(&mut self, other: &Budget) {
        for (own, former) in [
            (&mut self.all, &other.all),
            (&mut self.backlog, &other.backlog),
        ] {
            // Each bucket is full one minute (of its share) after it was empty, at any rate.
            own.full_at = own.full_at.max(former.full_at);
        }
        self.close_until(other.closed_until);
    }

    /// Lets no request of the backlog out before `until`. Only the requests of the backlog have to pause.
    pub fn close_backlog_until(&mut self, until: Duration) {
        self.backlog_closed_until = self.backlog_closed_until.max(until);
    }

    /// Lets no request out before `until`.
    pub fn close_until(&mut self, until: Duration) {
        self.closed_until = self.closed_until.max(until);
    }
}

/// Requests that refill one by one, up to `burst`.
#[derive(Debug, Clone)]
struct Bucket {
    /// The time in which one request refills.
    interval: Duration,
    burst: u32,
    /// When the bucket is full again.
    full_at: Duration,
}

impl Bucket {
    fn empty(interval: Duration, burst: u32, now: Duration) -> Self {
        Self {
            interval,
            burst,
            full_at: now + interval * burst,
        }
    }

    /// How long until it holds `requests`. A number larger than the bucket counts as a full bucket.
    fn wait(&self, requests: u32, now: Duration) -> Duration {
        let missing = self.burst.saturating_sub(requests);
        self.full_at.saturating_sub(now + self.interval * missing)
    }

    /// The number of complete requests in it.
    fn level(&self, now: Duration) -> u32 {
        let missing = self
            .full_at
            .saturating_sub(now)
            .div_duration_f64(self.interval);
        self.burst.saturating_sub(missing.ceil() as u32)
    }

    fn spend(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now) + self.interval;
    }

    /// Spends one request, or what is left of one.
    fn spend_what_there_is(&mut self, now: Duration) {
        self.spend(now);
        self.full_at = self.full_at.min(now + self.interval * self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Microsoft's quotas of Defender XDR and of Graph.
    const HOURLY: Quota = Quota {
        per_minute: 50,
        per_hour: Some(1500),
    };
    const BY_MINUTE: Quota = Quota {
        per_minute: 150,
        per_hour: None,
    };

    const HOUR: Duration = Duration::from_secs(3600);

    /// The instants at which requests go out. `gaps` is how long the caller idles before each.
    fn spend(budget: &mut Budget, gaps: &[(u64, Purpose)]) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let mut spent = Vec::new();
        for (gap, purpose) in gaps {
            now += Duration::from_millis(*gap);
            while let Err(wait) = budget.take(*purpose, now) {
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

    #[test]
    fn requests_that_went_out_besides_are_paid_for_later() {
        let now = HOUR;
        let mut paid = Budget::new(10, Duration::ZERO);
        let mut charged = paid.clone();
        for _ in 0..8 {
            paid.take(Purpose::Live, now).unwrap();
        }
        charged.charge(8, now);
        assert_eq!(
            charged.wait(Purpose::Live, now),
            paid.wait(Purpose::Live, now)
        );
        charged.charge(4, now);
        let wait = charged.wait(Purpose::Live, now);
        assert!(wait > MINUTE / 10 * 2 && wait < MINUTE / 2, "{wait:?}");
    }

    fn gaps() -> impl Strategy<Value = Vec<(u64, Purpose)>> {
        let gap = prop_oneof![8 => Just(0_u64), 1 => 0_u64..5_000, 1 => 0_u64..120_000];
        let purpose = prop_oneof![Just(Purpose::Live), Just(Purpose::Backlog)];
        prop::collection::vec((gap, purpose), 0..2500)
    }

    proptest! {
        #[test]
        fn no_minute_and_no_hour_exceeds_the_documented_quota(gaps in gaps()) {
            let spent = spend(&mut Budget::new(25, Duration::ZERO), &gaps);
            prop_assert!(most_within(&spent, MINUTE) <= 50);
            prop_assert!(most_within(&spent, HOUR) <= 1500);
        }

        #[test]
        fn nor_does_it_over_any_number_of_restarts(uptimes in prop::collection::vec(1_u64..900, 1..100)) {
            let (mut now, mut spent) = (Duration::ZERO, Vec::new());
            for uptime in uptimes {
                let (mut budget, end) = (Budget::new(25, now), now + Duration::from_secs(uptime));
                while now < end {
                    match budget.take(Purpose::Live, now) {
                        Ok(()) => spent.push(now),
                        Err(wait) => now += wait,
                    }
                }
            }
            prop_assert!(most_within(&spent, MINUTE) <= 50);
            prop_assert!(most_within(&spent, HOUR) <= 1500);
        }

        #[test]
        fn the_wait_it_names_is_enough(per_minute in 1_u32..1000, at in 0_u64..1_000_000, backlog in any::<bool>()) {
            let purpose = if backlog { Purpose::Backlog } else { Purpose::Live };
            let mut now = Duration::from_millis(at);
            let mut budget = Budget::new(per_minute, Duration::ZERO);
            for _ in 0..2 * per_minute {
                if let Err(wait) = budget.take(purpose, now) {
                    now += wait;
                    prop_assert_eq!(budget.take(purpose, now), Ok(()));
                }
            }
        }

        #[test]
        fn however_busy_live_polling_is_the_backlog_gets_its_quarter_and_no_more(per_minute in 8_u32..200) {
            let mut budget = Budget::new(per_minute, Duration::ZERO);
            let (mut live, mut backlog, mut now) = (0, 0, Duration::ZERO);
            while now < HOUR {
                while budget.take(Purpose::Live, now).is_ok() {
                    live += 1;
                }
                while budget.take(Purpose::Backlog, now).is_ok() {
                    backlog += 1;
                }
                now += Duration::from_millis(50);
            }
            let share = f64::from(backlog) / f64::from(live + backlog);
            prop_assert!((0.2..0.3).contains(&share), "{share}");
        }

        #[test]
        fn live_polling_within_three_quarters_never_waits_for_the_backlog(per_minute in 8_u32..200) {
            let mut budget = Budget::new(per_minute, Duration::ZERO);
            let every = MINUTE / (per_minute / 2);
            let (mut now, mut next) = (2 * MINUTE, 2 * MINUTE);
            while now < HOUR {
                while budget.take(Purpose::Backlog, now).is_ok() {}
                if now >= next {
                    prop_assert_eq!(budget.take(Purpose::Live, now), Ok(()), "at {:?}", now);
                    next += every;
                }
                now += Duration::from_millis(50);
            }
        }
    }

    proptest! {
        #[test]
        fn the_default_of_each_source_keeps_its_quota(
            quota in prop_oneof![Just(HOURLY), Just(BY_MINUTE)],
            gaps in gaps(),
        ) {
            let spent = spend(&mut Budget::new(quota.default_per_minute(), Duration::ZERO), &gaps);
            prop_assert!(most_within(&spent, MINUTE) <= quota.per_minute as usize, "{quota}");
            let hour = most_within(&spent, MINUTE * 60);
            prop_assert!(quota.per_hour.is_none_or(|most| hour <= most as usize), "{quota}: {hour}");
        }
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        assert_eq!(HOURLY.default_per_minute(), 25);
        assert_eq!(BY_MINUTE.default_per_minute(), 75);
    }

    #[test]
    fn without_a_backlog_live_polling_has_everything() {
        let mut budget = Budget::new(25, Duration::ZERO);
        let taken = (0..100).take_while(|_| budget.take(Purpose::Live, HOUR).is_ok());
        assert_eq!(taken.count(), 25);
    }

    #[test]
    fn the_backlog_alone_gets_nearly_everything() {
        let (mut budget, mut spent, mut now) = (Budget::new(25, Duration::ZERO), 0, Duration::ZERO);
        while now < HOUR {
            match budget.take(Purpose::Backlog, now) {
                Ok(()) => spent += 1,
                Err(wait) => now += wait,
            }
        }
        assert!((1400..=1500).contains(&spent), "{spent}");
    }

    #[test]
    fn an_imposed_pause_holds_however_full_the_bucket_is() {
        let mut budget = Budget::new(60, Duration::ZERO);
        budget.close_until(2 * MINUTE);
        assert_eq!(budget.take(Purpose::Live, MINUTE), Err(MINUTE));
        assert_eq!(budget.take(Purpose::Live, 2 * MINUTE), Ok(()));
    }
}
