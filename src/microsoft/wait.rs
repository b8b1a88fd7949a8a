//! How long a 429 asks to wait.
//!
//! Entra sends `Retry-After: 60`; the Defender API promises only that "the response body includes the time until the
//! quota you reached is reset", in words that are not documented. What can't be understood counts as 60 s.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

const DEFAULT: Duration = Duration::from_secs(60);
/// The longest quota is an hour's.
const LONGEST: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(1);

/// The pause that the head names, else the one that `message` names, else 60 s; between 1 s and 1 h.
pub(super) fn pause(headers: &HeaderMap, message: &str) -> Duration {
    retry_after(headers)
        .or_else(|| in_words(message))
        .unwrap_or(DEFAULT)
        .clamp(SHORTEST, LONGEST)
}

/// `Retry-After` in seconds or as a date. A date is measured against the response's own `Date`: this machine's clock
/// may be wrong, the difference of two of theirs is not.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        // A pause that doesn't fit a Duration is longer than any cap.
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

/// The first whole number that is followed by a word beginning with "second" or "minute".
fn in_words(message: &str) -> Option<Duration> {
    let words: Vec<&str> = message
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.windows(2).find_map(|pair| {
        let [number, unit] = pair else { return None };
        let number: u64 = number.parse().ok()?;
        let unit = unit.to_ascii_lowercase();
        let scale = if unit.starts_with("second") {
            1
        } else if unit.starts_with("minute") {
            60
        } else {
            return None;
        };
        Some(Duration::from_secs(number.saturating_mul(scale)))
    })
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
            message in "\\PC{0,40}|[0-9]{1,30} (seconds|minutes)",
        ) {
            let pause = pause(&headers(Some(&retry_after), Some(&date)), &message);
            prop_assert!((SHORTEST..=LONGEST).contains(&pause), "{pause:?}");
        }
    }
}
