//! The clients of the publisher, and their replacement.
//!
//! Small records of all tenants share one client, the common one. It is replaced after a fatal error
//! ([`crate::kafka::fatal`]), when brokers show that they accept only smaller requests, and when connections are closed
//! over its batches.
//!
//! Invariant: a client that is replaced keeps its records until they are acknowledged or refused. Only when connections
//! are closed over them does it return them.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::error::KafkaError as ClientError;
use tokio::time::timeout;

use super::KafkaError;
use super::client::{ClientList, ClientSlot, KafkaClient};
use super::events::ClientEvents;
use super::limit::{FRAMES, SizeLimits};
use super::refusal;
use crate::core::health::failure::Failure;
use crate::kafka::connection::Connection;
use crate::kafka::fatal::FatalErrors;
use crate::ports::Record;
use crate::settings::KafkaConnection;

/// How long a new producer may take to get its id from Kafka. After that Kafka counts as away.
const GETS_ID: Duration = Duration::from_secs(10);
/// The smallest batch, in bytes. Every broker accepts it in a request.
const SMALLEST_BATCH: usize = 16_000;
/// Batches shrink by this factor when connections are closed over them.
const SHRINK: usize = 4;

pub(super) struct Producers {
    pub(super) options: KafkaConnection,
    pub(super) connection: Arc<Connection>,
    pub(super) limits: SizeLimits,
    pub(super) fatal_errors: FatalErrors,
    pub(super) clients: ClientList,
    /// Sends records that every broker accepts. Never empty.
    common: ClientSlot,
    /// Sends each record in a batch of its own. Made when a batch was too large for its topic, to find out which record
    /// is.
    single: ClientSlot,
    /// Held while a client is replaced.
    making: tokio::sync::Mutex<()>,
    /// Bytes of the common client's largest batch.
    batch: AtomicUsize,
    /// Upper limit of batches, from closed connections.
    shrunk: AtomicUsize,
    /// Topics that are written to. The remedy for a missing permission names them.
    written: Mutex<BTreeSet<String>>,
}

impl Producers {
    /// Makes the common client. Needs no broker.
    pub(super) fn new(options: KafkaConnection) -> Result<Self, KafkaError> {
        let connection = Connection::of(&options);
        let producers = Self {
            options,
            connection,
            limits: SizeLimits::default(),
            fatal_errors: FatalErrors::default(),
            clients: ClientList::default(),
            common: ClientSlot::default(),
            single: ClientSlot::default(),
            making: tokio::sync::Mutex::default(),
            batch: AtomicUsize::new(0),
            shrunk: AtomicUsize::new(usize::MAX),
            written: Mutex::default(),
        };
        let made = producers.make_common();
        let client = made.map_err(|error| producers.options.explain(error))?;
        producers.common.put(Some(client));
        Ok(producers)
    }

    pub(super) fn common(&self) -> Option<Arc<KafkaClient>> {
        self.common.get()
    }

    /// Whether the record exceeds the limit for certain: the limit is known, and records are not compressed.
    pub(super) fn is_certainly_too_large(&self, record: &Record) -> bool {
        let stated = self.limits.stated(&self.options);
        !self.options.compresses() && stated.is_some_and(|stated| record.size() + FRAMES > stated)
    }

    /// Whether a broker may close the connection over this record.
    pub(super) fn is_large(&self, record: &Record) -> bool {
        let request = self.limits.request(&self.options).saturating_sub(FRAMES);
        let most = request.min(self.shrunk.load(Ordering::Relaxed));
        let closed = self.limits.closed();
        record.size() > most || closed.is_some_and(|closed| record.size() >= closed)
    }

    /// Bytes of the largest batch that the brokers accept in a request, as far as is known.
    fn wanted_batch(&self) -> usize {
        let request = self.limits.request(&self.options).saturating_sub(FRAMES);
        let shrunk = self.shrunk.load(Ordering::Relaxed);
        self.options.batch_bytes().min(request).min(shrunk)
    }

    /// Asks the brokers for their limits before the first record is sent, and adapts the batches.
    pub(super) async fn prepare(&self) {
        self.limits.prepare(&self.options, &self.connection).await;
        if self.batch.load(Ordering::Relaxed) == self.wanted_batch() {
            return;
        }
        let _turn = self.making.lock().await;
        if self.batch.load(Ordering::Relaxed) != self.wanted_batch() {
            // The previous client keeps its records.
            self.rebuild();
        }
    }

    /// Replaces a client over whose batches connections are closed with one that makes smaller batches. Records in
    /// flight may have arrived; they are sent again.
    pub(super) async fn shrink(&self, client: &Arc<KafkaClient>) {
        let _turn = self.making.lock().await;
        let is = |place: &ClientSlot| place.get().is_some_and(|now| Arc::ptr_eq(&now, client));
        if !is(&self.common) && !is(&self.single) {
            client.retire();
            return;
        }
        let batch = self.batch.load(Ordering::Relaxed);
        if batch <= SMALLEST_BATCH {
            // The size is not the reason. If it lasts, the state shows the reason.
            return;
        }
        let smaller = (batch / SHRINK).max(SMALLEST_BATCH);
        tracing::warn!(
            target: "incidentd::kafka", batch, smaller,
            remedy = "raise socket.request.max.bytes of the brokers, or look at what else closes connections between here and them",
            "the broker closes the connection on batches of records; they are sent again in smaller ones, and those that were on \
             their way may be published twice"
        );
        self.shrunk.store(smaller, Ordering::Relaxed);
        if self.rebuild() {
            self.single.put(None);
            client.retire();
        }
    }

    /// Makes a common client with the wanted batches. Returns whether that succeeded.
    fn rebuild(&self) -> bool {
        match self.make_common() {
            Ok(client) => {
                self.common.put(Some(client));
                true
            }
            Err(error) => {
                // For example, no thread can be made. The current client stays, and this is tried again.
                let error = self.options.explain(error);
                tracing::warn!(target: "incidentd::kafka", %error, "no other producer can be made");
                false
            }
        }
    }

    /// The common client, or why none works. Tries a new one when it is due.
    pub(super) async fn living(&self) -> Result<Arc<KafkaClient>, Failure> {
        self.notice_fatal_error();
        if self.fatal_errors.current().is_some() {
            let _turn = self.making.lock().await;
            if let Some(failure) = self.fatal_errors.blocking() {
                return Err(failure);
            }
            if self.fatal_errors.current().is_some() {
                self.replace().await?;
            }
        }
        self.common
            .get()
            .ok_or_else(|| refusal::stopped(&self.connection))
    }

    /// Replaces the failed client once Kafka has given the new one an id, or is away.
    async fn replace(&self) -> Result<(), Failure> {
        let client = self.make_common().map_err(|error| self.not_made(&error))?;
        let mut errors = self.connection.watch_errors();
        let dies = async {
            while client.fatal().is_none() {
                if errors.changed().await.is_err() {
                    // Never happens: the connection holds the sender.
                    std::future::pending::<()>().await;
                }
            }
        };
        let got_id = timeout(GETS_ID, async {
            tokio::select! {
                () = client.statistics.gets_id() => true,
                () = dies => false,
            }
        });
        let got_id = got_id.await;
        if let Some((code, why)) = client.fatal() {
            return Err(self.fatal_errors.note(
                &self.connection,
                &self.topics_written(),
                code,
                &why,
            ));
        }
        self.fatal_errors.over();
        self.common.put(Some(client));
        self.single.put(None);
        self.connection.revived();
        if got_id.is_err() {
            self.connection.no_answer();
        }
        Ok(())
    }

    /// Puts a fatal error of the common client into the state.
    pub(super) fn notice_fatal_error(&self) {
        if let Some(common) = self.common.get() {
            self.note_fatal_error(&common);
        }
    }

    /// The failure of this client's records, if it has had a fatal error.
    pub(super) fn note_fatal_error(&self, client: &Arc<KafkaClient>) -> Option<Failure> {
        let (code, why) = client.fatal()?;
        let is = |place: &ClientSlot| place.get().is_some_and(|now| Arc::ptr_eq(&now, client));
        let stands = is(&self.common) || is(&self.single);
        if !stands {
            return Some(refusal::of_fatal_error(
                &self.connection,
                &self.topics_written(),
                code,
                &why,
            ));
        }
        let current = self.fatal_errors.current();
        Some(current.unwrap_or_else(|| {
            self.fatal_errors
                .note(&self.connection, &self.topics_written(), code, &why)
        }))
    }

    fn make_common(&self) -> Result<Arc<KafkaClient>, ClientError> {
        let batch = self.wanted_batch();
        let config = self.options.producer_of_batches(batch);
        let client = KafkaClient::make(&config, ClientEvents::of(&self.connection))?;
        self.batch.store(batch, Ordering::Relaxed);
        self.clients.enter(&client);
        Ok(client)
    }

    fn not_made(&self, error: &ClientError) -> Failure {
        refusal::failure(&self.connection, "", 0, error)
    }

    pub(super) async fn single(&self) -> Result<Arc<KafkaClient>, Failure> {
        self.living().await?;
        let _turn = self.making.lock().await;
        if let Some(client) = self.single.get() {
            return Ok(client);
        }
        tracing::warn!(
            target: "incidentd::kafka",
            "a batch was larger than its topic accepts; its records are sent one by one (batch.size under \
             [kafka.properties] should not exceed the topic's max.message.bytes)"
        );
        let config = self.options.producer_of_single_records();
        let client = KafkaClient::make(&config, ClientEvents::of(&self.connection))
            .map_err(|error| self.not_made(&error))?;
        self.clients.enter(&client);
        self.single.put(Some(client.clone()));
        Ok(client)
    }

    pub(super) fn topics_written(&self) -> Vec<String> {
        self.written().iter().cloned().collect()
    }

    pub(super) fn written(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.written.lock()
    }
}
