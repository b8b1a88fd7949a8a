//! A replica of the daemon: the real [`OwnershipMachine`] and the real [`PartitionLedger`]s, and sweeps that publish what the
//! memory does not know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::log::{PartitionLogError, Row};
use super::super::partition::{Commit, OpenStep, PartitionError, PartitionLedger, WriteStep};
use super::broker::{Kept, ModelLog};
use super::{Fault, INCIDENTS, World, tenants_of, value};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::version::{ContentHash, Forms, Phase, Seen};
use crate::core::ownership::{OwnershipAction, OwnershipInput, OwnershipMachine, PartitionStage};
use crate::core::sources::SourceKind;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::ports::{LedgerEntry, Record};

struct Worker {
    epoch: u64,
    ledger: PartitionLedger<ModelLog>,
    /// Commits of sweeps that wait for the next transaction.
    queue: Vec<Commit>,
    writing: bool,
}

pub(super) struct Replica {
    number: usize,
    machine: OwnershipMachine,
    workers: BTreeMap<u16, Worker>,
    world: Rc<RefCell<World>>,
}

impl Replica {
    pub(super) fn new(number: usize, world: &Rc<RefCell<World>>) -> Self {
        Self {
            number,
            machine: OwnershipMachine::default(),
            workers: BTreeMap::new(),
            world: world.clone(),
        }
    }

    /// Whether all its partitions are restored and nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        let idle = |worker: &Worker| worker.queue.is_empty() && !worker.writing;
        self.machine.all_restored() && self.workers.values().all(idle)
    }

    /// Does one thing: hears of the group, or makes one step of one partition.
    pub(super) fn step(&mut self) {
        let choices = {
            let world = self.world.borrow();
            self.workers.len() + usize::from(world.group.has_news(self.number))
        };
        if choices == 0 {
            return;
        }
        let choice = self.world.borrow_mut().below(choices);
        match self.workers.keys().nth(choice).copied() {
            Some(partition) => self.work(partition),
            None => {
                let news = self.world.borrow_mut().group.poll(self.number);
                if let Some(news) = news {
                    self.feed(news);
                }
            }
        }
    }

    fn feed(&mut self, input: OwnershipInput) {
        let number = self.number;
        self.world
            .borrow_mut()
            .note(|| format!("replica {number}: {input:?}"));
        for action in self.machine.on(input) {
            match action {
                OwnershipAction::Start { partition, epoch } => self.start(partition, epoch),
                OwnershipAction::End { partition } => {
                    self.workers.remove(&partition);
                }
                OwnershipAction::Release { .. } => {}
                OwnershipAction::Confirm { partition } => {
                    self.world.borrow_mut().group.confirm(number, partition);
                }
                OwnershipAction::Rejoin => self.world.borrow_mut().group.rejoin(number),
            }
        }
    }

    fn start(&mut self, partition: u16, epoch: u64) {
        let fault = self.world.borrow().fault;
        let kept = match (fault, self.workers.remove(&partition)) {
            (Some(Fault::KeepsMemory | Fault::MemoryBeforeCommit), Some(before)) => Kept {
                rows: Some(rows(&before)),
                epoch: None,
            },
            (Some(Fault::KeepsProducer), Some(before)) => Kept {
                rows: None,
                epoch: Some(before.ledger.log().epoch()),
            },
            _ => Kept::default(),
        };
        let log = ModelLog::new(&self.world, self.number, partition, kept);
        let worker = Worker {
            epoch,
            ledger: PartitionLedger::new(log),
            queue: Vec::new(),
            writing: false,
        };
        self.workers.insert(partition, worker);
    }

    fn work(&mut self, partition: u16) {
        let stages = self.machine.stages();
        let stage = stages.iter().find(|(of, _)| *of == partition);
        let Some(worker) = self.workers.get_mut(&partition) else {
            return;
        };
        let epoch = worker.epoch;
        let news = match stage.map(|(_, stage)| *stage) {
            Some(PartitionStage::Fencing | PartitionStage::Restoring) => {
                worker.ledger.open_step().map(|step| match step {
                    OpenStep::Fenced => Some(OwnershipInput::Fenced { partition, epoch }),
                    OpenStep::Open => Some(OwnershipInput::Restored { partition, epoch }),
                    _ => None,
                })
            }
            Some(PartitionStage::Active) => {
                worker.sweep_or_write(partition, &self.world).map(|_| None)
            }
            Some(PartitionStage::Draining) => {
                let busy = worker.write(&self.world);
                busy.map(|busy| (!busy).then_some(OwnershipInput::AtRest { partition }))
            }
            Some(PartitionStage::Lost) | None => Ok(None),
        };
        match news {
            Ok(None) => {}
            Ok(Some(input)) => self.feed(input),
            Err(PartitionError::Log(PartitionLogError::Fenced(_))) => {
                self.world.borrow_mut().broker.happened.taken_over += 1;
                self.feed(OwnershipInput::TakenOver { partition, epoch });
            }
            Err(PartitionError::Log(_)) => self.feed(OwnershipInput::Failed { partition, epoch }),
            Err(error) => self.world.borrow_mut().broken(error.to_string()),
        }
    }
}

impl Worker {
    fn sweep_or_write(
        &mut self,
        partition: u16,
        world: &Rc<RefCell<World>>,
    ) -> Result<(), PartitionError> {
        let waits = world.borrow_mut().one_in(3);
        if !waits && self.write(world)? {
            return Ok(());
        }
        let tenants = tenants_of(partition, world.borrow().partitions);
        if tenants.is_empty() {
            return Ok(());
        }
        let tenant = tenants[world.borrow_mut().below(tenants.len())];
        // One sweep of a tenant at a time, and what it has read must not be older than the memory.
        let waits = self
            .queue
            .iter()
            .any(|commit| commit.entry.tenant == tenant);
        if !waits && !self.writing {
            self.queue.extend(self.sweep(tenant, world));
        }
        Ok(())
    }

    /// Makes a step of a transaction. Returns whether there was one to make.
    fn write(&mut self, world: &Rc<RefCell<World>>) -> Result<bool, PartitionError> {
        if self.writing {
            self.writing = self.ledger.write_step()? != WriteStep::Committed;
            return Ok(true);
        }
        if self.queue.is_empty() {
            return Ok(false);
        }
        let commits = std::mem::take(&mut self.queue);
        let early = world.borrow().fault == Some(Fault::MemoryBeforeCommit);
        let memory = self.ledger.memory();
        let change = memory
            .read()
            .change(commits.iter().map(|commit| &commit.entry));
        self.writing = !self.ledger.write(commits)?;
        if early {
            memory.write().accept(change);
        }
        Ok(true)
    }

    /// What Microsoft shows of a tenant and the memory does not know: the next version of each incident.
    fn sweep(&self, tenant: TenantId, world: &Rc<RefCell<World>>) -> Option<Commit> {
        let ids: Vec<IncidentId> = (0..INCIDENTS).map(IncidentId).collect();
        let known = self.ledger.memory().read().known(tenant, &ids);
        let mut commit = Commit {
            records: Vec::new(),
            entry: LedgerEntry {
                tenant,
                seen: Vec::new(),
                outlines: Vec::new(),
                letters: Vec::new(),
                state: None,
                forget_before: None,
                forget_letters_before: None,
            },
        };
        for (id, known) in ids.into_iter().zip(known) {
            let next = known.map_or(0, |seen| seen.updated.0) + 1;
            if next <= world.borrow().shown(tenant, id) {
                commit.records.push(Record {
                    topic: world.borrow().topic.clone(),
                    key: String::new(),
                    headers: Vec::new(),
                    value: value(tenant, id, next),
                    raw: 0..0,
                });
                commit.entry.seen.push((id, seen(next)));
            }
        }
        let last = commit.entry.seen.last().map(|(_, seen)| seen.updated)?;
        commit.entry.state = world.borrow_mut().one_in(2).then(|| TenantState {
            start: Ticks(0),
            cursor: last,
            reconciled: last,
            backlog: Default::default(),
            paused: None,
        });
        Some(commit)
    }
}

fn seen(version: i64) -> Seen {
    Seen {
        updated: Ticks(version),
        phase: Phase::Open,
        forms: Forms::NONE.and(ContentHash(version as u64)),
        origin: SourceKind::Graph,
        whole: true,
    }
}

fn rows(worker: &Worker) -> Vec<Row> {
    let memory = worker.ledger.memory();
    let memory = memory.read();
    let rows = memory.tenants().flat_map(|tenant| memory.rows_of(tenant));
    rows.collect()
}
