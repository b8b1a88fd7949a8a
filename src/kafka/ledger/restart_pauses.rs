//! Pauses that grow while something fails again and again: the worker of a partition, or the membership.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

pub(super) struct RestartPauses {
    first: Duration,
    longest: Duration,
    /// How often each partition has failed in a row, and when it last did.
    failures: HashMap<u16, (u32, Instant)>,
}

impl RestartPauses {
    /// The first pause, and the longest.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: HashMap::new(),
        }
    }

    /// Counts a failure. Returns how many there were in a row.
    pub(super) fn count(&mut self, partition: u16) -> u32 {
        let (now, calm) = (Instant::now(), self.calm());
        let (count, last) = self.failures.entry(partition).or_insert((0, now));
        if now - *last > calm {
            *count = 0;
        }
        (*count, *last) = (*count + 1, now);
        *count
    }

    /// After this time without a failure, the next one counts as the first.
    fn calm(&self) -> Duration {
        4 * self.longest
    }

    /// None after a time of calm.
    pub(super) fn of(&self, partition: u16) -> Duration {
        match self.failures.get(&partition) {
            Some((count, last)) if last.elapsed() <= self.calm() => {
                let pause = self.first.saturating_mul(2_u32.saturating_pow(count - 1));
                self.longest.min(pause)
            }
            _ => Duration::ZERO,
        }
    }
}
