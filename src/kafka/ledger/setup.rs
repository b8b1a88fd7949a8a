//! What the clients of one owned partition need to know.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::log::PartitionLogError;
use crate::kafka::connection::Connection;
use crate::settings::KafkaConnection;

/// The coordinator aborts a transaction that is older. It is also how long a record waits for its acknowledgement: a later
/// one would not be committed.
pub(super) const TRANSACTION_LIMIT: Duration = Duration::from_secs(15);
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
    /// Which start of the partition in this process.
    pub(super) epoch: u64,
    /// Shared by all partitions, and by their next owners.
    pub(super) caution: Arc<Caution>,
    /// Set when this owner is to end. Each worker has one of its own.
    pub(super) stop: Arc<AtomicBool>,
}

impl WorkerSetup {
    /// The same for each owner of the partition, on whatever machine: so the next owner fences the last one.
    pub(super) fn transactional_id(&self) -> String {
        format!("{}-{}", self.group, self.partition)
    }

    pub(super) fn number(&self) -> i32 {
        i32::from(self.partition)
    }

    pub(super) fn go_on(&self) -> Result<(), PartitionLogError> {
        match self.stop.load(Ordering::Acquire) {
            true => Err(PartitionLogError::Stopped),
            false => Ok(()),
        }
    }

    pub(super) fn is_careful(&self) -> bool {
        let since = self.caution.0.lock().get(&self.partition).copied();
        since.is_some_and(|since| since.elapsed() < CAREFUL)
    }

    pub(super) fn become_careful(&self) {
        self.caution.0.lock().insert(self.partition, Instant::now());
    }
}

/// Partitions whose records are sent one by one, with one commit in a transaction, and since when.
///
/// Kafka refuses a batch as a whole, and a broker that finds a request too large closes the connection without an answer.
/// Only a record that is alone on its way is known to be the reason.
#[derive(Default)]
pub(super) struct Caution(Mutex<HashMap<u16, Instant>>);
