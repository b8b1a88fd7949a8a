//! One client of librdkafka, and a place for one that can be replaced.
//!
//! Invariant: a client is destroyed in a thread of its own, since that blocks until its threads and connections are gone.

use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer, PurgeConfig};

use super::events::ClientEvents;
use super::queue::Client;
use crate::kafka::statistics::ClientStatistics;

/// A producer that is at work, or was.
pub(super) struct KafkaClient {
    /// Taken when this ends.
    producer: Option<Client>,
    pub(super) statistics: Arc<ClientStatistics>,
    /// Another has its place. What it gives back unsent goes to that one.
    retired: AtomicBool,
}

impl KafkaClient {
    pub(super) fn make(
        config: &ClientConfig,
        events: ClientEvents,
    ) -> Result<Arc<Self>, ClientError> {
        let statistics = events.statistics();
        Ok(Arc::new(Self {
            producer: Some(config.create_with_context(events)?),
            statistics,
            retired: AtomicBool::new(false),
        }))
    }

    /// `None` only while it is being dropped, when nobody can ask any more.
    pub(super) fn producer(&self) -> Option<&Client> {
        self.producer.as_ref()
    }

    /// What librdkafka can't go on after, and why.
    pub(super) fn fatal(&self) -> Option<(Code, String)> {
        self.producer()?.client().fatal_error()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Gives back what it holds, which is to be sent by another. Of what is on its way nobody knows whether it has arrived.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.purge();
    }

    pub(super) fn purge(&self) {
        if let Some(producer) = self.producer() {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }

    /// Records to be acknowledged, and events to be told.
    pub(super) fn in_flight(&self) -> usize {
        let count = self.producer().map(Producer::in_flight_count);
        usize::try_from(count.unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for KafkaClient {
    fn drop(&mut self) {
        let producer = self.producer.take();
        let thread = std::thread::Builder::new().name("kafka-client-end".to_owned());
        // Where no thread is to be had, it ends here.
        let _ = thread.spawn(move || drop(producer));
    }
}

/// The client in one place of work. A poisoned lock guards a plain value here, which is whole whatever thread died.
#[derive(Default)]
pub(super) struct ClientSlot(RwLock<Option<Arc<KafkaClient>>>);

impl ClientSlot {
    pub(super) fn get(&self) -> Option<Arc<KafkaClient>> {
        self.0.read().clone()
    }

    /// Returns the one that was there.
    pub(super) fn put(&self, client: Option<Arc<KafkaClient>>) -> Option<Arc<KafkaClient>> {
        let mut place = self.0.write();
        std::mem::replace(&mut place, client)
    }
}

/// Every client that is still there, wherever it works.
#[derive(Default)]
pub(super) struct ClientList(Mutex<Vec<Weak<KafkaClient>>>);

impl ClientList {
    pub(super) fn enter(&self, client: &Arc<KafkaClient>) {
        let mut all = self.0.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(client));
    }

    pub(super) fn all(&self) -> Vec<Arc<KafkaClient>> {
        let all = self.0.lock();
        all.iter().filter_map(Weak::upgrade).collect()
    }
}
