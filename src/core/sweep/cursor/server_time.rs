//! The time in Microsoft's answers, and when to trust it.

use std::time::Duration;

use super::CLOCKS_DIFFER;
use crate::core::time::ticks::Ticks;

/// 1 January 2020: no answer is older. A clock that was never set starts in 1970 and runs on from there.
const EARLIEST: Ticks = Ticks(15_778_368_000_000_000);

/// Two answers less than this apart can't show that a clock runs.
const APART: Duration = Duration::from_secs(10);

/// If two clocks differ by more than this, one of them is wrong.
const FAR: Duration = Duration::from_secs(3600);

/// A response's `Date`, and when it arrived on a clock that never goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerTime {
    pub date: Ticks,
    pub at: Duration,
}

impl ServerTime {
    /// Whether a second clock agrees with this time: our own clock, which shows `now`, or the earlier answer `before`,
    /// since which this `Date` has advanced by the time that has passed. One of several servers may have a wrong clock,
    /// or a proxy may repeat an old answer.
    pub fn is_confirmed(self, now: Ticks, before: Option<ServerTime>) -> bool {
        let goes_on = |before: ServerTime| {
            let passed = self.at.saturating_sub(before.at);
            let tolerance = CLOCKS_DIFFER.min(passed / 2);
            self.is_apart(before) && differ(before.date.plus(passed), self.date) <= tolerance
        };
        let near = differ(self.date, now) <= CLOCKS_DIFFER;
        self.date >= EARLIEST && (near || before.is_some_and(goes_on))
    }

    /// Whether enough time has passed since `before` to compare the two.
    pub fn is_apart(self, before: ServerTime) -> bool {
        self.at.saturating_sub(before.at) >= APART
    }

    /// Whether this time and our clock, which shows `now`, differ by more than an hour.
    pub fn is_far(self, now: Ticks) -> bool {
        differ(self.date, now) > FAR
    }

    /// Like [`Self::is_far`], for an answer that arrived earlier, when our clock shows `now` at the uptime `at`.
    pub fn was_far(self, now: Ticks, at: Duration) -> bool {
        self.is_far(now.minus(at.saturating_sub(self.at)))
    }
}

fn differ(one: Ticks, other: Ticks) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(17_000_000_000_000_000);

    fn shown(date: Ticks, seconds: u64) -> ServerTime {
        ServerTime {
            date,
            at: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_date_is_believed_when_our_clock_or_another_answer_shows_it() {
        let minute = Duration::from_secs(60);
        let lagging = NOW.minus(150 * Duration::from_secs(1));
        let unset = Ticks::from_unix_seconds(10);
        for (date, before, believed) in [
            (NOW, None, true),
            (NOW.plus(minute), None, true),
            (lagging, None, false),
            (lagging, Some(NOW), false),
            (lagging, Some(lagging.minus(minute)), true),
            (lagging, Some(lagging.minus(10 * minute)), false),
            // It does not advance.
            (lagging, Some(lagging), false),
            (NOW, Some(lagging), true),
            (NOW.plus(1000 * minute), Some(NOW), false),
            (unset, Some(unset.minus(minute)), false),
            (Ticks::MIN, Some(Ticks::MIN), false),
            (Ticks::MAX, Some(NOW), false),
        ] {
            // The answer before came a minute earlier.
            let before = before.map(|date| shown(date, 40));
            let found = shown(date, 100).is_confirmed(NOW, before);
            assert_eq!(found, believed, "{date} after {before:?}");
        }
    }

    #[test]
    fn a_date_that_stands_still_never_confirms_itself_and_one_that_goes_on_does_after_ten_seconds()
    {
        for passed in [0, 1, 9, 10, 15, 30, 60, 119, 120, 600, 86_400] {
            for date in [
                NOW.minus(300 * 86_400 * Duration::from_secs(1)),
                NOW.plus(FAR),
            ] {
                let before = Some(shown(date, 40));
                let frozen = shown(date, 40 + passed).is_confirmed(NOW, before);
                assert!(!frozen, "{date} for {passed} s");
                let goes_on = shown(date.plus(Duration::from_secs(passed)), 40 + passed);
                assert_eq!(
                    goes_on.is_confirmed(NOW, before),
                    passed >= 10,
                    "{date}, {passed} s"
                );
            }
        }
    }
}
