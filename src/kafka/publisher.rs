//! The idempotent producer behind [`Publisher`].
//!
//! Invariants: Kafka alone decides a record's result, never a time limit. Records with equal keys are sent one after
//! the other. Nothing is queued for a topic that Kafka has not shown: librdkafka would wait half a minute before
//! reporting it. A record over which a broker may close the connection shares no client with others (`lanes.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::KafkaError;
use super::client::KafkaClient;
use super::lanes::{Lanes, LargeOutcome};
use super::producers::Producers;
use super::queue::{rounds, size};
use super::refusal;
use super::topics::{KnownTopics, RETRY_PAUSE};
use crate::core::health::failure::Failure;
use crate::core::health::status::{PartState, PartStatus};
use crate::kafka::deliveries::{PendingRecord, SendOutcome, send, settle};
use crate::ports::{Part, Publisher, Record, Refused};
use crate::settings::KafkaConnection;

/// Publishes each record exactly once, as long as the process lives and no broker contradicts its producer.
pub struct KafkaPublisher {
    pub(super) producers: Producers,
    lanes: Lanes,
    /// Topics that Kafka is known to have.
    pub(super) topics: KnownTopics,
}

impl KafkaPublisher {
    /// Makes the producer. Needs no broker: it connects in the background, without a time limit.
    pub fn connect(options: KafkaConnection) -> Result<Self, KafkaError> {
        if let Some((what, remedy)) = options.lacks_authorities() {
            tracing::warn!(target: "incidentd::kafka", remedy, "{what}");
        }
        Ok(Self {
            producers: Producers::new(options)?,
            lanes: Lanes::default(),
            topics: KnownTopics::default(),
        })
    }

    /// Names the topics that will be written to, for remedies before the first record.
    #[must_use]
    pub fn writing_to<'a>(self, topics: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        self.producers
            .written()
            .extend(topics.into_iter().map(|topic| topic.to_string()));
        self
    }

    /// Follows the state.
    #[cfg(test)]
    pub(super) fn watch(&self) -> watch::Receiver<PartStatus> {
        self.producers.connection.watch()
    }

    /// Changes whenever Kafka accepts a producer after a refusal. Refused records can then be tried again.
    pub fn revivals(&self) -> watch::Receiver<u64> {
        self.producers.fatal_errors.watch_recoveries()
    }

    /// Keeps the state correct while no record is sent: asks Kafka while its state is in doubt, and tries new producers
    /// while it refuses them. Runs until `stop`.
    pub async fn probe(&self, stop: CancellationToken) {
        let producers = &self.producers;
        let (connection, limits) = (&producers.connection, &producers.limits);
        let watch = async {
            let (mut states, mut errors) = (connection.watch(), connection.watch_errors());
            loop {
                let now = states.borrow_and_update().state;
                errors.mark_unchanged();
                producers.notice_fatal_error();
                if producers.fatal_errors.current().is_some() {
                    // A refusal is in the state.
                    let _ = producers.living().await;
                } else if now != PartState::Ok || connection.is_doubted() {
                    // The answer changes the state by itself.
                    let _ = self.topics.ask(self.topics.any(), producers).await;
                } else {
                    tokio::select! {
                        _ = states.changed() => {}
                        _ = errors.changed() => {}
                        () = sleep(limits.age(&producers.options)) => {
                            limits.refresh(&producers.options, connection).await;
                        }
                    }
                    continue;
                }
                sleep(RETRY_PAUSE).await;
            }
        };
        stop.run_until_cancelled(watch).await;
    }

    /// Drops what is not acknowledged. Returns whether there was anything. At the end of the process nothing waits for
    /// it, so that it would not be recorded; it is published again after the next start.
    pub fn abandon(&self) -> bool {
        self.producers.connection.end();
        let any = self.in_flight() > 0;
        for client in self.producers.clients.all() {
            client.purge();
        }
        any
    }

    /// Records that wait for an acknowledgement, and events that wait to be delivered, in all clients.
    pub(super) fn in_flight(&self) -> usize {
        self.producers
            .clients
            .all()
            .iter()
            .map(|client| client.in_flight())
            .sum()
    }

    async fn publish_all(&self, records: Vec<Record>) -> Vec<Result<(), Refused>> {
        let mut results = vec![Ok(()); records.len()];
        let absent = self.absent_topics(&records).await;
        self.producers.prepare().await;
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
            if let Err(failure) = self.topics.wait_for(topic, &self.producers).await {
                absent.insert(Arc::clone(topic), failure);
            }
        }
        absent
    }

    /// Publishes records of distinct keys. Returns the refused ones.
    async fn publish_round(
        &self,
        round: Vec<(usize, Record)>,
        absent: &HashMap<Arc<str>, Failure>,
    ) -> Vec<(usize, Refused)> {
        let mut refused = Vec::new();
        let mut waiting = Vec::with_capacity(round.len());
        for (index, record) in round {
            match absent.get(&record.topic) {
                Some(failure) => refused.push((index, failure.clone().into())),
                None => waiting.push((index, record)),
            }
        }
        // Runs again only if the client was replaced by one with smaller batches.
        while !waiting.is_empty() {
            let (large, small): (Vec<_>, _) = waiting
                .into_iter()
                .partition(|(_, record)| self.producers.is_large(record));
            let (apart, outcome) =
                tokio::join!(self.publish_apart(large), self.publish_small(small));
            refused.extend(apart);
            refused.extend(outcome.refused);
            waiting = outcome.again;
        }
        refused
    }

    async fn publish_small(&self, records: Vec<(usize, Record)>) -> SendOutcome {
        if records.is_empty() {
            return SendOutcome::default();
        }
        let common = match self.producers.living().await {
            Ok(common) => common,
            Err(failure) => return SendOutcome::refuse(records, &failure),
        };
        let mut outcome = self.through(&common, records).await;
        let suspects = std::mem::take(&mut outcome.oversize);
        let alone = self.publish_alone(suspects).await;
        outcome.refused.extend(alone.refused);
        outcome.again.extend(alone.again);
        outcome
    }

    /// When a batch is too large for its topic, librdkafka fails all its records. This sends them again, each in a
    /// batch of its own, so that only those fail that are too large themselves. None was written and no other record of
    /// their keys is in flight, so nothing is repeated or overtaken.
    async fn publish_alone(&self, suspects: Vec<(usize, Record, ClientError)>) -> SendOutcome {
        if suspects.is_empty() {
            return SendOutcome::default();
        }
        let records = suspects
            .into_iter()
            .map(|(index, record, _)| (index, record));
        let single = match self.producers.single().await {
            Ok(single) => single,
            Err(failure) => return SendOutcome::refuse(records.collect(), &failure),
        };
        let mut outcome = self.through(&single, records.collect()).await;
        for (index, record, error) in std::mem::take(&mut outcome.oversize) {
            let size = size(&record);
            outcome
                .refused
                .push((index, self.oversize(record, size, &error)));
        }
        outcome
    }

    /// Sends records through one client and waits for the results.
    async fn through(
        &self,
        client: &Arc<KafkaClient>,
        records: Vec<(usize, Record)>,
    ) -> SendOutcome {
        let before = client.statistics.now();
        let (mut pending, mut failed): (Vec<PendingRecord>, _) =
            (Vec::with_capacity(records.len()), Vec::new());
        for (index, record) in records {
            match send(client, index, record).await {
                Ok(one) => pending.push(one),
                Err(one) => failed.push(one),
            }
        }
        let (acknowledged, results) =
            settle(client, &before, pending, || self.producers.shrink(client)).await;
        if acknowledged {
            self.producers.connection.answered();
            self.producers.fatal_errors.acknowledged();
        }
        let mut outcome = SendOutcome::default();
        for (index, record, size, error) in failed.into_iter().chain(results) {
            let purged = matches!(
                refusal::code(&error),
                RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
            );
            if let Some(failure) = self.producers.note_fatal_error(client) {
                outcome.refused.push((index, failure.into()));
            } else if purged && client.is_retired() {
                outcome.again.push((index, record));
            } else if refusal::is_oversize(&error) {
                outcome.oversize.push((index, record, error));
            } else {
                outcome
                    .refused
                    .push((index, self.refused(&record.topic, size, &error).into()));
            }
        }
        outcome
    }

    /// Sends records that may be too large for a request, apart from all others.
    async fn publish_apart(&self, records: Vec<(usize, Record)>) -> Vec<(usize, Refused)> {
        let each = records.into_iter().map(async |(index, record)| {
            let refused = self.publish_large(record).await?;
            Some((index, refused))
        });
        join_all(each).await.into_iter().flatten().collect()
    }

    async fn publish_large(&self, record: Record) -> Option<Refused> {
        let size = size(&record);
        let closed = self.producers.limits.closed();
        let suspect = closed.is_some_and(|closed| record.size() >= closed);
        if self.producers.is_certainly_too_large(&record) || self.lanes.skips(&record, suspect) {
            return Some(self.closed(record, size).await);
        }
        if let Some(failure) = self.producers.fatal_errors.blocking() {
            return Some(failure.into());
        }
        let (options, connection) = (&self.producers.options, &self.producers.connection);
        match self
            .lanes
            .send(record, options, connection, &self.producers.clients)
            .await
        {
            LargeOutcome::Arrived => {
                self.producers.connection.answered();
                None
            }
            LargeOutcome::Refused(record, error) if refusal::is_oversize(&error) => {
                Some(self.oversize(record, size, &error))
            }
            LargeOutcome::Refused(record, error) => {
                Some(self.refused(&record.topic, size, &error).into())
            }
            LargeOutcome::Died(code, why) => {
                let topics = self.producers.topics_written();
                Some(
                    refusal::of_fatal_error(&self.producers.connection, &topics, code, &why).into(),
                )
            }
            LargeOutcome::Closed(record) => {
                let news = self.producers.limits.learn(record.size());
                let refused = self.closed(record, size).await;
                if news {
                    let Failure { what, remedy, .. } = &refused.failure;
                    tracing::warn!(target: "incidentd::kafka", error = what, remedy, "a record is too large for the brokers");
                }
                Some(refused)
            }
        }
    }

    async fn closed(&self, record: Record, size: usize) -> Refused {
        let (options, connection) = (&self.producers.options, &self.producers.connection);
        let known = self
            .producers
            .limits
            .known(&record.topic, options, connection)
            .await;
        Refused {
            failure: refusal::closed(options, &record.topic, size, known),
            oversize: Some(Box::new(record)),
        }
    }

    fn oversize(&self, record: Record, size: usize, error: &ClientError) -> Refused {
        Refused {
            failure: self.refused(&record.topic, size, error),
            oversize: Some(Box::new(record)),
        }
    }

    fn refused(&self, topic: &Arc<str>, size: usize, error: &ClientError) -> Failure {
        // librdkafka forgets its answer, too, when it is asked again.
        let code = refusal::code(error);
        if refusal::is_unknown_topic(code) || code == RDKafkaErrorCode::TopicAuthorizationFailed {
            self.topics.forget(topic);
        }
        refusal::failure(&self.producers.connection, topic, size, error)
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&self, records: Vec<Record>) -> BoxFuture<'_, Vec<Result<(), Refused>>> {
        self.publish_all(records).boxed()
    }

    fn limit<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Option<usize>> {
        let limit =
            self.producers
                .limits
                .of(topic, &self.producers.options, &self.producers.connection);
        limit.map(Some).boxed()
    }
}

impl Part for KafkaPublisher {
    fn name(&self) -> &'static str {
        "Kafka client"
    }

    fn status(&self) -> PartStatus {
        self.producers.connection.state()
    }

    fn ready(&self) -> Result<(), String> {
        if self.producers.connection.seen() {
            return Ok(());
        }
        let why = self.status().error.unwrap_or_default();
        Err(format!("waiting for the first answer from Kafka: {why}"))
    }

    fn alive(&self) -> BoxFuture<'_, bool> {
        let next = self.producers.connection.next_statistics();
        next.map(|()| true).boxed()
    }

    /// Set when producers fail again and again for a reason that no operator can remove.
    fn fatal(&self) -> BoxFuture<'_, String> {
        let why = self.producers.fatal_errors.last();
        let say = |why| {
            format!(
                "Kafka's producer can't go on, and neither could those that took its place: {why}"
            )
        };
        why.map(say).boxed()
    }
}
