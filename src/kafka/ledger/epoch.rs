//! The producer of one epoch: it is the only writer of its partition until the next owner calls `init_transactions`.
//!
//! Each fence makes a new one, because after an error nothing is certain about the old one. An open transaction is not
//! aborted here: the next fence does that, or the coordinator after its time limit.

use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use tokio::time::Instant;

use super::log::PartitionLogError;
use super::log_error::{RefusedEntry, not_fenced, not_made, of_error, passing};
use super::producer_events::{ProducerEvents, bytes, is_purged};
use super::setup::{TRANSACTION_LIMIT, WorkerSetup};
use crate::core::health::status::PartState;
use crate::kafka::client::drop_apart;
use crate::kafka::events::ClientEvents;
use crate::kafka::refusal;
use crate::kafka::statistics::{ClientStatistics, StatisticsSample};

/// How long a transaction takes from its first record to the answer of its commit. The coordinator has decided it by then.
pub(super) const COMMIT_LIMIT: Duration = Duration::from_secs(20);
/// How long a fence may take while Kafka answers. The coordinator decides a dead owner's transaction meanwhile.
const FENCE_LIMIT: Duration = Duration::from_secs(20);
/// One try of a call that can be resumed. Between two tries a stop is noticed.
const TRY: Duration = Duration::from_millis(500);
/// Time limit of a question about a topic.
const ASK: Duration = Duration::from_secs(2);
/// First and longest pause while deliveries are awaited. Nothing ends a pause early, so a longer one delays each commit.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// Connections that come up and are closed while one record waits, before its size is the reason.
const CLOSINGS_ALONE: u64 = 3;
/// The same while several wait: more than a restart of brokers causes.
const CLOSINGS: u64 = 5;

type Transactional = BaseProducer<ProducerEvents>;

pub(super) struct EpochProducer {
    /// Taken when this is dropped.
    producer: Option<Transactional>,
    setup: WorkerSetup,
    statistics: Arc<ClientStatistics>,
    /// Of the open transaction.
    transaction: Option<OpenTransaction>,
}

struct OpenTransaction {
    sent: usize,
    /// Keys and values that were sent.
    bytes: usize,
    since: Instant,
    /// Each record is sent when the last one is acknowledged.
    one_by_one: bool,
    /// The record that is alone on its way.
    alone: Option<RefusedEntry>,
    /// The statistics when the last records were acknowledged.
    before: Arc<StatisticsSample>,
}

/// Serves the events that wait. A poll with a time limit would not return before it, and is a busy loop in its last
/// millisecond: at one poll each 100 ms, each partition would use a hundredth of a processor for nothing.
fn serve(producer: &Transactional) {
    let mut waiting = producer.in_flight_count();
    while waiting > 0 {
        producer.poll(Duration::ZERO);
        let left = producer.in_flight_count();
        if left >= waiting {
            break;
        }
        waiting = left;
    }
}

impl EpochProducer {
    /// Fences every earlier producer of the partition. Waits for as long as Kafka is away, and for [`FENCE_LIMIT`] while it is
    /// there.
    pub(super) fn fence(setup: &WorkerSetup) -> Result<Self, PartitionLogError> {
        let epoch = Self::make(setup)?;
        let producer = epoch.producer()?;
        let mut since = Instant::now();
        loop {
            setup.go_on()?;
            if setup.kafka.state().state != PartState::Ok {
                since = Instant::now();
            }
            if since.elapsed() > FENCE_LIMIT {
                return Err(not_fenced(setup, FENCE_LIMIT));
            }
            match producer.init_transactions(TRY) {
                Ok(()) => return Ok(epoch),
                Err(ClientError::Transaction(error)) if error.is_retriable() => {
                    // Errors that come at once must not turn this into a busy loop.
                    park_timeout(POLL.1);
                    serve(producer);
                }
                Err(error) => return Err(epoch.classify(&error)),
            }
        }
    }

    fn make(setup: &WorkerSetup) -> Result<Self, PartitionLogError> {
        let config = setup
            .connection
            .transactional_producer(&setup.transactional_id(), TRANSACTION_LIMIT);
        let events = ClientEvents::aside(&setup.kafka);
        let statistics = events.statistics();
        let context = ProducerEvents::new(events);
        let made = config.create_with_context(context);
        let producer: Transactional = made.map_err(|error| not_made(setup, error))?;
        setup.kafka.log_in(producer.client());
        Ok(Self {
            producer: Some(producer),
            setup: setup.clone(),
            statistics,
            transaction: None,
        })
    }

    /// Hands a record to librdkafka, in the open transaction or in a new one.
    pub(super) fn send(
        &mut self,
        record: BaseRecord<'_, [u8], [u8], usize>,
    ) -> Result<(), PartitionLogError> {
        self.setup.go_on()?;
        let (entry, one_by_one) = self.open()?;
        let of_record = RefusedEntry {
            entry,
            topic: record.topic.to_owned(),
            size: bytes(record.key) + bytes(record.payload),
        };
        let mut next = record.delivery_opaque(entry);
        while let Err((error, back)) = self.producer()?.send(next) {
            next = back;
            match refusal::code(&error) {
                Code::QueueFull => self.wait_a_bit(POLL.1)?,
                _ => return Err(self.unsent(&of_record, &error)),
            }
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.sent += 1;
            transaction.bytes += of_record.size;
            transaction.alone = one_by_one.then_some(of_record);
        }
        match one_by_one {
            true => self.settle(),
            false => Ok(()),
        }
    }

    /// Waits until all of the transaction is acknowledged, and commits it.
    pub(super) fn commit(&mut self) -> Result<(), PartitionLogError> {
        if self.transaction.is_none() {
            return Ok(());
        }
        // With deliveries outstanding, the commit would poll in steps of 100 ms.
        self.settle()?;
        self.commit_sent()
    }

    pub(super) fn commit_sent(&mut self) -> Result<(), PartitionLogError> {
        loop {
            match self.producer()?.commit_transaction(TRY) {
                Ok(()) => {
                    self.transaction = None;
                    return Ok(());
                }
                Err(ClientError::Transaction(error)) if error.is_retriable() => {
                    self.wait_a_bit(POLL.0)?;
                }
                Err(error) => return Err(self.classify(&error)),
            }
        }
    }

    /// Serves events, and says when the producer can't be used any more.
    pub(super) fn poll(&self) -> Result<(), PartitionLogError> {
        let producer = self.producer()?;
        serve(producer);
        match producer.client().fatal_error() {
            Some((code, why)) => Err(of_error(&self.setup, code, &why)),
            None => Ok(()),
        }
    }

    /// The index of the next entry of the transaction, and whether it is sent alone. Kafka may refuse to end an empty
    /// transaction, so it begins with its first record.
    fn open(&mut self) -> Result<(usize, bool), PartitionLogError> {
        if let Some(transaction) = &self.transaction {
            return Ok((transaction.sent, transaction.one_by_one));
        }
        let one_by_one = self.setup.is_careful();
        let producer = self.producer()?;
        producer.context().forget();
        if let Err(error) = producer.begin_transaction() {
            return Err(self.classify(&error));
        }
        self.transaction = Some(OpenTransaction {
            sent: 0,
            bytes: 0,
            since: Instant::now(),
            one_by_one,
            alone: None,
            before: self.statistics.now(),
        });
        Ok((0, one_by_one))
    }

    /// Waits until everything sent is acknowledged.
    fn settle(&mut self) -> Result<(), PartitionLogError> {
        let (mut pause, longest) = POLL;
        while !self.is_settled()? {
            self.wait_a_bit(pause)?;
            pause = longest.min(pause * 2);
        }
        let now = self.statistics.now();
        if let Some(transaction) = &mut self.transaction {
            transaction.before = now;
        }
        Ok(())
    }

    fn is_settled(&self) -> Result<bool, PartitionLogError> {
        let Some(transaction) = &self.transaction else {
            return Ok(true);
        };
        let producer = self.producer()?;
        let report = producer.context().report();
        if report.acknowledged == transaction.sent {
            return Ok(true);
        }
        let Some((refused, error)) = report.refused else {
            return match &transaction.alone {
                // The coordinator aborts the transaction now, which would look like another owner's fence.
                Some(alone) if transaction.since.elapsed() > TRANSACTION_LIMIT => {
                    Err(self.why_late(alone, transaction, producer))
                }
                _ => Ok(false),
            };
        };
        // A producer that has failed for good refuses all that it holds.
        self.poll()?;
        if is_purged(&error) {
            return Err(self.why_purged(transaction, producer));
        }
        if refusal::code(&error) == Code::MessageTimedOut {
            return Err(self.why_late(&refused, transaction, producer));
        }
        let is_batch = refusal::is_oversize(&error) && report.refusals > 1;
        if is_batch || self.closings() > 0 {
            self.setup.become_careful();
        }
        Err(match is_batch {
            true => passing(
                "a batch of records is larger than its topic accepts; they are sent one by one",
            ),
            false => refused.because(&self.setup, &error),
        })
    }

    /// A record was not acknowledged in time. librdkafka waits for as long for a topic that was deleted.
    fn why_late(
        &self,
        record: &RefusedEntry,
        transaction: &OpenTransaction,
        producer: &Transactional,
    ) -> PartitionLogError {
        let asked = producer.client().fetch_metadata(Some(&record.topic), ASK);
        let error = asked.ok().and_then(|known| known.topics().first()?.error());
        match error.map(Code::from) {
            Some(code) if refusal::is_unknown_topic(code) => {
                record.because(&self.setup, &ClientError::MessageProduction(code))
            }
            _ => record.too_slow(&self.setup, transaction.bytes),
        }
    }

    /// The transaction failed as a whole, when a topic or the ledger's partition was added to it: librdkafka has dropped its
    /// records, and only knows which topic it was when a single one was on its way.
    fn why_purged(
        &self,
        transaction: &OpenTransaction,
        producer: &Transactional,
    ) -> PartitionLogError {
        let Err(error) = producer.commit_transaction(TRY) else {
            return passing("Kafka dropped the records of a transaction");
        };
        let code = refusal::code(&error);
        if code == Code::TopicAuthorizationFailed || refusal::is_unknown_topic(code) {
            if let Some(alone) = &transaction.alone {
                return alone.because(&self.setup, &error);
            }
            self.setup.become_careful();
        }
        self.classify(&error)
    }

    /// How often the broker closed the connection over what is on its way.
    fn closings(&self) -> u64 {
        let now = self.statistics.now();
        let transaction = self.transaction.as_ref();
        transaction.map_or(0, |transaction| now.closings_since(&transaction.before))
    }

    /// Pauses, and serves events. An error when the transaction has taken too long, or the broker closes connections over
    /// what is on its way.
    fn wait_a_bit(&self, pause: Duration) -> Result<(), PartitionLogError> {
        park_timeout(pause);
        self.poll()?;
        self.setup.go_on()?;
        let Some(transaction) = &self.transaction else {
            return Ok(());
        };
        let closings = self.closings();
        if let Some(alone) = &transaction.alone
            && closings >= CLOSINGS_ALONE
        {
            return Err(alone.because_closed(&self.setup));
        }
        let is_late = transaction.since.elapsed() > COMMIT_LIMIT;
        if !is_late && closings < CLOSINGS {
            return Ok(());
        }
        if closings == 0 {
            let limit = COMMIT_LIMIT.as_secs();
            return Err(passing(format!(
                "Kafka did not end a transaction within {limit} s"
            )));
        }
        self.setup.become_careful();
        Err(passing(
            "the broker closes the connection on records of a transaction; they are sent one by one",
        ))
    }

    /// Why librdkafka does not take a record.
    fn unsent(&self, record: &RefusedEntry, error: &ClientError) -> PartitionLogError {
        if let Err(known) = self.is_settled() {
            return known;
        }
        match refusal::code(error) {
            // The transaction has failed before.
            Code::State | Code::Fatal => self.classify(error),
            _ => record.because(&self.setup, error),
        }
    }

    /// What an error of a transactional call means. librdkafka's fatal error says more, where there is one.
    fn classify(&self, error: &ClientError) -> PartitionLogError {
        let fatal = self
            .producer
            .as_ref()
            .and_then(|it| it.client().fatal_error());
        let (code, why) = fatal.unwrap_or_else(|| (refusal::code(error), error.to_string()));
        of_error(&self.setup, code, &why)
    }

    fn producer(&self) -> Result<&Transactional, PartitionLogError> {
        // Never missing before the drop.
        self.producer.as_ref().ok_or(PartitionLogError::Stopped)
    }
}

impl Drop for EpochProducer {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.purge(PurgeConfig::default().queue().inflight());
            drop_apart(producer);
        }
    }
}
