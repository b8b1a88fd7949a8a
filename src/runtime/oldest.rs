//! How long the oldest of several running waits has lasted.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

type Wait = (Instant, u64);

#[derive(Debug, Default)]
pub struct OldestWait {
    waits: Mutex<BTreeSet<Wait>>,
    number: AtomicU64,
}

/// A wait that ends when this is dropped.
#[derive(Debug)]
pub struct OngoingWait<'a> {
    of: &'a OldestWait,
    wait: Wait,
}

impl OldestWait {
    pub fn begin(&self) -> OngoingWait<'_> {
        let wait = (Instant::now(), self.number.fetch_add(1, Ordering::Relaxed));
        self.waits.lock().insert(wait);
        OngoingWait { of: self, wait }
    }

    /// How long the oldest wait has lasted. `None`: nothing waits.
    pub fn longest(&self) -> Option<Duration> {
        self.waits.lock().first().map(|(since, _)| since.elapsed())
    }
}

impl Drop for OngoingWait<'_> {
    fn drop(&mut self) {
        self.of.waits.lock().remove(&self.wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_counts_until_it_is_over() {
        let second = Duration::from_secs(1);
        let waiting = OldestWait::default();
        assert_eq!(waiting.longest(), None);
        let first = waiting.begin();
        advance(second).await;
        let other = waiting.begin();
        assert_eq!(waiting.longest(), Some(second));
        drop(first);
        assert_eq!(waiting.longest(), Some(Duration::ZERO));
        drop(other);
        assert_eq!(waiting.longest(), None);
    }
}
