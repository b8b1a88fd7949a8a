//! [`PartitionLedger`]: the protocol that makes "exactly once", over any [`PartitionLog`].
//!
//! **Opening**, in this order:
//! 1. Fence. Then no earlier owner can commit anything. A restore before the fence could miss what an earlier owner commits in
//!    between, which would be published again.
//! 2. Ask for the end, open transactions included. The end of what is decided is too early: rows after it may be committed, too.
//! 3. Wait until everything up to this end is decided. A reader of committed rows stops at the first undecided one.
//! 4. Read until the log has no more rows. An offset does not say when: control markers have offsets, and are never read.
//!
//! **Writing** is one transaction for the commits of several tenants. The memory changes once it is committed, and not before:
//! what is in the memory counts as published.
//!
//! **Any error** ends the ledger for good, because nobody knows whether the transaction is committed. The partition needs
//! another `PartitionLedger` with another producer, which fences and restores. With the same producer, a late request could get
//! into a later transaction.
//!
//! Each step makes one call of the log, so that the tests can do anything between two of them (`model`).

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;

use super::log::{Entry, PartitionLog, PartitionLogError};
use super::memory::{MemoryChange, PartitionMemory};
use super::rows::RowError;
use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;
use crate::ports::{LedgerEntry, Record};

/// The pauses between two looks at the stable end: the first, and the longest. A writer that is not an owner may leave a
/// transaction open for as long as it likes.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What one tenant writes: all or nothing.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) records: Vec<Record>,
    pub(super) entry: LedgerEntry,
}

/// Why the ledger can't go on. Another one with another producer has to replace it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartitionError {
    #[error(transparent)]
    Log(#[from] PartitionLogError),
    #[error(transparent)]
    Row(#[from] RowError),
    /// A record of one commit is refused, and so is the transaction with all others.
    #[error("Kafka refuses a record for the topic {}: {failure}", record.topic)]
    Refused {
        record: Box<RefusedRecord>,
        oversize: bool,
        failure: Failure,
    },
    #[error("the partition is not open, or an earlier step of it failed")]
    NotOpen,
}

/// Which record was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedRecord {
    /// The place of its commit in the transaction.
    pub(super) commit: usize,
    pub(super) topic: Arc<str>,
    /// [`Record::size`].
    pub(super) size: usize,
}

/// What a step of opening has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenStep {
    Fenced,
    /// The end up to which rows are to be read.
    End(i64),
    /// Transactions before the end are not decided yet. Look again after a pause.
    Undecided,
    Decided,
    /// The rows read so far.
    Read {
        rows: u64,
        end: i64,
    },
    Open,
}

/// What a step of a transaction has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteStep {
    Begun,
    Added,
    Committed,
}

#[derive(Debug)]
enum Stage {
    New,
    Fenced,
    Waiting {
        end: i64,
    },
    Reading {
        end: i64,
        rows: u64,
        memory: PartitionMemory,
    },
    Open,
    Writing(PendingTransaction),
    /// A step failed.
    Failed,
}

#[derive(Debug)]
struct PendingTransaction {
    begun: bool,
    records: Vec<RefusedRecord>,
    /// What is still to be added.
    entries: std::vec::IntoIter<Entry>,
    change: MemoryChange,
}

/// See the module's documentation.
pub(super) struct PartitionLedger<L> {
    log: L,
    stage: Stage,
    memory: Arc<RwLock<PartitionMemory>>,
}

impl<L: PartitionLog> PartitionLedger<L> {
    pub(super) fn new(log: L) -> Self {
        Self {
            log,
            stage: Stage::New,
            memory: Arc::default(),
        }
    }

    pub(super) fn log(&self) -> &L {
        &self.log
    }

    /// What is committed. It is empty until the ledger is open.
    pub(super) fn memory(&self) -> Arc<RwLock<PartitionMemory>> {
        self.memory.clone()
    }

    /// Opens the ledger, step by step. Between two steps it asks whether to `stop`.
    pub(super) fn open(
        &mut self,
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(OpenStep),
    ) -> Result<(), PartitionError> {
        let (mut pause, longest) = LOOK_AGAIN;
        while !stop() {
            let step = self.open_step()?;
            progress(step);
            match step {
                OpenStep::Open => return Ok(()),
                OpenStep::Undecided => {
                    thread::park_timeout(pause);
                    pause = longest.min(pause * 2);
                }
                _ => {}
            }
        }
        Err(PartitionLogError::Stopped.into())
    }

    pub(super) fn open_step(&mut self) -> Result<OpenStep, PartitionError> {
        // It stays failed unless the step succeeds.
        let (stage, step) = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::New => {
                self.log.fence()?;
                (Stage::Fenced, OpenStep::Fenced)
            }
            Stage::Fenced => {
                let end = self.log.end()?;
                (Stage::Waiting { end }, OpenStep::End(end))
            }
            Stage::Waiting { end } if self.log.stable_end()? < end => {
                (Stage::Waiting { end }, OpenStep::Undecided)
            }
            Stage::Waiting { end } => {
                let (rows, memory) = (0, PartitionMemory::default());
                (Stage::Reading { end, rows, memory }, OpenStep::Decided)
            }
            Stage::Reading {
                end,
                mut rows,
                mut memory,
            } => match self.log.read()? {
                Some(read) => {
                    for row in &read {
                        memory.apply(row)?;
                    }
                    rows += read.len() as u64;
                    (
                        Stage::Reading { end, rows, memory },
                        OpenStep::Read { rows, end },
                    )
                }
                None => {
                    *self.memory.write() = memory;
                    (Stage::Open, OpenStep::Open)
                }
            },
            Stage::Open | Stage::Writing(_) | Stage::Failed => return Err(PartitionError::NotOpen),
        };
        self.stage = stage;
        Ok(step)
    }

    /// Writes commits of different tenants in one transaction. Between two steps it asks whether to `stop`; after a stop nobody
    /// knows what is committed.
    pub(super) fn commit(
        &mut self,
        commits: Vec<Commit>,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), PartitionError> {
        let written = self.write(commits)?;
        self.finish(written, stop)
    }

    /// Removes all rows of a tenant, in transactions of bounded size.
    pub(super) fn remove(
        &mut self,
        tenant: TenantId,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), PartitionError> {
        loop {
            let change = self.memory.read().removal(tenant);
            if self.begin(Vec::new(), Vec::new(), change)? {
                return Ok(());
            }
            self.finish(false, stop)?;
        }
    }

    /// Writes down with how many partitions the ledger is written, before anything else is.
    ///
    /// # Errors
    /// It is written with another number.
    pub(super) fn pin(
        &mut self,
        count: u16,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), PartitionError> {
        let change = self.memory.read().pin(count)?;
        let is_known = self.begin(Vec::new(), Vec::new(), change)?;
        self.finish(is_known, stop)
    }

    /// Does the steps of a transaction that is not `written` yet.
    fn finish(&mut self, mut written: bool, stop: &dyn Fn() -> bool) -> Result<(), PartitionError> {
        while !written {
            if stop() {
                self.stage = Stage::Failed;
                return Err(PartitionLogError::Stopped.into());
            }
            written = self.write_step()? == WriteStep::Committed;
        }
        Ok(())
    }

    /// Takes commits of different tenants for the next transaction, and makes no call. Returns whether there is nothing to
    /// write: a transaction without entries is not begun.
    pub(super) fn write(&mut self, commits: Vec<Commit>) -> Result<bool, PartitionError> {
        let change = self
            .memory
            .read()
            .change(commits.iter().map(|commit| &commit.entry));
        let (mut records, mut entries) = (Vec::new(), Vec::new());
        for (commit, of) in commits.into_iter().zip(0..) {
            for record in commit.records {
                records.push(RefusedRecord {
                    commit: of,
                    topic: record.topic.clone(),
                    size: record.size(),
                });
                entries.push(Entry::Record(Arc::new(record)));
            }
        }
        self.begin(records, entries, change)
    }

    fn begin(
        &mut self,
        records: Vec<RefusedRecord>,
        mut entries: Vec<Entry>,
        change: MemoryChange,
    ) -> Result<bool, PartitionError> {
        if !matches!(self.stage, Stage::Open) {
            return Err(PartitionError::NotOpen);
        }
        entries.extend(change.rows().map(Entry::Row));
        let nothing = entries.is_empty();
        if nothing {
            self.memory.write().accept(change);
        } else {
            self.stage = Stage::Writing(PendingTransaction {
                begun: false,
                records,
                entries: entries.into_iter(),
                change,
            });
        }
        Ok(nothing)
    }

    pub(super) fn write_step(&mut self) -> Result<WriteStep, PartitionError> {
        let Stage::Writing(mut transaction) = std::mem::replace(&mut self.stage, Stage::Failed)
        else {
            return Err(PartitionError::NotOpen);
        };
        if !transaction.begun {
            self.log.begin()?;
            transaction.begun = true;
            self.stage = Stage::Writing(transaction);
            return Ok(WriteStep::Begun);
        }
        if let Some(entry) = transaction.entries.next() {
            let added = self.log.add(entry);
            added.map_err(|error| transaction.refusal(error))?;
            self.stage = Stage::Writing(transaction);
            return Ok(WriteStep::Added);
        }
        let committed = self.log.commit();
        committed.map_err(|error| transaction.refusal(error))?;
        self.memory.write().accept(transaction.change);
        self.stage = Stage::Open;
        Ok(WriteStep::Committed)
    }
}

impl PendingTransaction {
    /// The error with the record that it is about.
    fn refusal(&self, error: PartitionLogError) -> PartitionError {
        match error {
            PartitionLogError::Refused {
                entry,
                oversize,
                failure,
            } => match self.records.get(entry) {
                Some(record) => PartitionError::Refused {
                    record: Box::new(record.clone()),
                    oversize,
                    failure,
                },
                // A row of the ledger's own topic.
                None => PartitionLogError::Refused {
                    entry,
                    oversize,
                    failure,
                }
                .into(),
            },
            error => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
