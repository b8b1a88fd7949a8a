//! A small chart of the records of each hour.

use std::fmt::Write;

use crate::core::format::grouped;
use crate::core::health::activity::{HOURS, hours_today};
use crate::core::time::ticks::Ticks;

/// The height of the tallest bar. Each hour is 4 wide.
const HEIGHT: u64 = 20;

/// The bars as an SVG path, and what they show in words.
pub(super) struct Sparkline {
    pub path: String,
    pub label: String,
    /// Records since midnight (UTC).
    pub today: String,
}

impl Sparkline {
    /// `counts` are of the hours up to that of `now`, oldest first.
    pub fn new<T: Copy + Into<u64>>(counts: &[T; HOURS], now: Ticks) -> Self {
        let counts = counts.map(Into::into);
        let (all, most) = (counts.iter().sum(), counts.into_iter().max().unwrap_or(0));
        let mut path = String::new();
        for (hour, count) in counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0)
        {
            let height = (count * HEIGHT / most).max(1);
            // Writing to a text does not fail.
            let _ = write!(path, "M{} {HEIGHT}v-{height}h3v{height}z", hour * 4);
        }
        Self {
            path,
            label: format!(
                "Published per hour in the last 24 hours: {} in all, {} in the busiest hour",
                grouped(all),
                grouped(most)
            ),
            today: grouped(counts.iter().rev().take(hours_today(now)).sum()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_hour_is_the_tallest_and_the_least_is_still_seen() {
        let mut counts = [0_u32; HOURS];
        (counts[0], counts[22], counts[23]) = (1, 1000, 500);
        // Half past one at night.
        let spark = Sparkline::new(&counts, Ticks::from_unix_seconds(86_400 + 5400));
        assert_eq!(spark.path, "M0 20v-1h3v1zM88 20v-20h3v20zM92 20v-10h3v10z");
        assert_eq!(spark.today, "1,500");
        assert!(
            spark.label.contains("1,501 in all, 1,000 in"),
            "{}",
            spark.label
        );
        let none = Sparkline::new(&[0_u64; HOURS], Ticks(0));
        assert_eq!((&*none.path, &*none.today), ("", "0"));
    }
}
