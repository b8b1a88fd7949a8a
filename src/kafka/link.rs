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

/// The connection's state, as `/api/status` shows it. Error and remedy are set in every condition but `Ok`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KafkaState {
    pub state: Condition,
    pub error: Option<String>,
    /// What the operator should do.
    pub remedy: Option<&'static str>,
}

/// Why the connection is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    /// Of a failed connection.
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

const WAIT: &str =
    "nothing to do yet; if this lasts, see whether Kafka is up and can be reached from here";
/// What ends [`REACH`], for who goes on.
pub(super) const GOES_ON: &str = "; nothing is lost, and it goes on by itself";
pub(super) const REACH: &str = "check that Kafka runs, kafka.brokers, and the network and firewalls on the way; nothing is lost, and it goes \
     on by itself";
const RESOLVE: &str = "check the host names in kafka.brokers, and this machine's DNS";
const LOG_IN: &str = "check sasl.mechanism, sasl.username and sasl.password under [kafka.properties] against the user that Kafka \
     has; Kafka's own log says more";
const TLS: &str = "check security.protocol and the ssl.* properties under [kafka.properties]: whether the port speaks TLS, \
     whether kafka.brokers uses the name in the broker's certificate, and whether ssl.ca.location names the CA (PEM) that \
     issued it";
/// A connection is made and comes to nothing.
pub(super) const PROTOCOL: &str = "a firewall may swallow what is sent, or the port may want TLS or a login (set \
     security.protocol and sasl.* under [kafka.properties]), or something else than Kafka may be there; check kafka.brokers, \
     too";
const RESTART: &str = "incidentd ends by this and has to be started again (a service manager does); if it happens again, look \
     into the brokers' logs";

pub(super) struct Link {
    brokers: String,
    scrubber: Scrubber,
    state: watch::Sender<KafkaState>,
    /// How many errors librdkafka told of.
    errors: watch::Sender<u64>,
    /// The last connection failure. It becomes the state's error when no broker is left.
    trouble: Mutex<Option<Trouble>>,
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
            remedy: Some(WAIT),
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
        let why = self.trouble().unwrap_or_else(|| Trouble {
            code: None,
            what: format!("no answer from {}", self.brokers),
            remedy: REACH,
        });
        self.change(Condition::Unavailable, Some(why));
    }

    /// The last connection failure since a broker answered.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        lock(&self.trouble).clone()
    }

    /// The producer is dead, for good.
    pub(super) fn failed(&self, why: &str) {
        let what = self.fit(why);
        let trouble = Trouble {
            code: None,
            what,
            remedy: RESTART,
        };
        self.change(Condition::Failed, Some(trouble));
    }

    fn change(&self, condition: Condition, trouble: Option<Trouble>) {
        let (error, remedy) = match trouble {
            Some(Trouble { what, remedy, .. }) => (Some(what), Some(remedy)),
            None => (None, None),
        };
        let changed = self.state.send_if_modified(|now| {
            if now.state == Condition::Failed {
                return false;
            }
            let changed = now.state != condition;
            *now = KafkaState {
                state: condition,
                error: error.clone(),
                remedy,
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
                tracing::warn!(target: "incidentd::kafka", %error, remedy, "Kafka can't be reached; publications wait");
            }
            Condition::Failed => {
                tracing::error!(target: "incidentd::kafka", %error, remedy, "the Kafka producer can't go on");
            }
        }
    }

    /// The last attempt to connect failed.
    fn troubled(&self, code: RDKafkaErrorCode, reason: &str) {
        let what = self.fit(without_counts(reason));
        let remedy = match code {
            RDKafkaErrorCode::Resolve => RESOLVE,
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => LOG_IN,
            // Cut in the middle of a handshake is what a port does that speaks no TLS, and a broker that is going down.
            RDKafkaErrorCode::SSL => TLS,
            _ if what.contains("SSL handshake") => TLS,
            // Where a connection was made, what is wrong is what came after it.
            _ if !what.contains("Connect to ") => PROTOCOL,
            _ => REACH,
        };
        *lock(&self.trouble) = Some(Trouble {
            code: Some(code),
            what,
            remedy,
        });
    }

    fn fit(&self, text: &str) -> String {
        one_line(&self.scrubber.clean(text), TEXT_MOST)
    }
}

/// Without ` (after 3ms in state CONNECT, 2 identical error(s) suppressed)`, which makes one error look like ever new ones.
fn without_counts(reason: &str) -> &str {
    match reason.rsplit_once(" (after ") {
        Some((error, counts)) if counts.contains(" in state ") => error,
        _ => reason,
    }
}

/// Without `[thrd:app]: `: which of its threads says so is librdkafka's affair.
fn without_thread(message: &str) -> &str {
    match message.split_once("]: ") {
        Some((thread, text)) if thread.starts_with("[thrd:") => text,
        _ => message,
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
        let detail = self.0.fit(without_thread(message));
        let serious = (level as i32) <= (RDKafkaLogLevel::Warning as i32);
        // FAIL and ERROR repeat what `error` below is told.
        let repeats = matches!(facility, "FAIL" | "ERROR");
        if serious && !repeats && lock(&self.0.warned).insert(facility.to_owned()) {
            tracing::warn!(target: "incidentd::kafka", facility, detail, "librdkafka warns");
        } else {
            tracing::debug!(target: "incidentd::kafka", facility, detail, "librdkafka says");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.0.silent(),
            Some(
                code @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL),
            ) => self.0.troubled(code, reason),
            _ => {
                let detail = self.0.fit(reason);
                tracing::debug!(target: "incidentd::kafka", detail, "librdkafka reports an error");
            }
        }
        // Whether an error is fatal the event does not say. The publisher asks its producers.
        self.0
            .errors
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_s_texts_lose_what_changes_with_each_attempt() {
        let failed = "a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused";
        for tail in [
            " (after 0ms in state CONNECT)",
            " (after 12ms in state CONNECT, 7 identical error(s) suppressed)",
            "",
        ] {
            assert_eq!(without_counts(&format!("{failed}{tail}")), failed);
        }
        let other = "authentication failed (after the third try)";
        assert_eq!(without_counts(other), other);
        assert_eq!(
            without_thread("[thrd:a:1/bootstrap]: Timed out"),
            "Timed out"
        );
        assert_eq!(without_thread("[x]: Timed out"), "[x]: Timed out");
    }
}
