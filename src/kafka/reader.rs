//! Reads topics, so that `demo` and `tap` show what Kafka has, and not what the daemon says it sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::time::timeout;

use super::KafkaError;
use super::connection::Connection;
use super::events::ClientEvents;
use super::refusal;
use crate::core::health::status::PartStatus;
use crate::settings::KafkaConnection;

const METADATA_LIMIT: Duration = Duration::from_secs(10);
/// How long librdkafka may take to say why it can't connect, after a question has run out of time.
const SAYS_WHY: Duration = Duration::from_secs(1);

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
    kafka: Arc<Connection>,
}

/// A question about a topic that was not answered well.
struct UnreadTopic {
    topic: Arc<str>,
    error: ClientError,
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
        let topics_read = topics.iter().map(|topic| &**topic).collect::<Vec<_>>();
        let topics_read = topics_read.join(", ");
        let fail = |why: String| KafkaError::Read {
            topics: topics_read.clone(),
            why,
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
            .create_with_context(ClientEvents::of(&kafka))
            .map_err(|error| connection.explain(error))?;
        kafka.log_in(consumer.client());
        let wanted = topics.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let assigned = assign(&consumer, &wanted, from);
            (consumer, assigned)
        });
        let (consumer, assigned) = asked.await.map_err(|error| fail(error.to_string()))?;
        if let Err(asked) = assigned {
            return Err(fail(why(&consumer, &kafka, &asked).await));
        }
        kafka.answered();
        Ok(Self {
            topics: topics_read,
            consumer,
            kafka,
        })
    }

    /// Whether Kafka answers, as far as its connections show it.
    pub fn state(&self) -> watch::Receiver<PartStatus> {
        self.kafka.watch()
    }

    /// Waits for the next record, also while the broker is away.
    pub async fn next(&self) -> Result<Arrived, KafkaError> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => {
                    self.kafka.answered();
                    return Ok(own(&message));
                }
                // librdkafka reports lost connections, and makes new ones by itself.
                Err(ClientError::MessageConsumption(code)) if passes(code) => {}
                Err(error) => {
                    return Err(KafkaError::Read {
                        topics: self.topics.clone(),
                        why: self.kafka.fit(&error.to_string()),
                    });
                }
            }
        }
    }
}

fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut
    )
}

/// What is wrong, and what to do about it.
async fn why(consumer: &TopicConsumer, kafka: &Connection, asked: &UnreadTopic) -> String {
    let code = refusal::code(&asked.error);
    if refusal::is_unknown_topic(code) {
        let failure = refusal::of_topic(kafka, &asked.topic, code);
        return format!("{}; {}", failure.what, failure.remedy);
    }
    if code == Code::TopicAuthorizationFailed {
        let grant = format!(
            "--operation Read --operation Describe --topic {}",
            asked.topic
        );
        let grant = refusal::acls(kafka.brokers(), &grant);
        return format!("Kafka does not let its user read it; grant that: {grant}");
    }
    // librdkafka says why there is no connection only while the consumer is read.
    let told = async {
        while kafka.problem().is_none() {
            let _ = consumer.recv().await;
        }
    };
    let _ = timeout(SAYS_WHY, told).await;
    match kafka.problem() {
        Some(problem) => format!("{}; {}", problem.what, problem.remedy),
        None => kafka.fit(&asked.error.to_string()),
    }
}

fn assign(
    consumer: &TopicConsumer,
    topics: &BTreeSet<Arc<str>>,
    from: ReadFrom,
) -> Result<(), UnreadTopic> {
    let mut all = TopicPartitionList::new();
    for topic in topics {
        let of_topic = |error| UnreadTopic {
            topic: Arc::clone(topic),
            error,
        };
        partitions(consumer, topic, from, &mut all).map_err(of_topic)?;
    }
    let of_all = |error| UnreadTopic {
        topic: topics.first().cloned().unwrap_or_default(),
        error,
    };
    if let ReadFrom::Time(_) = from {
        all = (consumer.offsets_for_times(all, METADATA_LIMIT)).map_err(of_all)?;
    }
    consumer.assign(&all).map_err(of_all)
}

/// Adds the partitions of a topic, each with its beginning.
fn partitions(
    consumer: &TopicConsumer,
    topic: &str,
    from: ReadFrom,
    list: &mut TopicPartitionList,
) -> Result<(), ClientError> {
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
    Ok(())
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
