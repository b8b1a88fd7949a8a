//! The clients behind the publisher: which of them works, and what takes its place when it does not.
//!
//! Small records of all tenants share one client, the common one. It is replaced when it dies ([`crate::kafka::fatal`]), when
//! brokers tell that they take smaller requests only, and when connections are closed over its batches.
//!
//! Invariant: a client that is replaced keeps what it holds until that is acknowledged or refused, unless connections are
//! closed over it: then it gives it back.

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

/// How long a new producer may take to get its id from Kafka. After that Kafka is away rather than refusing it.
const GETS_ID: Duration = Duration::from_secs(10);
/// Batches are not made smaller than this, in bytes. No broker takes less in a request.
const SMALLEST_BATCH: usize = 16_000;
/// By what batches are made smaller when connections are closed over them.
const SHRINK: usize = 4;

pub(super) struct Producers {
    pub(super) options: KafkaConnection,
    pub(super) connection: Arc<Connection>,
    pub(super) limits: SizeLimits,
    pub(super) fatal_errors: FatalErrors,
    pub(super) clients: ClientList,
    /// Sends what is small enough for every broker. Never empty.
    common: ClientSlot,
    /// Sends each record in a batch of its own. Made when a batch was found too large for its topic: only alone it shows
    /// which record is to blame.
    single: ClientSlot,
    /// Held by the one who makes another client for a place.
    making: tokio::sync::Mutex<()>,
    /// Bytes of the common client's largest batch.
    batch: AtomicUsize,
    /// What batches have to be smaller than, learned from closed connections.
    shrunk: AtomicUsize,
    /// Topics that are written to: named in what to grant.
    written: Mutex<BTreeSet<String>>,
}

impl Producers {
    /// Makes the common client. Needs no broker.
    pub(super) fn new(options: KafkaConnection) -> Result<Self, KafkaError> {
        let connection = Arc::new(Connection::new(options.brokers.clone(), options.scrubber()));
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

    /// Nothing makes it smaller on its way, and the limit is known.
    pub(super) fn is_certainly_too_large(&self, record: &Record) -> bool {
        let told = self.limits.told(&self.options);
        !self.options.compresses() && told.is_some_and(|told| record.size() + FRAMES > told)
    }

    /// Whether a broker may close the connection over this record.
    pub(super) fn is_large(&self, record: &Record) -> bool {
        let request = self.limits.request(&self.options).saturating_sub(FRAMES);
        let most = request.min(self.shrunk.load(Ordering::Relaxed));
        let closed = self.limits.closed();
        record.size() > most || closed.is_some_and(|closed| record.size() >= closed)
    }

    /// Bytes of the largest batch that makes a request which the brokers take, as far as is known.
    fn wanted_batch(&self) -> usize {
        let request = self.limits.request(&self.options).saturating_sub(FRAMES);
        let shrunk = self.shrunk.load(Ordering::Relaxed);
        self.options.batch_bytes().min(request).min(shrunk)
    }

    /// The first time, the brokers are asked for their limits before anything is sent.
    pub(super) async fn prepare(&self) {
        self.limits.prepare(&self.options, &self.connection).await;
        if self.batch.load(Ordering::Relaxed) == self.wanted_batch() {
            return;
        }
        let _turn = self.making.lock().await;
        if self.batch.load(Ordering::Relaxed) != self.wanted_batch() {
            // The former one keeps what it has: nothing speaks against that.
            self.rebuild();
        }
    }

    /// Connections are closed over this client's batches: another with smaller ones takes its place. What is on its way may
    /// have arrived or not; it is sent again.
    pub(super) async fn shrink(&self, client: &Arc<KafkaClient>) {
        let _turn = self.making.lock().await;
        let is = |place: &ClientSlot| place.get().is_some_and(|now| Arc::ptr_eq(&now, client));
        if !is(&self.common) && !is(&self.single) {
            client.retire();
            return;
        }
        let batch = self.batch.load(Ordering::Relaxed);
        if batch <= SMALLEST_BATCH {
            // It is not the size. What it is, the state says when it lasts.
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

    /// Puts a client with the wanted batches in the common place; whether that went well.
    fn rebuild(&self) -> bool {
        match self.make_common() {
            Ok(client) => {
                self.common.put(Some(client));
                true
            }
            Err(error) => {
                // Out of threads, say. The one that is there stays, and this is tried again.
                let error = self.options.explain(error);
                tracing::warn!(target: "incidentd::kafka", %error, "no other producer can be made");
                false
            }
        }
    }

    /// The common client, or why there is none that works. Tries a new one when that is due.
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

    /// Puts a new client in the place of the dead one, once Kafka has given it an id, or is away.
    async fn replace(&self) -> Result<(), Failure> {
        let client = self.make_common().map_err(|error| self.not_made(&error))?;
        let mut errors = self.connection.watch_errors();
        let dies = async {
            while client.fatal().is_none() {
                if errors.changed().await.is_err() {
                    // Never: the link holds the sender.
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

    /// Makes the state say so when the common client has died.
    pub(super) fn notice_fatal_error(&self) {
        if let Some(common) = self.common.get() {
            self.note_fatal_error(&common);
        }
    }

    /// What the records of this client are refused with, when it has died.
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
