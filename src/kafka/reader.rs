//! Reads topics, so that `demo` and `tap` show what Kafka has, and not what the daemon says it sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaError;
use super::connection::Connection;
use super::events::ClientEvents;
use super::scrub::Scrubber;
use crate::settings::KafkaConnection;

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

/// Where a reader begins in each partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadFrom {
    /// The first record.
    Beginning,
    /// The first record of this time or later, as the time since 1970.
    Time(Duration),
    /// The next record that arrives.
    End,
}

type TopicConsumer = StreamConsumer<ClientEvents>;

/// Reads all partitions of topics, committed records only. It joins no group and commits nothing. librdkafka fetches at
/// most 64 MB ahead.
pub struct TopicReader {
    topics: String,
    consumer: TopicConsumer,
    scrubber: Scrubber,
}

impl TopicReader {
    /// Reads a topic from the beginning. Needs a broker that answers within seconds, and the topic.
    pub async fn open(brokers: &str, topic: &str) -> Result<Self, KafkaError> {
        let connection = KafkaConnection {
            brokers: brokers.to_owned(),
            properties: Vec::new(),
            max_in_flight: 0,
        };
        let topics = BTreeSet::from([topic.into()]);
        Self::follow(&connection, &topics, ReadFrom::Beginning).await
    }

    /// The same for any topics and any beginning, with librdkafka's properties of a configuration.
    pub async fn follow(
        connection: &KafkaConnection,
        topics: &BTreeSet<Arc<str>>,
        from: ReadFrom,
    ) -> Result<Self, KafkaError> {
        let kafka = Connection::of(connection);
        let scrubber = connection.scrubber();
        let topics_read = topics.iter().map(|topic| &**topic).collect::<Vec<_>>();
        let topics_read = topics_read.join(", ");
        let fail = |why: String| KafkaError::Read {
            topics: topics_read.clone(),
            why: scrubber.clean(&why),
        };
        let ready = kafka.can_log_in().await;
        ready.map_err(|lack| fail(format!("{}; {}", lack.what, lack.remedy)))?;
        let consumer: TopicConsumer = connection
            .consumer()
            // librdkafka requires a name. There is no group: partitions are assigned by hand, and nothing is committed.
            .set("group.id", "incidentd-reader")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "100")
            // With them comes the next token for Kafka.
            .set("statistics.interval.ms", "1000")
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create_with_context(ClientEvents::aside(&kafka))
            .map_err(|error| connection.explain(error))?;
        kafka.log_in(consumer.client());
        let wanted = topics.clone();
        let assigned = tokio::task::spawn_blocking(move || {
            let partitions = partitions(&consumer, &wanted, from)?;
            consumer.assign(&partitions)?;
            Ok(consumer)
        });
        let consumer = assigned
            .await
            .map_err(|error| fail(error.to_string()))?
            .map_err(|error: ClientError| fail(error.to_string()))?;
        Ok(Self {
            topics: topics_read,
            consumer,
            scrubber,
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
                        topics: self.topics.clone(),
                        why: self.scrubber.clean(&error.to_string()),
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

fn partitions(
    consumer: &TopicConsumer,
    topics: &BTreeSet<Arc<str>>,
    from: ReadFrom,
) -> Result<TopicPartitionList, ClientError> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), METADATA_LIMIT)?;
        for found in metadata.topics() {
            if let Some(error) = found.error() {
                return Err(ClientError::MetadataFetch(error.into()));
            }
            for partition in found.partitions() {
                let begin = match from {
                    // The end of now, and not that of the first answer.
                    ReadFrom::End => {
                        let (_, end) =
                            consumer.fetch_watermarks(topic, partition.id(), METADATA_LIMIT)?;
                        Offset::Offset(end)
                    }
                    ReadFrom::Beginning => Offset::Beginning,
                    // In a question for offsets, a time in milliseconds.
                    ReadFrom::Time(time) => {
                        Offset::Offset(time.as_millis().try_into().unwrap_or(i64::MAX))
                    }
                };
                list.add_partition_offset(topic, partition.id(), begin)?;
            }
        }
    }
    match from {
        ReadFrom::Time(_) => consumer.offsets_for_times(list, METADATA_LIMIT),
        ReadFrom::Beginning | ReadFrom::End => Ok(list),
    }
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
