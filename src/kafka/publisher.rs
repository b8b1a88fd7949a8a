//! The idempotent producer behind [`Publisher`].
//!
//! Invariants: a record's result is decided by Kafka alone, never by a time limit; records with equal keys leave one
//! after the other; nothing is queued for a topic that Kafka was not seen to have, since librdkafka would sit on it for
//! half a minute before saying so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{Producer, PurgeConfig};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::KafkaError;
use super::limit::Limits;
use super::link::{Condition, Events, KafkaState, Link};
use super::options::KafkaOptions;
use super::queue::{Client, enqueue, of_record, rounds, size};
use super::refusal;
use super::topics::Topics;
use crate::core::failure::Failure;
use crate::ports::{Publisher, Record, Refused};

/// Limit of one request for metadata; it occupies a blocking thread for as long.
const METADATA_LIMIT: Duration = Duration::from_secs(2);
/// Between two attempts to reach a Kafka that is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Publishes records, exactly once each for as long as the process lives.
pub struct KafkaPublisher {
    options: KafkaOptions,
    link: Arc<Link>,
    producer: Client,
    /// Sends each record in a batch of its own. Made when a batch was found too large for its topic: only alone it shows
    /// which record is to blame.
    single: OnceLock<Client>,
    /// Topics that Kafka was seen to have.
    topics: Topics,
    /// Held by the one who asks about a topic; thousands of tenants wait for the same answer.
    asking: tokio::sync::Mutex<()>,
    limits: Limits,
}

/// What asking for metadata came to.
enum Answer {
    Good,
    TopicError(RDKafkaErrorCode),
    None,
}

/// A record that librdkafka holds.
struct Sent {
    index: usize,
    /// Without its value, which librdkafka has: memory is for one copy of what is in flight.
    record: Record,
    size: usize,
    delivery: DeliveryFuture,
}

impl KafkaPublisher {
    /// Makes the producer. Needs no broker: connecting goes on in the background, for ever.
    pub fn connect(options: KafkaOptions) -> Result<Self, KafkaError> {
        let link = Arc::new(Link::new(options.brokers.clone(), options.scrubber()));
        let producer = options
            .producer()
            .create_with_context(Events(Arc::clone(&link)))
            .map_err(|error| options.explain(error))?;
        Ok(Self {
            options,
            link,
            producer,
            single: OnceLock::new(),
            topics: Topics::default(),
            asking: tokio::sync::Mutex::default(),
            limits: Limits::default(),
        })
    }

    pub fn state(&self) -> KafkaState {
        self.link.state()
    }

    /// Whether a broker has answered since the start, whatever the state is now.
    pub fn seen(&self) -> bool {
        self.link.seen()
    }

    /// Grows every ten seconds while the thread lives that brings acknowledgements.
    pub fn progress(&self) -> u64 {
        self.link.statistics()
    }

    /// Follows the state.
    #[cfg(test)]
    pub(super) fn watch(&self) -> tokio::sync::watch::Receiver<KafkaState> {
        self.link.watch()
    }

    /// Resolves when the producer met an error that only a new process can mend; tells which.
    pub async fn fatal(&self) -> String {
        let mut errors = self.link.watch_errors();
        while !self.is_dead() {
            if errors.changed().await.is_err() {
                // Never: `self.link` holds the sender.
                std::future::pending::<()>().await;
            }
        }
        self.state().error.unwrap_or_default()
    }

    /// Whether a producer met a fatal error; makes the state say so.
    fn is_dead(&self) -> bool {
        for producer in self.producers() {
            if let Some((_, why)) = producer.client().fatal_error() {
                self.link.failed(&why);
                return true;
            }
        }
        false
    }

    fn producers(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.producer).chain(self.single.get())
    }

    /// Asks for a broker's answer while the state is not `ok`, so that it changes without a record being sent. Runs until
    /// `stop`.
    pub async fn probe(&self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            let mut states = self.link.watch();
            loop {
                let unsure = |now: &KafkaState| {
                    matches!(now.state, Condition::Starting | Condition::Unavailable)
                };
                if states.wait_for(unsure).await.is_err() {
                    return;
                }
                // The answer changes the state by itself.
                let _ = self.ask(self.topics.any()).await;
                sleep(RETRY_PAUSE).await;
            }
        })
        .await;
    }

    /// Drops what is not acknowledged, and says whether there was anything. At the end of the process nobody waits for it
    /// any more, so that it would not be recorded, and would be published again after the next start.
    pub fn abandon(&self) -> bool {
        let any = self.in_flight() > 0;
        for producer in self.producers() {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
        any
    }

    /// What librdkafka has still to do: records to be acknowledged, and events to be told.
    pub(super) fn in_flight(&self) -> usize {
        let count =
            |producer: &Client| usize::try_from(producer.in_flight_count()).unwrap_or_default();
        self.producers().map(count).sum()
    }

    async fn publish_all(&self, records: Vec<Record>) -> Vec<Result<(), Refused>> {
        let mut results = vec![Ok(()); records.len()];
        let absent = self.absent_topics(&records).await;
        for round in rounds(records) {
            for (index, refused) in self.publish_round(round, &absent).await {
                if let Some(result) = results.get_mut(index) {
                    *result = Err(refused);
                }
            }
        }
        results
    }

    async fn absent_topics(&self, records: &[Record]) -> HashMap<Arc<str>, Failure> {
        let topics: HashSet<&Arc<str>> = records.iter().map(|record| &record.topic).collect();
        let mut absent = HashMap::new();
        for topic in topics {
            if let Err(failure) = self.await_topic(topic).await {
                absent.insert(Arc::clone(topic), failure);
            }
        }
        absent
    }

    /// Publishes records of distinct keys; returns the refused ones.
    async fn publish_round(
        &self,
        round: Vec<(usize, Record)>,
        absent: &HashMap<Arc<str>, Failure>,
    ) -> Vec<(usize, Refused)> {
        let mut refused = Vec::new();
        let mut sent = Vec::with_capacity(round.len());
        for (index, record) in round {
            let outcome = match absent.get(&record.topic) {
                Some(failure) => Err((index, failure.clone().into())),
                None => self.send(&self.producer, index, record).await,
            };
            match outcome {
                Ok(one) => sent.push(one),
                Err(one) => refused.push(one),
            }
        }
        let mut suspects = Vec::new();
        for (index, one) in self.settle(sent).await {
            match one.oversize {
                Some(record) => suspects.push((index, *record)),
                None => refused.push((index, one)),
            }
        }
        refused.extend(self.publish_alone(suspects).await);
        refused
    }

    /// librdkafka does not take a batch apart that its topic finds too large, and fails all its records. Sent again one to
    /// a batch, only those fail that are too large themselves. None of them was written, and no other record of theirs
    /// keys is under way, so nothing is repeated or overtaken.
    async fn publish_alone(&self, suspects: Vec<(usize, Record)>) -> Vec<(usize, Refused)> {
        let mut refused = Vec::new();
        let mut sent = Vec::with_capacity(suspects.len());
        for (index, record) in suspects {
            let outcome = match self.single() {
                Ok(producer) => self.send(producer, index, record).await,
                Err(error) => {
                    let size = size(&record);
                    Err((index, self.refused(record, size, &error)))
                }
            };
            match outcome {
                Ok(one) => sent.push(one),
                Err(one) => refused.push(one),
            }
        }
        refused.extend(self.settle(sent).await);
        refused
    }

    async fn send(
        &self,
        producer: &Client,
        index: usize,
        mut record: Record,
    ) -> Result<Sent, (usize, Refused)> {
        let size = size(&record);
        match enqueue(producer, of_record(&record)).await {
            Ok(delivery) => {
                record.value = Vec::new();
                Ok(Sent {
                    index,
                    record,
                    size,
                    delivery,
                })
            }
            Err(error) => Err((index, self.refused(record, size, &error))),
        }
    }

    /// Waits until each of these is acknowledged or refused; returns the refused ones.
    async fn settle(&self, sent: Vec<Sent>) -> Vec<(usize, Refused)> {
        let mut refused = Vec::new();
        let mut answered = false;
        for Sent {
            index,
            mut record,
            size,
            delivery,
        } in sent
        {
            match delivery.await {
                Ok(Ok(_)) => answered = true,
                Ok(Err((error, message))) => {
                    if refusal::is_oversize(&error) {
                        record.value = message.payload().unwrap_or_default().to_vec();
                    }
                    refused.push((index, self.refused(record, size, &error)));
                }
                Err(_) => refused.push((index, refusal::stopped(&self.link).into())),
            }
        }
        if answered {
            self.link.answered();
        }
        refused
    }

    fn refused(&self, record: Record, size: usize, error: &ClientError) -> Refused {
        let topic = &record.topic;
        if refusal::is_unknown_topic(refusal::code(error)) {
            self.topics.forget(topic);
        }
        if self.is_dead() {
            return refusal::stopped(&self.link).into();
        }
        Refused {
            failure: refusal::failure(&self.link, topic, size, error),
            oversize: refusal::is_oversize(error).then(|| Box::new(record)),
        }
    }

    /// Returns when Kafka has the topic; waits for as long as Kafka is away.
    async fn await_topic(&self, topic: &Arc<str>) -> Result<(), Failure> {
        if self.topics.has(topic) {
            return Ok(());
        }
        let _turn = self.asking.lock().await;
        while !self.topics.has(topic) {
            if self.is_dead() {
                return Err(refusal::stopped(&self.link));
            }
            match self.ask(Some(Arc::clone(topic))).await {
                Answer::Good => self.topics.note(topic),
                Answer::TopicError(code) => {
                    return Err(refusal::of_topic(&self.link, topic, code));
                }
                Answer::None => sleep(RETRY_PAUSE).await,
            }
        }
        Ok(())
    }

    /// Asks a broker for metadata, of `topic` alone when there is one.
    async fn ask(&self, topic: Option<Arc<str>>) -> Answer {
        let producer = self.producer.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = producer
                .client()
                .fetch_metadata(topic.as_deref(), METADATA_LIMIT)?;
            let error = topic.and_then(|_| metadata.topics().first()?.error());
            Ok::<_, ClientError>((metadata.brokers().len(), error))
        });
        let (brokers, error) = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(target: "incidentd::kafka", %error, "no metadata");
                self.link.silent();
                return Answer::None;
            }
            // The runtime is going down.
            Err(_) => return Answer::None,
        };
        self.link.metadata(brokers);
        match error.map(RDKafkaErrorCode::from) {
            // Leaders are being elected: the topic is there.
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => Answer::Good,
            Some(code) => Answer::TopicError(code),
        }
    }

    fn single(&self) -> Result<&Client, ClientError> {
        if let Some(client) = self.single.get() {
            return Ok(client);
        }
        tracing::warn!(
            target: "incidentd::kafka",
            "a batch was larger than its topic accepts; its records are sent one by one (batch.size under \
             [kafka.properties] should not exceed the topic's max.message.bytes)"
        );
        let mut config = self.options.producer();
        config.set("batch.num.messages", "1");
        let client = config.create_with_context(Events(Arc::clone(&self.link)))?;
        Ok(self.single.get_or_init(|| client))
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&self, records: Vec<Record>) -> BoxFuture<'_, Vec<Result<(), Refused>>> {
        self.publish_all(records).boxed()
    }

    fn limit<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Option<usize>> {
        let limit = self.limits.of(topic, &self.options, &self.link);
        limit.map(Some).boxed()
    }
}
