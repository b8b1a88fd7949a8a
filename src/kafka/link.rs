//! What is known about the connection: its state, librdkafka's events and log lines.
//!
//! librdkafka reports each failed attempt to connect, several times a second during an outage. The log gets one line per
//! change of state instead, and each further kind of warning once between two changes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Serialize;
use tokio::sync::watch;

use super::options::Scrubber;
use crate::core::failure::one_line;

/// Longest text of librdkafka that is shown, in characters.
const TEXT_MOST: usize = 300;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// No broker has answered since the start.
    Starting,
    Ok,
    /// No broker can be reached. Publications wait.
    Unavailable,
    /// The producer can't go on; only a new process can.
    Failed,
}

/// The connection's state, as `/api/status` shows it. `error` is set in every condition but `Ok`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KafkaState {
    pub state: Condition,
    pub error: Option<String>,
}

pub(super) struct Link {
    brokers: String,
    scrubber: Scrubber,
    state: watch::Sender<KafkaState>,
    /// How many errors librdkafka told of.
    errors: watch::Sender<u64>,
    /// The last connection failure. It becomes the state's error when no broker is left.
    trouble: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// The kinds of warnings logged since the last change of state.
    warned: Mutex<BTreeSet<String>>,
    /// Brokers in the last metadata.
    size: AtomicUsize,
    /// A broker has answered since the start.
    seen: AtomicBool,
    /// Statistics that came.
    statistics: AtomicU64,
}

impl Link {
    pub(super) fn new(brokers: String, scrubber: Scrubber) -> Self {
        let state = KafkaState {
            state: Condition::Starting,
            error: Some(format!("no answer from {brokers} yet")),
        };
        Self {
            brokers,
            scrubber,
            state: watch::Sender::new(state),
            errors: watch::Sender::new(0),
            trouble: Mutex::default(),
            warned: Mutex::default(),
            size: AtomicUsize::new(1),
            seen: AtomicBool::new(false),
            statistics: AtomicU64::new(0),
        }
    }

    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How many brokers the cluster has, as far as is known.
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// How many statistics came since the start.
    pub(super) fn statistics(&self) -> u64 {
        self.statistics.load(Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> KafkaState {
        self.state.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<KafkaState> {
        self.state.subscribe()
    }

    pub(super) fn watch_errors(&self) -> watch::Receiver<u64> {
        self.errors.subscribe()
    }

    pub(super) fn metadata(&self, brokers: usize) {
        self.size.store(brokers.max(1), Ordering::Relaxed);
        self.answered();
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        self.seen.store(true, Ordering::Relaxed);
        if self.state.borrow().state != Condition::Ok {
            self.change(Condition::Ok, None);
        }
    }

    /// No broker answers, and why.
    pub(super) fn silent(&self) {
        let trouble = self.trouble().map(|(_, why)| why);
        let why = trouble.unwrap_or_else(|| format!("no answer from {}", self.brokers));
        self.change(Condition::Unavailable, Some(why));
    }

    /// The last connection failure since a broker answered, its kind and librdkafka's words.
    pub(super) fn trouble(&self) -> Option<(RDKafkaErrorCode, String)> {
        lock(&self.trouble).clone()
    }

    /// The producer is dead, for good.
    pub(super) fn failed(&self, why: &str) {
        self.change(Condition::Failed, Some(self.fit(why)));
    }

    fn change(&self, condition: Condition, error: Option<String>) {
        let changed = self.state.send_if_modified(|now| {
            if now.state == Condition::Failed {
                return false;
            }
            let changed = now.state != condition;
            *now = KafkaState {
                state: condition,
                error: error.clone(),
            };
            changed
        });
        if !changed {
            return;
        }
        lock(&self.warned).clear();
        let error = error.unwrap_or_default();
        match condition {
            Condition::Ok => {
                *lock(&self.trouble) = None;
                tracing::info!(target: "incidentd::kafka", brokers = %self.brokers, "Kafka answers");
            }
            Condition::Starting => {}
            Condition::Unavailable => {
                tracing::warn!(target: "incidentd::kafka", %error, "Kafka can't be reached; publications wait");
            }
            Condition::Failed => {
                tracing::error!(target: "incidentd::kafka", %error, "the Kafka producer can't go on");
            }
        }
    }

    fn fit(&self, text: &str) -> String {
        one_line(&self.scrubber.clean(text), TEXT_MOST)
    }
}

/// A poisoned lock guards a plain value here, which is whole whatever thread died.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// librdkafka's view of a [`Link`]. Its methods run on librdkafka's polling thread.
#[derive(Clone)]
pub(super) struct Events(pub(super) Arc<Link>);

impl ClientContext for Events {
    /// What they say is not read: that they come is what counts.
    fn stats_raw(&self, _: &[u8]) {
        self.0.statistics.fetch_add(1, Ordering::Relaxed);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let text = self.0.fit(message);
        let serious = (level as i32) <= (RDKafkaLogLevel::Warning as i32);
        // FAIL and ERROR repeat what `error` below is told.
        let repeats = matches!(facility, "FAIL" | "ERROR");
        if serious && !repeats && lock(&self.0.warned).insert(facility.to_owned()) {
            tracing::warn!(target: "incidentd::kafka", facility, "{text}");
        } else {
            tracing::debug!(target: "incidentd::kafka", facility, "{text}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = self.0.fit(reason);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.0.silent(),
            Some(
                code @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL),
            ) => *lock(&self.0.trouble) = Some((code, text)),
            _ => tracing::debug!(target: "incidentd::kafka", "{text}"),
        }
        // Whether an error is fatal the event does not say. The publisher asks its producers.
        self.0
            .errors
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}
