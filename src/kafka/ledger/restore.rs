//! Reads the committed rows of one partition, from the first to the row that its owner has written last.
//!
//! The end is a row, and no offset: a consumer reaches the end of the partition (`PARTITION_EOF`) too early when the
//! partition has just got another leader, which learns a moment later how far its predecessor had come.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::Instant;

use super::log::{PartitionLogError, Row};
use super::log_error::{not_made, of_reading, passing};
use super::rows::OUTLINE;
use super::setup::WorkerSetup;
use crate::core::incident::outline::PackedOutline;
use crate::kafka::client::drop_apart;
use crate::kafka::events::ClientEvents;

/// Rows of one call of [`RowReader::read`].
const ROWS: usize = 4096;
/// How long a call waits for its first row.
const WAIT: Duration = Duration::from_millis(200);
/// How long no row may come while the last one is awaited.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit of one question for an offset.
const ASK_LIMIT: Duration = Duration::from_secs(2);

impl ConsumerContext for ClientEvents {}

pub(super) type LedgerConsumer = BaseConsumer<ClientEvents>;

pub(super) struct RowReader {
    /// Taken when this is dropped.
    consumer: Option<LedgerConsumer>,
    setup: WorkerSetup,
    /// The key and the value of the last row.
    last: Row,
    is_over: bool,
    /// When a row came. `None`: reading has not begun.
    heard: Option<Instant>,
}

impl RowReader {
    pub(super) fn open(setup: &WorkerSetup, last: Row) -> Result<Self, PartitionLogError> {
        Ok(Self {
            consumer: Some(consumer(setup, "read_committed")?),
            setup: setup.clone(),
            last,
            is_over: false,
            heard: None,
        })
    }

    /// The offset up to which every transaction is decided.
    pub(super) fn stable_end(&self) -> Result<i64, PartitionLogError> {
        // Never missing before the drop.
        let consumer = self.consumer.as_ref().ok_or(PartitionLogError::Stopped)?;
        ask_end(&self.setup, consumer)
    }

    fn begin(&self, consumer: &LedgerConsumer) -> Result<Instant, PartitionLogError> {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.setup.topic, self.setup.number(), Offset::Beginning)
            .and_then(|()| consumer.assign(&assignment))
            .map_err(|error| of_reading(&self.setup, &error))?;
        Ok(Instant::now())
    }

    /// The next rows, none if none came for a moment; `None` once the last row has come.
    pub(super) fn read(&mut self) -> Result<Option<Vec<Row>>, PartitionLogError> {
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.is_over) else {
            return Ok(None);
        };
        let heard = match self.heard {
            Some(heard) => heard,
            None => self.begin(consumer)?,
        };
        let mut rows = Vec::new();
        let mut wait = WAIT;
        while rows.len() < ROWS && !self.is_over {
            self.setup.go_on()?;
            let row = match consumer.poll(wait) {
                None => break,
                Some(Err(error)) if passes(&error) => continue,
                Some(Err(error)) => return Err(of_reading(&self.setup, &error)),
                Some(Ok(message)) => row_of(&message),
            };
            wait = Duration::ZERO;
            match row.key == self.last.key {
                true => self.is_over = row == self.last,
                false => rows.push(row),
            }
        }
        let heard = match rows.is_empty() && !self.is_over {
            true => heard,
            false => Instant::now(),
        };
        self.heard = Some(heard);
        if heard.elapsed() > PATIENCE {
            return Err(passing(format!(
                "partition {} of the ledger's topic {} does not show the row that its owner wrote",
                self.setup.partition, self.setup.topic
            )));
        }
        Ok(Some(rows))
    }
}

impl Drop for RowReader {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            drop_apart(consumer);
        }
    }
}

/// The end of the partition, open transactions included.
pub(super) fn end(setup: &WorkerSetup) -> Result<i64, PartitionLogError> {
    let consumer = consumer(setup, "read_uncommitted")?;
    let end = ask_end(setup, &consumer);
    drop_apart(consumer);
    end
}

/// Asks for the end of the partition, as this consumer sees it. Waits for as long as Kafka is away.
fn ask_end(setup: &WorkerSetup, consumer: &LedgerConsumer) -> Result<i64, PartitionLogError> {
    loop {
        setup.go_on()?;
        match consumer.fetch_watermarks(&setup.topic, setup.number(), ASK_LIMIT) {
            Ok((_, end)) => return Ok(end),
            Err(error) if passes(&error) => drop(consumer.poll(WAIT)),
            Err(error) => return Err(of_reading(setup, &error)),
        }
    }
}

fn consumer(setup: &WorkerSetup, isolation: &str) -> Result<LedgerConsumer, PartitionLogError> {
    make_consumer(setup, &setup.connection.restoring_consumer(isolation))
}

/// The row in a message of the ledger's topic.
pub(super) fn row_of(message: &BorrowedMessage<'_>) -> Row {
    let headers = message
        .headers()
        .into_iter()
        .flat_map(BorrowedHeaders::iter);
    let mut outlines = headers.filter(|header| header.key == OUTLINE);
    let outline = outlines.find_map(|header| header.value);
    Row {
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().map(<[u8]>::to_vec),
        outline: outline.map(PackedOutline::from_bytes),
    }
}

/// A consumer that can log in, also for what it asks before it is polled.
pub(super) fn make_consumer(
    setup: &WorkerSetup,
    config: &ClientConfig,
) -> Result<LedgerConsumer, PartitionLogError> {
    // The publisher's connections decide the state.
    let events = ClientEvents::aside(&setup.kafka);
    let made = config.create_with_context(events);
    let consumer: LedgerConsumer = made.map_err(|error| not_made(setup, error))?;
    setup.kafka.log_in(consumer.client());
    Ok(consumer)
}

/// Whether librdkafka tries again by itself.
pub(super) fn passes(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::Resolve
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::UnknownPartition
                // Of the group, which is never used.
                | Code::GroupAuthorizationFailed
        )
    )
}
