//! One partition of the ledger's topic, as its owner uses it: a log with one writer, and transactions.
//!
//! The order of these calls makes "exactly once" ([`super::partition`]); this trait only says what each of them does. Kafka
//! implements it ([`super::transactional`]), and so does the model that the tests use, which can interleave several owners
//! at every call.

use std::sync::Arc;

use crate::core::health::failure::Failure;
use crate::core::incident::outline::PackedOutline;
use crate::ports::Record;

/// A row of the ledger's topic. Compaction keeps the last row of each key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    /// `None` removes the key (a tombstone).
    pub(super) value: Option<Vec<u8>>,
    /// Of a version: the header with its outline.
    pub(super) outline: Option<PackedOutline>,
}

/// What a transaction writes, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A record for consumers, into its own topic.
    Record(Arc<Record>),
    /// A row of this partition.
    Row(Row),
}

/// Each call may take as long as one request to Kafka, and blocks.
pub(super) trait PartitionLog {
    /// Makes this the only writer of the partition: every open transaction of an earlier owner is decided when it returns,
    /// and every later write of an earlier owner is refused. Only the process to which the consumer group has assigned the
    /// partition may call it: the last caller wins.
    fn fence(&mut self) -> Result<(), PartitionLogError>;

    /// The offset after the last row, open transactions included.
    fn end(&mut self) -> Result<i64, PartitionLogError>;

    /// The offset up to which every transaction is decided. A reader of committed rows gets no further.
    fn stable_end(&mut self) -> Result<i64, PartitionLogError>;

    /// The next committed rows, from the first row on; none if none came for a moment. `None` once all rows are read that
    /// were committed before the fence. A call after a fence begins at the first row.
    fn read(&mut self) -> Result<Option<Vec<Row>>, PartitionLogError>;

    fn begin(&mut self) -> Result<(), PartitionLogError>;

    /// Adds to the open transaction. It may be sent later.
    fn add(&mut self, entry: Entry) -> Result<(), PartitionLogError>;

    /// Waits until all of the open transaction has arrived, and commits it. After any error nobody knows whether it was
    /// committed: only a fence and a restore show it.
    fn commit(&mut self) -> Result<(), PartitionLogError>;
}

/// Why the log can't go on. Whatever it is, the producer can't be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartitionLogError {
    /// Another owner has fenced this one, or Kafka has given up this one's transaction.
    #[error("another owner of the partition took over: {0}")]
    Fenced(String),
    /// Kafka refuses one entry of the transaction, by its place in the order of [`PartitionLog::add`].
    #[error("Kafka refuses a record: {failure}")]
    Refused {
        entry: usize,
        oversize: bool,
        failure: Failure,
    },
    /// Kafka is away, slow or forbids it.
    #[error("{0}")]
    Failed(Failure),
    /// The process or the assignment ends.
    #[error("stopped")]
    Stopped,
}
