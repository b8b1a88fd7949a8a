//! One tenant's ledger, as a sweep reads and writes it.
//!
//! Reads come from the partition's memory and take no time. A commit waits for its transaction. When this process no longer
//! has the partition, or has started it again, everything fails as fenced: nothing is wrong with the tenant.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::commits::CommitError;
use super::memory::PartitionMemory;
use super::owned::{Owned, OwnedPartition};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::ownership::partition_of;
use crate::core::sweep::cursor::TenantState;
use crate::kafka::KafkaPublisher;
use crate::kafka::connection::Connection;
use crate::ports::{LedgerEntry, Record, TenantLedger};
use crate::settings::KafkaConnection;

/// How long a topic that refused a record gets no other, and a tenant whose commit failed alone commits nothing: the first time,
/// and the longest. Each try may abort a transaction of several tenants, and ends the epoch of their partition.
const HOLD: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5 * 60));
/// After this time without another refusal, the next one counts as the first.
const CALM: Duration = Duration::from_secs(10 * 60);

/// What to do when nothing names the reason.
const ALONE: &str = "look into the brokers' logs, and at the settings of the tenant's topic (min.insync.replicas, and others for which a \
     record is refused); it is tried again, and other tenants go on";

/// What all tenants share.
pub(super) struct TenantAccess {
    partitions: u16,
    /// Knows topics and limits, and its connection shows whether Kafka is there.
    publisher: Arc<KafkaPublisher>,
    pub(super) owned: Arc<Owned>,
    denied: Holds<Arc<str>>,
    held: Holds<TenantId>,
}

/// What is not tried again for a while, and why.
struct Holds<K>(Mutex<HashMap<K, Hold>>);

struct Hold {
    failure: Failure,
    /// Refusals in a row.
    count: u32,
    until: Instant,
}

impl<K: Eq + Hash> Holds<K> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// The failure for which it is not tried now.
    fn check(&self, key: &K) -> Result<(), Failure> {
        let mut holds = self.0.lock();
        let now = Instant::now();
        holds.retain(|_, hold| now < hold.until + CALM);
        match holds.get(key) {
            Some(hold) if now < hold.until => Err(hold.failure.clone()),
            _ => Ok(()),
        }
    }

    fn hold(&self, key: K, failure: Failure) {
        let mut holds = self.0.lock();
        let count = holds.get(&key).map_or(0, |hold| hold.count);
        let (first, longest) = HOLD;
        let pause = longest.min(first * 2_u32.saturating_pow(count));
        let hold = Hold {
            failure,
            count: count.saturating_add(1),
            until: Instant::now() + pause,
        };
        holds.insert(key, hold);
    }

    fn forget(&self, key: &K) {
        self.0.lock().remove(key);
    }
}

impl TenantAccess {
    pub(super) fn new(partitions: u16, publisher: Arc<KafkaPublisher>) -> Self {
        Self {
            partitions,
            publisher,
            owned: Arc::default(),
            denied: Holds::new(),
            held: Holds::new(),
        }
    }

    pub(super) async fn accepts(&self, topic: &Arc<str>) -> Result<(), Failure> {
        self.denied.check(topic)?;
        let KafkaPublisher {
            topics, producers, ..
        } = &*self.publisher;
        topics.wait_for(topic, producers).await
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
        self.denied.hold(topic, failure.clone());
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
        self.access.held.check(&self.tenant)?;
        match self.found.commits.commit(records, entry).await {
            Ok(()) => {
                self.access.held.forget(&self.tenant);
                Ok(())
            }
            Err(CommitError::Lost) => Err(lost()),
            Err(CommitError::Alone(failure)) => {
                let failure = alone(&failure);
                self.access.held.hold(self.tenant, failure.clone());
                Err(failure)
            }
            Err(CommitError::Refused {
                topic,
                size,
                oversize,
                failure,
            }) => {
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

    fn outlines(&self, ids: &[IncidentId]) -> Result<Vec<Option<PackedOutline>>, Failure> {
        self.read(|memory| memory.outlines(self.tenant, ids))
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

/// A commit that failed alone in its transaction, while Kafka was there and after others had failed.
pub(super) fn alone(failure: &Failure) -> Failure {
    let remedy = match failure.reaction {
        // It names no reason.
        Reaction::Backoff => ALONE,
        _ => &*failure.remedy,
    };
    Failure::new(
        Health::Misconfigured,
        Reaction::Wait(HOLD.0),
        format!(
            "Kafka takes nothing that this tenant commits, also alone in a transaction: {failure}"
        ),
        remedy,
    )
}

fn lost() -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Fenced,
        "this process does not have the tenant now",
        "nothing to do: the process that has it reads it from its cursor",
    )
}
