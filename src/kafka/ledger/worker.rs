//! The thread of one owned partition: it opens the partition's ledger, and then writes what sweeps commit.
//!
//! Commits that wait together go into one transaction. After any error the thread ends, because nobody knows what is
//! committed: the owner starts another one, with another producer, and all tenants of the partition read again.
//!
//! librdkafka's calls block, and a few are known to hang. So nobody waits for this thread: its owner ends it by a token,
//! and a thread that hangs is left alone ([`super::workers`]). Its producer can do no harm, because the next owner fences it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::commits::{CommitError, CommitQueue, CommitRequest, WorkerRequest, gather};
use super::log::PartitionLogError;
use super::log_error::{held_up, of_row, passing};
use super::memory::PartitionMemory;
use super::partition::{Commit, OpenStep, PartitionError, PartitionLedger};
use super::rows::RowError;
pub(super) use super::setup::WorkerSetup;
use super::transactional::TransactionalLog;
use crate::core::health::failure::{Failure, Health};
use crate::core::health::status::PartState;

/// Between two looks at librdkafka's events and at the end, while nothing is to be written.
const IDLE: Duration = Duration::from_millis(100);

/// A restore that waits for longer says what for. A dead owner's transaction is decided before.
const HELD_UP: Duration = Duration::from_secs(20);

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
    /// Rows of another writer are not decided yet.
    HeldUp(Failure),
    /// The worker has ended, and another one may work.
    Failed(Failure),
    /// The worker has ended, and no other may use the topic.
    Unfit(Failure),
    /// The worker has ended, because another process has the partition.
    TakenOver(String),
}

/// Ends its thread when it is dropped.
pub(super) struct Worker {
    memory: Arc<RwLock<PartitionMemory>>,
    commits: CommitQueue,
    stop: CancellationToken,
    /// [`WorkerSetup::steps`].
    steps: Arc<AtomicU64>,
    /// The steps at the last look, and how many looks in a row have found no other.
    looked: (u64, u32),
}

impl Worker {
    /// # Errors
    /// No thread can be made.
    pub(super) fn start(
        setup: WorkerSetup,
        events: mpsc::Sender<WorkerEvent>,
    ) -> std::io::Result<Self> {
        let (stop, steps) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let setup = WorkerSetup {
            stop: stop.clone(),
            steps: Arc::clone(&steps),
            ..setup
        };
        let (commits, requests) = CommitQueue::new(stop.clone());
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
            commits,
            stop,
            steps,
            looked: (0, 0),
        })
    }

    /// What is committed. Complete once [`WorkerNews::Restored`] has come.
    pub(super) fn memory(&self) -> Arc<RwLock<PartitionMemory>> {
        Arc::clone(&self.memory)
    }

    pub(super) fn commits(&self) -> CommitQueue {
        self.commits.clone()
    }

    /// Looks at the thread. Returns how many looks in a row, this one included, have found no step since the one before.
    pub(super) fn look(&mut self) -> u32 {
        let (steps, looks) = self.looked;
        let now = self.steps.load(Ordering::Relaxed);
        self.looked = (now, if now == steps { looks + 1 } else { 0 });
        self.looked.1
    }

    /// Is gone once the thread has ended and this is dropped.
    pub(super) fn thread(&self) -> Weak<AtomicU64> {
        Arc::downgrade(&self.steps)
    }
}

impl Drop for Worker {
    /// Lets the thread end, at once or with the next answer from Kafka. Waits for nothing. Commits that are not answered yet
    /// are lost.
    fn drop(&mut self) {
        self.stop.cancel();
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
        let (setup, events) = (&self.setup, &self.events);
        let (began, mut is_told) = (Instant::now(), false);
        let mut progress = |step| {
            let news = match step {
                OpenStep::Undecided if !is_told && began.elapsed() > HELD_UP => {
                    is_told = true;
                    WorkerNews::HeldUp(held_up(setup))
                }
                OpenStep::Fenced => WorkerNews::Fenced,
                OpenStep::Read { rows, end } => WorkerNews::Progress { rows, end },
                OpenStep::Open | OpenStep::End(_) | OpenStep::Undecided | OpenStep::Decided => {
                    return;
                }
            };
            report(setup, events, news);
        };
        let stop = || setup.go_on().is_err();
        self.ledger.open(&stop, &mut progress)?;
        if setup.partition == 0 {
            self.ledger.pin(setup.count, &stop)?;
        }
        self.report(WorkerNews::Restored);
        Ok(())
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
                        self.ledger.log().idle()?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
            };
            match first {
                WorkerRequest::Commit(first) => {
                    let is_careful = self.setup.is_careful();
                    let batch;
                    (batch, left) = gather(*first, requests, is_careful);
                    self.write(batch, is_careful)?;
                }
                WorkerRequest::Remove(tenant) => {
                    let setup = &self.setup;
                    self.ledger.remove(tenant, &|| setup.go_on().is_err())?;
                }
            }
        }
    }

    /// Writes one transaction, and answers its commits. `is_careful`: it has one commit, because others failed before it.
    fn write(&mut self, batch: Vec<CommitRequest>, is_careful: bool) -> Result<(), PartitionError> {
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
        let setup = &self.setup;
        let written = self.ledger.commit(commits, &|| setup.go_on().is_err());
        let is_suspect = match &written {
            Ok(()) => {
                self.setup.kafka.answered();
                false
            }
            Err(error) => self.is_suspect(error),
        };
        if is_suspect {
            self.setup.transaction_failed();
        }
        for (place, reply) in replies.into_iter().enumerate() {
            let answer = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(CommitError::of(error, place, is_suspect && is_careful)),
            };
            // The sweep may have ended.
            let _ = reply.send(answer);
        }
        written
    }

    /// Whether something in the transaction may be the reason of its failure.
    fn is_suspect(&self, error: &PartitionError) -> bool {
        let is_there = self.setup.kafka.state().state == PartState::Ok;
        match error {
            PartitionError::Refused { .. }
            | PartitionError::Log(PartitionLogError::Refused { .. }) => is_there,
            // What an operator has to mend for all tenants is nobody's fault.
            PartitionError::Log(PartitionLogError::Failed(failure)) => {
                is_there && failure.health == Health::Unreachable
            }
            PartitionError::Log(_) | PartitionError::Row(_) | PartitionError::NotOpen => false,
        }
    }

    /// `None`: the end was asked for.
    fn end_of(&self, error: PartitionError) -> Option<WorkerNews> {
        let is_unfit = matches!(&error, PartitionError::Row(RowError::Partitions { .. }));
        let log_error = match error {
            PartitionError::Log(error) => error,
            PartitionError::Row(error) => of_row(&self.setup, &error),
            PartitionError::Refused { failure, .. } => PartitionLogError::Failed(failure),
            PartitionError::NotOpen => {
                passing("a partition of the ledger was used before it was open")
            }
        };
        match log_error {
            PartitionLogError::Failed(failure) if is_unfit => Some(WorkerNews::Unfit(failure)),
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

fn report(setup: &WorkerSetup, events: &mpsc::Sender<WorkerEvent>, news: WorkerNews) {
    // Fails only when the owner has ended.
    let _ = events.blocking_send(WorkerEvent {
        partition: setup.partition,
        epoch: setup.epoch,
        news,
    });
}
