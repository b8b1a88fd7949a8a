//! Instants as Microsoft counts them: whole 100-ns ticks.
//!
//! Why not text: `"…:57Z"` sorts after `"…:57.29Z"`, and trailing zeros are trimmed, so one instant has many spellings.
//! Why not floats or milliseconds: a rounded cursor either skips the incident at the boundary or reads it for ever.
//! Digits after the seventh are cut off, never rounded: a cursor that is rounded up skips its own incident.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::DateTime;

/// 100-ns ticks in one second.
pub const PER_SECOND: i64 = 10_000_000;
/// No API writes more fraction digits.
const MOST_DIGITS: usize = 12;

/// An instant: whole 100-ns ticks since 1970-01-01T00:00:00Z, within the years 0001 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ticks(pub i64);

impl Ticks {
    /// 0001-01-01T00:00:00Z, the least instant that the text form can express.
    pub const MIN: Ticks = Ticks(-62_135_596_800 * PER_SECOND);
    /// The last tick of the year 9999.
    pub const MAX: Ticks = Ticks(253_402_300_800 * PER_SECOND - 1);

    pub(crate) fn from_unix_seconds(seconds: i64) -> Self {
        Ticks(seconds.saturating_mul(PER_SECOND)).clamped()
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(PER_SECOND)
    }

    /// Seconds since the Unix epoch, for gauges only: a double can't hold a tick.
    pub fn as_unix_f64(self) -> f64 {
        self.0 as f64 / PER_SECOND as f64
    }

    /// This instant moved back by `by`, not before [`Ticks::MIN`].
    pub fn minus(self, by: Duration) -> Self {
        Ticks(self.0.saturating_sub(ticks_of(by))).clamped()
    }

    /// This instant moved forward by `by`, not after [`Ticks::MAX`].
    pub fn plus(self, by: Duration) -> Self {
        Ticks(self.0.saturating_add(ticks_of(by))).clamped()
    }

    /// The time from `earlier` to this instant; zero when this is not later.
    pub fn since(self, earlier: Ticks) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0).max(0) as u64;
        Duration::new(
            ticks / PER_SECOND as u64,
            (ticks % PER_SECOND as u64) as u32 * 100,
        )
    }

    /// The second that this instant lies in, for people.
    pub fn second(self) -> Self {
        Ticks(self.0 - self.0.rem_euclid(PER_SECOND)).clamped()
    }

    /// Compares two instants of different APIs at the coarser precision of the two. APIs trim trailing zeros, so an instant's
    /// precision is that of its last digit that is not zero.
    pub fn cmp_coarsely(self, other: Ticks) -> Ordering {
        let unit = self.unit().max(other.unit());
        self.0.div_euclid(unit).cmp(&other.0.div_euclid(unit))
    }

    /// The ticks of one unit of the last fraction digit that is written.
    fn unit(self) -> i64 {
        let (mut unit, mut fraction) = (1, self.0.rem_euclid(PER_SECOND));
        while unit < PER_SECOND && fraction % 10 == 0 {
            unit *= 10;
            fraction /= 10;
        }
        unit
    }

    fn clamped(self) -> Self {
        self.clamp(Self::MIN, Self::MAX)
    }
}

fn ticks_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)
}

impl fmt::Display for Ticks {
    /// RFC 3339 in UTC with as many fraction digits as the instant needs, at most seven: exact, and what the APIs'
    /// `$filter` takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every i64 of ticks is within chrono's calendar.
        let second = DateTime::from_timestamp(self.unix_seconds(), 0).unwrap_or_default();
        write!(f, "{:?}", second.naive_utc())?;
        let fraction = self.0.rem_euclid(PER_SECOND);
        if fraction != 0 {
            let digits = format!("{fraction:07}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Why a text is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 instant")]
pub struct NotAnInstant;

impl FromStr for Ticks {
    type Err = NotAnInstant;

    /// RFC 3339 with 0 to 12 fraction digits and `Z` or `±hh:mm` (Graph's schema allows both). A leap second counts as
    /// the next second. A text without an offset is refused: a guessed zone would move a cursor by hours.
    fn from_str(text: &str) -> Result<Self, NotAnInstant> {
        let fraction = text.bytes().skip("2020-09-06T12:18:03.".len());
        if fraction.take_while(u8::is_ascii_digit).count() > MOST_DIGITS {
            return Err(NotAnInstant);
        }
        // chrono cuts off the digits after the ninth. The nanoseconds of a leap second go up to two seconds.
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| NotAnInstant)?;
        let fraction = i64::from(at.timestamp_subsec_nanos() / 100);
        let ticks = Ticks(at.timestamp() * PER_SECOND + fraction);
        let expressible = (Ticks::MIN..=Ticks::MAX).contains(&ticks);
        expressible.then_some(ticks).ok_or(NotAnInstant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticks(text: &str) -> Ticks {
        text.parse()
            .unwrap_or_else(|_| panic!("{text} did not parse"))
    }

    #[test]
    fn reads_every_number_of_fraction_digits() {
        let whole = ticks("2020-09-06T12:18:03Z").0;
        for (text, extra) in [
            ("2020-09-06T12:18:03.8Z", 8_000_000),
            ("2020-09-06T12:18:03.088Z", 880_000),
            ("2020-09-06T12:18:03.0733333Z", 733_333),
            ("2020-09-06T12:18:03.073333399999Z", 733_333),
        ] {
            assert_eq!(ticks(text).0, whole + extra, "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_seventh_never_round_up() {
        assert_eq!(
            ticks("2020-09-06T23:59:59.999999999999Z").to_string(),
            "2020-09-06T23:59:59.9999999Z"
        );
    }

    #[test]
    fn a_leap_second_is_the_next_second() {
        assert_eq!(
            ticks("2016-12-31T23:59:60.5Z"),
            ticks("2017-01-01T00:00:00.5Z")
        );
    }

    #[test]
    fn offsets_are_applied() {
        assert_eq!(
            ticks("2020-09-06T02:18:03.5+02:30"),
            ticks("2020-09-05T23:48:03.5Z")
        );
        assert_eq!(
            ticks("2020-09-06T02:18:03-00:30"),
            ticks("2020-09-06T02:48:03Z")
        );
    }

    #[test]
    fn instants_of_two_apis_are_compared_at_the_coarser_precision() {
        for (a, b, order) in [
            ("03.3333333Z", "03.333Z", Ordering::Equal),
            ("03.333Z", "03.3333333Z", Ordering::Equal),
            ("03.9999999Z", "03Z", Ordering::Equal),
            ("03.3333333Z", "03.334Z", Ordering::Less),
            ("03.3333333Z", "03.332Z", Ordering::Greater),
            ("03.3333333Z", "03.3333334Z", Ordering::Less),
            ("04Z", "03.9Z", Ordering::Greater),
        ] {
            let at = |seconds: &str| ticks(&format!("2020-09-06T12:18:{seconds}"));
            assert_eq!(at(a).cmp_coarsely(at(b)), order, "{a} and {b}");
        }
    }

    #[test]
    fn refuses_what_is_no_instant() {
        for text in [
            "",
            "2020-09-06",
            "2020-09-06T12:18:03",
            "2020-13-06T12:18:03Z",
            "2021-02-29T00:00:00Z",
            "2020-09-06T24:00:00Z",
            "2020-09-06T12:18:03.Z",
            "2020-09-06T12:18:03.1234567890123Z",
            "2020-09-06T12:18:03+2:00",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "２020-09-06T12:18:03Z",
        ] {
            assert_eq!(text.parse::<Ticks>(), Err(NotAnInstant), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_ticks_are_inverse(raw in Ticks::MIN.0..=Ticks::MAX.0) {
            prop_assert_eq!(ticks(&Ticks(raw).to_string()), Ticks(raw));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Ticks>();
        }

        #[test]
        fn near_misses_do_not_panic(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,13})?(Z|[+-][0-9]{2}:[0-9]{2})?") {
            if let Ok(instant) = text.parse::<Ticks>() {
                prop_assert_eq!(ticks(&instant.to_string()), instant);
            }
        }

        #[test]
        fn since_undoes_plus(raw in 0..Ticks::MAX.0 / 2, by in 0..1_000_000_000_000_i64) {
            let by = Duration::from_nanos(by as u64 * 100);
            prop_assert_eq!(Ticks(raw).plus(by).since(Ticks(raw)), by);
        }
    }
}
