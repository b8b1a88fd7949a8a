//! Topics that Kafka is known to have, and the request for one.

use parking_lot::RwLock;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use tokio::time::sleep;

use super::producers::Producers;
use super::refusal;
use crate::core::health::failure::Failure;

/// Time limit of one request for metadata, which occupies a blocking thread.
const METADATA_LIMIT: Duration = Duration::from_secs(2);
/// Between two attempts to reach a Kafka that is away.
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct KnownTopics {
    seen: RwLock<HashSet<Arc<str>>>,
    /// Held while a topic is asked for: thousands of tenants wait for the same answer.
    asking: tokio::sync::Mutex<()>,
}

/// The answer to a request for metadata.
pub(super) enum TopicAnswer {
    Good,
    TopicError(RDKafkaErrorCode),
    None,
}

impl KnownTopics {
    fn has(&self, topic: &Arc<str>) -> bool {
        let seen = self.seen.read();
        seen.contains(topic)
    }

    pub(super) fn any(&self) -> Option<Arc<str>> {
        let seen = self.seen.read();
        seen.iter().next().cloned()
    }

    fn note(&self, topic: &Arc<str>) {
        let mut seen = self.seen.write();
        seen.insert(Arc::clone(topic));
    }

    pub(super) fn forget(&self, topic: &Arc<str>) {
        let mut seen = self.seen.write();
        seen.remove(topic);
    }

    /// Returns when Kafka has the topic. Waits while Kafka is away.
    pub(super) async fn wait_for(
        &self,
        topic: &Arc<str>,
        producers: &Producers,
    ) -> Result<(), Failure> {
        if self.has(topic) {
            return Ok(());
        }
        producers.written().insert(topic.to_string());
        let _turn = self.asking.lock().await;
        while !self.has(topic) {
            match self.ask(Some(Arc::clone(topic)), producers).await {
                TopicAnswer::Good => self.note(topic),
                TopicAnswer::TopicError(code) => {
                    return Err(refusal::of_topic(&producers.connection, topic, code));
                }
                TopicAnswer::None => {
                    if let Some(failure) = producers.fatal_errors.current() {
                        return Err(failure);
                    }
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
        Ok(())
    }

    /// Asks a broker for metadata of `topic`, if one is given.
    pub(super) async fn ask(&self, topic: Option<Arc<str>>, producers: &Producers) -> TopicAnswer {
        let common = producers.common();
        let asked = tokio::task::spawn_blocking(move || {
            let client = common.as_ref().and_then(|client| client.producer());
            let client = client.ok_or(ClientError::Canceled)?.client();
            let metadata = client.fetch_metadata(topic.as_deref(), METADATA_LIMIT)?;
            let error = topic.and_then(|_| metadata.topics().first()?.error());
            let brokers = metadata.brokers().iter().map(|broker| broker.id());
            Ok::<_, ClientError>((brokers.collect(), error))
        });
        let (brokers, error) = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(target: "incidentd::kafka", %error, "no metadata");
                producers.connection.no_answer();
                return TopicAnswer::None;
            }
            // The runtime is stopping.
            Err(_) => return TopicAnswer::None,
        };
        producers.connection.metadata(brokers);
        match error.map(RDKafkaErrorCode::from) {
            // Leaders are being elected: the topic exists.
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => TopicAnswer::Good,
            Some(code) => TopicAnswer::TopicError(code),
        }
    }
}
