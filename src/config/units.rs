//! Numbers, durations and sizes as people write them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::problems::{Wrong, wrong};

const KIB: u64 = 1024;
pub(super) const MIB: u64 = KIB * KIB;
pub(super) const GIB: u64 = MIB * KIB;
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Milliseconds of each unit, the largest first.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

const SIZES: [(&str, u64); 8] = [
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
    ("", 1),
];

pub(super) fn number(text: &str, range: RangeInclusive<u64>) -> Result<u64, Wrong> {
    let (low, high) = (*range.start(), *range.end());
    let remedy = || format!("give a whole number from {low} to {high}");
    let number = text
        .parse()
        .map_err(|_| wrong("it is not a whole number of that size", remedy()))?;
    if !range.contains(&number) {
        return Err(wrong("it is out of range", remedy()));
    }
    Ok(number)
}

pub(super) fn duration_in(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Wrong> {
    let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
    let remedy = || {
        format!(
            "give a duration from {low} to {high}, for example \"30s\", \"15m\", \"24h\" or \"7d\""
        )
    };
    let millis = with_unit(text, &TIMES).ok_or_else(|| {
        wrong(
            "it is not a whole number with a unit (ms, s, m, h, d)",
            remedy(),
        )
    })?;
    let duration = Duration::from_millis(millis);
    if !range.contains(&duration) {
        return Err(wrong("it is out of range", remedy()));
    }
    Ok(duration)
}

pub(super) fn size_in(text: &str, range: RangeInclusive<u64>) -> Result<usize, Wrong> {
    let (low, high) = (show_size(*range.start()), show_size(*range.end()));
    let remedy = || format!("give a size from {low} to {high}, for example \"64MiB\"");
    let size = with_unit(text, &SIZES).ok_or_else(|| {
        wrong(
            "it is not a whole number of bytes, or one with a unit (KiB, MiB, GiB, KB, MB, GB)",
            remedy(),
        )
    })?;
    let in_range = range.contains(&size).then(|| usize::try_from(size).ok());
    in_range
        .flatten()
        .ok_or_else(|| wrong("it is out of range", remedy()))
}

/// Digits and a unit, as a multiple of the smallest; `None` for any other form and for what is beyond 64 bits.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(end)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // "24h" and "1d" are one duration; people say 24h.
    let times = if millis == 86_400_000 {
        &TIMES[1..]
    } else {
        &TIMES
    };
    show(millis, times)
}

pub(super) fn show_size(size: u64) -> String {
    show(size, &SIZES[..3])
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => value.to_string(),
    }
}

/// Levenshtein's distance: how many letters to add, drop or change. Bounded by the length of keys worth a suggestion.
pub fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let change = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = change.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        let any_time = Duration::ZERO..=Duration::MAX;
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("15m", 900_000),
            ("7 d", 604_800_000),
        ] {
            assert_eq!(
                duration_in(text, any_time.clone()),
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
            assert!(duration_in(text, any_time.clone()).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1048576", 1 << 20),
            ("5 KB", 5000),
        ] {
            assert_eq!(size_in(text, 0..=u64::MAX), Ok(bytes), "{text}");
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
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(duration_in(&show_duration(duration), duration..=duration), Ok(duration));
        }

        #[test]
        fn distance_is_symmetric(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
