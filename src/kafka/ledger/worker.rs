//! The thread of one owned partition: it opens the partition's ledger, and then writes what sweeps commit.
//!
//! Commits that wait together go into one transaction. After any error the thread ends, because nobody knows what is
//! committed: the owner starts another one, with another producer, and all tenants of the partition read again.
//!
//! librdkafka's calls block, and a few are known to hang. So nobody waits for this thread: its owner ends it by a flag,
//! and a thread that hangs is left alone. Its producer can do no harm, because the next owner fences it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::log::PartitionLogError;
use super::log_error::{of_row, passing};
use super::memory::PartitionMemory;
use super::partition::{Commit, OpenStep, PartitionError, PartitionLedger};
pub(super) use super::setup::WorkerSetup;
use super::transactional::TransactionalLog;
use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;
use crate::ports::{LedgerEntry, Record};

/// Between two looks at librdkafka's events and at the end, while nothing is to be written.
const IDLE: Duration = Duration::from_millis(100);
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
}

/// News of one start of a partition.
#[derive(Debug)]
pub(super) struct WorkerEvent {
    pub(super) partition: u16,
    pub(super) epoch: u64,
    pub(super) news: WorkerNews,
}

#[derive(Debug)]
pub(super) enum WorkerNews {
    /// No earlier owner can write any more.
    Fenced,
    Progress {
        rows: u64,
        /// The offset of the end.
        end: i64,
    },
    /// The memory is complete, and commits are accepted.
    Restored,
    /// The worker has ended, and another one may work.
    Failed(Failure),
    /// The worker has ended, because another process has the partition.
    TakenOver(String),
}

/// What the thread is asked for.
enum WorkerRequest {
    Commit(CommitRequest),
    /// Remove all rows of a tenant.
    Remove(TenantId),
}

/// Where commits go. It stays usable after the worker has ended.
#[derive(Clone)]
pub(super) struct CommitQueue(SyncSender<WorkerRequest>);

impl CommitQueue {
    /// # Errors
    /// The worker has ended, or too many commits wait.
    pub(super) fn send(&self, request: CommitRequest) -> Result<(), CommitError> {
        let request = WorkerRequest::Commit(request);
        self.0.try_send(request).map_err(|_| CommitError::Lost)
    }

    /// Removes all rows of a tenant. When it is not done, it can be asked for again.
    pub(super) fn remove(&self, tenant: TenantId) {
        let _ = self.0.try_send(WorkerRequest::Remove(tenant));
    }
}

/// Ends its thread when it is dropped.
pub(super) struct Worker {
    memory: Arc<RwLock<PartitionMemory>>,
    commits: CommitQueue,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// # Errors
    /// No thread can be made.
    pub(super) fn start(
        setup: WorkerSetup,
        events: mpsc::Sender<WorkerEvent>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let setup = WorkerSetup {
            stop: Arc::clone(&stop),
            ..setup
        };
        let (sender, requests) = sync_channel(QUEUE);
        let ledger = PartitionLedger::new(TransactionalLog::new(setup.clone()));
        let memory = ledger.memory();
        let name = format!("ledger-{}", setup.partition);
        let thread = WorkerThread {
            setup,
            ledger,
            events,
        };
        std::thread::Builder::new()
            .name(name)
            .spawn(move || thread.run(&requests))?;
        Ok(Self {
            memory,
            commits: CommitQueue(sender),
            stop,
        })
    }

    /// What is committed. Complete once [`WorkerNews::Restored`] has come.
    pub(super) fn memory(&self) -> Arc<RwLock<PartitionMemory>> {
        Arc::clone(&self.memory)
    }

    pub(super) fn commits(&self) -> CommitQueue {
        self.commits.clone()
    }

    /// Lets the thread end, at once or with the next answer from Kafka. Waits for nothing. Commits that are not answered yet
    /// are lost.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

struct WorkerThread {
    setup: WorkerSetup,
    ledger: PartitionLedger<TransactionalLog>,
    events: mpsc::Sender<WorkerEvent>,
}

impl WorkerThread {
    /// What is left in the queue at the end is answered by the drop of its reply.
    fn run(mut self, requests: &Receiver<WorkerRequest>) {
        let ended = self.open().and_then(|()| self.serve(requests));
        let Err(error) = ended else {
            return;
        };
        match self.end_of(error) {
            Some(news) => self.report(news),
            None => {
                tracing::debug!(target: "incidentd::kafka", partition = self.setup.partition, "a partition of the ledger ends")
            }
        }
    }

    fn open(&mut self) -> Result<(), PartitionError> {
        let stop = Arc::clone(&self.setup.stop);
        let (setup, events) = (&self.setup, &self.events);
        let mut progress = |step| {
            let news = match step {
                OpenStep::Fenced => WorkerNews::Fenced,
                OpenStep::Read { rows, end } => WorkerNews::Progress { rows, end },
                OpenStep::Open => WorkerNews::Restored,
                OpenStep::End(_) | OpenStep::Undecided | OpenStep::Decided => return,
            };
            report(setup, events, news);
        };
        self.ledger
            .open(&|| stop.load(Ordering::Acquire), &mut progress)
    }

    fn serve(&mut self, requests: &Receiver<WorkerRequest>) -> Result<(), PartitionError> {
        let mut left = None;
        loop {
            self.setup.go_on()?;
            let first = match left.take() {
                Some(request) => request,
                None => match requests.recv_timeout(IDLE) {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => {
                        self.ledger.log().idle(Duration::from_millis(1))?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
            };
            match first {
                WorkerRequest::Commit(first) => {
                    let batch;
                    (batch, left) = gather(first, requests, self.setup.is_careful());
                    self.write(batch)?;
                }
                WorkerRequest::Remove(tenant) => {
                    let stop = Arc::clone(&self.setup.stop);
                    self.ledger
                        .remove(tenant, &|| stop.load(Ordering::Acquire))?;
                }
            }
        }
    }

    /// Writes one transaction, and answers its commits.
    fn write(&mut self, batch: Vec<CommitRequest>) -> Result<(), PartitionError> {
        let (mut commits, mut replies) = (Vec::new(), Vec::new());
        for CommitRequest {
            records,
            entry,
            reply,
        } in batch
        {
            commits.push(Commit { records, entry });
            replies.push(reply);
        }
        let stop = Arc::clone(&self.setup.stop);
        let written = self
            .ledger
            .commit(commits, &|| stop.load(Ordering::Acquire));
        if written.is_ok() {
            self.setup.kafka.answered();
        }
        for (place, reply) in replies.into_iter().enumerate() {
            let answer = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(CommitError::of(error, place)),
            };
            // The sweep may have ended.
            let _ = reply.send(answer);
        }
        written
    }

    /// `None`: the end was asked for.
    fn end_of(&self, error: PartitionError) -> Option<WorkerNews> {
        let log_error = match error {
            PartitionError::Log(error) => error,
            PartitionError::Row(error) => of_row(&self.setup, &error),
            PartitionError::Refused { failure, .. } => PartitionLogError::Failed(failure),
            PartitionError::NotOpen => {
                passing("a partition of the ledger was used before it was open")
            }
        };
        match log_error {
            PartitionLogError::Stopped => None,
            PartitionLogError::Fenced(why) => Some(WorkerNews::TakenOver(why)),
            PartitionLogError::Failed(failure) | PartitionLogError::Refused { failure, .. } => {
                Some(WorkerNews::Failed(failure))
            }
        }
    }

    fn report(&self, news: WorkerNews) {
        report(&self.setup, &self.events, news);
    }
}

impl CommitError {
    /// The answer to the commit at this place of a transaction that failed.
    fn of(error: &PartitionError, place: usize) -> Self {
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
            _ => Self::Lost,
        }
    }
}

fn report(setup: &WorkerSetup, events: &mpsc::Sender<WorkerEvent>, news: WorkerNews) {
    // Fails only when the owner has ended.
    let _ = events.blocking_send(WorkerEvent {
        partition: setup.partition,
        epoch: setup.epoch,
        news,
    });
}

/// The commits of one transaction: the first, and those that wait behind it and fit. Also the one that does not.
fn gather(
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
            WorkerRequest::Commit(next) => next,
            WorkerRequest::Remove(_) => return (batch, Some(next)),
        };
        load.add(&next);
        if load.is_too_much() || !tenants.insert(next.entry.tenant) {
            return (batch, Some(WorkerRequest::Commit(next)));
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
    }

    fn is_too_much(&self) -> bool {
        self.records > MOST_RECORDS || self.rows > MOST_ROWS || self.bytes > MOST_BYTES
    }
}
