//! How old the brokers are.
//!
//! Kafka 2.5 lets a producer go on after the coordinator has forgotten its id (KIP-360). Older brokers have transactions, too,
//! but leave a producer without a way out. librdkafka knows what each broker takes, and says so only in its debug log: one line
//! for each kind of request, when a connection is made.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;

use crate::core::health::failure::{Failure, Health, Reaction};
use crate::kafka::events::{ClientEvents, GivenToken};

/// The version of the request for a producer's id that Kafka 2.5 brought.
const NEEDED: i16 = 3;
/// What the line about it begins with.
const LINE: &str = "ApiKey InitProducerId (22) Versions ";

pub(super) const NEWER: &str =
    "use Apache Kafka 2.5 or later, or keep the ledger in a file (ledger.kind = \"local\")";

/// Receives a client's events, and takes the versions out of its log.
pub(super) struct VersionEvents {
    events: ClientEvents,
    /// The newest version that all brokers seen so far take.
    newest: Mutex<Option<i16>>,
}

impl VersionEvents {
    pub(super) fn new(events: ClientEvents) -> Self {
        Self {
            events,
            newest: Mutex::default(),
        }
    }

    /// Lets librdkafka write the lines.
    pub(super) fn enable(config: &mut ClientConfig) {
        config.set("debug", "feature");
        config.set_log_level(RDKafkaLogLevel::Debug);
    }

    pub(super) fn newest(&self) -> Option<i16> {
        *self.newest.lock()
    }
}

impl ClientContext for VersionEvents {
    fn generate_oauth_token(&self, config: Option<&str>) -> GivenToken {
        self.events.generate_oauth_token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(newest) = newest_in(message) {
            let mut known = self.newest.lock();
            *known = Some(known.map_or(newest, |known| known.min(newest)));
        }
        if (level as i32) < (RDKafkaLogLevel::Debug as i32) {
            self.events.log(level, facility, message);
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ConsumerContext for VersionEvents {}

fn newest_in(message: &str) -> Option<i16> {
    let (_, versions) = message.split_once(LINE)?;
    let (_, newest) = versions.trim().split_once("..")?;
    newest.parse().ok()
}

/// # Errors
/// The brokers are too old. What is not known is no reason.
pub(super) fn check(newest: Option<i16>) -> Result<(), Failure> {
    match newest {
        Some(newest) if newest < NEEDED => Err(Failure::new(
            Health::Misconfigured,
            Reaction::Slow,
            format!(
                "a broker is older than Apache Kafka 2.5, which the ledger in Kafka needs: it takes InitProducerId up to version \
                 {newest}, and {NEEDED} is needed"
            ),
            NEWER,
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_librdkafka_s_line_and_no_other() {
        let line =
            "[thrd:a:1/bootstrap]: a:1/bootstrap:   ApiKey InitProducerId (22) Versions 0..5";
        assert_eq!(newest_in(line), Some(5));
        for other in [
            "a:1/bootstrap:   ApiKey Produce (0) Versions 0..7",
            "ApiKey InitProducerId (22) Versions 0..",
            "Broker API support:",
        ] {
            assert_eq!(newest_in(other), None, "{other}");
        }
    }

    #[test]
    fn brokers_before_kafka_2_5_are_refused() {
        for (newest, is_refused) in [
            (Some(1), true),
            (Some(2), true),
            (Some(3), false),
            (None, false),
        ] {
            let found = check(newest);
            assert_eq!(found.is_err(), is_refused, "{newest:?}");
            if let Err(failure) = found {
                assert!(failure.remedy.contains("2.5"), "{failure:?}");
            }
        }
    }
}
