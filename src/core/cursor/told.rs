//! The time that answers bear, and when it is believed.

use std::time::Duration;

use super::super::ticks::Ticks;
use super::CLOCKS_DIFFER;

/// 1 January 2020: no answer is older. A clock that was never set shows 1970, and goes on from there as if it were right.
const EARLIEST: Ticks = Ticks(15_778_368_000_000_000);

/// A response's `Date`, and when it came on a clock that never goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    pub date: Ticks,
    pub at: Duration,
}

impl Told {
    /// Whether something else shows this time: our own clock, which shows `now`, or the answer `before`. One server of
    /// several may have a wrong clock, or a proxy may give an old answer.
    pub fn is_confirmed(self, now: Ticks, before: Option<Told>) -> bool {
        let told_before = |before: Told| {
            let passed = self.at.saturating_sub(before.at);
            is_near(before.date.plus(passed), self.date)
        };
        self.date >= EARLIEST && (is_near(self.date, now) || before.is_some_and(told_before))
    }
}

fn is_near(one: Ticks, other: Ticks) -> bool {
    one.since(other).max(other.since(one)) <= CLOCKS_DIFFER
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(17_000_000_000_000_000);

    fn told(date: Ticks, seconds: u64) -> Told {
        Told {
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
            (NOW, Some(lagging), true),
            (NOW.plus(1000 * minute), Some(NOW), false),
            (unset, Some(unset.minus(minute)), false),
            (Ticks::MIN, Some(Ticks::MIN), false),
            (Ticks::MAX, Some(NOW), false),
        ] {
            // The answer before came a minute earlier.
            let before = before.map(|date| told(date, 40));
            let found = told(date, 100).is_confirmed(NOW, before);
            assert_eq!(found, believed, "{date} after {before:?}");
        }
    }
}
