//! How large a record may be.
//!
//! Three settings decide: `max.message.bytes` of the topic (of a compressed batch), `socket.request.max.bytes` of the
//! brokers (of a whole request; beyond it the broker closes the connection), and the producer's own `message.max.bytes`
//! (before compression). The brokers' `message.max.bytes` needs no request of its own: Kafka reports it for topics
//! without a value of their own.
//!
//! Topic and brokers are asked where that is permitted (DescribeConfigs on the topic and on the cluster). Without a
//! permission or an answer in time, a safe value is assumed: Kafka's default for the topic, and for a request the
//! smallest limit that a hosted Kafka is known to have. A connection that is closed over a record lowers it. Answers
//! are kept for minutes, so a changed setting takes effect without a restart.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError as ClientError;
use tokio::time::{Instant, timeout};

use super::events::ClientEvents;
use super::options::EVENT_HUBS_REQUEST;
use crate::kafka::connection::Connection;
use crate::settings::KafkaConnection;

/// Kafka's default of `max.message.bytes`.
pub(super) const DEFAULT_MAX_MESSAGE: usize = 1_048_588;
/// What Kafka counts beside key, headers and value: the frames of the request, of the batch (61 bytes), of the record
/// (some 30) and of each header (up to 6), with room to spare.
pub(super) const FRAMES: usize = 1024;
/// How long the first record waits for the brokers' limits.
const FIRST_ASK: Duration = Duration::from_secs(1);
/// Time limit of one request.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer is kept: the first sweep of many tenants may bring many large incidents.
const SERVES: Duration = Duration::from_secs(60);
/// How long a missing answer is kept, and what a closed connection has shown.
const LESSON: Duration = Duration::from_secs(5 * 60);
/// Brokers that are asked. Their settings are usually the same.
const BROKERS_ASKED: usize = 8;

#[derive(Default)]
pub(super) struct SizeLimits {
    /// Made at the first request.
    admin: OnceLock<AdminClient<ClientEvents>>,
    /// By topic. Not held while Kafka is asked: that may take seconds, and other topics' records would wait too.
    topics: Mutex<HashMap<String, Arc<TopicLimit>>>,
    /// Set after the brokers were asked for the first time.
    asked: tokio::sync::OnceCell<()>,
    requests: Mutex<RequestLimit>,
}

/// One topic's answer, and when it came. Held while asking, so that other records of the topic wait for the same
/// answer.
type TopicLimit = tokio::sync::Mutex<Option<(Option<usize>, Instant)>>;

/// What is known about the limit of a request.
#[derive(Default, Clone, Copy)]
struct RequestLimit {
    stated: Option<usize>,
    /// The smallest record over which a connection was closed, and when.
    closed: Option<(usize, Instant)>,
    /// The missing answer was logged once.
    said: bool,
}

/// The limits, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownLimits {
    /// `max.message.bytes` of the topic, if Kafka shows it.
    pub(super) topic: Option<usize>,
    /// `socket.request.max.bytes` of the brokers, if they show it.
    pub(super) request: Option<usize>,
}

impl SizeLimits {
    /// Bytes of key, headers and value that Kafka accepts in a record of `topic`, as far as it shows its limits. Asks
    /// Kafka once a minute at most.
    pub(super) async fn of(
        &self,
        topic: &str,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
    ) -> usize {
        let of_topic = self.of_topic(topic, options, connection).await;
        of_topic
            .unwrap_or(DEFAULT_MAX_MESSAGE)
            .min(options.message_max_bytes())
            .min(self.request(options))
            .min(self.learned(options))
            .saturating_sub(FRAMES)
    }

    /// A lower limit from a closed connection that the brokers' own limit does not explain. How much smaller a record
    /// has to be is unknown, so this is half.
    fn learned(&self, options: &KafkaConnection) -> usize {
        let stated = self.stated(options).unwrap_or(usize::MAX);
        match self.closed() {
            Some(closed) if closed <= stated => closed / 2,
            _ => usize::MAX,
        }
    }

    /// The limits that Kafka shows.
    pub(super) async fn known(
        &self,
        topic: &str,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
    ) -> KnownLimits {
        KnownLimits {
            topic: self.of_topic(topic, options, connection).await,
            request: self.stated(options),
        }
    }

    /// Bytes that a request may have; a safe value if no broker shows its limit.
    pub(super) fn request(&self, options: &KafkaConnection) -> usize {
        self.stated(options).unwrap_or(EVENT_HUBS_REQUEST)
    }

    /// The smallest record over which a connection was closed recently.
    pub(super) fn closed(&self) -> Option<usize> {
        let (bytes, since) = self.lock().closed?;
        (since.elapsed() < LESSON).then_some(bytes)
    }

    /// Notes that a connection was closed over a record of this size. Returns whether it is the first.
    pub(super) fn learn(&self, bytes: usize) -> bool {
        let known = self.closed();
        let least = known.map_or(bytes, |known| known.min(bytes));
        self.lock().closed = Some((least, Instant::now()));
        known.is_none()
    }

    /// The topic is asked again: it refused a record.
    pub(super) fn forget(&self, topic: &str) {
        self.topics.lock().remove(topic);
    }

    /// Bytes that a request may have, if a broker shows its limit.
    pub(super) fn stated(&self, options: &KafkaConnection) -> Option<usize> {
        options.request_limit_by_name().or(self.lock().stated)
    }

    /// How long the brokers' answer, or its absence, is kept.
    pub(super) fn age(&self, options: &KafkaConnection) -> Duration {
        match self.stated(options) {
            Some(_) => LESSON,
            None => SERVES,
        }
    }

    /// Asks the brokers before the first record is sent. Later calls return at once.
    pub(super) async fn prepare(&self, options: &KafkaConnection, connection: &Arc<Connection>) {
        let ask = async || {
            // A late answer is asked for again in the background.
            let _ = timeout(FIRST_ASK, self.refresh(options, connection)).await;
        };
        self.asked.get_or_init(ask).await;
    }

    /// Asks the brokers for the limit of a request.
    pub(super) async fn refresh(&self, options: &KafkaConnection, connection: &Arc<Connection>) {
        if options.request_limit_by_name().is_some() {
            // Event Hubs does not answer, and may close the connection.
            return;
        }
        let stated = self.ask_brokers(options, connection).await;
        let stated = stated.unwrap_or_else(|error| {
            tracing::debug!(target: "incidentd::kafka", %error, "the brokers' socket.request.max.bytes is not known");
            None
        });
        let before = std::mem::replace(&mut self.lock().stated, stated);
        match stated {
            // Kafka's own default, 100 MiB, is above the producer's limit.
            Some(bytes) if before != stated && bytes < options.message_max_bytes() + FRAMES => {
                tracing::info!(target: "incidentd::kafka", bytes, "the brokers state their socket.request.max.bytes");
            }
            None if !std::mem::replace(&mut self.lock().said, true) => tracing::info!(
                target: "incidentd::kafka", assumed = EVENT_HUBS_REQUEST,
                "the brokers don't state their socket.request.max.bytes; larger records are sent one by one, apart from the \
                 others (DescribeConfigs on the cluster shows it)"
            ),
            _ => {}
        }
    }

    async fn of_topic(
        &self,
        topic: &str,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
    ) -> Option<usize> {
        let answer = self.answer(topic);
        let mut answer = answer.lock().await;
        if let Some((limit, since)) = *answer {
            let serves = if limit.is_some() { SERVES } else { LESSON };
            if since.elapsed() < serves {
                return limit;
            }
        }
        let limit = self.ask(topic, options, connection).await.unwrap_or_else(|error| {
            tracing::debug!(target: "incidentd::kafka", topic, %error, "the topic's max.message.bytes is not known");
            None
        });
        let before = answer.replace((limit, Instant::now()));
        if before.is_none_or(|(before, _)| before != limit) {
            tracing::info!(target: "incidentd::kafka", topic, bytes = limit, "the topic's max.message.bytes, as far as Kafka states it");
        }
        limit
    }

    fn answer(&self, topic: &str) -> Arc<TopicLimit> {
        let mut topics = self.topics.lock();
        match topics.get(topic) {
            Some(answer) => Arc::clone(answer),
            None => Arc::clone(topics.entry(topic.to_owned()).or_default()),
        }
    }

    /// The topic's `max.message.bytes`; `None` if the answer lacks it.
    pub(super) async fn ask(
        &self,
        topic: &str,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
    ) -> Result<Option<usize>, ClientError> {
        let admin = self.admin(options, connection)?;
        describe(
            admin,
            ResourceSpecifier::Topic(topic),
            "max.message.bytes",
            connection,
        )
        .await
    }

    /// The smallest `socket.request.max.bytes` of the brokers that answer.
    pub(super) async fn ask_brokers(
        &self,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
    ) -> Result<Option<usize>, ClientError> {
        let admin = self.admin(options, connection)?;
        let brokers = connection.brokers_seen();
        let questions = brokers.iter().take(BROKERS_ASKED).map(|id| {
            let broker = ResourceSpecifier::Broker(*id);
            describe(admin, broker, "socket.request.max.bytes", connection)
        });
        let mut least = None;
        for answer in join_all(questions).await {
            if let Some(bytes) = answer? {
                least = Some(least.map_or(bytes, |least: usize| least.min(bytes)));
            }
        }
        Ok(least)
    }

    fn admin(
        &self,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
    ) -> Result<&AdminClient<ClientEvents>, ClientError> {
        let admin = match self.admin.get() {
            Some(admin) => admin,
            None => {
                let events = ClientEvents::aside(connection);
                let made = options.administration().create_with_context(events)?;
                self.admin.get_or_init(|| made)
            }
        };
        // Nobody serves its events, so it never asks for the next token.
        connection.log_in(admin.inner());
        Ok(admin)
    }

    fn lock(&self) -> MutexGuard<'_, RequestLimit> {
        self.requests.lock()
    }
}

/// One setting in bytes; `None` if no answer comes in time, or it lacks the setting.
async fn describe(
    admin: &AdminClient<ClientEvents>,
    resource: ResourceSpecifier<'_>,
    setting: &str,
    connection: &Connection,
) -> Result<Option<usize>, ClientError> {
    let wait = AdminOptions::new().request_timeout(Some(ASK_LIMIT));
    let answer = admin.describe_configs([&resource], &wait);
    // librdkafka has the same time limit, but a sweep must not depend on it.
    let Ok(answer) = timeout(2 * ASK_LIMIT, answer).await else {
        return Ok(None);
    };
    connection.answered();
    for described in answer? {
        let described = described.map_err(ClientError::AdminOp)?;
        let limit = described.get(setting);
        if let Some(value) = limit.and_then(|entry| entry.value.as_deref()) {
            return Ok(value.parse().ok());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::scrub::Scrubber;

    fn options(brokers: &str) -> KafkaConnection {
        KafkaConnection {
            brokers: brokers.to_owned(),
            properties: Vec::new(),
            max_in_flight: 1 << 20,
        }
    }

    /// Nothing is asked: the answers are there.
    async fn limits(topic: Option<usize>, request: Option<usize>) -> SizeLimits {
        let limits = SizeLimits::default();
        *limits.answer("t").lock().await = Some((topic, Instant::now()));
        limits.lock().stated = request;
        limits
    }

    #[tokio::test]
    async fn the_smallest_of_all_limits_counts() {
        let connection = Arc::new(Connection::new("a:1".to_owned(), Scrubber::new(&[])));
        for (topic, request, expected) in [
            (Some(8 << 20), Some(100 << 20), 8 << 20),
            (Some(8 << 20), Some(1 << 20), 1 << 20),
            (Some(50_000), Some(1 << 20), 50_000),
            (Some(8 << 20), None, EVENT_HUBS_REQUEST),
            (None, Some(100 << 20), DEFAULT_MAX_MESSAGE),
            (None, None, EVENT_HUBS_REQUEST),
            (Some(90 << 20), Some(100 << 20), 16 << 20),
        ] {
            let limits = limits(topic, request).await;
            let limit = limits.of("t", &options("a:1"), &connection).await;
            assert_eq!(limit, expected - FRAMES, "{topic:?} {request:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_is_being_asked_about_holds_up_no_other_and_is_asked_about_once() {
        let connection = Arc::new(Connection::new("a:1".to_owned(), Scrubber::new(&[])));
        let (limits, options) = (limits(Some(50_000), None).await, options("a:1"));
        let no_answer = limits.answer("silent");
        let mut asked = no_answer.lock().await;
        let known = timeout(ASK_LIMIT, limits.of("t", &options, &connection)).await;
        assert_eq!(known, Ok(50_000 - FRAMES), "it waits for another topic");
        let mut second = std::pin::pin!(limits.of("silent", &options, &connection));
        let early = timeout(ASK_LIMIT, second.as_mut()).await;
        assert!(early.is_err(), "it did not wait for the answer: {early:?}");
        *asked = Some((Some(60_000), Instant::now()));
        drop(asked);
        assert_eq!(second.await, 60_000 - FRAMES);
        assert!(limits.admin.get().is_none(), "Kafka was asked again");
    }

    #[tokio::test]
    async fn event_hubs_limit_is_known_without_asking() {
        let name = "contoso.servicebus.windows.net:9093";
        let connection = Arc::new(Connection::new(name.to_owned(), Scrubber::new(&[])));
        let limits = limits(Some(8 << 20), None).await;
        limits.prepare(&options(name), &connection).await;
        let known = limits.known("t", &options(name), &connection).await;
        assert_eq!(known.request, Some(1_046_528));
        assert!(limits.admin.get().is_none(), "it was asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_makes_parts_smaller_unless_the_stated_limit_explains_it() {
        let connection = Arc::new(Connection::new("a:1".to_owned(), Scrubber::new(&[])));
        for (stated, expected) in [
            (None, 300_000),
            (Some(100 << 20), 300_000),
            (Some(500_000), 500_000),
        ] {
            let limits = limits(Some(8 << 20), stated).await;
            limits.learn(600_000);
            let limit = limits.of("t", &options("a:1"), &connection).await;
            assert_eq!(limit, expected - FRAMES, "{stated:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_closed_connection_taught_is_forgotten_after_minutes() {
        let limits = limits(Some(8 << 20), None).await;
        assert!(limits.learn(300_000));
        assert!(!limits.learn(400_000), "it is known");
        assert_eq!(limits.closed(), Some(300_000));
        tokio::time::advance(LESSON).await;
        assert_eq!(limits.closed(), None);
        assert!(limits.learn(400_000));
    }
}
