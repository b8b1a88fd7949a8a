//! What sweeps commit, on its way to the partition's worker ([`super::worker`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::log::PartitionLogError;
use super::partition::PartitionError;
use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;
use crate::ports::{LedgerEntry, Record};

/// Commits that wait. A tenant has one at a time, so more of them wait only in a partition of many tenants while Kafka is slow.
const QUEUE: usize = 512;
/// The most that one transaction holds, beyond its first commit: a transaction has to be over long before its time limit.
const MOST_RECORDS: usize = 500;
const MOST_ROWS: usize = 2_000;
const MOST_BYTES: usize = 8 << 20;

/// What one tenant commits.
pub(super) struct CommitRequest {
    pub(super) records: Vec<Record>,
    pub(super) entry: LedgerEntry,
    pub(super) reply: oneshot::Sender<Result<(), CommitError>>,
}

/// Why nothing of a commit counts.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Another process has the partition, or nobody knows what is committed. The tenant has to be read again.
    Lost,
    /// Kafka refuses one of its records.
    Refused {
        topic: Arc<str>,
        /// [`Record::size`].
        size: usize,
        /// Nothing but its size is wrong with it.
        oversize: bool,
        failure: Failure,
    },
    /// It was alone in its transaction, which failed.
    Alone(Failure),
}

impl CommitError {
    /// The answer to the commit at this place of a transaction that failed, perhaps because of this commit `alone`.
    pub(super) fn of(error: &PartitionError, place: usize, alone: bool) -> Self {
        match error {
            PartitionError::Refused {
                record,
                oversize,
                failure,
            } if record.commit == place => Self::Refused {
                topic: Arc::clone(&record.topic),
                size: record.size,
                oversize: *oversize,
                failure: failure.clone(),
            },
            PartitionError::Log(
                PartitionLogError::Failed(failure) | PartitionLogError::Refused { failure, .. },
            ) if alone => Self::Alone(failure.clone()),
            _ => Self::Lost,
        }
    }
}

/// What the thread is asked for.
pub(super) enum WorkerRequest {
    Commit(Box<CommitRequest>),
    /// Remove all rows of a tenant.
    Remove(TenantId),
}

/// Where commits go. It stays usable after the worker has ended.
#[derive(Clone)]
pub(super) struct CommitQueue {
    requests: SyncSender<WorkerRequest>,
    /// Cancelled when the worker ends. Its thread may hang, and hold the requests for good.
    stop: CancellationToken,
}

impl CommitQueue {
    pub(super) fn new(stop: CancellationToken) -> (Self, Receiver<WorkerRequest>) {
        let (requests, received) = sync_channel(QUEUE);
        (Self { requests, stop }, received)
    }

    /// Waits until it is committed, or the worker ends.
    pub(super) async fn commit(
        &self,
        records: Vec<Record>,
        entry: LedgerEntry,
    ) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.send(CommitRequest {
            records,
            entry,
            reply,
        })?;
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or(Err(CommitError::Lost)),
            () = self.stop.cancelled() => Err(CommitError::Lost),
        }
    }

    /// # Errors
    /// The worker has ended, or too many commits wait.
    pub(super) fn send(&self, request: CommitRequest) -> Result<(), CommitError> {
        let request = WorkerRequest::Commit(Box::new(request));
        self.requests
            .try_send(request)
            .map_err(|_| CommitError::Lost)
    }

    /// Removes all rows of a tenant. When it is not done, it can be asked for again.
    pub(super) fn remove(&self, tenant: TenantId) {
        let _ = self.requests.try_send(WorkerRequest::Remove(tenant));
    }
}

/// The commits of one transaction: the first, and those that wait behind it and fit. Also the one that does not.
pub(super) fn gather(
    first: CommitRequest,
    requests: &Receiver<WorkerRequest>,
    alone: bool,
) -> (Vec<CommitRequest>, Option<WorkerRequest>) {
    let mut tenants = HashSet::from([first.entry.tenant]);
    let mut load = BatchLoad::default();
    load.add(&first);
    let mut batch = vec![first];
    if alone {
        return (batch, None);
    }
    while let Ok(next) = requests.try_recv() {
        let next = match next {
            WorkerRequest::Commit(next) => *next,
            WorkerRequest::Remove(_) => return (batch, Some(next)),
        };
        load.add(&next);
        if load.is_too_much() || !tenants.insert(next.entry.tenant) {
            return (batch, Some(WorkerRequest::Commit(Box::new(next))));
        }
        batch.push(next);
    }
    (batch, None)
}

#[derive(Default)]
struct BatchLoad {
    records: usize,
    rows: usize,
    bytes: usize,
}

impl BatchLoad {
    fn add(&mut self, request: &CommitRequest) {
        self.records += request.records.len();
        self.rows += request.entry.seen.len() + request.entry.letters.len() + 1;
        self.bytes += request.records.iter().map(Record::size).sum::<usize>();
        let outlines = request.entry.outlines.iter();
        self.bytes += outlines.map(|(_, it)| it.as_bytes().len()).sum::<usize>();
    }

    fn is_too_much(&self) -> bool {
        self.records > MOST_RECORDS || self.rows > MOST_ROWS || self.bytes > MOST_BYTES
    }
}
