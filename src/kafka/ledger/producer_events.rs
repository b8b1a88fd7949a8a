//! What librdkafka tells the producer of an epoch, on the thread that polls it: its events, and what became of its records.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::log_error::RefusedEntry;
use crate::kafka::events::{ClientEvents, GivenToken};
use crate::kafka::refusal;

/// Receives a producer's events and deliveries.
pub(super) struct ProducerEvents {
    events: ClientEvents,
    report: Mutex<DeliveryReport>,
}

/// What became of the records of one transaction.
#[derive(Default, Clone)]
pub(super) struct DeliveryReport {
    pub(super) acknowledged: usize,
    /// The first entry that Kafka refused.
    pub(super) refused: Option<(RefusedEntry, ClientError)>,
    /// Entries that Kafka refused. It refuses a batch as a whole.
    pub(super) refusals: usize,
}

impl ProducerEvents {
    pub(super) fn new(events: ClientEvents) -> Self {
        Self {
            events,
            report: Mutex::default(),
        }
    }

    pub(super) fn report(&self) -> DeliveryReport {
        self.report.lock().clone()
    }

    /// A new transaction begins.
    pub(super) fn forget(&self) {
        *self.report.lock() = DeliveryReport::default();
    }
}

impl ClientContext for ProducerEvents {
    fn generate_oauth_token(&self, config: Option<&str>) -> GivenToken {
        self.events.generate_oauth_token(config)
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.events.stats_raw(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ProducerContext for ProducerEvents {
    /// The entry's place in the transaction.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, entry: usize) {
        let mut report = self.report.lock();
        let (error, message) = match result {
            Ok(_) => {
                report.acknowledged += 1;
                return;
            }
            Err(refused) => refused,
        };
        if !is_purged(error) {
            report.refusals += 1;
        }
        // librdkafka purges the others of a transaction that has failed: they are not the reason.
        let known = report.refused.as_ref();
        if known.is_none_or(|(_, first)| is_purged(first) && !is_purged(error)) {
            let refused = RefusedEntry {
                entry,
                topic: message.topic().to_owned(),
                size: bytes(message.key()) + bytes(message.payload()),
            };
            report.refused = Some((refused, error.clone()));
        }
    }
}

pub(super) fn bytes(part: Option<&[u8]>) -> usize {
    part.map_or(0, <[u8]>::len)
}

pub(super) fn is_purged(error: &ClientError) -> bool {
    matches!(refusal::code(error), Code::PurgeQueue | Code::PurgeInflight)
}
