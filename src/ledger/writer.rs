//! The ledger's one writer thread, and group commit.
//!
//! A durable commit costs a flush of the disk, whatever its size. So all waiting entries are written in one transaction:
//! under load the entries of many tenants share a flush, and a single entry does not wait. An entry's sender gets its answer
//! after the commit that holds the entry.
//!
//! The thread ends when the queue's last sender is gone and everything queued is written. If it ends earlier (a panic), the
//! queue closes, and every further write fails.

use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::core::health::failure::Failure;
use crate::ports::LedgerEntry;

use super::error::StoreError;
use super::store::Store;
use crate::ledger::problem::CurrentProblem;

/// Entries that may wait. Further senders wait for room, so that a slow disk slows the sweeps.
const QUEUE: usize = 1024;

/// Rows after which a transaction takes no further entry, so that its size is limited.
const BATCH_ROWS: usize = 10_000;

pub(super) type Job = Box<dyn FnOnce(&Store) + Send>;

pub(super) enum Request {
    Write {
        entry: LedgerEntry,
        answer: oneshot::Sender<Result<(), Failure>>,
    },
    /// Work of another kind, between two commits.
    Job(Job),
    /// A reader met a broken database.
    Reopen,
    /// Checks that the thread still works.
    Ping { answer: oneshot::Sender<()> },
}

/// The thread, for closing the ledger.
pub(super) struct Writer {
    thread: JoinHandle<()>,
    /// Nothing is ever sent: it closes when the thread is done.
    done: Mutex<Receiver<()>>,
}

impl Writer {
    /// Waits for the thread to end, at most for `limit`. Returns whether it has ended. Blocks.
    pub(super) fn join(self, limit: Duration) -> bool {
        let done = self.done.into_inner();
        if done.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        // A panic there was reported by the panic hook already.
        let _ = self.thread.join();
        true
    }
}

pub(super) fn start(
    store: Arc<Store>,
    problem: Arc<CurrentProblem>,
) -> io::Result<(mpsc::Sender<Request>, Writer)> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (ends, done) = sync_channel(0);
    let thread = std::thread::Builder::new()
        .name("ledger".to_owned())
        .spawn(move || {
            let _ends = ends;
            run(&store, &problem, receiver);
        })?;
    let done = Mutex::new(done);
    Ok((sender, Writer { thread, done }))
}

fn run(store: &Store, problem: &CurrentProblem, mut queue: mpsc::Receiver<Request>) {
    while let Some(first) = queue.blocking_recv() {
        let (batch, job) = gather(first, &mut queue);
        // A reader may have asked for it after another request opened it.
        if !batch.is_empty() || store.is_broken() {
            write_all(store, problem, batch);
        }
        if let Some(job) = job {
            job(store);
        }
    }
}

fn write_all(store: &Store, problem: &CurrentProblem, batch: Writes) {
    let result = commit(store, &batch);
    let answer = match result {
        Ok(()) => {
            problem.clear();
            Ok(())
        }
        Err(error) => Err(problem.note(&error, store.path())),
    };
    for (_, author) in batch {
        // A sender that stopped waiting needs no answer. Its entry is written all the same.
        let _ = author.send(answer.clone());
    }
}

type Writes = Vec<(LedgerEntry, oneshot::Sender<Result<(), Failure>>)>;

/// The entries to write now, and the job to do after them.
fn gather(first: Request, queue: &mut mpsc::Receiver<Request>) -> (Writes, Option<Job>) {
    let mut batch = Writes::new();
    let mut rows = 0;
    let mut next = Some(first);
    while let Some(request) = next {
        match request {
            Request::Write { entry, answer } => {
                rows += entry.seen.len() + entry.letters.len() + 1;
                batch.push((entry, answer));
            }
            Request::Ping { answer } => {
                let _ = answer.send(());
            }
            Request::Job(job) => return (batch, Some(job)),
            Request::Reopen => {}
        }
        next = (rows < BATCH_ROWS).then(|| queue.try_recv().ok()).flatten();
    }
    (batch, None)
}

/// Opens a broken database first, and again after a failed commit, so that reads work as soon as possible: a full disk
/// can still be read.
fn commit(store: &Store, batch: &Writes) -> Result<(), StoreError> {
    if store.is_broken() {
        store.reopen().map_err(StoreError::Redb)?;
    }
    if batch.is_empty() {
        return Ok(());
    }
    let result = store.apply(batch.iter().map(|(entry, _)| entry));
    if result.is_err() {
        // If this fails too, the next request tries again. The commit's error is the one to report.
        let _ = store.reopen();
    }
    result
}
