//! A Kafka in memory: partitions of the ledger's topic with transactions, epochs, fencing, control markers and a stable offset,
//! and one data topic. In some ways it is worse than Kafka: a fence returns although markers are not yet written, so that the
//! stable offset is still behind.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::log::{Entry, PartitionLog, PartitionLogError, Row};
use super::{Fault, World};
use crate::core::health::failure::{Failure, Health, Reaction};

/// Rows that one read returns.
const CHUNK: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    partition: usize,
    outcome: Outcome,
    /// Where its first row is.
    first: Option<usize>,
    /// Whether its marker is written: until then the stable offset stays before it.
    marked: bool,
}

#[derive(Debug)]
enum Slot {
    Row { transaction: usize, row: Row },
    Marker,
}

#[derive(Debug, Default)]
struct Partition {
    epoch: u64,
    open: Option<usize>,
    log: Vec<Slot>,
}

/// A request that an ended producer has sent, and that has not arrived.
#[derive(Debug)]
struct Late {
    partition: usize,
    epoch: u64,
    entry: Entry,
}

/// How often what has happened: a run in which nothing goes wrong proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Happened {
    pub(super) commits: u64,
    pub(super) lost_responses: u64,
    pub(super) failed_commits: u64,
    pub(super) aborted_by_fence: u64,
    pub(super) timed_out: u64,
    pub(super) zombies_refused: u64,
    pub(super) late_refused: u64,
    pub(super) undecided_at_restore: u64,
    pub(super) taken_over: u64,
}

impl Happened {
    pub(super) fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.lost_responses += other.lost_responses;
        self.failed_commits += other.failed_commits;
        self.aborted_by_fence += other.aborted_by_fence;
        self.timed_out += other.timed_out;
        self.zombies_refused += other.zombies_refused;
        self.late_refused += other.late_refused;
        self.undecided_at_restore += other.undecided_at_restore;
        self.taken_over += other.taken_over;
    }

    pub(super) fn each(&self) -> [(&'static str, u64); 9] {
        [
            ("a commit", self.commits),
            ("a lost response", self.lost_responses),
            ("a commit that failed", self.failed_commits),
            ("an abort by a fence", self.aborted_by_fence),
            ("a transaction that took too long", self.timed_out),
            ("a write of a zombie", self.zombies_refused),
            ("a late request", self.late_refused),
            (
                "an undecided transaction at a restore",
                self.undecided_at_restore,
            ),
            ("a takeover", self.taken_over),
        ]
    }
}

#[derive(Debug, Default)]
pub(super) struct Broker {
    partitions: Vec<Partition>,
    transactions: Vec<Transaction>,
    /// The data topic: transaction and value of each record.
    records: Vec<(usize, Vec<u8>)>,
    late: Vec<Late>,
    pub(super) happened: Happened,
}

impl Broker {
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            ..Self::default()
        }
    }

    /// The values that a `read_committed` reader of the data topic sees, in order.
    pub(super) fn committed(&self) -> impl Iterator<Item = &[u8]> {
        let committed = |at: usize| self.transactions[at].outcome == Outcome::Committed;
        let records = self.records.iter().filter(move |(at, _)| committed(*at));
        records.map(|(_, value)| &**value)
    }

    /// Writes the markers of transactions that are decided.
    pub(super) fn mark(&mut self, partition: usize) {
        for transaction in &mut self.transactions {
            let due = transaction.partition == partition && transaction.outcome != Outcome::Open;
            if due && !transaction.marked {
                transaction.marked = true;
                if transaction.first.is_some() {
                    self.partitions[partition].log.push(Slot::Marker);
                }
            }
        }
    }

    /// The coordinator gives up a transaction that takes too long, and its producer.
    pub(super) fn time_out(&mut self, partition: usize) {
        if self.partitions[partition].open.is_some() {
            self.happened.timed_out += 1;
            self.bump(partition);
        }
    }

    /// A late request arrives. Kafka takes it as a part of whatever transaction its epoch has open.
    pub(super) fn deliver_late(&mut self) {
        let Some(late) = self.late.pop() else {
            return;
        };
        match self.partitions[late.partition].open {
            Some(at) if self.partitions[late.partition].epoch == late.epoch => {
                self.append(at, late.entry);
            }
            _ => self.happened.late_refused += 1,
        }
    }

    fn bump(&mut self, partition: usize) -> u64 {
        let of = &mut self.partitions[partition];
        of.epoch += 1;
        if let Some(at) = of.open.take() {
            self.transactions[at].outcome = Outcome::Aborted;
        }
        of.epoch
    }

    fn stable_end(&self, partition: usize) -> usize {
        let waits = |of: &&Transaction| of.partition == partition && !of.marked;
        let first = self
            .transactions
            .iter()
            .filter(waits)
            .filter_map(|of| of.first);
        first.min().unwrap_or(self.partitions[partition].log.len())
    }

    fn begin(&mut self, partition: usize) -> usize {
        // The coordinator finishes a transaction before it takes the next one.
        self.mark(partition);
        let at = self.transactions.len();
        self.transactions.push(Transaction {
            partition,
            outcome: Outcome::Open,
            first: None,
            marked: false,
        });
        self.partitions[partition].open = Some(at);
        at
    }

    fn append(&mut self, at: usize, entry: Entry) {
        let transaction = &mut self.transactions[at];
        match entry {
            Entry::Record(record) => self.records.push((at, record.value.clone())),
            Entry::Row(row) => {
                let log = &mut self.partitions[transaction.partition].log;
                transaction.first.get_or_insert(log.len());
                log.push(Slot::Row {
                    transaction: at,
                    row,
                });
            }
        }
    }
}

/// One owner's log of one partition: a producer and a reader.
pub(super) struct ModelLog {
    world: Rc<RefCell<World>>,
    replica: usize,
    partition: usize,
    epoch: u64,
    /// What is not sent yet, of an open transaction.
    unsent: Vec<Entry>,
    transaction: Option<usize>,
    position: usize,
    end: usize,
    fences_late: bool,
    kept: Kept,
}

/// What a log takes over from the one before, by mistake.
#[derive(Default)]
pub(super) struct Kept {
    /// [`Fault::KeepsMemory`]: these are read in place of the log.
    pub(super) rows: Option<Vec<Row>>,
    /// [`Fault::KeepsProducer`]: the producer's epoch.
    pub(super) epoch: Option<u64>,
}

impl ModelLog {
    pub(super) fn new(
        world: &Rc<RefCell<World>>,
        replica: usize,
        partition: u16,
        kept: Kept,
    ) -> Self {
        let fences_late = world.borrow().fault == Some(Fault::FenceAfterRestore);
        Self {
            world: world.clone(),
            replica,
            partition: usize::from(partition),
            epoch: 0,
            unsent: Vec::new(),
            transaction: None,
            position: 0,
            end: 0,
            fences_late,
            kept,
        }
    }

    /// A call that may fail without having done anything.
    fn call(&self, what: &str, fails: u64) -> Result<(), PartitionLogError> {
        let mut world = self.world.borrow_mut();
        let fails = world.chaos && world.one_in(fails);
        world.note(|| {
            let (replica, partition, epoch) = (self.replica, self.partition, self.epoch);
            let fails = if fails { ": fails" } else { "" };
            format!("replica {replica}, partition {partition}, epoch {epoch}: {what}{fails}")
        });
        if fails { Err(failed()) } else { Ok(()) }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Aborts the producer's own transaction. Its epoch stays, if it still is the latest.
    fn abort(&mut self, epoch: u64) {
        self.epoch = epoch;
        let mut world = self.world.borrow_mut();
        let of = &mut world.broker.partitions[self.partition];
        if of.epoch == epoch
            && let Some(at) = of.open.take()
        {
            world.broker.transactions[at].outcome = Outcome::Aborted;
        }
    }

    fn fence_now(&mut self) -> Result<(), PartitionLogError> {
        self.call("fence", 30)?;
        let mut world = self.world.borrow_mut();
        let open = world.broker.partitions[self.partition].open.is_some();
        world.broker.happened.aborted_by_fence += u64::from(open);
        self.epoch = world.broker.bump(self.partition);
        self.position = 0;
        if world.one_in(2) {
            world.broker.mark(self.partition);
        }
        // The response is lost.
        if world.chaos && world.one_in(30) {
            return Err(failed());
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), PartitionLogError> {
        let mut world = self.world.borrow_mut();
        let broker = &mut world.broker;
        if broker.partitions[self.partition].epoch != self.epoch {
            broker.happened.zombies_refused += 1;
            return Err(PartitionLogError::Fenced("a later epoch".to_owned()));
        }
        let at = match self.transaction {
            Some(at) => at,
            None => broker.begin(self.partition),
        };
        self.transaction = Some(at);
        for entry in self.unsent.drain(..) {
            broker.append(at, entry);
        }
        Ok(())
    }

    /// What is not sent may still arrive.
    fn leave_requests(&mut self) {
        let mut world = self.world.borrow_mut();
        let (partition, epoch) = (self.partition, self.epoch);
        let late = self.unsent.drain(..).map(|entry| Late {
            partition,
            epoch,
            entry,
        });
        world.broker.late.extend(late);
    }
}

impl Drop for ModelLog {
    fn drop(&mut self) {
        self.leave_requests();
    }
}

impl PartitionLog for ModelLog {
    fn fence(&mut self) -> Result<(), PartitionLogError> {
        if self.fences_late {
            return Ok(());
        }
        if let Some(epoch) = self.kept.epoch.take().filter(|epoch| *epoch > 0) {
            self.abort(epoch);
            return Ok(());
        }
        self.fence_now()
    }

    fn end(&mut self) -> Result<i64, PartitionLogError> {
        if self.world.borrow().fault == Some(Fault::StableEndAsEnd) {
            return self.stable_end();
        }
        self.call("end", 80)?;
        self.end = self.world.borrow().broker.partitions[self.partition]
            .log
            .len();
        Ok(self.end as i64)
    }

    fn stable_end(&mut self) -> Result<i64, PartitionLogError> {
        self.call("stable end", 80)?;
        let mut world = self.world.borrow_mut();
        let stable = world.broker.stable_end(self.partition);
        world.broker.happened.undecided_at_restore += u64::from(stable < self.end);
        if world.one_in(2) {
            world.broker.mark(self.partition);
        }
        Ok(stable as i64)
    }

    fn read(&mut self) -> Result<Option<Vec<Row>>, PartitionLogError> {
        self.call("read", 80)?;
        if let Some(rows) = &mut self.kept.rows {
            let rows = std::mem::take(rows);
            return Ok((!rows.is_empty()).then_some(rows));
        }
        let mut rows = Vec::new();
        {
            let world = self.world.borrow();
            let stable = world.broker.stable_end(self.partition);
            let log = &world.broker.partitions[self.partition].log;
            let mut last = self.position;
            while self.position < stable && rows.len() < CHUNK {
                if let Slot::Row { transaction, row } = &log[self.position]
                    && world.broker.transactions[*transaction].outcome == Outcome::Committed
                {
                    rows.push(row.clone());
                    last = self.position + 1;
                }
                self.position += 1;
            }
            if world.fault == Some(Fault::PositionAsStop) {
                // The position of a client is that after its last message.
                self.position = last;
                let done = rows.is_empty() && self.position >= self.end;
                return Ok((!done).then_some(rows));
            }
        }
        if !rows.is_empty() {
            return Ok(Some(rows));
        }
        if self.fences_late {
            self.fences_late = false;
            self.fence_now()?;
        }
        Ok(None)
    }

    fn begin(&mut self) -> Result<(), PartitionLogError> {
        self.call("begin", 80)
    }

    fn add(&mut self, entry: Entry) -> Result<(), PartitionLogError> {
        self.call("add", 80)?;
        self.unsent.push(entry);
        if self.world.borrow_mut().one_in(2) {
            self.send()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), PartitionLogError> {
        if let Err(error) = self.call("commit", 8) {
            self.world.borrow_mut().broker.happened.failed_commits += 1;
            self.leave_requests();
            return Err(error);
        }
        self.send()?;
        let mut world = self.world.borrow_mut();
        if let Some(at) = self.transaction.take() {
            world.broker.transactions[at].outcome = Outcome::Committed;
            world.broker.partitions[self.partition].open = None;
            world.broker.happened.commits += 1;
        }
        if world.one_in(2) {
            world.broker.mark(self.partition);
        }
        if world.chaos && world.one_in(6) {
            world.broker.happened.lost_responses += 1;
            world.note(|| "the response is lost".to_owned());
            return Err(failed());
        }
        Ok(())
    }
}

fn failed() -> PartitionLogError {
    PartitionLogError::Failed(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        "no answer",
        "look at Kafka",
    ))
}
