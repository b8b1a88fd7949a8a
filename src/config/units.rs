//! Numbers, durations and sizes as people write them.
//!
//! The crates for this accept more than is meant here (`1h30m`, `1month`, `64k`), and explain less when they refuse.

use std::time::Duration;

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

/// The lowest and the highest value, in the smallest unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub low: u64,
    pub high: u64,
}

/// How a kind of number is explained when it is refused.
struct Words {
    not_one: &'static str,
    remedy: String,
}

pub(super) fn number(text: &str, bounds: Bounds) -> Result<u64, Wrong> {
    let words = Words {
        not_one: "it is not a whole number of that size",
        remedy: format!("give a whole number from {}", bounds.show(u64::to_string)),
    };
    within(text.parse().ok(), bounds, words)
}

pub(super) fn duration(text: &str, bounds: Bounds) -> Result<Duration, Wrong> {
    let words = Words {
        not_one: "it is not a whole number with a unit (ms, s, m, h, d)",
        remedy: format!(
            "give a duration from {}, for example \"30s\", \"15m\", \"24h\" or \"7d\"",
            bounds.show(|millis| show_duration_millis(*millis))
        ),
    };
    within(with_unit(text, &TIMES), bounds, words).map(Duration::from_millis)
}

pub(super) fn size(text: &str, bounds: Bounds) -> Result<u64, Wrong> {
    let words = Words {
        not_one: "it is not a whole number of bytes, or one with a unit (KiB, MiB, GiB, KB, MB, GB)",
        remedy: format!(
            "give a size from {}, for example \"64MiB\"",
            bounds.show(|size| show_size(*size))
        ),
    };
    within(with_unit(text, &SIZES), bounds, words)
}

impl Bounds {
    /// As people write it: `1s to 180d`.
    pub fn show(self, show: impl Fn(&u64) -> String) -> String {
        format!("{} to {}", show(&self.low), show(&self.high))
    }
}

fn within(value: Option<u64>, bounds: Bounds, words: Words) -> Result<u64, Wrong> {
    match value {
        Some(value) if (bounds.low..=bounds.high).contains(&value) => Ok(value),
        Some(_) => Err(wrong("it is out of range", words.remedy)),
        None => Err(wrong(words.not_one, words.remedy)),
    }
}

/// Digits and a unit, as a multiple of the smallest unit; `None` for any other form and beyond 64 bits.
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

/// How many letters to add, drop or change. Longer texts than any key count as far apart.
pub fn distance(a: &str, b: &str) -> usize {
    match a.len().max(b.len()) {
        0..=64 => strsim::levenshtein(a, b),
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANY: Bounds = Bounds {
        low: 0,
        high: u64::MAX,
    };

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("15m", 900_000),
            ("7 d", 604_800_000),
        ] {
            assert_eq!(
                duration(text, ANY),
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
            assert!(duration(text, ANY).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1048576", 1 << 20),
            ("5 KB", 5000),
        ] {
            assert_eq!(size(text, ANY), Ok(bytes), "{text}");
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
            let only = Bounds { low: millis, high: millis };
            prop_assert_eq!(duration(&show_duration(value), only), Ok(value));
        }

        #[test]
        fn distance_is_symmetric(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
