//! Liveness: each part that the daemon needs beats when it makes progress. A part without a beat for too long has died
//! or hangs.
//!
//! A condition that a restart can't fix does not count: Kafka unavailable, a full disk, failing tenants. Idle parts
//! beat too, from a timer that runs through the code to be monitored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The beats of one part.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    origin: Instant,
    /// Milliseconds from `origin` to the last beat.
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Records that the part makes progress.
    pub fn beat(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(last)
    }
}

/// All parts that must beat, each with the longest time between two beats.
#[derive(Debug, Default)]
pub struct Liveness(Vec<(&'static str, Duration, Heartbeat)>);

impl Liveness {
    /// Adds a part that must beat at least once per `limit` from now on.
    pub fn part(&mut self, name: &'static str, limit: Duration) -> Heartbeat {
        let heartbeat = Heartbeat::new();
        self.0.push((name, limit, heartbeat.clone()));
        heartbeat
    }

    /// Whether all parts make progress.
    ///
    /// # Errors
    /// A sentence that names the part with the longest silence beyond its limit.
    pub fn check(&self) -> Result<(), String> {
        let silent = self
            .0
            .iter()
            .map(|(name, limit, heartbeat)| (name, limit, heartbeat.silence()))
            .filter(|(_, limit, silence)| silence > *limit)
            .max_by_key(|(_, _, silence)| *silence);
        silent.map_or(Ok(()), |(name, limit, silence)| {
            Err(format!(
                "the {name} has made no progress for {} s (limit {} s): restart the daemon, nothing is lost by it",
                silence.as_secs(),
                limit.as_secs()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_part_that_beats_is_alive_and_one_that_stops_is_named() {
        let mut liveness = Liveness::default();
        let (beating, silent) = (liveness.part("one", LIMIT), liveness.part("other", LIMIT));
        for _ in 0..6 {
            advance(Duration::from_secs(10)).await;
            beating.beat();
        }
        assert_eq!(liveness.check(), Ok(()), "at the limit, not beyond it");
        advance(Duration::from_secs(1)).await;
        let dead = liveness.check().expect_err("61 s without a beat");
        assert!(
            dead.starts_with("the other has made no progress for 61 s"),
            "{dead}"
        );
        silent.beat();
        assert_eq!(liveness.check(), Ok(()));
    }
}
