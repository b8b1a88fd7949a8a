//! What is committed in the ledger's topic, read beside its owners, and who they are.
//!
//! Nothing is fenced and nothing is written: it is safe beside running daemons.
//!
//! A reader has no row of its own that shows the end, as a restore has ([`super::restore`]). It asks for the end first, waits
//! until everything before it is decided, and reads up to there. Control markers have offsets too, so no row may be at the
//! end: then the consumer says that it is there. It may say so too early, when the partition has just got another leader. So
//! the leader is asked for its end once more, which it answers when it knows it, and then no row may come for a while.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::log::{PartitionLogError, Row};
use super::log_error::{not_made, of_reading, of_row, passing};
use super::memory::PartitionMemory;
use super::restore::{LedgerConsumer, passes};
use super::setup::WorkerSetup;
use super::topic::{self, TopicError};
use super::transactional::OWNER_KEY;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::ownership::partition_of;
use crate::kafka::client::drop_apart;
use crate::kafka::connection::Connection;
use crate::kafka::events::ClientEvents;
use crate::kafka::refusal;
use crate::ports::LedgerEntry;
use crate::settings::{KafkaConnection, KafkaLedgerSettings};

/// How long a call waits for a row.
const WAIT: Duration = Duration::from_millis(200);
/// How long no row may come at the end.
const SILENCE: Duration = Duration::from_millis(600);
/// How long no row may come before it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit of a question about the group.
const ASK: Duration = Duration::from_secs(10);
/// One try of it.
const TRY: Duration = Duration::from_secs(2);

/// The ledger's topic, for a command.
pub(crate) struct LedgerTopic {
    pub(super) settings: KafkaLedgerSettings,
    pub(super) setup: WorkerSetup,
}

impl LedgerTopic {
    /// Uses no network.
    pub(crate) fn new(settings: &KafkaLedgerSettings, connection: &KafkaConnection) -> Self {
        let brokers = connection.brokers.clone();
        Self {
            setup: WorkerSetup {
                connection: connection.clone(),
                kafka: Arc::new(Connection::new(brokers, connection.scrubber())),
                topic: settings.topic.clone(),
                group: settings.group.clone(),
                partition: 0,
                epoch: 0,
                caution: Arc::default(),
                stop: Arc::default(),
            },
            settings: settings.clone(),
        }
    }

    /// # Errors
    /// The topic is missing, or is none that a ledger can be in.
    pub(crate) async fn exists(&self) -> Result<(), Failure> {
        let (connection, kafka) = (&self.setup.connection, &self.setup.kafka);
        match topic::inspect(&self.settings, connection, kafka).await {
            Ok(None) => Ok(()),
            Ok(Some(command)) => Err(missing(&self.settings.topic, &command)),
            Err(TopicError::Passing(failure) | TopicError::Unfit(failure)) => Err(failure),
        }
    }

    /// Lets everything that waits for Kafka end.
    pub(crate) fn stopping(&self) -> Arc<AtomicBool> {
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
            let setup = self.partition(partition);
            let memory = committed(&setup).map_err(|error| failure_of(&setup, error))?;
            let mut tenants = memory
                .tenants()
                .filter(|found| tenant.is_none_or(|wanted| wanted == *found));
            tenants.try_for_each(|tenant| memory.entries_of(tenant).try_for_each(&mut *each))?;
        }
        Ok(())
    }

    /// The client ids of the group's members: running daemons, and for a moment those that were killed. Blocks.
    pub(crate) fn members(&self) -> Result<Vec<String>, Failure> {
        let setup = &self.setup;
        let mut config = setup.connection.restoring_consumer("read_committed");
        config.set("group.id", &*setup.group);
        let consumer: LedgerConsumer = config
            .create_with_context(ClientEvents::aside(&setup.kafka))
            .map_err(|error| failure_of(setup, not_made(setup, error)))?;
        let asked = || {
            // A list leaves a group out that this user must not see.
            may_see_group(setup, &consumer)?;
            let list = consumer.fetch_group_list(Some(&setup.group), ASK)?;
            let groups = list.groups().iter();
            let mine = groups.filter(|group| group.name() == &*setup.group);
            let members = mine.flat_map(|group| group.members());
            Ok(members
                .map(|member| member.client_id().to_owned())
                .collect())
        };
        let members = asked().map_err(|error: ClientError| of_group(setup, &error));
        drop_apart(consumer);
        members
    }

    pub(super) fn partition(&self, partition: u16) -> WorkerSetup {
        WorkerSetup {
            partition,
            ..self.setup.clone()
        }
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

fn committed(setup: &WorkerSetup) -> Result<PartitionMemory, PartitionLogError> {
    let consumer = |isolation| -> Result<LedgerConsumer, PartitionLogError> {
        let mut config = setup.connection.restoring_consumer(isolation);
        config.set("enable.partition.eof", "true");
        let made = config.create_with_context(ClientEvents::aside(&setup.kafka));
        made.map_err(|error| not_made(setup, error))
    };
    let all = consumer("read_uncommitted")?;
    let last = end(setup, &all);
    drop_apart(all);
    let consumer = consumer("read_committed")?;
    let mut memory = PartitionMemory::default();
    let read = last.and_then(|last| read(setup, &consumer, last, &mut memory));
    drop_apart(consumer);
    read.map(|()| memory)
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

/// Reads the rows before the offset `last`.
fn read(
    setup: &WorkerSetup,
    consumer: &LedgerConsumer,
    last: i64,
    memory: &mut PartitionMemory,
) -> Result<(), PartitionLogError> {
    let began = Instant::now();
    while end(setup, consumer)? < last {
        if began.elapsed() > PATIENCE {
            return Err(unended(setup));
        }
        thread::park_timeout(WAIT);
    }
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&setup.topic, setup.number(), Offset::Beginning)
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|error| of_reading(setup, &error))?;
    let (mut heard, mut at_end) = (Instant::now(), last == 0);
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
            // Committed after the question.
            Some(Ok(message)) if message.offset() >= last => return Ok(()),
            Some(Ok(message)) => {
                (heard, at_end) = (Instant::now(), false);
                let row = Row {
                    key: message.key().unwrap_or_default().to_vec(),
                    value: message.payload().map(<[u8]>::to_vec),
                };
                if row.key != OWNER_KEY {
                    memory.apply(&row).map_err(|error| of_row(setup, &error))?;
                }
            }
        }
    }
}

/// Asks for something that only a user of the group gets.
fn may_see_group(setup: &WorkerSetup, consumer: &LedgerConsumer) -> Result<(), ClientError> {
    let began = Instant::now();
    loop {
        let mut of = TopicPartitionList::new();
        of.add_partition(&setup.topic, 0);
        let Err(error) = consumer.committed_offsets(of, TRY) else {
            return Ok(());
        };
        // librdkafka asks again and again, and reports the refusal beside it.
        let mut reports = iter::from_fn(|| consumer.poll(Duration::ZERO)).flat_map(Result::err);
        if let Some(refusal) = reports.find(is_group_refusal) {
            return Err(refusal);
        }
        if is_group_refusal(&error) || began.elapsed() > ASK {
            return Err(error);
        }
    }
}

fn is_group_refusal(error: &ClientError) -> bool {
    refusal::code(error) == Code::GroupAuthorizationFailed
}

fn unended(setup: &WorkerSetup) -> PartitionLogError {
    passing(format!(
        "partition {} of the ledger's topic {} can't be read to its end",
        setup.partition, setup.topic
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

/// What an answer about the consumer group means.
fn of_group(setup: &WorkerSetup, error: &ClientError) -> Failure {
    let (group, brokers) = (&setup.group, setup.kafka.brokers());
    match is_group_refusal(error) {
        true => Failure::new(
            Health::Misconfigured,
            Reaction::Slow,
            format!("Kafka does not let incidentd use the consumer group {group}"),
            format!(
                "grant it: {}",
                refusal::acls(brokers, &format!("--operation Read --group {group}"))
            ),
        ),
        false => Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!(
                "Kafka does not show the consumer group {group}: {}",
                setup.kafka.fit(&error.to_string())
            ),
            "check that Kafka runs, kafka.brokers, and the network on the way",
        ),
    }
}
