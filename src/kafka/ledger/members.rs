//! The consumer group of the ledger, as a command sees it. It joins nothing: a member would get partitions.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use tokio::time::Instant;

use super::look::{LedgerTopic, failure_of};
use super::restore::{LedgerConsumer, make_consumer};
use super::setup::WorkerSetup;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::kafka::client::drop_apart;
use crate::kafka::refusal;

/// Time limit of a question about the group.
const ASK: Duration = Duration::from_secs(10);
/// One try of it.
const TRY: Duration = Duration::from_secs(2);
/// Events that are served after each try: more than arrive meanwhile.
const REPORTS: usize = 64;

impl LedgerTopic {
    /// The client ids of the group's members: running daemons, and for a moment those that were killed. Blocks.
    pub(crate) fn members(&self) -> Result<Vec<String>, Failure> {
        let setup = &self.setup;
        let mut config = setup.connection.restoring_consumer("read_committed");
        config.set("group.id", &*setup.group);
        let consumer = make_consumer(setup, &config).map_err(|error| failure_of(setup, error))?;
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
        // librdkafka asks again and again, and reports the refusal beside it. A poll that serves statistics returns nothing, and
        // reports may wait behind them.
        let polls = (0..REPORTS).filter_map(|_| consumer.poll(Duration::ZERO));
        let mut reports = polls.filter_map(Result::err);
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
