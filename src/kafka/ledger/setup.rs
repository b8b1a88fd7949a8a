//! What the clients of one owned partition need to know.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::PartitionLogError;
use crate::kafka::connection::Connection;
use crate::settings::KafkaConnection;

/// The coordinator aborts a transaction that is older. It is also how long a record waits for its acknowledgement: a later
/// one would not be committed.
pub(super) const TRANSACTION_LIMIT: Duration = Duration::from_secs(15);
/// Failed transactions of a partition before it is careful. A single one has many reasons that are not in it.
const SUSPICIONS: u32 = 2;
/// How long a partition stays careful. A setting may have changed by then, and the record has found its way.
const CAREFUL: Duration = Duration::from_secs(5 * 60);

/// One partition of the ledger's topic, for one of its owners.
#[derive(Clone)]
pub(super) struct WorkerSetup {
    pub(super) connection: KafkaConnection,
    /// The state of Kafka, shared by all clients.
    pub(super) kafka: Arc<Connection>,
    /// The ledger's topic.
    pub(super) topic: Arc<str>,
    /// The consumer group that assigns the partitions.
    pub(super) group: Arc<str>,
    pub(super) partition: u16,
    /// How many partitions the ledger has.
    pub(super) count: u16,
    /// Which start of the partition in this process.
    pub(super) epoch: u64,
    /// Shared by all partitions, and by their next owners.
    pub(super) caution: Arc<Caution>,
    /// Cancelled when this owner is to end. Each worker has one of its own.
    pub(super) stop: CancellationToken,
    /// Counts the steps between two calls of librdkafka. Each worker has one of its own.
    pub(super) steps: Arc<AtomicU64>,
}

impl WorkerSetup {
    /// The same for each owner of the partition, on whatever machine: so the next owner fences the last one.
    pub(super) fn transactional_id(&self) -> String {
        format!("{}-{}", self.group, self.partition)
    }

    pub(super) fn partition(&self, partition: u16) -> Self {
        Self {
            partition,
            ..self.clone()
        }
    }

    pub(super) fn number(&self) -> i32 {
        i32::from(self.partition)
    }

    /// Counts a step. An error when this owner is to end.
    pub(super) fn go_on(&self) -> Result<(), PartitionLogError> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        match self.stop.is_cancelled() {
            true => Err(PartitionLogError::Stopped),
            false => Ok(()),
        }
    }

    pub(super) fn is_careful(&self) -> bool {
        let suspicions = self.caution.0.lock().get(&self.partition).copied();
        suspicions.is_some_and(|it| it.count >= SUSPICIONS && it.last.elapsed() < CAREFUL)
    }

    /// Something that a transaction holds is certainly the reason of its failure.
    pub(super) fn become_careful(&self) {
        self.suspect(SUSPICIONS);
    }

    /// A transaction failed while Kafka was there. Something that it holds may be the reason.
    pub(super) fn transaction_failed(&self) {
        self.suspect(1);
    }

    fn suspect(&self, more: u32) {
        let mut caution = self.caution.0.lock();
        let known = caution.get(&self.partition).copied();
        let known = known.filter(|it| it.last.elapsed() < CAREFUL);
        let count = known.map_or(0, |it| it.count).saturating_add(more);
        let last = Instant::now();
        caution.insert(self.partition, Suspicions { count, last });
    }
}

/// Partitions whose transactions failed a short while ago. After [`SUSPICIONS`] their records are sent one by one, with one
/// commit in a transaction.
///
/// Kafka refuses a batch as a whole, a broker that finds a request too large closes the connection without an answer, and many
/// errors name no record. Only what is alone on its way is known to be the reason.
#[derive(Default)]
pub(super) struct Caution(Mutex<HashMap<u16, Suspicions>>);

#[derive(Clone, Copy)]
struct Suspicions {
    count: u32,
    last: Instant,
}
