//! The state of the connection to Kafka.
//!
//! librdkafka reports each failed attempt to connect, several times a second during an outage. The log gets one line per
//! change of state instead, and each further kind of warning once between two changes.

use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::watch;

use super::oauth::{self, LogInToken, LogInTokens};
use super::scrub::Scrubber;
use crate::core::health::failure::{Failure, Health, one_line};
use crate::core::health::status::{PartState, PartStatus};
use crate::settings::KafkaConnection;

/// Longest text of librdkafka that is shown, in characters.
const TEXT_MOST: usize = 300;

/// Why the connection is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ConnectionProblem {
    /// Of a failed connection.
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) what: String,
    pub(super) remedy: Cow<'static, str>,
}

const WAIT: &str =
    "nothing to do yet; if this lasts, see whether Kafka is up and can be reached from here";
/// The end of [`REACH`], which only holds for the daemon.
pub(super) const GOES_ON: &str = "; nothing is lost, and a running incidentd goes on by itself";
pub(super) const REACH: &str = "check that Kafka runs, kafka.brokers, and the network and firewalls on the way; nothing is lost, and a \
     running incidentd goes on by itself";
const RESOLVE: &str = "check the host names in kafka.brokers, and this machine's DNS";
const LOG_IN: &str = "check sasl.mechanism, sasl.username and sasl.password under [kafka.properties] against the user that Kafka \
     has; Kafka's own log says more";
/// What librdkafka says when a client's context gave it no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";
const LOG_IN_WITH_TOKEN: &str = "check sasl.oauthbearer.scope and the other sasl.oauthbearer properties under [kafka.properties] \
     against the issuer, the audience and the subject of tokens that Kafka accepts; Kafka's own log says more";
const TLS: &str = "check security.protocol and the ssl.* properties under [kafka.properties]: whether the port speaks TLS, \
     whether kafka.brokers uses the name in the broker's certificate, and whether ssl.ca.location names the CA (PEM) that \
     issued it";
/// The broker ended the handshake because of the certificate that it got, or did not get.
const CLIENT_CERTIFICATE: &str = "give the broker a client certificate that it trusts: ssl.certificate.location and \
     ssl.key.location under [kafka.properties]; Kafka's own log says more";
/// A connection is made, but Kafka's protocol does not work over it.
pub(super) const PROTOCOL: &str = "a firewall may swallow what is sent, or the port may want TLS or a login (set \
     security.protocol and sasl.* under [kafka.properties]), or something else than Kafka may be there; check kafka.brokers, \
     too";

pub(super) struct Connection {
    brokers: String,
    scrubber: Scrubber,
    /// If Kafka wants tokens of an identity provider.
    tokens: Option<LogInTokens>,
    state: watch::Sender<PartStatus>,
    /// Number of errors that librdkafka reported.
    errors: watch::Sender<u64>,
    /// The last connection failure. It becomes the state's error when no broker is left.
    problem: Mutex<Option<ConnectionProblem>>,
    /// The kinds of warnings logged since the last change of state.
    warned: Mutex<BTreeSet<String>>,
    /// The ids of the brokers in the last metadata.
    cluster: Mutex<Vec<i32>>,
    /// A broker has answered since the start.
    seen: AtomicBool,
    /// Number of statistics that librdkafka sent.
    statistics: watch::Sender<u64>,
    /// A connection was closed and no other is up. It may have been an idle one, so Kafka has to be asked.
    doubted: AtomicBool,
    /// The daemon stops: the state no longer changes.
    ended: AtomicBool,
}

impl Connection {
    /// The connection of these options. It gets tokens from now on, if Kafka wants them.
    pub(super) fn of(options: &KafkaConnection) -> Arc<Self> {
        Arc::new(Self {
            tokens: LogInTokens::start(options),
            ..Self::new(options.brokers.clone(), options.scrubber())
        })
    }

    pub(super) fn new(brokers: String, scrubber: Scrubber) -> Self {
        let state = PartStatus::not_ok(
            PartState::Starting,
            format!("no answer from {brokers} yet"),
            WAIT,
        );
        Self {
            brokers,
            scrubber,
            tokens: None,
            state: watch::Sender::new(state),
            errors: watch::Sender::new(0),
            problem: Mutex::default(),
            warned: Mutex::default(),
            cluster: Mutex::default(),
            seen: AtomicBool::new(false),
            statistics: watch::Sender::new(0),
            doubted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Waits until clients can log in: at once, unless Kafka wants a token and there is none yet.
    pub(super) async fn can_log_in(&self) -> Result<(), Failure> {
        match &self.tokens {
            Some(tokens) => tokens.first().await,
            None => Ok(()),
        }
    }

    /// Gives a client the present token, if Kafka wants one, and lets it get the next ones with its statistics.
    pub(super) fn log_in<C: ClientContext>(&self, client: &Client<C>) {
        if self.tokens.is_some() {
            oauth::log_in(client);
        }
    }

    /// The present token, if Kafka wants one.
    pub(super) fn token(&self) -> Option<LogInToken> {
        self.tokens.as_ref()?.present()
    }

    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Number of brokers in the last metadata, at least 1.
    pub(super) fn size(&self) -> usize {
        lock(&self.cluster).len().max(1)
    }

    /// The ids of the brokers in the last metadata.
    pub(super) fn brokers_seen(&self) -> Vec<i32> {
        lock(&self.cluster).clone()
    }

    pub(super) fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    pub(super) fn count_error(&self) {
        self.errors
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn count_statistics(&self) {
        self.statistics
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether this kind of warning is the first since the last change of state.
    pub(super) fn is_new_warning(&self, kind: &str) -> bool {
        lock(&self.warned).insert(kind.to_owned())
    }

    /// Resolves with the next statistics. They come every second while the thread that delivers acknowledgements lives.
    pub(super) async fn next_statistics(&self) {
        // Never fails: `self` owns the sender.
        let _ = self.statistics.subscribe().changed().await;
    }

    pub(super) fn state(&self) -> PartStatus {
        self.state.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<PartStatus> {
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
        if self.state.borrow().state != PartState::Ok {
            self.change(PartState::Ok, None);
        }
    }

    /// No broker answers, and why.
    pub(super) fn no_answer(&self) {
        let why = self.problem().unwrap_or_else(|| ConnectionProblem {
            code: None,
            what: format!("no answer from {}", self.brokers),
            remedy: REACH.into(),
        });
        self.doubted.store(false, Ordering::Relaxed);
        self.change(PartState::Unavailable, Some(why));
    }

    /// The last connection failure since a broker answered.
    pub(super) fn problem(&self) -> Option<ConnectionProblem> {
        let lack = self.tokens.as_ref().and_then(LogInTokens::lack);
        match lack {
            Some(lack) => Some(ConnectionProblem {
                code: (lack.health == Health::Misconfigured)
                    .then_some(RDKafkaErrorCode::Authentication),
                what: lack.what,
                remedy: lack.remedy.into(),
            }),
            None => lock(&self.problem).clone(),
        }
    }

    /// Whether Kafka has to be asked if it is still there.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// No connection is up any more. librdkafka reports connections that can't be made, but not why one was closed:
    /// brokers and balancers close idle ones all the time. Only a request, or the next failure, shows which it was.
    pub(super) fn down(&self) {
        if self.problem().is_none() && self.state.borrow().state == PartState::Ok {
            self.doubted.store(true, Ordering::Relaxed);
        } else {
            self.no_answer();
        }
    }

    /// Kafka refuses the producer, for this reason.
    pub(super) fn failed(&self, why: &str, remedy: &str) {
        let problem = ConnectionProblem {
            code: None,
            what: self.fit(why),
            remedy: remedy.to_owned().into(),
        };
        self.change(PartState::Failed, Some(problem));
    }

    /// Stops changing the state.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// There is a new producer, and Kafka accepts it.
    pub(super) fn revived(&self) {
        self.enter(PartState::Ok, None);
    }

    /// `Failed` stays until Kafka accepts a producer, whatever else happens in the meantime.
    fn change(&self, state: PartState, problem: Option<ConnectionProblem>) {
        let is_failed = self.state.borrow().state == PartState::Failed;
        if !is_failed || state == PartState::Failed {
            self.enter(state, problem);
        }
    }

    fn enter(&self, state: PartState, problem: Option<ConnectionProblem>) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let status = match problem {
            Some(ConnectionProblem { what, remedy, .. }) => PartStatus::not_ok(state, what, remedy),
            None => PartStatus {
                state,
                ..PartStatus::OK
            },
        };
        let changed = self.state.send_if_modified(|now| {
            let changed = now.state != state;
            *now = status.clone();
            changed
        });
        if !changed {
            return;
        }
        lock(&self.warned).clear();
        let PartStatus { error, remedy, .. } = status;
        let (error, remedy) = (error.unwrap_or_default(), remedy.unwrap_or_default());
        match state {
            PartState::Ok => {
                *lock(&self.problem) = None;
                tracing::info!(target: "incidentd::kafka", brokers = %self.brokers, "Kafka answers");
            }
            PartState::Starting => {}
            PartState::Unavailable => {
                tracing::warn!(target: "incidentd::kafka", %error, %remedy, "Kafka can't be reached; publications wait");
            }
            PartState::Failed => {
                tracing::error!(
                    target: "incidentd::kafka", %error, %remedy,
                    "Kafka refuses the producer; a new one is tried again and again, and nothing is lost"
                );
            }
        }
    }

    /// The last attempt to connect failed.
    pub(super) fn connect_failed(&self, code: RDKafkaErrorCode, reason: &str) {
        if reason.starts_with(NO_TOKEN) {
            // The source of the tokens says why.
            return;
        }
        let what = self.fit(without_counts(reason));
        let remedy = match code {
            RDKafkaErrorCode::Resolve => RESOLVE,
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                match &self.tokens {
                    Some(tokens) => {
                        tokens.refused();
                        LOG_IN_WITH_TOKEN
                    }
                    None => LOG_IN,
                }
            }
            _ if is_about_our_certificate(&what) => CLIENT_CERTIFICATE,
            // A port without TLS cuts the handshake, and so does a broker that stops.
            RDKafkaErrorCode::SSL => TLS,
            _ if what.contains("SSL handshake") => TLS,
            // The connection was made, so the fault lies in what came after it.
            _ if !what.contains("Connect to ") => PROTOCOL,
            _ => REACH,
        };
        *lock(&self.problem) = Some(ConnectionProblem {
            // With TLS 1.3 a broker refuses a certificate after the handshake, so that this looks like any lost connection.
            code: Some(match remedy == CLIENT_CERTIFICATE {
                true => RDKafkaErrorCode::SSL,
                false => code,
            }),
            what,
            remedy: remedy.into(),
        });
        if self.is_doubted() {
            self.no_answer();
        }
    }

    pub(super) fn fit(&self, text: &str) -> String {
        one_line(&self.scrubber.clean(text), TEXT_MOST)
    }
}

/// Whether the broker sent one of TLS's alerts about a client's certificate (RFC 8446, section 6.2), in OpenSSL's words.
fn is_about_our_certificate(what: &str) -> bool {
    what.split_once(" alert ")
        .is_some_and(|(_, alert)| alert.contains("certificate") || alert.starts_with("unknown ca"))
}

/// Without ` (after 3ms in state CONNECT, 2 identical error(s) suppressed)`, which makes each repetition look like a
/// new error.
fn without_counts(reason: &str) -> &str {
    match reason.rsplit_once(" (after ") {
        Some((error, counts)) if counts.contains(" in state ") => error,
        _ => reason,
    }
}

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
