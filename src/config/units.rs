//! Numbers, durations and sizes as people write them.
//!
//! The crates for this accept more than is meant here (`1h30m`, `1month`, `64k`), and explain less when they refuse.

use super::problems::{Wrong, wrong};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// How numbers of one kind are written, and how a wrong one is explained.
#[derive(Debug)]
pub(super) struct Measure {
    pub name: &'static str,
    /// Its name in a sentence: "a duration".
    article: &'static str,
    /// Each unit as a multiple of the smallest one, the largest first.
    pub units: &'static [(&'static str, u64)],
    not_one: &'static str,
    example: &'static str,
}

pub(super) static NUMBER: Measure = Measure {
    name: "number",
    article: "a whole number",
    units: &[("", 1)],
    not_one: "it is not a whole number of that size",
    example: "",
};

/// In milliseconds.
pub(super) static DURATION: Measure = Measure {
    name: "duration",
    article: "a duration",
    units: &TIMES,
    not_one: "it is not a whole number with a unit (ms, s, m, h, d)",
    example: ", for example \"30s\", \"15m\", \"24h\" or \"7d\"",
};

/// In bytes.
pub(super) static SIZE: Measure = Measure {
    name: "size",
    article: "a size",
    units: &SIZES,
    not_one: "it is not a whole number of bytes, or one with a unit (KiB, MiB, GiB, KB, MB, GB)",
    example: ", for example \"64MiB\"",
};

const DAY: u64 = 86_400_000;

#[rustfmt::skip]
const SIZES: [(&str, u64); 8] = [
    ("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("", 1), ("B", 1),
];

#[rustfmt::skip]
const TIMES: [(&str, u64); 5] = [("d", DAY), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Measure {
    /// Reads a value from `low` to `high`, in the smallest unit.
    pub fn read(&self, text: &str, low: u64, high: u64) -> Result<u64, Wrong> {
        let what = match self.value(text) {
            Some(value) if (low..=high).contains(&value) => return Ok(value),
            Some(_) => "it is out of range",
            None => self.not_one,
        };
        let (range, example) = (self.range(low, high), self.example);
        let remedy = format!("give {} from {range}{example}", self.article);
        Err(wrong(what, remedy))
    }

    /// Digits and a unit; `None` for any other form and beyond 64 bits.
    fn value(&self, text: &str) -> Option<u64> {
        let end = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(end)?;
        let mut units = self.units.iter();
        let (_, factor) = units.find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<u64>().ok()?.checked_mul(*factor)
    }

    /// As people write it: `1s to 180d`.
    pub fn range(&self, low: u64, high: u64) -> String {
        format!("{} to {}", self.show(low), self.show(high))
    }

    pub fn show(&self, value: u64) -> String {
        // "24h" and "1d" are one duration; people say 24h.
        let fits = |(unit, factor): &&(&str, u64)| {
            value.is_multiple_of(*factor) && (*unit, value / factor) != ("d", 1)
        };
        match self.units.iter().find(fits) {
            Some((unit, factor)) if value > 0 => format!("{}{unit}", value / factor),
            _ => value.to_string(),
        }
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
    use std::time::Duration;

    fn duration(text: &str) -> Result<Duration, Wrong> {
        let millis = DURATION.read(text, 0, u64::MAX);
        millis.map(Duration::from_millis)
    }

    fn size(text: &str) -> Result<u64, Wrong> {
        SIZE.read(text, 0, u64::MAX)
    }

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("15m", 900_000),
            ("7 d", 604_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
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
            assert!(duration(text).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1048576", 1 << 20),
            ("5 KB", 5000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
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
            prop_assert_eq!(DURATION.read(&DURATION.show(millis), millis, millis), Ok(millis));
        }

        #[test]
        fn distance_is_symmetric(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
