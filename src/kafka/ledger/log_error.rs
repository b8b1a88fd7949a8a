//! What Kafka's errors mean to the owner of a partition.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

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
            "use Apache Kafka 2.5 or later, or keep the ledger in a file (ledger.kind = \"local\")"
                .to_owned(),
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
        let is_of_the_entry = matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::TopicAuthorizationFailed
                | Code::InvalidTopic
                | Code::InvalidMessage
                | Code::InvalidRecord
                | Code::InvalidMessageSize
                | Code::PolicyViolation
                | Code::UnsupportedForMessageFormat
                | Code::UnsupportedCompressionType
                // Without a code: a name that holds a NUL.
                | Code::Fail
        );
        if !is_of_the_entry && !refusal::is_unknown_topic(code) {
            return of_error(setup, code, &error.to_string());
        }
        PartitionLogError::Refused {
            entry: self.entry,
            oversize: refusal::is_oversize(error),
            failure: refusal::failure(&setup.kafka, &self.topic, self.size, error),
        }
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
    to_mend(
        format!(
            "partition {} of the ledger's topic {} can't be used: {error}",
            setup.partition, setup.topic
        ),
        "run the version of incidentd that wrote it, or a later one, or give the ledger another topic".to_owned(),
    )
}
