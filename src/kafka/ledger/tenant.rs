//! One tenant's ledger, as a sweep reads and writes it.
//!
//! Reads come from the partition's memory and take no time. A commit waits for its transaction. When this process no longer
//! has the partition, or has started it again, everything fails as fenced: nothing is wrong with the tenant.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::memory::PartitionMemory;
use super::owned::{Owned, OwnedPartition};
use super::worker::{CommitError, CommitRequest};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::ownership::partition_of;
use crate::core::sweep::cursor::TenantState;
use crate::kafka::KafkaPublisher;
use crate::kafka::connection::Connection;
use crate::ports::{LedgerEntry, Record, TenantLedger};
use crate::settings::KafkaConnection;

/// How long a topic that refused a record gets no other: each would abort a transaction of several tenants.
const DENIED: Duration = Duration::from_secs(30);

/// What all tenants share.
pub(super) struct TenantAccess {
    partitions: u16,
    /// Knows topics and limits, and its connection shows whether Kafka is there.
    publisher: Arc<KafkaPublisher>,
    pub(super) owned: Arc<Owned>,
    denied: Mutex<HashMap<Arc<str>, (Failure, Instant)>>,
}

impl TenantAccess {
    pub(super) fn new(partitions: u16, publisher: Arc<KafkaPublisher>) -> Self {
        Self {
            partitions,
            publisher,
            owned: Arc::default(),
            denied: Mutex::default(),
        }
    }

    pub(super) async fn accepts(&self, topic: &Arc<str>) -> Result<(), Failure> {
        let denial = {
            let mut denied = self.denied.lock();
            denied.retain(|_, (_, since)| since.elapsed() < DENIED);
            denied.get(topic).map(|(failure, _)| failure.clone())
        };
        match denial {
            Some(failure) => Err(failure),
            None => {
                let KafkaPublisher {
                    topics, producers, ..
                } = &*self.publisher;
                topics.wait_for(topic, producers).await
            }
        }
    }

    /// The largest record that the topic accepts for certain.
    pub(super) async fn limit(&self, topic: &str) -> usize {
        let producers = &self.publisher.producers;
        producers.prepare().await;
        let (options, connection) = (&producers.options, &producers.connection);
        producers.limits.of(topic, options, connection).await
    }

    /// What other clients of the same Kafka need: the settings, and the state that they share.
    pub(super) fn client_parts(&self) -> (KafkaConnection, Arc<Connection>) {
        let producers = &self.publisher.producers;
        (producers.options.clone(), producers.connection.clone())
    }

    /// Takes note of a record that aborted a transaction, so that the next ones leave it out or split it.
    async fn learn(&self, topic: Arc<str>, size: usize, oversize: bool, failure: &Failure) {
        if oversize {
            let limits = &self.publisher.producers.limits;
            limits.forget(&topic);
            // A limit that Kafka shows needs no lesson: that would hold for all topics, and when the limit is raised, too.
            if size <= self.limit(&topic).await {
                limits.learn(size);
            }
            return;
        }
        self.publisher.topics.forget(&topic);
        let denial = (failure.clone(), Instant::now());
        self.denied.lock().insert(topic, denial);
    }
}

pub(super) struct KafkaTenantLedger {
    access: Arc<TenantAccess>,
    tenant: TenantId,
    partition: u16,
    found: OwnedPartition,
}

impl KafkaTenantLedger {
    pub(super) fn open(access: Arc<TenantAccess>, tenant: TenantId) -> Result<Self, Failure> {
        let partition = partition_of(tenant, access.partitions);
        Ok(Self {
            found: access.owned.get(partition).ok_or_else(lost)?,
            access,
            tenant,
            partition,
        })
    }

    fn read<T>(&self, read: impl FnOnce(&PartitionMemory) -> T) -> Result<T, Failure> {
        if !self
            .access
            .owned
            .is_current(self.partition, self.found.epoch)
        {
            return Err(lost());
        }
        Ok(read(&self.found.memory.read()))
    }

    async fn write(&self, records: Vec<Record>, entry: LedgerEntry) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let request = CommitRequest {
            records,
            entry,
            reply,
        };
        if self.found.commits.send(request).is_err() {
            return Err(lost());
        }
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(CommitError::Lost)) | Err(_) => Err(lost()),
            Ok(Err(CommitError::Refused {
                topic,
                size,
                oversize,
                failure,
            })) => {
                self.access.learn(topic, size, oversize, &failure).await;
                Err(failure)
            }
        }
    }
}

impl TenantLedger for KafkaTenantLedger {
    fn state(&self) -> Result<Option<TenantState>, Failure> {
        self.read(|memory| memory.state(self.tenant))
    }

    fn known(&self, ids: &[IncidentId]) -> Result<Vec<Option<Seen>>, Failure> {
        self.read(|memory| memory.known(self.tenant, ids))
    }

    fn letters(&self) -> Result<Vec<(ContentHash, Letter)>, Failure> {
        self.read(|memory| memory.letters(self.tenant))
    }

    fn commit(
        &self,
        records: Vec<Record>,
        entry: LedgerEntry,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.write(records, entry).boxed()
    }
}

fn lost() -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Fenced,
        "this process does not have the tenant now",
        "nothing to do: the process that has it reads it from its cursor",
    )
}
