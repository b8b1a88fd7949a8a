//! What Kafka's errors mean to the owner of a partition.

use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::broker_version;
use super::log::PartitionLogError;
use super::rows::RowError;
use super::setup::{TRANSACTION_LIMIT, WorkerSetup};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::kafka::limit::KnownLimits;
use crate::kafka::refusal;

const WAIT: &str = "nothing to do: the partition is fenced and read again; if it happens again and again, look into the \
     brokers' logs";

/// A failure that passes by itself.
pub(super) fn passing(what: impl Into<String>) -> PartitionLogError {
    PartitionLogError::Failed(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        what,
        WAIT,
    ))
}

/// A failure that an operator has to mend.
fn to_mend(what: String, remedy: String) -> PartitionLogError {
    PartitionLogError::Failed(Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        what,
        remedy,
    ))
}

/// librdkafka does not make a client.
pub(super) fn not_made(setup: &WorkerSetup, error: ClientError) -> PartitionLogError {
    let why = setup.connection.explain(error);
    passing(format!("no client for the ledger can be made: {why}"))
}

pub(super) fn no_thread(error: &std::io::Error) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("no thread can be made for a partition of the ledger: {error}"),
        "raise the limit on threads (TasksMax= of systemd, ulimit -u, or pids.max of the container)",
    )
}

/// Kafka answers, and does not fence.
pub(super) fn not_fenced(setup: &WorkerSetup, limit: Duration) -> PartitionLogError {
    PartitionLogError::Failed(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!(
            "Kafka has not fenced the earlier owner of the transactional id {} within {} s",
            setup.transactional_id(),
            limit.as_secs()
        ),
        format!(
            "see whether each partition of __transaction_state and of the topics of records has a leader: kafka-topics.sh \
             --bootstrap-server {} --describe --unavailable-partitions; if there is no topic __transaction_state, lower \
             transaction.state.log.replication.factor and transaction.state.log.min.isr of the brokers to their number",
            setup.kafka.brokers()
        ),
    ))
}

/// A call of librdkafka does not return.
pub(super) fn hanging(setup: &WorkerSetup, partition: u16, still: Duration) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!(
            "a call of librdkafka for partition {partition} of the ledger's topic {} has not returned for {} s",
            setup.topic,
            still.as_secs()
        ),
        "nothing to do: another producer fences the partition, and it is read again; if it happens again, restart incidentd, which frees \
         the threads that hang, and report it with the log",
    )
}

/// Too many threads do not end, so no further worker starts.
pub(super) fn too_many_hang(threads: usize) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("{threads} threads of the ledger have not ended: calls of librdkafka hang"),
        "restart incidentd: only its end frees them",
    )
}

/// An error of a transactional call, or a fatal one.
pub(super) fn of_error(setup: &WorkerSetup, code: Code, why: &str) -> PartitionLogError {
    let why = setup.kafka.fit(why);
    let brokers = setup.kafka.brokers();
    match code {
        // A later owner has the transactional id, or the coordinator has given up this one's transaction.
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            PartitionLogError::Fenced(why)
        }
        Code::TransactionalIdAuthorizationFailed => to_mend(
            format!(
                "Kafka does not let incidentd use the transactional id {}: {why}",
                setup.transactional_id()
            ),
            format!(
                "grant its Kafka user WRITE and DESCRIBE on the transactional ids of the group: {}",
                refusal::acls(
                    brokers,
                    &format!(
                        "--operation Write --operation Describe --transactional-id {}- --resource-pattern-type prefixed",
                        setup.group
                    )
                ),
            ),
        ),
        Code::ClusterAuthorizationFailed => to_mend(
            format!("Kafka does not let incidentd use an idempotent producer: {why}"),
            format!(
                "brokers before Kafka 2.8 ask for IdempotentWrite on the cluster, grant it: {}",
                refusal::acls(brokers, "--cluster --operation IdempotentWrite"),
            ),
        ),
        Code::UnsupportedFeature | Code::UnsupportedVersion => to_mend(
            format!("Kafka lacks the transactions that its ledger needs: {why}"),
            broker_version::NEWER.to_owned(),
        ),
        Code::InvalidTransactionTimeout => to_mend(
            format!(
                "Kafka allows no transaction of {} s: {why}",
                TRANSACTION_LIMIT.as_secs()
            ),
            "raise transaction.max.timeout.ms of the brokers".to_owned(),
        ),
        _ => passing(format!("a transaction of the ledger failed: {why}")),
    }
}

/// An entry of a transaction that Kafka or librdkafka refuses.
#[derive(Debug, Clone)]
pub(super) struct RefusedEntry {
    /// Its place in the transaction.
    pub(super) entry: usize,
    pub(super) topic: String,
    /// Bytes of key and value.
    pub(super) size: usize,
}

impl RefusedEntry {
    pub(super) fn because(&self, setup: &WorkerSetup, error: &ClientError) -> PartitionLogError {
        let code = refusal::code(error);
        // All records of the topic would be refused, or this one is too large. With other errors, the next tries show whether
        // its tenant is the reason ([`super::setup::Caution`]).
        let is_of_the_topic = matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::TopicAuthorizationFailed
                | Code::InvalidTopic
                | Code::UnsupportedForMessageFormat
                | Code::UnsupportedCompressionType
                // Without a code: a name that holds a NUL.
                | Code::Fail
        );
        if refusal::is_unknown_topic(code) && *self.topic == *setup.topic {
            return no_topic(setup);
        }
        if !is_of_the_topic && !refusal::is_unknown_topic(code) {
            let (size, topic) = (self.size, &self.topic);
            let why = format!("a record of {size} bytes for the topic {topic}: {error}");
            return of_error(setup, code, &why);
        }
        PartitionLogError::Refused {
            entry: self.entry,
            oversize: refusal::is_oversize(error),
            failure: refusal::failure(&setup.kafka, &self.topic, self.size, error),
        }
    }

    /// It did not arrive within the time of its transaction, which has this number of `bytes` up to it.
    pub(super) fn too_slow(&self, setup: &WorkerSetup, bytes: usize) -> PartitionLogError {
        let (size, topic, limit) = (self.size, &self.topic, TRANSACTION_LIMIT.as_secs());
        PartitionLogError::Failed(Failure::new(
            Health::Unreachable,
            Reaction::Slow,
            format!(
                "a record of {size} bytes for the topic {topic} did not arrive within the {limit} s of a transaction"
            ),
            format!(
                "see whether the brokers {} answer, and whether a quota (producer_byte_rate) slows this client down; if not, {bytes} bytes \
                 have to reach them within {limit} s: give the network more bandwidth, or set compression.type = \"zstd\" under \
                 [kafka.properties] (ledger.kind = \"local\" has no such limit)",
                setup.kafka.brokers()
            ),
        ))
    }

    /// The broker closes the connection over it.
    pub(super) fn because_closed(&self, setup: &WorkerSetup) -> PartitionLogError {
        let known = KnownLimits {
            topic: None,
            request: None,
        };
        PartitionLogError::Refused {
            entry: self.entry,
            oversize: true,
            failure: refusal::closed(&setup.connection, &self.topic, self.size, known),
        }
    }
}

/// The owner looks at the topic before the next try, and says then how it is made.
fn no_topic(setup: &WorkerSetup) -> PartitionLogError {
    let what = format!("the ledger's topic {} does not exist", setup.topic);
    to_mend(
        what,
        "run incidentd check: it says how to make it".to_owned(),
    )
}

/// The restore waits for a transaction that nobody ends.
pub(super) fn held_up(setup: &WorkerSetup) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!(
            "an open transaction of another writer holds up partition {} of the ledger's topic {}",
            setup.partition, setup.topic
        ),
        format!(
            "nothing to do if it passes within a minute; otherwise look for the writer: kafka-transactions.sh --bootstrap-server {} \
             describe-producers --topic {} --partition {} shows it in the row whose CurrentTransactionStartOffset is a number",
            setup.kafka.brokers(),
            setup.topic,
            setup.partition
        ),
    )
}

/// The rows can't be read.
pub(super) fn of_reading(setup: &WorkerSetup, error: &ClientError) -> PartitionLogError {
    let (topic, brokers) = (&setup.topic, setup.kafka.brokers());
    match refusal::code(error) {
        Code::TopicAuthorizationFailed => to_mend(
            format!("Kafka does not let incidentd read the ledger's topic {topic}"),
            format!(
                "grant its Kafka user READ and DESCRIBE on the topic: {}",
                refusal::acls(
                    brokers,
                    &format!("--operation Read --operation Describe --topic {topic}")
                ),
            ),
        ),
        _ => passing(format!(
            "partition {} of the ledger's topic {topic} can't be read: {}",
            setup.partition,
            setup.kafka.fit(&error.to_string())
        )),
    }
}

/// A row that was read is none of the ledger's.
pub(super) fn of_row(setup: &WorkerSetup, error: &RowError) -> PartitionLogError {
    let remedy = match error {
        RowError::Partitions { written, .. } => format!(
            "set ledger.partitions to {written} if the topic has as many; otherwise export the ledger with that number, and import it \
             into a new topic (docs/operations.md)"
        ),
        _ => "run the version of incidentd that wrote it, or a later one, or give the ledger another topic".to_owned(),
    };
    let (partition, topic) = (setup.partition, &setup.topic);
    to_mend(
        format!("partition {partition} of the ledger's topic {topic} can't be used: {error}"),
        remedy,
    )
}
