//! One client of librdkafka, and a slot for a client that can be replaced.
//!
//! Invariant: a client is destroyed in a thread of its own, because that blocks until its threads and connections are
//! gone.

use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer, PurgeConfig};

use super::events::ClientEvents;
use super::queue::Client;
use crate::kafka::statistics::ClientStatistics;

/// A producer that is in use, or was.
pub(super) struct KafkaClient {
    /// Taken when this is dropped.
    producer: Option<Client>,
    pub(super) statistics: Arc<ClientStatistics>,
    /// Another client has replaced it. Records that it returns unsent go to that one.
    retired: AtomicBool,
}

impl KafkaClient {
    pub(super) fn make(
        config: &ClientConfig,
        events: ClientEvents,
    ) -> Result<Arc<Self>, ClientError> {
        let (statistics, connection) = (events.statistics(), events.connection());
        let producer: Client = config.create_with_context(events)?;
        connection.log_in(producer.client());
        Ok(Arc::new(Self {
            producer: Some(producer),
            statistics,
            retired: AtomicBool::new(false),
        }))
    }

    /// `None` only while this is being dropped.
    pub(super) fn producer(&self) -> Option<&Client> {
        self.producer.as_ref()
    }

    /// librdkafka's fatal error, and its text.
    pub(super) fn fatal(&self) -> Option<(Code, String)> {
        self.producer()?.client().fatal_error()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Returns its records, for another client to send. Whether those in flight have arrived is unknown.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.purge();
    }

    pub(super) fn purge(&self) {
        if let Some(producer) = self.producer() {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }

    /// Records that wait for an acknowledgement, and events that wait to be delivered.
    pub(super) fn in_flight(&self) -> usize {
        let count = self.producer().map(Producer::in_flight_count);
        usize::try_from(count.unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for KafkaClient {
    fn drop(&mut self) {
        drop_apart(self.producer.take());
    }
}

/// Destroys a client in a thread of its own.
pub(super) fn drop_apart<T: Send + 'static>(client: T) {
    let thread = std::thread::Builder::new().name("kafka-client-end".to_owned());
    // If no thread can be made, the closure is dropped here, and the client with it.
    let _ = thread.spawn(move || drop(client));
}

/// Holds the client of one purpose.
#[derive(Default)]
pub(super) struct ClientSlot(RwLock<Option<Arc<KafkaClient>>>);

impl ClientSlot {
    pub(super) fn get(&self) -> Option<Arc<KafkaClient>> {
        self.0.read().clone()
    }

    /// Returns the previous client.
    pub(super) fn put(&self, client: Option<Arc<KafkaClient>>) -> Option<Arc<KafkaClient>> {
        let mut place = self.0.write();
        std::mem::replace(&mut place, client)
    }
}

/// Every client that still exists.
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
