//! Inspects Kafka for `incidentd check`: whether it answers, whether the topics exist, how large a record each accepts,
//! and whether this user may write to it.
//!
//! rdkafka has no request that shows whether it may write. So a record is offered that no topic keeps, one byte larger
//! than the topic's own `max.message.bytes`. Kafka checks the permission first and the size after it, so a refusal for
//! its size means that writing is permitted. A producer like the daemon's offers it, so the right to use an idempotent
//! producer is checked as well. Without the topic's limit, nothing is offered.
//!
//! Invariant: no topic is made, and no record is left in one. If a broker keeps a record that exceeds its own limit, a
//! note says where the record is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureRecord, Producer};
use tokio::time::{sleep, timeout};

use super::events::ClientEvents;
use super::limit::{FRAMES, SizeLimits};
use super::options::MESSAGE_MOST_BYTES;
use super::queue::{Client, enqueue};
use super::refusal;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::health::status::PartState;
use crate::kafka::connection::{Connection, ConnectionProblem};
use crate::kafka::statistics::ClientStatistics;
use crate::settings::KafkaConnection;
use words::{no_answer, not_told, note_limit, notes, out_of_reach, unusable};

mod words;

/// Time for the first answer, including connection and login.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Time for each further answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Time for the answer to a record, which goes to the partition's own broker.
const VERDICT: Duration = Duration::from_secs(10);
/// Pause before a topic that seems to be missing is asked for again.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Topics inspected at the same time.
const AT_ONCE: usize = 8;
/// What librdkafka may hold of offered records, beyond the largest.
const SLACK: usize = 64 << 10;
/// Connections that come up and are closed over an offered record before the wait for an answer ends.
const CLOSINGS: u64 = 3;
/// Marks an offered record, in case one stays.
const KEY: &[u8] = b"incidentd-check";

/// The result of an inspection of Kafka.
#[derive(Debug)]
pub struct Inspection {
    /// Why the inspection ended early.
    pub failure: Option<Failure>,
    /// Brokers of the cluster.
    pub brokers: usize,
    /// The largest request that the brokers accept (`socket.request.max.bytes`), in bytes, or why it is unknown.
    pub request: Result<usize, String>,
    /// Notes about the cluster that are no failures.
    pub notes: Vec<String>,
    /// One for each topic asked for, in that order; none after a failure.
    pub topics: Vec<TopicSeen>,
}

#[derive(Debug)]
pub struct TopicSeen {
    pub name: Arc<str>,
    pub failure: Option<Failure>,
    pub partitions: usize,
    /// The largest batch that it accepts, if Kafka shows it, within the producer's own limit.
    pub max_record: Option<usize>,
    pub write: Write,
    /// Notes that are no failures.
    pub notes: Vec<String>,
}

/// Whether this user may write to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Allowed,
    Refused,
    /// Not known, and why.
    Unknown(String),
}

/// Inspects Kafka and these topics. Ends within its own time limits, however Kafka behaves.
pub async fn inspect(options: &KafkaConnection, topics: &[Arc<str>]) -> Inspection {
    let connection = Connection::of(options);
    if let Err(failure) = connection.can_log_in().await {
        return Inspection::failed(options, failure);
    }
    let events = ClientEvents::of(&connection);
    let statistics = events.statistics();
    let made = options.offering().create_with_context(events);
    let producer = match made {
        Ok(producer) => producer,
        Err(error) => return Inspection::failed(options, unusable(&options.explain(error))),
    };
    let inspector = ClusterInspector {
        options,
        connection,
        producer,
        statistics,
        limits: SizeLimits::default(),
    };
    inspector.connection.log_in(inspector.producer.client());
    let Some(brokers) = inspector.first_answer(topics.first()).await else {
        return Inspection::failed(options, out_of_reach(&inspector.connection));
    };
    let request = inspector.request_limit().await;
    let looks = stream::iter(topics).map(|topic| inspector.topic(topic, &request));
    Inspection {
        failure: None,
        brokers,
        request: request.clone(),
        notes: notes(options, Some(&request)),
        topics: looks.buffered(AT_ONCE).collect().await,
    }
}

impl Inspection {
    fn failed(options: &KafkaConnection, failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            brokers: 0,
            request: Err("Kafka was not reached".to_owned()),
            notes: notes(options, None),
            topics: Vec::new(),
        }
    }
}

impl KafkaConnection {
    /// The daemon's producer with time limits, and with room for a record that is too large.
    fn offering(&self) -> rdkafka::ClientConfig {
        let mut config = self.producer();
        for other_name in [
            "delivery.timeout.ms",
            "compression.codec",
            "queue.buffering.max.ms",
        ] {
            config.remove(other_name);
        }
        let most = MESSAGE_MOST_BYTES + SLACK;
        for (name, value) in [
            ("message.timeout.ms", VERDICT.as_millis().to_string()),
            ("message.max.bytes", most.to_string()),
            (
                "queue.buffering.max.kbytes",
                (AT_ONCE * most / 1024).to_string(),
            ),
            ("compression.type", "none".to_owned()),
            ("batch.num.messages", "1".to_owned()),
            ("linger.ms", "0".to_owned()),
            ("allow.auto.create.topics", "false".to_owned()),
        ] {
            config.set(name, value);
        }
        config
    }
}

struct ClusterInspector<'a> {
    options: &'a KafkaConnection,
    connection: Arc<Connection>,
    producer: Client,
    statistics: Arc<ClientStatistics>,
    limits: SizeLimits,
}

/// The cluster's metadata of one topic.
struct TopicMetadata {
    brokers: Vec<i32>,
    error: Option<Code>,
    partitions: usize,
    /// Partitions without a leader.
    headless: usize,
}

impl ClusterInspector<'_> {
    /// The number of brokers, once one has answered. Ends early when every broker refuses the login, which waiting does
    /// not change.
    async fn first_answer(&self, topic: Option<&Arc<str>>) -> Option<usize> {
        let mut errors = self.connection.watch_errors();
        let turned_away = async {
            while !self.is_turned_away() {
                if errors.changed().await.is_err() {
                    // Never happens: the connection holds the sender.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            answer = self.metadata(topic.cloned(), FIRST_ANSWER) => answer.ok().map(|seen| seen.brokers.len()),
            () = turned_away => None,
        }
    }

    fn is_turned_away(&self) -> bool {
        let all_down = self.connection.state().state == PartState::Unavailable;
        let final_word = |problem: ConnectionProblem| {
            matches!(
                problem.code,
                Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)
            )
        };
        all_down && self.connection.problem().is_some_and(final_word)
    }

    async fn metadata(
        &self,
        topic: Option<Arc<str>>,
        limit: Duration,
    ) -> Result<TopicMetadata, ClientError> {
        let producer = self.producer.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(topic.as_deref(), limit)?;
            let topic = topic.and_then(|_| metadata.topics().first());
            let partitions = topic.map_or(&[][..], |topic| topic.partitions());
            Ok(TopicMetadata {
                brokers: metadata.brokers().iter().map(|one| one.id()).collect(),
                error: topic.and_then(|topic| topic.error()).map(Code::from),
                partitions: partitions.len(),
                headless: partitions.iter().filter(|one| one.leader() < 0).count(),
            })
        });
        // Cancelled only when the runtime stops.
        let seen = asked.await.unwrap_or(Err(ClientError::Canceled));
        match &seen {
            Ok(seen) => self.connection.metadata(seen.brokers.clone()),
            Err(_) => self.connection.no_answer(),
        }
        seen
    }

    async fn request_limit(&self) -> Result<usize, String> {
        if let Some(limit) = self.options.request_limit_by_name() {
            return Ok(limit);
        }
        match self
            .limits
            .ask_brokers(self.options, &self.connection)
            .await
        {
            Ok(Some(limit)) => Ok(limit),
            Ok(None) => Err("no broker answered with it".to_owned()),
            Err(error) => Err(self.words(&error)),
        }
    }

    fn words(&self, error: &ClientError) -> String {
        one_line(&self.connection.fit(&error.to_string()), 120)
    }

    async fn topic(&self, name: &Arc<str>, request: &Result<usize, String>) -> TopicSeen {
        let mut seen = TopicSeen {
            name: Arc::clone(name),
            failure: None,
            partitions: 0,
            max_record: None,
            write: Write::Unknown("the topic was not seen".to_owned()),
            notes: Vec::new(),
        };
        match self.of_topic(name).await {
            Ok(metadata) => {
                seen.partitions = metadata.partitions;
                seen.failure = self.of_metadata(name, &metadata);
            }
            Err(error) => seen.failure = Some(no_answer(&self.connection, name, &error)),
        }
        if seen.failure.is_some() {
            return seen;
        }
        match self.limits.ask(name, self.options, &self.connection).await {
            Ok(Some(limit)) => {
                note_limit(self.options, &mut seen, limit, request);
                self.offer(&mut seen, limit, request).await;
            }
            Ok(None) => not_told(&mut seen, "Kafka did not answer with it"),
            Err(error) => not_told(&mut seen, &self.words(&error)),
        }
        seen
    }

    /// Not every broker knows a topic that was made a moment ago, so a missing one is asked for twice.
    async fn of_topic(&self, name: &Arc<str>) -> Result<TopicMetadata, ClientError> {
        let seen = self.metadata(Some(Arc::clone(name)), ANSWER).await?;
        if !seen.error.is_some_and(refusal::is_unknown_topic) {
            return Ok(seen);
        }
        sleep(SECOND_LOOK).await;
        self.metadata(Some(Arc::clone(name)), ANSWER).await
    }

    fn of_metadata(&self, name: &str, seen: &TopicMetadata) -> Option<Failure> {
        match seen.error {
            None | Some(Code::LeaderNotAvailable) => {}
            Some(code) => return Some(refusal::of_topic(&self.connection, name, code)),
        }
        (seen.headless > 0).then(|| {
            Failure::new(
                Health::Unreachable,
                Reaction::Backoff,
                format!(
                    "{} of the {} partitions of the topic {name} have no leader",
                    seen.headless, seen.partitions
                ),
                "look at Kafka's brokers: those that lead these partitions are down",
            )
        })
    }

    /// Offers a record that is too large, and reads the refusal.
    async fn offer(&self, seen: &mut TopicSeen, limit: usize, request: &Result<usize, String>) {
        if let Ok(request) = request
            && limit + FRAMES > *request
        {
            seen.write = Write::Unknown(format!(
                "a record beyond the topic's limit of {limit} bytes is more than the brokers take in a request ({request} bytes)"
            ));
            return;
        }
        if limit >= MESSAGE_MOST_BYTES {
            seen.write = Write::Unknown(format!(
                "a record beyond its limit of {limit} bytes is more than a check should send"
            ));
            return;
        }
        let value = vec![0; limit + 1];
        let record = FutureRecord::to(&seen.name)
            .key(KEY)
            .payload(value.as_slice());
        let verdict = async {
            let delivery = enqueue(&self.producer, record).await?;
            match delivery.await {
                Ok(Ok(kept)) => Ok((kept.partition, kept.offset)),
                Ok(Err((error, _))) => Err(error),
                Err(_) => Err(ClientError::Canceled),
            }
        };
        let name = Arc::clone(&seen.name);
        let before = self.statistics.now();
        let verdict = tokio::select! {
            verdict = timeout(VERDICT + ANSWER, verdict) => verdict,
            () = self.statistics.closes(&before, CLOSINGS) => return self.closed_on(seen, limit),
        };
        match verdict {
            Ok(Err(error)) if refusal::is_oversize(&error) => seen.write = Write::Allowed,
            Ok(Ok((partition, offset))) => {
                seen.write = Write::Allowed;
                seen.notes.push(format!(
                    "Kafka kept a record that is larger than the limit it named: one with the key incidentd-check and \
                     nothing but zeros lies in partition {partition} at offset {offset}"
                ));
            }
            Ok(Err(error)) => self.refused(seen, &name, &error),
            Err(_) => self.refused(
                seen,
                &name,
                &ClientError::MessageProduction(Code::MessageTimedOut),
            ),
        }
    }

    /// The broker closes the connection over a record of the topic's own size limit.
    fn closed_on(&self, seen: &mut TopicSeen, limit: usize) {
        seen.write = Write::Unknown("the broker closes the connection instead".to_owned());
        seen.notes.push(format!(
            "the broker closes the connection on a record of {limit} bytes, the topic's max.message.bytes: its \
             socket.request.max.bytes is less; larger records are split between their alerts or held back"
        ));
    }

    fn refused(&self, seen: &mut TopicSeen, name: &str, error: &ClientError) {
        let fatal = self.producer.client().fatal_error();
        let code = fatal.map_or_else(|| refusal::code(error), |(code, _)| code);
        match code {
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                seen.write = Write::Refused;
                seen.failure = Some(refusal::of_topic(&self.connection, name, code));
            }
            Code::MessageTimedOut => {
                seen.write = Write::Unknown("no verdict came in time".to_owned());
                seen.failure = Some(no_answer(&self.connection, name, error));
            }
            code => seen.write = Write::Unknown(one_line(&code.to_string(), 120)),
        }
    }
}

#[cfg(test)]
mod tests;
