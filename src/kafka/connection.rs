//! What is known about the connection, and its state.
//!
//! librdkafka reports each failed attempt to connect, several times a second during an outage. The log gets one line per
//! change of state instead, and each further kind of warning once between two changes.

use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rdkafka::error::RDKafkaErrorCode;
use serde::Serialize;
use tokio::sync::watch;

use super::scrub::Scrubber;
use crate::core::health::failure::one_line;

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
    /// Kafka refuses the producer, or contradicts it. A new one is tried again and again; publications are refused
    /// meanwhile.
    Failed,
}

/// The connection's state, as `/api/status` shows it. Error and remedy are set in every condition but `Ok`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KafkaState {
    pub state: Condition,
    pub error: Option<String>,
    /// What the operator should do.
    pub remedy: Option<Cow<'static, str>>,
}

/// Why the connection is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    /// Of a failed connection.
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) what: String,
    pub(super) remedy: Cow<'static, str>,
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
    /// The ids of the brokers in the last metadata.
    cluster: Mutex<Vec<i32>>,
    /// A broker has answered since the start.
    seen: AtomicBool,
    /// Statistics that came.
    statistics: AtomicU64,
    /// A connection was closed and no other is up. That may be an idle one, so Kafka has to be asked.
    doubted: AtomicBool,
    /// The daemon stops: what happens to connections from now on is of no interest.
    ended: AtomicBool,
}

impl Link {
    pub(super) fn new(brokers: String, scrubber: Scrubber) -> Self {
        let state = KafkaState {
            state: Condition::Starting,
            error: Some(format!("no answer from {brokers} yet")),
            remedy: Some(WAIT.into()),
        };
        Self {
            brokers,
            scrubber,
            state: watch::Sender::new(state),
            errors: watch::Sender::new(0),
            trouble: Mutex::default(),
            warned: Mutex::default(),
            cluster: Mutex::default(),
            seen: AtomicBool::new(false),
            statistics: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How many brokers the cluster has, as far as is known.
    pub(super) fn size(&self) -> usize {
        lock(&self.cluster).len().max(1)
    }

    /// The ids of the brokers that the cluster has, as far as is known.
    pub(super) fn brokers_seen(&self) -> Vec<i32> {
        lock(&self.cluster).clone()
    }

    pub(super) fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    pub(super) fn tell_of_error(&self) {
        self.errors
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn tell_of_statistics(&self) {
        self.statistics.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this kind of warning is the first since the last change of state.
    pub(super) fn is_new_warning(&self, kind: &str) -> bool {
        lock(&self.warned).insert(kind.to_owned())
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

    pub(super) fn metadata(&self, brokers: Vec<i32>) {
        *lock(&self.cluster) = brokers;
        self.answered();
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        self.seen.store(true, Ordering::Relaxed);
        self.doubted.store(false, Ordering::Relaxed);
        if self.state.borrow().state != Condition::Ok {
            self.change(Condition::Ok, None);
        }
    }

    /// No broker answers, and why.
    pub(super) fn silent(&self) {
        let why = self.trouble().unwrap_or_else(|| Trouble {
            code: None,
            what: format!("no answer from {}", self.brokers),
            remedy: REACH.into(),
        });
        self.doubted.store(false, Ordering::Relaxed);
        self.change(Condition::Unavailable, Some(why));
    }

    /// The last connection failure since a broker answered.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        lock(&self.trouble).clone()
    }

    /// Whether Kafka has to be asked for whether it is still there.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// No connection is up any more. librdkafka tells of connections that can't be made, and not of those that are closed:
    /// brokers and balancers close idle ones all the time. Which it was takes a question to know, or the next failure.
    pub(super) fn down(&self) {
        if self.trouble().is_none() && self.state.borrow().state == Condition::Ok {
            self.doubted.store(true, Ordering::Relaxed);
        } else {
            self.silent();
        }
    }

    /// Kafka refuses the producer, for this reason.
    pub(super) fn failed(&self, why: &str, remedy: &str) {
        let trouble = Trouble {
            code: None,
            what: self.fit(why),
            remedy: remedy.to_owned().into(),
        };
        self.change(Condition::Failed, Some(trouble));
    }

    /// Nothing is told any more.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// There is a new producer, and Kafka accepts it.
    pub(super) fn revived(&self) {
        self.enter(Condition::Ok, None);
    }

    /// Kafka's refusal is told until it accepts a producer, whatever else is heard of it meanwhile.
    fn change(&self, condition: Condition, trouble: Option<Trouble>) {
        let is_failed = self.state.borrow().state == Condition::Failed;
        if !is_failed || condition == Condition::Failed {
            self.enter(condition, trouble);
        }
    }

    fn enter(&self, condition: Condition, trouble: Option<Trouble>) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let (error, remedy) = match trouble {
            Some(Trouble { what, remedy, .. }) => (Some(what), Some(remedy)),
            None => (None, None),
        };
        let changed = self.state.send_if_modified(|now| {
            let changed = now.state != condition;
            *now = KafkaState {
                state: condition,
                error: error.clone(),
                remedy: remedy.clone(),
            };
            changed
        });
        if !changed {
            return;
        }
        lock(&self.warned).clear();
        let (error, remedy) = (error.unwrap_or_default(), remedy.unwrap_or_default());
        match condition {
            Condition::Ok => {
                *lock(&self.trouble) = None;
                tracing::info!(target: "incidentd::kafka", brokers = %self.brokers, "Kafka answers");
            }
            Condition::Starting => {}
            Condition::Unavailable => {
                tracing::warn!(target: "incidentd::kafka", %error, %remedy, "Kafka can't be reached; publications wait");
            }
            Condition::Failed => {
                tracing::error!(
                    target: "incidentd::kafka", %error, %remedy,
                    "Kafka refuses the producer; a new one is tried again and again, and nothing is lost"
                );
            }
        }
    }

    /// The last attempt to connect failed.
    pub(super) fn troubled(&self, code: RDKafkaErrorCode, reason: &str) {
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
            remedy: remedy.into(),
        });
        if self.is_doubted() {
            self.silent();
        }
    }

    pub(super) fn fit(&self, text: &str) -> String {
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

/// A poisoned lock guards a plain value here, which is whole whatever thread died.
fn lock<T>(mutex: &Mutex<T>) -> parking_lot::MutexGuard<'_, T> {
    mutex.lock()
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
    }
}
