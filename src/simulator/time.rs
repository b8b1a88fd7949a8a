//! The world's time, and how Microsoft writes it.
//!
//! Written apart from the daemon's own reading of timestamps on purpose: a misreading shared by both would prove itself.
//! An instant is a count of 100-ns ticks since 1970-01-01T00:00:00Z.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Ticks in one second.
pub const SECOND: i64 = 10_000_000;

/// 9999-12-31T23:59:59Z, the last instant that HTTP can name.
const LAST_DATE: u64 = 253_402_300_799;

/// The clock of a world. Clones share their hands.
#[derive(Clone)]
pub struct Clock {
    hands: Arc<AtomicI64>,
    ticking: bool,
}

impl Clock {
    /// Follows the computer's clock.
    pub fn wall() -> Self {
        Self {
            hands: Arc::default(),
            ticking: true,
        }
    }

    /// Stands still at `ticks` until it is moved.
    pub fn manual(ticks: i64) -> Self {
        Self {
            hands: Arc::new(AtomicI64::new(ticks)),
            ticking: false,
        }
    }

    /// Ticks since the Unix epoch.
    pub fn now(&self) -> i64 {
        let hands = self.hands.load(Ordering::SeqCst);
        if self.ticking { wall() + hands } else { hands }
    }

    /// Moves the clock on: a ticking one is ahead of the computer's from then on.
    pub fn advance(&self, by: Duration) {
        self.hands.fetch_add(ticks(by), Ordering::SeqCst);
    }
}

pub(super) fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX / 4)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the simulated Microsoft has a clock of its own, which is not the daemon's"
)]
fn wall() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, ticks)
}

/// The latest value not after `at` that a SQL `datetime` can hold: those step by 1/300 s, which is why the API's
/// update times end in `.29` or `.0733333`, and why ties are normal.
pub(super) fn sql_datetime(at: i64) -> i64 {
    let fraction = at.rem_euclid(SECOND);
    // Half a tick of tolerance: a step that was rounded down is still that step.
    let step = (fraction * 300 + 150) / SECOND;
    at - fraction + (step * SECOND + 150) / 300
}

/// The next value after `at` that a SQL `datetime` can hold.
pub(super) fn next_sql_datetime(at: i64) -> i64 {
    sql_datetime(at + SECOND / 300 + 1)
}

/// `2020-09-06T14:46:57.29Z`: as many fraction digits as needed, at most seven.
pub(super) fn format(at: i64) -> String {
    let Moment { date, time, ticks } = Moment::of(at);
    if ticks == 0 {
        return format!("{date}T{time}Z");
    }
    let fraction = format!("{ticks:07}");
    format!("{date}T{time}.{}Z", fraction.trim_end_matches('0'))
}

/// `2020-09-06T14:46:57.290Z`: to the millisecond, the rest cut off.
pub(super) fn format_millis(at: i64) -> String {
    let Moment { date, time, ticks } = Moment::of(at);
    format!("{date}T{time}.{:03}Z", ticks / 10_000)
}

/// `2024-08-01T10:24:12`: as Graph's errors have it, without a zone.
pub(super) fn format_zoneless(at: i64) -> String {
    let Moment { date, time, .. } = Moment::of(at);
    format!("{date}T{time}")
}

/// `Sun, 01 Mar 2026 08:00:00 GMT`.
pub(super) fn format_http(at: i64) -> String {
    let seconds = u64::try_from(at / SECOND).unwrap_or(0).min(LAST_DATE);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// `2025-09-18 01:17:37Z`: the token endpoint's way, with a space.
pub(super) fn format_entra(at: i64) -> String {
    let Moment { date, time, .. } = Moment::of(at);
    format!("{date} {time}Z")
}

struct Moment {
    date: String,
    time: String,
    ticks: i64,
}

impl Moment {
    fn of(at: i64) -> Self {
        let seconds = at.div_euclid(SECOND).max(0);
        let (mut year, mut day) = (1970, seconds / 86_400);
        while day >= days_in_year(year) {
            day -= days_in_year(year);
            year += 1;
        }
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        let of_day = seconds % 86_400;
        Self {
            date: format!("{year:04}-{month:02}-{:02}", day + 1),
            time: format!(
                "{:02}:{:02}:{:02}",
                of_day / 3600,
                of_day / 60 % 60,
                of_day % 60
            ),
            ticks: at.rem_euclid(SECOND),
        }
    }
}

/// The strict reading of a `$filter` literal: `T`, `Z`, at most seven fraction digits, no offset.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.strip_suffix('Z')?.split_once('.') {
        Some((whole, digits)) => (whole, fraction(digits)?),
        None => (text.strip_suffix('Z')?, 0),
    };
    let (date, time) = whole.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let real = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !real {
        return None;
    }
    let days = (1970..year).map(days_in_year).sum::<i64>()
        + (1..month)
            .map(|month| days_in_month(year, month))
            .sum::<i64>()
        + day
        - 1;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * SECOND + fraction)
}

fn fraction(digits: &str) -> Option<i64> {
    let plain = (1..=7).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| format!("{digits:0<7}").parse().ok())
        .flatten()
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut out = [0; 3];
    for (slot, width) in out.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_year(year: i64) -> i64 {
    if leap(year) { 366 } else { 365 }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_many_digits_as_needed_and_reads_them_back() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2020-02-29T23:59:59.9999999Z",
            "2020-09-06T14:46:57.29Z",
            "2020-09-06T14:46:57.0733333Z",
            "2100-03-01T00:00:00.000001Z",
        ] {
            let at = parse(text).unwrap_or_else(|| panic!("{text} was refused"));
            assert_eq!(format(at), text);
        }
    }

    #[test]
    fn refuses_what_the_filter_does_not_take() {
        for text in [
            "2020-09-06T14:46:57",
            "2020-09-06T14:46:57+00:00",
            "2020-09-06 14:46:57Z",
            "2020-09-06T14:46:57.Z",
            "2020-09-06T14:46:57.12345678Z",
            "2021-02-29T00:00:00Z",
            "2020-9-6T14:46:57Z",
            "'2020-09-06T14:46:57Z'",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn update_times_look_like_sql_datetimes() {
        let second = parse("2020-09-06T14:46:57Z").unwrap();
        assert_eq!(
            format(sql_datetime(second + 740_000)),
            "2020-09-06T14:46:57.0733333Z"
        );
        let mut at = second;
        for _ in 0..300 {
            let next = next_sql_datetime(at);
            assert_eq!((next, sql_datetime(next)), (sql_datetime(next), next));
            assert!(next > at);
            at = next;
        }
        assert_eq!(at, second + SECOND, "300 steps are one second");
    }
}
