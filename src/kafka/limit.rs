//! How large a record each topic accepts, asked of Kafka when a record was too large.
//!
//! A guess on the safe side is always at hand: Kafka's own default. It stands where the daemon may not ask (a producer's
//! usual rights lack DescribeConfigs on the topic), and where no answer comes in time. An answer serves for a minute:
//! the first sweep of many tenants may bring many large incidents.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError as ClientError;
use tokio::time::{Instant, timeout};

use super::link::{Events, Link};
use super::options::KafkaOptions;

/// `max.message.bytes` of a topic for which nobody has set it.
pub(super) const DEFAULT_MAX_MESSAGE: usize = 1_048_588;
/// What Kafka counts beside key, headers and value: the frames of the batch (61 bytes), of the record (some 30) and of
/// each header (up to 6), with room to spare.
const FRAMES: usize = 1024;
/// Limit of one request.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer serves.
const SERVES: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Limits {
    /// Made when it is first needed, which for most is never.
    admin: OnceLock<AdminClient<Events>>,
    /// By topic: bytes, and since when they are known. Held while asking: who else needs it waits for the same answer.
    known: tokio::sync::Mutex<HashMap<String, (usize, Instant)>>,
}

impl Limits {
    /// Bytes of key, headers and value that a record of `topic` may have in all.
    pub(super) async fn of(&self, topic: &str, options: &KafkaOptions, link: &Arc<Link>) -> usize {
        let mut known = self.known.lock().await;
        if let Some((limit, since)) = known.get(topic)
            && since.elapsed() < SERVES
        {
            return *limit;
        }
        let of_topic = match self.ask(topic, options, link).await {
            Ok(Some(limit)) => limit,
            Ok(None) => DEFAULT_MAX_MESSAGE,
            Err(error) => {
                tracing::debug!(target: "incidentd::kafka", topic, %error, "the topic's max.message.bytes is not known");
                DEFAULT_MAX_MESSAGE
            }
        };
        let limit = of_topic
            .min(options.message_max_bytes())
            .saturating_sub(FRAMES);
        known.insert(topic.to_owned(), (limit, Instant::now()));
        limit
    }

    /// The topic's `max.message.bytes`; `None` when the answer does not hold it.
    pub(super) async fn ask(
        &self,
        topic: &str,
        options: &KafkaOptions,
        link: &Arc<Link>,
    ) -> Result<Option<usize>, ClientError> {
        let admin = self.admin(options, link)?;
        let resource = ResourceSpecifier::Topic(topic);
        let wait = AdminOptions::new().request_timeout(Some(ASK_LIMIT));
        let answer = admin.describe_configs([&resource], &wait);
        // librdkafka keeps to the limit by itself; that it does is not for a sweep to depend on.
        let Ok(answer) = timeout(2 * ASK_LIMIT, answer).await else {
            return Ok(None);
        };
        for described in answer? {
            let described = described.map_err(ClientError::AdminOp)?;
            let limit = described.get("max.message.bytes");
            if let Some(value) = limit.and_then(|entry| entry.value.as_deref()) {
                return Ok(value.parse().ok());
            }
        }
        Ok(None)
    }

    fn admin(
        &self,
        options: &KafkaOptions,
        link: &Arc<Link>,
    ) -> Result<&AdminClient<Events>, ClientError> {
        if let Some(admin) = self.admin.get() {
            return Ok(admin);
        }
        let admin = options
            .producer()
            .create_with_context(Events(Arc::clone(link)))?;
        Ok(self.admin.get_or_init(|| admin))
    }
}
