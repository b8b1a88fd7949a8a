//! Which tenants this process may sweep when several processes share them.
//!
//! A tenant belongs to a partition of the ledger's topic ([`partition_of`]), and a consumer group assigns the partitions to
//! processes. [`OwnershipMachine`] follows each partition of one process:
//!
//! ```text
//! Assigned → Fencing → Restoring → Active → Draining → released
//!                                     └──→ Lost (another process took over)
//! ```
//!
//! Invariants:
//! - A partition starts only while it is assigned. The last process that fences a partition is its only writer, so a start
//!   without an assignment would stop the rightful owner.
//! - A partition that another process took over never starts again under the same assignment: two processes that both believe
//!   in their assignment would fence each other for ever. Instead the process leaves the group and joins it again.
//! - Each start has a larger epoch than all before. Events of an earlier start are ignored: they say nothing about the later
//!   one.
//! - A revoked partition is confirmed once nothing of it is at work, and its next owner can start.
//!
//! Every input is harmless in every state: a group sends empty, partial and repeated events.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::ids::TenantId;

/// The partition that has a tenant's rows, of `partitions` in all.
///
/// The hash is part of the format of the ledger's topic. Another hash would move every tenant to another partition, away from
/// its rows: all its incidents would be published again.
pub fn partition_of(tenant: TenantId, partitions: u16) -> u16 {
    let hash = xxh3_64(tenant.as_bytes());
    (hash % u64::from(partitions.max(1))) as u16
}

/// The stage of a partition that is assigned to this process. Other partitions have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionStage {
    /// The earlier owner is being shut out.
    Fencing,
    /// The rows are being read.
    Restoring,
    /// Its tenants are swept.
    Active,
    /// It is to be given up, and the sweeps of its tenants come to rest.
    Draining,
    /// Another process took over, although the group still assigns it to this one.
    Lost,
}

impl PartitionStage {
    pub(crate) const ALL: [Self; 5] = [
        Self::Fencing,
        Self::Restoring,
        Self::Active,
        Self::Draining,
        Self::Lost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fencing => "fencing",
            Self::Restoring => "restoring",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for PartitionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened. An event of a partition's work names the epoch of the start that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnershipInput {
    /// The group gives these partitions to this process, besides those that it has.
    Assigned(Vec<u16>),
    /// The group takes these away, and waits for the confirmation of each.
    Revoked(Vec<u16>),
    /// The group has given these to others: this process was away for too long.
    Lost(Vec<u16>),
    /// Every earlier owner is shut out.
    Fenced { partition: u16, epoch: u64 },
    /// All rows are read.
    Restored { partition: u16, epoch: u64 },
    /// The outcome of a transaction is unknown, or the producer can't go on.
    Failed { partition: u16, epoch: u64 },
    /// Another process has fenced this one.
    TakenOver { partition: u16, epoch: u64 },
    /// No sweep of the partition's tenants is at work any more.
    AtRest { partition: u16 },
    /// The process ends.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnershipAction {
    /// Fence the partition and restore it, in place of what an earlier epoch does.
    Start { partition: u16, epoch: u64 },
    /// End what works on the partition.
    End { partition: u16 },
    /// Let the sweeps of the partition's tenants come to rest, start no others, and say when that is so.
    Release { partition: u16 },
    /// Tell the group that its next owner can have the partition.
    Confirm { partition: u16 },
    /// Leave the group and join it again.
    Rejoin,
}

/// The time from a start of a partition to its end.
#[derive(Debug, Clone, Copy)]
struct Period {
    epoch: u64,
    stage: PartitionStage,
    /// The group waits for a confirmation.
    revoked: bool,
    /// The group assigned the partition again while it was draining: it starts again after its end.
    assigned_again: bool,
}

/// All partitions of one process; see the module's documentation.
#[derive(Debug, Default)]
pub struct OwnershipMachine {
    periods: BTreeMap<u16, Period>,
    /// The epoch of the last start of any partition.
    last_epoch: u64,
    /// The group was left, and no event has come since.
    rejoining: bool,
    stopping: bool,
}

impl OwnershipMachine {
    /// Takes note of an event, and decides what to do, in this order.
    pub fn on(&mut self, input: OwnershipInput) -> Vec<OwnershipAction> {
        let mut actions = Vec::new();
        match input {
            OwnershipInput::Assigned(partitions) => {
                self.each(partitions, &mut actions, Self::assigned);
            }
            OwnershipInput::Revoked(partitions) => {
                self.each(partitions, &mut actions, Self::revoked);
            }
            OwnershipInput::Lost(partitions) => self.each(partitions, &mut actions, Self::lost),
            OwnershipInput::Fenced { partition, epoch } => {
                self.advance(partition, epoch, PartitionStage::Fencing);
            }
            OwnershipInput::Restored { partition, epoch } => {
                self.advance(partition, epoch, PartitionStage::Restoring);
            }
            OwnershipInput::Failed { partition, epoch } => {
                self.failed(partition, epoch, &mut actions);
            }
            OwnershipInput::TakenOver { partition, epoch } => {
                self.taken_over(partition, epoch, &mut actions);
            }
            OwnershipInput::AtRest { partition } => {
                if self.stage(partition) == Some(PartitionStage::Draining) {
                    self.end(partition, &mut actions);
                }
            }
            OwnershipInput::Stop => self.stop(&mut actions),
        }
        actions
    }

    /// Each partition that is assigned to this process, in order.
    pub fn stages(&self) -> Vec<(u16, PartitionStage)> {
        let stages = self.periods.iter();
        stages.map(|(of, period)| (*of, period.stage)).collect()
    }

    /// The epoch of the partition's last start. `None`: it is not assigned.
    pub fn epoch(&self, partition: u16) -> Option<u64> {
        self.periods.get(&partition).map(|period| period.epoch)
    }

    /// Whether no partition keeps its tenants waiting. True for a process without partitions.
    pub fn all_restored(&self) -> bool {
        self.periods.values().all(|period| match period.stage {
            PartitionStage::Active | PartitionStage::Draining => true,
            PartitionStage::Fencing | PartitionStage::Restoring | PartitionStage::Lost => false,
        })
    }

    fn stage(&self, partition: u16) -> Option<PartitionStage> {
        self.periods.get(&partition).map(|period| period.stage)
    }

    /// The period that an event of `epoch` is about.
    fn period(&mut self, partition: u16, epoch: u64) -> Option<&mut Period> {
        let period = self.periods.get_mut(&partition);
        period.filter(|period| period.epoch == epoch && period.stage != PartitionStage::Lost)
    }

    fn each(
        &mut self,
        partitions: Vec<u16>,
        actions: &mut Vec<OwnershipAction>,
        event: fn(&mut Self, u16, &mut Vec<OwnershipAction>),
    ) {
        // Leaving the group takes all partitions away, so an empty event is not its answer.
        self.rejoining &= partitions.is_empty();
        for partition in partitions {
            event(self, partition, actions);
        }
    }

    fn assigned(&mut self, partition: u16, actions: &mut Vec<OwnershipAction>) {
        if self.stopping {
            return;
        }
        match self.periods.get_mut(&partition) {
            Some(period) if period.stage == PartitionStage::Draining => {
                period.assigned_again = true;
            }
            Some(period) if period.stage != PartitionStage::Lost => {}
            Some(_) | None => self.start(partition, actions),
        }
    }

    fn revoked(&mut self, partition: u16, actions: &mut Vec<OwnershipAction>) {
        let Some(period) = self.periods.get_mut(&partition) else {
            actions.push(OwnershipAction::Confirm { partition });
            return;
        };
        period.revoked = true;
        period.assigned_again = false;
        match period.stage {
            PartitionStage::Active => {
                period.stage = PartitionStage::Draining;
                actions.push(OwnershipAction::Release { partition });
            }
            PartitionStage::Draining => {}
            PartitionStage::Fencing | PartitionStage::Restoring | PartitionStage::Lost => {
                self.end(partition, actions);
            }
        }
    }

    fn lost(&mut self, partition: u16, actions: &mut Vec<OwnershipAction>) {
        if let Some(period) = self.periods.get_mut(&partition) {
            period.assigned_again = false;
            self.end(partition, actions);
        }
    }

    fn advance(&mut self, partition: u16, epoch: u64, from: PartitionStage) {
        let Some(period) = self.period(partition, epoch) else {
            return;
        };
        period.stage = match (from, period.stage) {
            (PartitionStage::Fencing, PartitionStage::Fencing) => PartitionStage::Restoring,
            (PartitionStage::Restoring, PartitionStage::Restoring) => PartitionStage::Active,
            (_, stage) => stage,
        };
    }

    fn failed(&mut self, partition: u16, epoch: u64, actions: &mut Vec<OwnershipAction>) {
        match self.period(partition, epoch).map(|period| period.stage) {
            None => {}
            Some(PartitionStage::Draining) => self.end(partition, actions),
            Some(_) => self.start(partition, actions),
        }
    }

    fn taken_over(&mut self, partition: u16, epoch: u64, actions: &mut Vec<OwnershipAction>) {
        let Some(period) = self.period(partition, epoch) else {
            return;
        };
        if period.stage == PartitionStage::Draining && !period.assigned_again {
            self.end(partition, actions);
            return;
        }
        actions.push(OwnershipAction::End { partition });
        if period.revoked {
            actions.push(OwnershipAction::Confirm { partition });
        }
        *period = Period {
            epoch,
            stage: PartitionStage::Lost,
            revoked: false,
            assigned_again: false,
        };
        if !self.rejoining {
            self.rejoining = true;
            actions.push(OwnershipAction::Rejoin);
        }
    }

    fn stop(&mut self, actions: &mut Vec<OwnershipAction>) {
        self.stopping = true;
        let mut at_once = Vec::new();
        for (partition, period) in &mut self.periods {
            period.assigned_again = false;
            match period.stage {
                PartitionStage::Active => {
                    period.stage = PartitionStage::Draining;
                    actions.push(OwnershipAction::Release {
                        partition: *partition,
                    });
                }
                PartitionStage::Draining => {}
                PartitionStage::Fencing | PartitionStage::Restoring | PartitionStage::Lost => {
                    at_once.push(*partition);
                }
            }
        }
        for partition in at_once {
            self.end(partition, actions);
        }
    }

    fn start(&mut self, partition: u16, actions: &mut Vec<OwnershipAction>) {
        self.last_epoch += 1;
        let epoch = self.last_epoch;
        let period = Period {
            epoch,
            stage: PartitionStage::Fencing,
            revoked: false,
            assigned_again: false,
        };
        self.periods.insert(partition, period);
        actions.push(OwnershipAction::Start { partition, epoch });
    }

    fn end(&mut self, partition: u16, actions: &mut Vec<OwnershipAction>) {
        let Some(period) = self.periods.remove(&partition) else {
            return;
        };
        // What another process took over has ended before.
        if period.stage != PartitionStage::Lost {
            actions.push(OwnershipAction::End { partition });
        }
        if period.revoked {
            actions.push(OwnershipAction::Confirm { partition });
        }
        if period.assigned_again {
            self.start(partition, actions);
        }
    }
}

/// The tenants of this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ownership {
    /// One process has all of them.
    #[default]
    All,
    /// Those of these partitions, of `count` in all.
    Partitions {
        count: u16,
        stages: BTreeMap<u16, PartitionStage>,
    },
}

impl Ownership {
    /// Whether a sweep of the tenant may start.
    pub fn may_sweep(&self, tenant: TenantId) -> bool {
        self.stage(tenant) == Some(PartitionStage::Active)
    }

    /// Whether the tenant is this process's to show: another one sweeps it otherwise, or will.
    pub fn owns(&self, tenant: TenantId) -> bool {
        let stage = self.stage(tenant);
        stage.is_some_and(|stage| stage != PartitionStage::Lost)
    }

    /// Whether the tenant's sweeps wait until its partition is restored.
    pub fn waits(&self, tenant: TenantId) -> bool {
        use PartitionStage::{Fencing, Restoring};
        matches!(self.stage(tenant), Some(Fencing | Restoring))
    }

    /// The stage of the tenant's partition.
    fn stage(&self, tenant: TenantId) -> Option<PartitionStage> {
        match self {
            Self::All => Some(PartitionStage::Active),
            Self::Partitions { count, stages } => {
                stages.get(&partition_of(tenant, *count)).copied()
            }
        }
    }
}

#[cfg(test)]
mod tests;
