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
use super::client::{Live, Place, Register};
use super::events::Events;
use super::limit::{FRAMES, Limits};
use super::refusal;
use crate::core::health::failure::Failure;
use crate::kafka::connection::Link;
use crate::kafka::fatal::Deaths;
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
    pub(super) link: Arc<Link>,
    pub(super) limits: Limits,
    pub(super) deaths: Deaths,
    pub(super) clients: Register,
    /// Sends what is small enough for every broker. Never empty.
    common: Place,
    /// Sends each record in a batch of its own. Made when a batch was found too large for its topic: only alone it shows
    /// which record is to blame.
    single: Place,
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
        let link = Arc::new(Link::new(options.brokers.clone(), options.scrubber()));
        let producers = Self {
            options,
            link,
            limits: Limits::default(),
            deaths: Deaths::default(),
            clients: Register::default(),
            common: Place::default(),
            single: Place::default(),
            making: tokio::sync::Mutex::default(),
            batch: AtomicUsize::new(0),
            shrunk: AtomicUsize::new(usize::MAX),
            written: Mutex::default(),
        };
        let made = producers.make_common();
        let live = made.map_err(|error| producers.options.explain(error))?;
        producers.common.put(Some(live));
        Ok(producers)
    }

    pub(super) fn common(&self) -> Option<Arc<Live>> {
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
        self.limits.prepare(&self.options, &self.link).await;
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
    pub(super) async fn shrink(&self, live: &Arc<Live>) {
        let _turn = self.making.lock().await;
        let is = |place: &Place| place.get().is_some_and(|now| Arc::ptr_eq(&now, live));
        if !is(&self.common) && !is(&self.single) {
            live.retire();
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
            live.retire();
        }
    }

    /// Puts a client with the wanted batches in the common place; whether that went well.
    fn rebuild(&self) -> bool {
        match self.make_common() {
            Ok(live) => {
                self.common.put(Some(live));
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
    pub(super) async fn living(&self) -> Result<Arc<Live>, Failure> {
        self.notice_death();
        if self.deaths.standing().is_some() {
            let _turn = self.making.lock().await;
            if let Some(failure) = self.deaths.bars() {
                return Err(failure);
            }
            if self.deaths.standing().is_some() {
                self.revive().await?;
            }
        }
        self.common
            .get()
            .ok_or_else(|| refusal::stopped(&self.link))
    }

    /// Puts a new client in the place of the dead one, once Kafka has given it an id, or is away.
    async fn revive(&self) -> Result<(), Failure> {
        let live = self.make_common().map_err(|error| self.unmade(&error))?;
        let mut errors = self.link.watch_errors();
        let dies = async {
            while live.fatal().is_none() {
                if errors.changed().await.is_err() {
                    // Never: the link holds the sender.
                    std::future::pending::<()>().await;
                }
            }
        };
        let got_id = timeout(GETS_ID, async {
            tokio::select! {
                () = live.sight.gets_id() => true,
                () = dies => false,
            }
        });
        let got_id = got_id.await;
        if let Some((code, why)) = live.fatal() {
            return Err(self
                .deaths
                .note(&self.link, &self.topics_written(), code, &why));
        }
        self.deaths.over();
        self.common.put(Some(live));
        self.single.put(None);
        self.link.revived();
        if got_id.is_err() {
            self.link.silent();
        }
        Ok(())
    }

    /// Makes the state say so when the common client has died.
    pub(super) fn notice_death(&self) {
        if let Some(common) = self.common.get() {
            self.note_death(&common);
        }
    }

    /// What the records of this client are refused with, when it has died.
    pub(super) fn note_death(&self, live: &Arc<Live>) -> Option<Failure> {
        let (code, why) = live.fatal()?;
        let is = |place: &Place| place.get().is_some_and(|now| Arc::ptr_eq(&now, live));
        let stands = is(&self.common) || is(&self.single);
        if !stands {
            return Some(refusal::of_death(
                &self.link,
                &self.topics_written(),
                code,
                &why,
            ));
        }
        let standing = self.deaths.standing();
        Some(standing.unwrap_or_else(|| {
            self.deaths
                .note(&self.link, &self.topics_written(), code, &why)
        }))
    }

    fn make_common(&self) -> Result<Arc<Live>, ClientError> {
        let batch = self.wanted_batch();
        let config = self.options.producer_of_batches(batch);
        let live = Live::make(&config, Events::of(&self.link))?;
        self.batch.store(batch, Ordering::Relaxed);
        self.clients.enter(&live);
        Ok(live)
    }

    fn unmade(&self, error: &ClientError) -> Failure {
        refusal::failure(&self.link, "", 0, error)
    }

    pub(super) async fn single(&self) -> Result<Arc<Live>, Failure> {
        self.living().await?;
        let _turn = self.making.lock().await;
        if let Some(live) = self.single.get() {
            return Ok(live);
        }
        tracing::warn!(
            target: "incidentd::kafka",
            "a batch was larger than its topic accepts; its records are sent one by one (batch.size under \
             [kafka.properties] should not exceed the topic's max.message.bytes)"
        );
        let config = self.options.producer_of_single_records();
        let live =
            Live::make(&config, Events::of(&self.link)).map_err(|error| self.unmade(&error))?;
        self.clients.enter(&live);
        self.single.put(Some(live.clone()));
        Ok(live)
    }

    pub(super) fn topics_written(&self) -> Vec<String> {
        self.written().iter().cloned().collect()
    }

    pub(super) fn written(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.written.lock()
    }
}
