//! Failures for what Kafka or librdkafka refuses.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::limit::{FRAMES, KnownLimits};
use super::options::EVENT_HUBS_REQUEST;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::connection::Connection;
use crate::settings::KafkaConnection;

/// Partitions in the proposed command: more than most need, few enough for any broker.
const PARTITIONS: usize = 6;
/// Replicas in the proposed command, where the cluster has as many brokers.
const REPLICAS: usize = 3;
/// `max.message.bytes` in the proposed command. Few incidents need to be split then, and several hosted Kafkas allow no
/// more.
const MAX_MESSAGE: usize = 8 << 20;
/// Bytes that headers and Kafka's own framing add to a record, with room to spare.
const AROUND_RECORD: usize = 4096;
/// A record that a grant would let pass is tried again twice a minute, without an end: Kafka does not announce a grant.
const GRANT: Reaction = Reaction::Wait(Duration::from_secs(30));
/// Topics named in one command.
const TOPICS_NAMED: usize = 5;

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
pub(super) fn failure(
    connection: &Connection,
    topic: &str,
    size: usize,
    error: &KafkaError,
) -> Failure {
    match code(error) {
        Code::MessageSizeTooLarge => oversize(topic, size),
        Code::Fatal | Code::PurgeQueue | Code::PurgeInflight | Code::State => stopped(connection),
        // An error without a code concerns the record itself (a name that holds a NUL).
        Code::Fail => Failure::new(
            Health::Misconfigured,
            Reaction::Slow,
            format!("Kafka's client refuses a record for the topic {topic:?}: {error}"),
            "check the name of the topic",
        )
        .caused_by(format!("topic {topic}: refused by the client")),
        code => of_topic(connection, topic, code),
    }
}

/// An error that the topic as a whole has.
pub(super) fn of_topic(connection: &Connection, topic: &str, code: Code) -> Failure {
    let brokers = connection.brokers();
    if is_unknown_topic(code) {
        let replicas = connection.size().min(REPLICAS);
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
            GRANT,
            format!("Kafka does not let incidentd write to the topic {topic}"),
            format!(
                "grant its Kafka user WRITE and DESCRIBE on the topic: {}",
                acls(brokers, &format!("--producer --topic {topic}"))
            ),
        ),
        Code::ClusterAuthorizationFailed => (
            GRANT,
            "Kafka does not let incidentd use an idempotent producer".to_owned(),
            may_produce(brokers, &[topic.to_owned()]),
        ),
        Code::UnsupportedForMessageFormat | Code::UnsupportedCompressionType => (
            GRANT,
            format!(
                "Kafka refuses the compression of records for the topic {topic}: {}",
                one_line(&code.to_string(), 200)
            ),
            "set compression.type under [kafka.properties] to one that the brokers and the topic take (\"none\" is always taken; \
             Azure Event Hubs takes gzip, and only in its Premium and Dedicated tiers)"
                .to_owned(),
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

/// A record over which the broker closes the connection instead of answering. `size` as in [`failure`].
pub(super) fn closed(
    options: &KafkaConnection,
    topic: &str,
    size: usize,
    known: KnownLimits,
) -> Failure {
    let text = |bytes: Option<usize>| bytes.map_or("unknown".to_owned(), |it| it.to_string());
    let enough = size + AROUND_RECORD;
    let compressed = match options.compresses() {
        true => ", before compression",
        false => "",
    };
    let remedy = match options.request_limit_by_name() {
        Some(limit) => format!(
            "Azure Event Hubs takes {limit} bytes a request, which can't be raised except in its Dedicated tier (large message \
             support); another Kafka takes it, or the incident has to become smaller"
        ),
        None => format!(
            "raise socket.request.max.bytes of the brokers (a hosted Kafka may not allow that: Azure Event Hubs takes \
             {EVENT_HUBS_REQUEST}) to {enough} or more, and max.message.bytes of the topic {topic} likewise"
        ),
    };
    Failure::new(
        Health::Misconfigured,
        Reaction::HoldBack,
        format!(
            "the broker closes the connection on a record of {size} bytes for the topic {topic} (a request of up to {} \
             bytes{compressed}; socket.request.max.bytes: {}, max.message.bytes: {})",
            size + FRAMES,
            text(known.request),
            text(known.topic),
        ),
        remedy,
    )
}

/// A fatal error: Kafka refused or contradicted the producer.
pub(super) fn of_fatal_error(
    connection: &Connection,
    topics: &[String],
    code: Code,
    why: &str,
) -> Failure {
    let why = connection.fit(why);
    let (what, remedy) = match code {
        Code::ClusterAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => (
            format!("Kafka does not let incidentd use an idempotent producer: {why}"),
            may_produce(connection.brokers(), topics),
        ),
        code if is_mendable(code) => (
            format!("Kafka has no idempotent producers, without which records would repeat: {why}"),
            "use brokers that answer InitProducerId: Apache Kafka 0.11 or later, Azure Event Hubs, Confluent, Amazon MSK, \
             Redpanda 22 or later (KoP and older proxies don't); a proxy in front of them has to pass it on"
                .to_owned(),
        ),
        _ => (
            format!("Kafka contradicts the producer: {why}"),
            "nothing to do yet: incidentd makes a new producer and goes on; what was on its way to Kafka may be published twice, \
             with the same ce_id; if it happens again, look into the brokers' logs (an unclean leader election? records \
             deleted?)"
                .to_owned(),
        ),
    };
    let (health, reaction) = match is_mendable(code) {
        true => (Health::Misconfigured, GRANT),
        false => (Health::Unreachable, Reaction::Backoff),
    };
    let cause = format!("Kafka producer: {}", one_line(&code.to_string(), 80));
    Failure::new(health, reaction, what, remedy).caused_by(cause)
}

/// Whether an operator can remove the reason: a permission, another broker, another setting.
pub(super) fn is_mendable(code: Code) -> bool {
    matches!(
        code,
        Code::ClusterAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion
    )
}

/// How to permit an idempotent producer. Since Kafka 2.8 WRITE on a topic is enough (KIP-679); older brokers
/// ask for IdempotentWrite.
fn may_produce(brokers: &str, topics: &[String]) -> String {
    let named = topics.iter().take(TOPICS_NAMED);
    let mut named: String = named.map(|topic| format!(" --topic {topic}")).collect();
    if named.is_empty() {
        named.push_str(" --topic TOPIC");
    }
    format!(
        "grant its Kafka user WRITE and DESCRIBE on the topic: {}; with brokers before Kafka 2.8 IdempotentWrite on the cluster, \
         too: {}",
        acls(brokers, &format!("--producer{named}")),
        acls(brokers, "--cluster --operation IdempotentWrite"),
    )
}

pub(super) fn acls(brokers: &str, what: &str) -> String {
    format!("kafka-acls.sh --bootstrap-server {brokers} --add {what} --allow-principal User:NAME")
}

/// The daemon stops, and its producer ended before the record was acknowledged.
pub(super) fn stopped(connection: &Connection) -> Failure {
    let why = connection.state().error;
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        match why {
            Some(why) => format!("the Kafka producer stopped: {why}"),
            None => "the Kafka producer stopped".to_owned(),
        },
        "nothing to do: what was not acknowledged is published again",
    )
    .caused_by("Kafka producer stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::scrub::Scrubber;

    fn connection() -> Connection {
        Connection::new("a:1,b:2".to_owned(), Scrubber::new(&[]))
    }

    #[test]
    fn a_refused_compression_names_the_property() {
        for code in [
            Code::UnsupportedForMessageFormat,
            Code::UnsupportedCompressionType,
        ] {
            let failure = of_topic(&connection(), "t", code);
            assert_eq!(failure.health, Health::Misconfigured);
            assert!(failure.what.contains("compression"), "{failure:?}");
            assert!(failure.remedy.contains("compression.type"), "{failure:?}");
        }
    }

    #[test]
    fn a_closed_connection_names_the_size_and_both_settings() {
        let mut options = KafkaConnection {
            brokers: "a:1".to_owned(),
            properties: Vec::new(),
            max_in_flight: 0,
        };
        let known = KnownLimits {
            topic: Some(8_388_608),
            request: None,
        };
        let failure = closed(&options, "t", 2_000_000, known);
        assert_eq!(failure.reaction, Reaction::HoldBack);
        let text = format!("{} {}", failure.what, failure.remedy);
        for part in [
            "2000000",
            "max.message.bytes: 8388608",
            "socket.request.max.bytes: unknown",
            "socket.request.max.bytes of the brokers",
            "max.message.bytes of the topic t",
            "2004096 or more",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        options.brokers = "contoso.servicebus.windows.net:9093".to_owned();
        let failure = closed(&options, "t", 2_000_000, known);
        assert!(failure.remedy.contains("1046528 bytes a request"));
    }

    #[test]
    fn a_broker_without_idempotence_is_named_with_what_has_it() {
        let failure = of_fatal_error(
            &connection(),
            &[],
            Code::UnsupportedFeature,
            "not supported",
        );
        assert_eq!(failure.health, Health::Misconfigured);
        assert!(failure.remedy.contains("InitProducerId"), "{failure:?}");
    }
}
