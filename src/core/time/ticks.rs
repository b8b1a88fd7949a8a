//! Instants as Microsoft counts them: whole 100-ns ticks.
//!
//! Why not text: `"…:57Z"` sorts after `"…:57.29Z"`, and trailing zeros are trimmed, so one instant has many spellings.
//! Why not floats or milliseconds: a rounded cursor either loses the incident at the boundary or reads it for ever.
//! Digits beyond the seventh are cut off, never rounded: a cursor that was rounded up would step over its own incident.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// 100-ns ticks in one second.
pub const PER_SECOND: i64 = 10_000_000;

/// An instant: whole 100-ns ticks since 1970-01-01T00:00:00Z, within the years 0001 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ticks(pub i64);

impl Ticks {
    /// 0001-01-01T00:00:00Z, the least instant that the text form can express.
    pub const MIN: Ticks = Ticks(-62_135_596_800 * PER_SECOND);
    /// The last tick of the year 9999.
    pub const MAX: Ticks = Ticks(253_402_300_800 * PER_SECOND - 1);

    pub fn from_unix_seconds(seconds: i64) -> Self {
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

    /// This instant moved on by `by`, not past [`Ticks::MAX`].
    pub fn plus(self, by: Duration) -> Self {
        Ticks(self.0.saturating_add(ticks_of(by))).clamped()
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub fn since(self, earlier: Ticks) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0).max(0) as u64;
        Duration::new(
            ticks / PER_SECOND as u64,
            (ticks % PER_SECOND as u64) as u32 * 100,
        )
    }

    /// Compares two instants that different APIs wrote, at the coarser precision of the two. Trailing zeros are trimmed
    /// in every spelling, so an instant's precision is that of its last digit that is not zero.
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
        let seconds = self.unix_seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        let fraction = self.0.rem_euclid(PER_SECOND);
        if fraction != 0 {
            let digits = format!("{fraction:07}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 instant")]
pub struct NotAnInstant;

impl FromStr for Ticks {
    type Err = NotAnInstant;

    /// RFC 3339 with 0 to 12 fraction digits and `Z` or `±hh:mm` (Graph's schema allows both). A leap second counts as
    /// the next second. A text without an offset is refused: guessing a zone would move a cursor by hours.
    fn from_str(text: &str) -> Result<Self, NotAnInstant> {
        parse(text.as_bytes()).ok_or(NotAnInstant)
    }
}

fn parse(text: &[u8]) -> Option<Ticks> {
    let (head, tail) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| digits(&head[range]);
    let separators = head[4] == b'-' && head[7] == b'-' && head[13] == b':' && head[16] == b':';
    if !separators || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let valid = year >= 1
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid {
        return None;
    }
    let (fraction, zone) = parse_fraction(tail)?;
    let offset = parse_offset(zone)?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let ticks = Ticks(seconds * PER_SECOND + fraction);
    (Ticks::MIN..=Ticks::MAX).contains(&ticks).then_some(ticks)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// Splits `.1234567Z` into ticks and the rest; no fraction at all is zero ticks.
fn parse_fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = tail.strip_prefix(b".") else {
        return Some((0, tail));
    };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=12).contains(&len) {
        return None;
    }
    let kept = len.min(7);
    let ticks = digits(&rest[..kept])? * 10_i64.pow(7 - kept as u32);
    Some((ticks, &rest[len..]))
}

/// The zone's offset from UTC in seconds.
fn parse_offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year and every month's offset is one linear formula.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let of_era = shifted_year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
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
