//! The world's time, and how Microsoft writes it.
//!
//! It shares no code with the daemon, so that a misreading shows. An instant is a count of 100-ns ticks since
//! 1970-01-01T00:00:00Z.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDateTime};

/// Ticks in one second.
pub const SECOND: i64 = 10_000_000;

/// The clock of a world. Clones share their time.
#[derive(Clone)]
pub struct Clock {
    offset: Arc<AtomicI64>,
    /// What the offset is added to.
    base: fn() -> i64,
}

impl Clock {
    /// Follows the computer's clock.
    pub fn wall() -> Self {
        Self {
            offset: Arc::default(),
            base: wall,
        }
    }

    /// Stands still at `ticks` until it is moved.
    pub fn manual(ticks: i64) -> Self {
        Self {
            offset: Arc::new(AtomicI64::new(ticks)),
            base: || 0,
        }
    }

    /// Ticks since the Unix epoch.
    pub fn now(&self) -> i64 {
        (self.base)() + self.offset.load(Ordering::SeqCst)
    }

    /// Moves the clock forward. A wall clock is then ahead of the computer's.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(ticks(by), Ordering::SeqCst);
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

/// The latest value not after `at` that a SQL `datetime` can hold. It steps by 1/300 s: update times end in `.29` or
/// `.0733333`, and ties are normal (section 1.4, item 6).
pub(super) fn sql_datetime(at: i64) -> i64 {
    let fraction = at.rem_euclid(SECOND);
    // The 150 is half a tick: a step that was rounded down remains that step.
    let step = (fraction * 300 + 150) / SECOND;
    at - fraction + (step * SECOND + 150) / 300
}

/// The next value after `at` that a SQL `datetime` can hold.
pub(super) fn next_sql_datetime(at: i64) -> i64 {
    sql_datetime(at + SECOND / 300 + 1)
}

/// `2020-09-06T14:46:57.29Z`: as many fraction digits as needed, at most seven (section 1.4, item 1).
pub(super) fn format(at: i64) -> String {
    match at.rem_euclid(SECOND) {
        0 => seconds(at, "%Y-%m-%dT%H:%M:%SZ"),
        ticks => {
            let fraction = format!("{ticks:07}");
            let digits = fraction.trim_end_matches('0');
            format!("{}.{digits}Z", format_zoneless(at))
        }
    }
}

/// `2020-09-06T14:46:57.290Z`: to the millisecond, the rest cut off.
pub(super) fn format_millis(at: i64) -> String {
    let millis = at.rem_euclid(SECOND) / 10_000;
    format!("{}.{millis:03}Z", format_zoneless(at))
}

/// `2024-08-01T10:24:12`: as Graph's errors have it, without a zone (section 3.2).
pub(super) fn format_zoneless(at: i64) -> String {
    seconds(at, "%Y-%m-%dT%H:%M:%S")
}

/// `2025-09-18 01:17:37Z`: the token endpoint's way, with a space (section 4.1).
pub(super) fn format_entra(at: i64) -> String {
    seconds(at, "%Y-%m-%d %H:%M:%SZ")
}

/// `Sun, 01 Mar 2026 08:00:00 GMT`.
pub(super) fn format_http(at: i64) -> String {
    seconds(at, "%a, %d %b %Y %H:%M:%S GMT")
}

/// Date and time to the second.
fn seconds(at: i64, format: &str) -> String {
    let at = DateTime::from_timestamp_secs(at.div_euclid(SECOND)).unwrap_or_default();
    at.format(format).to_string()
}

/// The strict reading of a `$filter` literal: `T`, `Z`, at most seven fraction digits, no offset.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (whole, digits) = text.split_once('.').unwrap_or((text, "0"));
    let read = NaiveDateTime::parse_from_str(whole, "%Y-%m-%dT%H:%M:%S").ok()?;
    let at = read.and_utc().timestamp().checked_mul(SECOND)?;
    // chrono also accepts other widths. It writes such a text in another way.
    let strict = at >= 0 && whole.len() == 19 && format_zoneless(at) == whole;
    let plain = (1..=7).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let fraction: i64 = format!("{digits:0<7}").parse().ok()?;
    (strict && plain).then_some(at + fraction)
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
