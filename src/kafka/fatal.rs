//! Fatal errors of librdkafka: what they mean, and when to try a new producer.
//!
//! An idempotent producer fails for good when Kafka does not give it an id (a missing permission, a broker without
//! idempotence), and when a broker contradicts its sequence numbers. An operator can grant the permission or replace
//! the broker, so the process stays up and tries a new producer from time to time. The process gives up only when
//! producers fail again and again for a reason that no operator can remove.

use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::watch;
use tokio::time::Instant;

use super::refusal;
use crate::core::health::failure::Failure;
use crate::kafka::connection::Connection;

/// First and longest pause between two producers.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// The process ends after this number of fatal errors within [`WITHIN`]. Errors that an operator can remove do not count.
const MOST: usize = 10;
const WITHIN: Duration = Duration::from_secs(15 * 60);

#[derive(Default)]
pub(super) struct FatalErrors {
    state: Mutex<FatalState>,
    /// Why the process gives up.
    last: watch::Sender<Option<String>>,
    /// Number of times that a new producer was accepted.
    over: watch::Sender<u64>,
}

#[derive(Default)]
struct FatalState {
    /// Of the last producer, while there is no other.
    failure: Option<Failure>,
    /// Fatal errors without an acknowledgement in between.
    count: u32,
    /// When to try a new producer.
    due: Option<Instant>,
    /// When those happened that no operator can remove.
    unexplained: VecDeque<Instant>,
}

impl FatalErrors {
    /// Notes a fatal error. Returns the failure of the producer's records.
    pub(super) fn note(
        &self,
        connection: &Connection,
        topics: &[String],
        code: Code,
        why: &str,
    ) -> Failure {
        let failure = refusal::of_fatal_error(connection, topics, code, why);
        connection.failed(&failure.what, &failure.remedy);
        let mut state = self.lock();
        let doublings = state.count.min(10);
        let (first, longest) = PAUSE;
        let now = Instant::now();
        state.due = Some(now + first.saturating_mul(1 << doublings).min(longest));
        state.count = state.count.saturating_add(1);
        state.failure = Some(failure.clone());
        if !refusal::is_mendable(code) {
            state.unexplained.push_back(now);
            while state
                .unexplained
                .front()
                .is_some_and(|at| now - *at > WITHIN)
            {
                state.unexplained.pop_front();
            }
            if state.unexplained.len() >= MOST {
                self.last.send_replace(Some(failure.what.clone()));
            }
        }
        failure
    }

    /// Why records are refused; `None` when a producer works, or a new one is due.
    pub(super) fn blocking(&self) -> Option<Failure> {
        let state = self.lock();
        let is_due = state.due.is_none_or(|due| due <= Instant::now());
        state.failure.clone().filter(|_| !is_due)
    }

    /// Why the last producer failed; `None` while one works.
    pub(super) fn current(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    /// A new producer was accepted.
    pub(super) fn over(&self) {
        self.lock().failure = None;
        self.over
            .send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Changes whenever a new producer is accepted.
    pub(super) fn watch_recoveries(&self) -> watch::Receiver<u64> {
        self.over.subscribe()
    }

    /// A record was acknowledged.
    pub(super) fn acknowledged(&self) {
        self.lock().count = 0;
    }

    /// Resolves with the reason when the process gives up.
    pub(super) async fn last(&self) -> String {
        let mut last = self.last.subscribe();
        let why = last.wait_for(Option::is_some).await.map(|why| why.clone());
        match why {
            Ok(why) => why.unwrap_or_default(),
            // Never happens: `self.last` is the sender.
            Err(_) => std::future::pending().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, FatalState> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::health::failure::{Health, Reaction};
    use crate::kafka::scrub::Scrubber;

    fn connection() -> Connection {
        Connection::new("a:1".to_owned(), Scrubber::new(&[]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_permission_is_tried_again_within_half_a_minute_for_ever_and_ends_nothing() {
        let (fatal_errors, connection) = (FatalErrors::default(), connection());
        let topics = ["security.incidents".to_owned()];
        for death in 1..=50 {
            let failure =
                fatal_errors.note(&connection, &topics, Code::ClusterAuthorizationFailed, "no");
            assert_eq!(failure.health, Health::Misconfigured);
            assert!(
                matches!(failure.reaction, Reaction::Wait(pause) if pause <= Duration::from_secs(30)),
                "{failure:?}"
            );
            assert!(
                failure
                    .remedy
                    .contains("kafka-acls.sh --bootstrap-server a:1 --add --producer --topic security.incidents"),
                "{failure:?}"
            );
            assert_eq!(fatal_errors.blocking(), Some(failure), "death {death}");
            tokio::time::advance(PAUSE.1).await;
            assert_eq!(fatal_errors.blocking(), None, "death {death}");
        }
        let ended = tokio::time::timeout(Duration::from_secs(1), fatal_errors.last()).await;
        assert!(ended.is_err(), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn dying_again_and_again_without_a_reason_to_mend_ends_the_process() {
        let (fatal_errors, connection) = (FatalErrors::default(), connection());
        for death in 1..=MOST {
            let ended = tokio::time::timeout(Duration::from_millis(1), fatal_errors.last()).await;
            assert!(ended.is_err(), "before death {death}: {ended:?}");
            let failure =
                fatal_errors.note(&connection, &[], Code::OutOfOrderSequenceNumber, "gap");
            assert_eq!(failure.health, Health::Unreachable);
            tokio::time::advance(PAUSE.1).await;
        }
        let why = tokio::time::timeout(Duration::from_secs(1), fatal_errors.last()).await;
        assert!(why.is_ok_and(|why| why.contains("gap")));
    }

    #[tokio::test(start_paused = true)]
    async fn deaths_that_are_hours_apart_end_nothing() {
        let (fatal_errors, connection) = (FatalErrors::default(), connection());
        for _ in 0..3 * MOST {
            fatal_errors.note(&connection, &[], Code::OutOfOrderSequenceNumber, "gap");
            tokio::time::advance(Duration::from_secs(3600)).await;
        }
        let ended = tokio::time::timeout(Duration::from_secs(1), fatal_errors.last()).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
