//! When a credential is valid, and when its end is close enough to warn of it.

use crate::core::time::ticks::Ticks;

const DAY: i64 = 86_400;

/// When a credential is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// `None`: not known.
    pub from: Option<Ticks>,
    /// The first instant at which it is not valid any more.
    pub until: Ticks,
}

/// The end of a credential is near. Each stage is announced once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryStage {
    /// Thirty days are left, or less.
    Month,
    /// Seven.
    Week,
    /// One.
    Day,
    /// None.
    Over,
}

/// The stages before the end, and how many seconds before it each begins; the last one first.
const STAGES: [(ExpiryStage, i64); 3] = [
    (ExpiryStage::Day, DAY),
    (ExpiryStage::Week, 7 * DAY),
    (ExpiryStage::Month, 30 * DAY),
];

impl Validity {
    /// Of a credential whose beginning is not known.
    pub fn until(until: Ticks) -> Self {
        Self { from: None, until }
    }

    /// The stage at `now`. A stage that takes more than half of the whole validity is left out: a token that another program
    /// renews each hour is always within a day of its end.
    pub fn stage(self, now: Ticks) -> Option<ExpiryStage> {
        let left = self.until.unix_seconds() - now.unix_seconds();
        if left <= 0 {
            return Some(ExpiryStage::Over);
        }
        let life = self
            .from
            .map(|from| self.until.unix_seconds() - from.unix_seconds());
        let fits = |before: i64| life.is_none_or(|life| life >= 2 * before);
        let stage = STAGES
            .iter()
            .find(|(_, before)| left <= *before && fits(*before));
        stage.map(|(stage, _)| *stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExpiryStage::{Day, Month, Over, Week};

    const END: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Ticks {
        Ticks::from_unix_seconds(seconds)
    }

    /// The stage this many seconds before the end, of a credential with this many seconds of life.
    fn stage(life: Option<i64>, left: i64) -> Option<ExpiryStage> {
        let validity = Validity {
            from: life.map(|life| at(END - life)),
            until: at(END),
        };
        validity.stage(at(END - left))
    }

    #[test]
    fn the_end_is_near_thirty_seven_and_one_day_before_it() {
        for life in [None, Some(365 * DAY), Some(60 * DAY)] {
            for (left, expected) in [
                (30 * DAY + 1, None),
                (30 * DAY, Some(Month)),
                (7 * DAY + 1, Some(Month)),
                (7 * DAY, Some(Week)),
                (DAY + 1, Some(Week)),
                (DAY, Some(Day)),
                (1, Some(Day)),
                (0, Some(Over)),
                (-1, Some(Over)),
                (-400 * DAY, Some(Over)),
            ] {
                assert_eq!(stage(life, left), expected, "{life:?}, {left} s before");
            }
        }
    }

    #[test]
    fn of_a_credential_that_is_always_close_to_its_end_only_the_end_is_announced() {
        for (life, left, expected) in [
            (3600, 60, None),
            (3600, 0, Some(Over)),
            (20 * DAY, 7 * DAY, Some(Week)),
            (20 * DAY, 8 * DAY, None),
            (13 * DAY, 7 * DAY, None),
            (13 * DAY, DAY, Some(Day)),
            (59 * DAY, 30 * DAY, None),
        ] {
            assert_eq!(stage(Some(life), left), expected, "{life}, {left}");
        }
    }

    #[test]
    fn no_dates_overflow() {
        for until in [Ticks::MIN, Ticks::MAX] {
            for from in [None, Some(Ticks::MIN), Some(Ticks::MAX)] {
                for now in [Ticks::MIN, Ticks::MAX] {
                    let _ = Validity { from, until }.stage(now);
                }
            }
        }
    }
}
