//! Changes of the wall clock, compared with a steady clock that never goes back. The wall clock can be set by hand, by NTP
//! or by a host that moves a machine, and it continues while the machine sleeps.
//!
//! Durations are measured on the steady clock. The wall clock is for people and schedules. Code that keeps one of its
//! instants for later corrects it here.

use std::time::Duration;

use super::ticks::Ticks;

/// Smaller differences are ignored: the clocks are read one after the other, and a thread may wait between.
const NOTABLE: Duration = Duration::from_secs(2);

/// Both clocks at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub wall: Ticks,
    /// The steady clock. Readings that are compared must have the same origin.
    pub steady: Duration,
}

/// By how much the wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leap {
    Back(Duration),
    Ahead(Duration),
}

impl Look {
    /// How the wall clock was set between this reading and `now`, if it was.
    pub fn leap(self, now: Look) -> Option<Leap> {
        let expected = self.wall.plus(now.steady.saturating_sub(self.steady));
        let (back, ahead) = (expected.since(now.wall), now.wall.since(expected));
        if back > NOTABLE {
            Some(Leap::Back(back))
        } else {
            (ahead > NOTABLE).then_some(Leap::Ahead(ahead))
        }
    }

    /// The age of this reading at `now`, by the clock that shows more: the wall clock may be set back, and the steady clock
    /// may stop while the machine sleeps.
    pub fn age(self, now: Look) -> Duration {
        let steady = now.steady.saturating_sub(self.steady);
        now.wall.since(self.wall).max(steady)
    }

    /// This instant as the wall clock of `now` shows it. The same at each call, unless the clock was set.
    pub fn seen_from(self, now: Look) -> Ticks {
        let ahead = self.steady.saturating_sub(now.steady);
        let behind = now.steady.saturating_sub(self.steady);
        let seen = now.wall.plus(ahead).minus(behind);
        let off = seen.since(self.wall).max(self.wall.since(seen));
        if off > NOTABLE { seen } else { self.wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Ticks = Ticks(17_000_000_000_000_000);
    const DAY: u64 = 86_400_000;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The look `later` after `before` on a wall clock that was set by `set` (negative: back) in between.
    fn after(before: Look, later: Duration, set: i64) -> Look {
        let wall = before.wall.plus(later);
        let by = ms(set.unsigned_abs());
        Look {
            wall: if set < 0 {
                wall.minus(by)
            } else {
                wall.plus(by)
            },
            steady: before.steady + later,
        }
    }

    fn start() -> Look {
        Look {
            wall: START,
            steady: ms(5000),
        }
    }

    #[test]
    fn two_seconds_are_no_leap_and_more_are() {
        for (set, leap) in [
            (0, None),
            (-2000, None),
            (2000, None),
            (-2001, Some(Leap::Back(ms(2001)))),
            (2001, Some(Leap::Ahead(ms(2001)))),
        ] {
            assert_eq!(start().leap(after(start(), ms(1000), set)), leap, "{set}");
        }
    }

    #[test]
    fn clocks_at_the_ends_of_time_are_compared_without_a_panic() {
        let ends = [Ticks::MIN, Ticks::MAX].map(|wall| [ms(0), Duration::MAX].map(|at| (wall, at)));
        for (from, to) in ends.iter().flatten().zip(ends.iter().rev().flatten()) {
            let look = |(wall, steady): &(Ticks, Duration)| Look {
                wall: *wall,
                steady: *steady,
            };
            let (from, to) = (look(from), look(to));
            let _ = (from.leap(to), from.age(to), from.seen_from(to));
        }
    }

    proptest! {
        #[test]
        fn a_clock_that_is_set_is_noticed_by_how_much_however_late_the_look(
            later in 0..DAY,
            set in -(DAY as i64)..DAY as i64,
        ) {
            let by = ms(set.unsigned_abs());
            let expected = match set {
                ..-2000 => Some(Leap::Back(by)),
                -2000..=2000 => None,
                2001.. => Some(Leap::Ahead(by)),
            };
            prop_assert_eq!(start().leap(after(start(), ms(later), set)), expected);
        }

        #[test]
        fn an_age_is_never_less_than_what_has_passed(later in 0..DAY, set in -(DAY as i64)..DAY as i64) {
            let age = start().age(after(start(), ms(later), set));
            prop_assert!(age >= ms(later));
            if set <= 0 {
                prop_assert_eq!(age, ms(later), "a clock that was set back adds nothing");
            }
        }

        #[test]
        fn an_instant_is_shown_as_it_was_noted_until_the_clock_is_set_and_then_where_it_lies(
            ahead in 0..DAY,
            later in 0..DAY,
            set in -(DAY as i64)..DAY as i64,
        ) {
            let noted = after(start(), ms(ahead), 0);
            let seen = noted.seen_from(after(start(), ms(later), set));
            if set.unsigned_abs() <= 2000 {
                prop_assert_eq!(seen, noted.wall);
            } else {
                prop_assert_eq!(seen, after(start(), ms(ahead), set).wall);
            }
        }
    }
}
