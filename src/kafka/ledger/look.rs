//! What is committed in the ledger's topic, read beside its owners, and who they are.
//!
//! Nothing is fenced and nothing is written: it is safe beside running daemons.
//!
//! A reader has no row of its own that shows the end, as a restore has ([`super::restore`]). It asks for the end first, waits
//! until everything before it is decided, and reads up to there. Control markers have offsets too, so no row may be at the
//! end: then the consumer says that it is there. It may say so too early, when the partition has just got another leader. So
//! the leader is asked for its end once more, which it answers when it knows it, and then no row may come for a while.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::PartitionLogError;
use super::log_error::{held_up, of_reading, of_row};
use super::memory::PartitionMemory;
use super::restore::{LedgerConsumer, make_consumer, passes, row_of};
use super::rows::{LedgerRow, PARTITIONS};
use super::setup::WorkerSetup;
use super::topic::{self, TopicError};
use super::transactional::OWNER_KEY;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::ownership::partition_of;
use crate::kafka::client::drop_apart;
use crate::kafka::connection::Connection;
use crate::ports::LedgerEntry;
use crate::settings::{KafkaConnection, KafkaLedgerSettings};

/// How long a call waits for a row.
const WAIT: Duration = Duration::from_millis(200);
/// How long no row may come at the end.
const SILENCE: Duration = Duration::from_millis(600);
/// How long no row may come before it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit of one question.
const ASK: Duration = Duration::from_secs(10);

/// The ledger's topic, for a command.
pub(crate) struct LedgerTopic {
    pub(super) settings: KafkaLedgerSettings,
    pub(super) setup: WorkerSetup,
}

impl LedgerTopic {
    /// Uses no network.
    pub(crate) fn new(settings: &KafkaLedgerSettings, connection: &KafkaConnection) -> Self {
        Self {
            setup: WorkerSetup {
                connection: connection.clone(),
                kafka: Connection::of(connection),
                topic: settings.topic.clone(),
                group: settings.group.clone(),
                partition: 0,
                count: settings.partitions,
                epoch: 0,
                caution: Arc::default(),
                stop: CancellationToken::new(),
                steps: Arc::default(),
            },
            settings: settings.clone(),
        }
    }

    /// Whether the rows can be read. A topic that a daemon must not use is just the one to export.
    ///
    /// # Errors
    /// The topic is missing, or has fewer partitions.
    pub(crate) async fn exists(&self) -> Result<(), Failure> {
        let (settings, setup) = (&self.settings, &self.setup);
        match topic::inspect(settings, &setup.connection, &setup.kafka).await {
            Ok(None) => Ok(()),
            Ok(Some(command)) => Err(missing(&settings.topic, &command)),
            Err(TopicError::Passing(failure)) => Err(failure),
            Err(TopicError::Unfit(failure)) => {
                match topic::look(settings, &setup.connection, &setup.kafka).await {
                    Ok(found) if found.partitions >= Some(settings.partitions.into()) => Ok(()),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Lets everything that waits for Kafka end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.setup.stop.clone()
    }

    pub(crate) fn partition_of(&self, tenant: TenantId) -> u16 {
        partition_of(tenant, self.settings.partitions)
    }

    /// Calls `each` with every committed row of the tenant, or of all tenants, as an entry of one row. It holds one partition at a
    /// time in memory, as a daemon does. The rows of a tenant are of one instant, and its state comes first. Blocks.
    pub(crate) fn rows<E: From<Failure>>(
        &self,
        tenant: Option<TenantId>,
        each: &mut dyn FnMut(LedgerEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = 0..self.settings.partitions;
        let one = tenant.map(|tenant| self.partition_of(tenant));
        for partition in all.filter(|partition| one.is_none_or(|one| one == *partition)) {
            let setup = self.setup.partition(partition);
            let memory = committed(&setup).map_err(|error| failure_of(&setup, error))?;
            let other = memory
                .pin(setup.count)
                .map_err(|error| of_row(&setup, &error));
            other.map_err(|error| failure_of(&setup, error))?;
            let mut tenants = memory
                .tenants()
                .filter(|found| tenant.is_none_or(|wanted| wanted == *found));
            tenants.try_for_each(|tenant| memory.entries_of(tenant).try_for_each(&mut *each))?;
        }
        Ok(())
    }

    /// Reads at the end of a partition, where no row is. Blocks.
    pub(super) fn may_read(&self) -> Result<(), Failure> {
        let setup = &self.setup;
        let consumer =
            consumer(setup, "read_committed").map_err(|error| failure_of(setup, error))?;
        let mut at_end = TopicPartitionList::new();
        let assigned = at_end
            .add_partition_offset(&setup.topic, setup.number(), Offset::End)
            .and_then(|()| consumer.assign(&at_end));
        let began = Instant::now();
        let read = assigned.and_then(|()| {
            loop {
                match consumer.poll(WAIT) {
                    Some(Ok(_)) | Some(Err(ClientError::PartitionEOF(_))) => return Ok(()),
                    Some(Err(error)) if !passes(&error) => return Err(error),
                    _ if began.elapsed() > ASK => return Err(ClientError::Canceled),
                    _ => {}
                }
            }
        });
        drop_apart(consumer);
        read.map_err(|error| failure_of(setup, of_reading(setup, &error)))
    }
}

pub(super) fn missing(topic: &str, command: &str) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!("the ledger's topic {topic} does not exist"),
        format!(
            "let incidentd create it at its start, if its Kafka user may, or create it: {command}"
        ),
    )
}

/// The topic was there when this process began.
pub(super) fn gone(topic: &str, command: &str) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!(
            "the ledger's topic {topic} does not exist any more, and what was published is not known without it"
        ),
        format!(
            "stop every incidentd first: it takes an empty topic at once, and publishes again what lies within poll.lookback; then create \
             the topic ({command}), import the last export if there is one (incidentd ledger import), and start incidentd"
        ),
    )
}

/// Whether the ledger is written with another number of partitions. It is found out before anything is fenced.
pub(super) async fn check_partitions(setup: WorkerSetup) -> Result<(), TopicError> {
    let looked = spawn_blocking(move || {
        let first = setup.partition(0);
        let written =
            written(&first).map_err(|error| TopicError::Passing(failure_of(&first, error)))?;
        let mut memory = PartitionMemory::default();
        written.into_iter().for_each(|row| memory.set(row));
        memory
            .pin(setup.count)
            .map(drop)
            .map_err(|error| TopicError::Unfit(failure_of(&first, of_row(&first, &error))))
    });
    // Cancelled only when the daemon stops.
    looked.await.unwrap_or(Ok(()))
}

/// The row with the number of partitions. It is the first row of a partition, and stays near its beginning.
fn written(setup: &WorkerSetup) -> Result<Option<LedgerRow>, PartitionLogError> {
    let consumer = consumer(setup, "read_committed")?;
    let began = Instant::now();
    let found = from_beginning(setup, &consumer).and_then(|()| {
        loop {
            setup.go_on()?;
            match consumer.poll(WAIT) {
                Some(Ok(message)) if message.key() == Some(PARTITIONS) => {
                    let row = LedgerRow::decode(&row_of(&message))
                        .map_err(|error| of_row(setup, &error))?;
                    return Ok(Some(row));
                }
                // The restore looks again.
                Some(Err(ClientError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) if !passes(&error) => return Err(of_reading(setup, &error)),
                _ if began.elapsed() > PATIENCE => return Err(unended(setup)),
                _ => {}
            }
        }
    });
    drop_apart(consumer);
    found
}

fn from_beginning(setup: &WorkerSetup, consumer: &LedgerConsumer) -> Result<(), PartitionLogError> {
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&setup.topic, setup.number(), Offset::Beginning)
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|error| of_reading(setup, &error))
}

fn committed(setup: &WorkerSetup) -> Result<PartitionMemory, PartitionLogError> {
    let consumer = consumer(setup, "read_uncommitted")?;
    let last = end(setup, &consumer);
    drop_apart(consumer);
    committed_before(setup, last?)
}

/// The committed rows before the offset `last`, which was the end a moment ago.
pub(super) fn committed_before(
    setup: &WorkerSetup,
    last: i64,
) -> Result<PartitionMemory, PartitionLogError> {
    let consumer = consumer(setup, "read_committed")?;
    let mut memory = PartitionMemory::default();
    let read = read(setup, &consumer, last, &mut memory);
    drop_apart(consumer);
    read.map(|()| memory)
}

/// Says when it is at the end of the partition.
fn consumer(setup: &WorkerSetup, isolation: &str) -> Result<LedgerConsumer, PartitionLogError> {
    let mut config = setup.connection.restoring_consumer(isolation);
    config.set("enable.partition.eof", "true");
    make_consumer(setup, &config)
}

/// Asks for the end of the partition, as this consumer sees it.
fn end(setup: &WorkerSetup, consumer: &LedgerConsumer) -> Result<i64, PartitionLogError> {
    let began = Instant::now();
    loop {
        match consumer.fetch_watermarks(&setup.topic, setup.number(), ASK) {
            Ok((_, end)) => return Ok(end),
            Err(error) if passes(&error) && began.elapsed() < PATIENCE => {
                thread::park_timeout(WAIT);
            }
            Err(error) => return Err(of_reading(setup, &error)),
        }
    }
}

/// Reads the rows before the offset `last`, and those that were written meanwhile: compaction may have removed earlier rows of
/// their keys before this came to them.
fn read(
    setup: &WorkerSetup,
    consumer: &LedgerConsumer,
    last: i64,
    memory: &mut PartitionMemory,
) -> Result<(), PartitionLogError> {
    let began = Instant::now();
    while end(setup, consumer)? < last {
        if began.elapsed() > PATIENCE {
            return Err(PartitionLogError::Failed(held_up(setup)));
        }
        thread::park_timeout(WAIT);
    }
    from_beginning(setup, consumer)?;
    let (mut heard, mut at_end) = (Instant::now(), last == 0);
    let mut newer = None;
    loop {
        let silence = heard.elapsed();
        match consumer.poll(WAIT) {
            None if at_end && silence > SILENCE => return Ok(()),
            None if silence > PATIENCE => {
                return Err(unended(setup));
            }
            None => {}
            Some(Err(ClientError::PartitionEOF(_))) => {
                end(setup, consumer)?;
                (heard, at_end) = (Instant::now(), true);
            }
            Some(Err(error)) if passes(&error) => {}
            Some(Err(error)) => return Err(of_reading(setup, &error)),
            Some(Ok(message)) => {
                (heard, at_end) = (Instant::now(), false);
                let row = row_of(&message);
                if row.key != OWNER_KEY {
                    memory.apply(&row).map_err(|error| of_row(setup, &error))?;
                }
                if message.offset() >= last {
                    let newer = match newer {
                        Some(newer) => newer,
                        None => *newer.insert(end(setup, consumer)?),
                    };
                    if message.offset() + 1 >= newer {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn unended(setup: &WorkerSetup) -> PartitionLogError {
    PartitionLogError::Failed(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!(
            "partition {} of the ledger's topic {} can't be read to its end",
            setup.partition, setup.topic
        ),
        "see whether the partition has a leader, and look into the brokers' logs",
    ))
}

/// What the error means to a command.
pub(super) fn failure_of(setup: &WorkerSetup, error: PartitionLogError) -> Failure {
    match error {
        PartitionLogError::Failed(failure) | PartitionLogError::Refused { failure, .. } => failure,
        PartitionLogError::Fenced(why) => Failure::new(
            Health::Unreachable,
            Reaction::Fenced,
            format!(
                "another incidentd took over partition {} of the ledger: {why}",
                setup.partition
            ),
            format!(
                "stop every incidentd of the consumer group {}, and do it again from the start",
                setup.group
            ),
        ),
        PartitionLogError::Stopped => Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!("Kafka at {} does not answer in time", setup.kafka.brokers()),
            "check that Kafka runs, kafka.brokers, and the network on the way",
        ),
    }
}
