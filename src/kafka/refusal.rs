//! What Kafka or librdkafka refuses, in the operator's words.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::link::Link;
use crate::core::failure::{Failure, Health, Reaction, one_line};

/// Partitions in the proposed command: more than most need, few enough for any broker.
const PARTITIONS: usize = 6;
/// Replicas in the proposed command, where the cluster has as many brokers.
const REPLICAS: usize = 3;
/// `max.message.bytes` in the proposed command: with it few incidents need to be split, and it is the most that several
/// hosted Kafkas allow.
const MAX_MESSAGE: usize = 8 << 20;
/// Bytes that headers and Kafka's own framing add to a record, with room to spare.
const AROUND_RECORD: usize = 4096;

pub(super) fn is_oversize(error: &KafkaError) -> bool {
    code(error) == Code::MessageSizeTooLarge
}

pub(super) fn is_unknown_topic(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition
    )
}

pub(super) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Fail)
}

/// A refused record. `size` is the length of its key and value in bytes.
pub(super) fn failure(link: &Link, topic: &str, size: usize, error: &KafkaError) -> Failure {
    match code(error) {
        Code::MessageSizeTooLarge => oversize(topic, size),
        Code::Fatal | Code::PurgeQueue | Code::PurgeInflight => stopped(link),
        // An error without a code concerns the record itself (a name that holds a NUL).
        Code::Fail => Failure::new(
            Health::Misconfigured,
            Reaction::Slow,
            format!("Kafka's client refuses a record for the topic {topic:?}: {error}"),
            "check the name of the topic",
        )
        .caused_by(format!("topic {topic}: refused by the client")),
        code => of_topic(link, topic, code),
    }
}

/// An error that the topic as a whole has.
pub(super) fn of_topic(link: &Link, topic: &str, code: Code) -> Failure {
    let brokers = link.brokers();
    if is_unknown_topic(code) {
        let replicas = link.size().min(REPLICAS);
        return Failure::new(
            Health::Misconfigured,
            Reaction::Backoff,
            format!("the topic {topic} does not exist in Kafka"),
            format!(
                "create it: kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} \
                 --partitions {PARTITIONS} --replication-factor {replicas} --config max.message.bytes={MAX_MESSAGE}"
            ),
        )
        .caused_by(format!("no topic {topic}"));
    }
    let (reaction, what, remedy) = match code {
        Code::TopicAuthorizationFailed => (
            Reaction::Slow,
            format!("Kafka does not let incidentd write to the topic {topic}"),
            format!(
                "grant its Kafka user WRITE and DESCRIBE on the topic: kafka-acls.sh --bootstrap-server {brokers} --add \
                 --producer --topic {topic} --allow-principal User:NAME"
            ),
        ),
        Code::ClusterAuthorizationFailed => (
            Reaction::Slow,
            "Kafka does not let incidentd use an idempotent producer".to_owned(),
            format!(
                "grant its Kafka user IDEMPOTENT_WRITE: kafka-acls.sh --bootstrap-server {brokers} --add --cluster \
                 --operation IdempotentWrite --allow-principal User:NAME"
            ),
        ),
        Code::InvalidTopic => (
            Reaction::Slow,
            format!("{topic:?} is not a name that a Kafka topic can have"),
            "use letters, digits, '.', '_' and '-' in kafka.topic".to_owned(),
        ),
        code => (
            Reaction::Backoff,
            format!(
                "Kafka refuses records for the topic {topic}: {}",
                one_line(&code.to_string(), 200)
            ),
            "look into the brokers' logs; incidentd keeps trying".to_owned(),
        ),
    };
    let cause = format!("topic {topic}: {}", one_line(&code.to_string(), 80));
    Failure::new(Health::Misconfigured, reaction, what, remedy).caused_by(cause)
}

fn oversize(topic: &str, size: usize) -> Failure {
    let enough = size + AROUND_RECORD;
    Failure::new(
        Health::Misconfigured,
        Reaction::HoldBack,
        format!("a record of {size} bytes is larger than the topic {topic} accepts"),
        format!(
            "raise max.message.bytes of the topic {topic} to {enough} or more, and message.max.bytes under \
             [kafka.properties] when that is set and smaller (compression.type = \"zstd\" makes records several times \
             smaller on the wire)"
        ),
    )
}

/// The producer was stopped by a fatal error, or ended with the daemon, before the record was acknowledged.
pub(super) fn stopped(link: &Link) -> Failure {
    let why = link.state().error;
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        match why {
            Some(why) => format!("the Kafka producer stopped: {why}"),
            None => "the Kafka producer stopped".to_owned(),
        },
        "incidentd has to be started again; what was not acknowledged is then published again",
    )
    .caused_by("Kafka producer stopped")
}
