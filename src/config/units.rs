//! Numbers, durations and sizes as people write them.
//!
//! By hand, since the crates for it take more than is meant here (`1h30m`, `1month`, `64k`) and say less when they refuse.

use std::time::Duration;

use super::keys::ConfigKey;
use super::problems::{Wrong, wrong};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// Milliseconds of each unit, the largest first.
#[rustfmt::skip]
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[rustfmt::skip]
const SIZES: [(&str, u64); 8] = [
    ("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("B", 1), ("", 1),
];

/// What a kind of number is called when it is refused.
struct Words {
    not_one: &'static str,
    remedy: String,
}

pub(super) fn number(text: &str, key: &ConfigKey) -> Result<u64, Wrong> {
    let words = Words {
        not_one: "it is not a whole number of that size",
        remedy: format!("give a whole number from {}", range(key)),
    };
    within(text.parse().ok(), key, words)
}

pub(super) fn duration(text: &str, key: &ConfigKey) -> Result<Duration, Wrong> {
    let words = Words {
        not_one: "it is not a whole number with a unit (ms, s, m, h, d)",
        remedy: format!(
            "give a duration from {}, for example \"30s\", \"15m\", \"24h\" or \"7d\"",
            range(key)
        ),
    };
    within(with_unit(text, &TIMES), key, words).map(Duration::from_millis)
}

pub(super) fn size(text: &str, key: &ConfigKey) -> Result<u64, Wrong> {
    let words = Words {
        not_one: "it is not a whole number of bytes, or one with a unit (KiB, MiB, GiB, KB, MB, GB)",
        remedy: format!("give a size from {}, for example \"64MiB\"", range(key)),
    };
    within(with_unit(text, &SIZES), key, words)
}

fn range(key: &ConfigKey) -> String {
    key.range().unwrap_or_default()
}

fn within(value: Option<u64>, key: &ConfigKey, words: Words) -> Result<u64, Wrong> {
    let (low, high) = key.bounds();
    match value {
        Some(value) if (low..=high).contains(&value) => Ok(value),
        Some(_) => Err(wrong("it is out of range", words.remedy)),
        None => Err(wrong(words.not_one, words.remedy)),
    }
}

/// Digits and a unit, as a multiple of the smallest; `None` for any other form and for what is beyond 64 bits.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(end)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

pub(super) fn show_duration(duration: Duration) -> String {
    show_duration_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn show_duration_millis(millis: u64) -> String {
    // "24h" and "1d" are one duration; people say 24h.
    let is_day = millis == 86_400_000;
    show(millis, &TIMES[usize::from(is_day)..])
}

pub(super) fn show_size(size: u64) -> String {
    show(size, &SIZES[..3])
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    match units.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => value.to_string(),
    }
}

/// How many letters to add, drop or change. Bounded by the length of keys worth a suggestion.
pub fn distance(a: &str, b: &str) -> usize {
    match a.len().max(b.len()) {
        0..=64 => strsim::levenshtein(a, b),
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KeyType;
    use proptest::prelude::*;

    /// A key of these bounds.
    fn of(kind: fn(u64, u64) -> KeyType, low: u64, high: u64) -> ConfigKey {
        ConfigKey::for_tests(kind(low, high))
    }

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        let (any_time, any_size) = (
            of(KeyType::Duration, 0, u64::MAX),
            of(KeyType::Size, 0, u64::MAX),
        );
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("15m", 900_000),
            ("7 d", 604_800_000),
        ] {
            assert_eq!(
                duration(text, &any_time),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5h",
            "1h30m",
            "99999999999999999999s",
            "18446744073709551615d",
            "5 S",
        ] {
            assert!(duration(text, &any_time).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1048576", 1 << 20),
            ("5 KB", 5000),
        ] {
            assert_eq!(size(text, &any_size), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn distance_counts_letters() {
        for (a, b, expected) in [
            ("", "", 0),
            ("overlap", "overlap", 0),
            ("overlpa", "overlap", 2),
            ("topics", "topic", 1),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_the_same(millis in 1_u64..100_000_000_000) {
            let value = Duration::from_millis(millis);
            let only = of(KeyType::Duration, millis, millis);
            prop_assert_eq!(duration(&show_duration(value), &only), Ok(value));
        }

        #[test]
        fn distance_is_symmetric(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
