//! How long a 429 asks to wait.
//!
//! Entra sends `Retry-After: 60`. The Defender API promises only that "the response body includes the time until the
//! quota you reached is reset", in undocumented words. A text that can't be parsed counts as 60 s.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::core::health::failure::Reaction;

const DEFAULT: Duration = Duration::from_secs(60);
/// The longest quota period is an hour.
const LONGEST: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(1);

/// The pause in the head, otherwise the one in `message`, otherwise 60 s; limited to 1 s to 1 h.
pub(super) fn pause(headers: &HeaderMap, message: &str) -> Duration {
    retry_after(headers)
        .or_else(|| in_words(message))
        .unwrap_or(DEFAULT)
        .clamp(SHORTEST, LONGEST)
}

/// When to try again after a fault that passes by itself: after the pause in the head, if there is one.
pub(super) fn reaction(headers: &HeaderMap) -> Reaction {
    match retry_after(headers) {
        Some(_) => Reaction::Wait(pause(headers, "")),
        None => Reaction::Backoff,
    }
}

/// `Retry-After` in seconds or as a date. A date is compared with the response's own `Date`, because this machine's
/// clock may be wrong.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        // A pause that doesn't fit a Duration is longer than the longest one.
        return (seconds >= 0.0)
            .then(|| Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(date(headers)?).unwrap_or(SHORTEST))
}

/// The response's `Date`.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?.trim()).ok()
}

/// Words next to the requested pause. A number elsewhere may be the quota itself.
const HINTS: [&str; 7] = ["again", "left", "remain", "renew", "reset", "retry", "wait"];

/// Of the times in the text, the one next to a word such as "retry". Without such a word, the longest: a late retry
/// costs some time, an early one costs another refusal.
fn in_words(message: &str) -> Option<Duration> {
    let clauses = message.split_inclusive(|c: char| ";,.:!?()\n".contains(c));
    let named = clauses.flat_map(in_clause);
    let best = named.min_by_key(|time| (time.off, Reverse(time.seconds)))?;
    Some(Duration::from_secs(best.seconds))
}

/// A time in a text.
struct NamedTime {
    seconds: u64,
    /// Its distance from a hint in the same clause. A time after the hint counts as nearer than one before it.
    off: usize,
}

/// Each whole number that is followed by a word beginning with "second", "minute" or "hour".
fn in_clause(clause: &str) -> Vec<NamedTime> {
    let words: Vec<String> = clause
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let is_hint = |word: &String| HINTS.iter().any(|hint| word.starts_with(hint));
    let hints: Vec<usize> = (0..words.len()).filter(|at| is_hint(&words[*at])).collect();
    let off = |at: usize| {
        let offs = hints.iter().map(|hint| match at.checked_sub(*hint) {
            Some(after) => 2 * after,
            None => 2 * (hint - at) + 1,
        });
        offs.min().unwrap_or(usize::MAX)
    };
    let pairs = words.windows(2).enumerate();
    pairs
        .filter_map(|(at, pair)| {
            let number: u64 = pair[0].parse().ok()?;
            let scale = match &pair[1] {
                unit if unit.starts_with("second") => 1,
                unit if unit.starts_with("minute") => 60,
                unit if unit.starts_with("hour") => 3600,
                _ => return None,
            };
            Some(NamedTime {
                seconds: number.saturating_mul(scale),
                off: off(at),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    fn headers(retry_after: Option<&[u8]>, date: Option<&[u8]>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(RETRY_AFTER, retry_after), (DATE, date)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value).ok()) {
                headers.insert(name, value);
            }
        }
        headers
    }

    #[test]
    fn every_form_of_a_pause_is_understood() {
        let date = "Tue, 15 Nov 1994 08:12:31 GMT";
        let later = "Tue, 15 Nov 1994 08:14:01 GMT";
        for (retry_after, date, message, seconds) in [
            (Some("60"), None, "", 60),
            (Some(" 7 "), None, "retry in 38 seconds", 7),
            (Some("1.2"), None, "", 2),
            (Some("0"), None, "", 1),
            (Some("86400"), None, "", 3600),
            (Some("1e999"), None, "", 3600),
            (Some("-5"), None, "", 60),
            (Some("NaN"), None, "", 60),
            (Some("soon"), None, "", 60),
            (Some(later), Some(date), "", 90),
            (Some(date), Some(later), "", 1),
            (Some(later), None, "in 38 seconds", 38),
            (None, None, "Quota exceeded; retry in 38 seconds", 38),
            (None, None, "1500 calls an hour; 12 minutes left", 720),
            (
                None,
                None,
                "50 calls in 60 seconds; retry in 900 seconds",
                900,
            ),
            (None, None, "50 calls in 60 seconds, retry in 9 seconds", 9),
            (None, None, "Retry in 9 seconds (50 calls in 60 seconds)", 9),
            (None, None, "50 calls in 60 seconds retry in 9 seconds", 9),
            (
                None,
                None,
                "50 calls in 60 seconds. 9 seconds until the reset",
                9,
            ),
            (None, None, "Waiting time: 5 minutes", 300),
            (
                None,
                None,
                "45 per 1 minute, you can send requests again in 55 seconds.",
                55,
            ),
            (
                None,
                None,
                "0 calls left in 60 seconds; resets in 900 seconds",
                900,
            ),
            (
                None,
                None,
                "50 calls in 60 seconds exceeded: 900 seconds",
                900,
            ),
            (None, None, "900 seconds, for 50 calls in 60 seconds", 900),
            (None, None, "retry in 1 hour", 3600),
            (None, None, "wait 0 seconds", 1),
            (None, None, "wait 99999999999999999999 seconds", 60),
            (None, None, "wait 9999999999999 minutes", 3600),
            (None, None, "Too Many Requests", 60),
        ] {
            let headers = headers(retry_after.map(str::as_bytes), date.map(str::as_bytes));
            assert_eq!(
                pause(&headers, message).as_secs(),
                seconds,
                "Retry-After {retry_after:?}, message {message:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_head_and_text_give_a_pause_between_a_second_and_an_hour(
            retry_after in proptest::collection::vec(any::<u8>(), 0..40),
            date in proptest::collection::vec(any::<u8>(), 0..40),
            message in "\\PC{0,40}|(retry )?[0-9]{1,30} (seconds|minutes|hours)( wait [0-9]{1,9} seconds)?",
        ) {
            let pause = pause(&headers(Some(&retry_after), Some(&date)), &message);
            prop_assert!((SHORTEST..=LONGEST).contains(&pause), "{pause:?}");
        }
    }
}
