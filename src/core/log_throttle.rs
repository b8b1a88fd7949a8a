//! How often a subject may have a line in the log: the first few times at once, then seldom. Otherwise a tenant that fails
//! every other minute of a night would fill the log and hide everything else.

use std::time::Duration;

/// This many lines come at once.
const AT_ONCE: u32 = 6;
/// After those, one line per this time.
const EVERY: Duration = Duration::from_secs(600);

/// Times are those of a clock that never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogThrottle {
    spent: u32,
    /// When the allowance last grew. Without meaning while nothing is spent.
    grew: Duration,
}

impl LogThrottle {
    /// Whether a line may be logged at `now`. If so, it counts.
    pub fn take(&mut self, now: Duration) -> bool {
        self.grow(now);
        let may = self.spent < AT_ONCE;
        self.spent += u32::from(may);
        may
    }

    /// Whether no line counts any more.
    pub fn is_whole(&mut self, now: Duration) -> bool {
        self.grow(now);
        self.spent == 0
    }

    fn grow(&mut self, now: Duration) {
        while self.spent > 0 && now.saturating_sub(self.grew) >= EVERY {
            self.spent -= 1;
            self.grew += EVERY;
        }
        if self.spent == 0 {
            self.grew = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_lines_come_at_once_and_then_one_every_ten_minutes() {
        let mut allowance = LogThrottle::default();
        // Twice a minute for two hours.
        let logged: Vec<u64> = (0..240)
            .map(|n| n * 30)
            .filter(|at| allowance.take(Duration::from_secs(*at)))
            .collect();
        assert_eq!(
            logged[..8],
            [0, 30, 60, 90, 120, 150, 600, 1200],
            "{logged:?}"
        );
        assert_eq!(logged.len(), 6 + 11, "{logged:?}");
    }

    #[test]
    fn rest_makes_it_whole() {
        let mut allowance = LogThrottle::default();
        let at = |minutes: u64| Duration::from_secs(minutes * 60);
        for _ in 0..6 {
            assert!(allowance.take(at(0)));
        }
        assert!(!allowance.take(at(0)));
        assert!(!allowance.is_whole(at(59)));
        assert!(allowance.is_whole(at(60)));
        for _ in 0..6 {
            assert!(allowance.take(at(500)));
        }
        assert!(!allowance.take(at(509)), "rest is not hoarded");
    }

    proptest! {
        #[test]
        fn no_hour_has_more_than_twelve(steps in prop::collection::vec(0_u64..2000, 1..200)) {
            let (mut allowance, mut now, mut logged) = (LogThrottle::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if allowance.take(Duration::from_secs(now)) {
                    logged.push(now);
                }
            }
            for (n, at) in logged.iter().enumerate() {
                let within = logged[n..].iter().take_while(|then| **then < at + 3600).count();
                prop_assert!(within <= 12, "{within} from {at} on: {logged:?}");
            }
        }
    }
}
