//! Reads a topic from its first record, so that `demo` shows what Kafka has, and not what the daemon says it sent.

use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::KafkaError;

const METADATA_LIMIT: Duration = Duration::from_secs(10);

/// A record of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// Counted from 0.
    pub partition: i32,
    /// Unique within its partition.
    pub offset: i64,
    /// Empty when the record has none. Bytes that are not UTF-8 are replaced.
    pub key: String,
    /// In the order of the record, names may repeat.
    pub headers: Vec<(String, String)>,
    /// Empty when the record has none.
    pub value: Vec<u8>,
}

impl Arrived {
    /// The value of a header, when there is one of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }
}

/// Reads all partitions of one topic from the beginning, committed records only. librdkafka fetches at most 64 MB
/// ahead.
pub struct TopicReader {
    topic: String,
    consumer: StreamConsumer,
}

impl TopicReader {
    /// Needs a broker that answers within seconds, and the topic.
    pub async fn open(brokers: &str, topic: &str) -> Result<Self, KafkaError> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            // librdkafka requires a name. There is no group: partitions are assigned by hand, and nothing is committed.
            .set("group.id", "incidentd-reader")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "100")
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()
            .map_err(|error| KafkaError::Client {
                why: error.to_string(),
            })?;
        let name = topic.to_owned();
        let assigned = tokio::task::spawn_blocking(move || {
            let partitions = partitions(&consumer, &name)?;
            consumer.assign(&partitions)?;
            Ok(consumer)
        });
        let fail = |why: String| KafkaError::Read {
            topic: topic.to_owned(),
            why,
        };
        let consumer = assigned
            .await
            .map_err(|error| fail(error.to_string()))?
            .map_err(|error: ClientError| fail(error.to_string()))?;
        Ok(Self {
            topic: topic.to_owned(),
            consumer,
        })
    }

    /// Waits for the next record, also while the broker is away.
    pub async fn next(&self) -> Result<Arrived, KafkaError> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => return Ok(own(&message)),
                // librdkafka reports lost connections, and makes new ones by itself.
                Err(ClientError::MessageConsumption(code)) if passes(code) => {}
                Err(error) => {
                    return Err(KafkaError::Read {
                        topic: self.topic.clone(),
                        why: error.to_string(),
                    });
                }
            }
        }
    }
}

fn passes(code: rdkafka::error::RDKafkaErrorCode) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, OperationTimedOut,
    };
    matches!(
        code,
        AllBrokersDown | BrokerTransportFailure | OperationTimedOut
    )
}

fn partitions(consumer: &StreamConsumer, topic: &str) -> Result<TopicPartitionList, ClientError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_LIMIT)?;
    let mut list = TopicPartitionList::new();
    for found in metadata.topics() {
        if let Some(error) = found.error() {
            return Err(ClientError::MetadataFetch(error.into()));
        }
        for partition in found.partitions() {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
    }
    Ok(list)
}

fn own(message: &impl Message) -> Arrived {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    let headers = headers.map(|header| (header.key.to_owned(), text(header.value)));
    Arrived {
        partition: message.partition(),
        offset: message.offset(),
        key: text(message.key()),
        headers: headers.collect(),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}
