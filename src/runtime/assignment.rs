//! Hands over the tenants that this process has: of the configured ones, those of its partitions. Everything below sees only
//! them. The dispatcher also gets the stages of the partitions: it shows all of these tenants, and sweeps those of active
//! partitions.
//!
//! A reload replaces the configured fleet, and other processes that share the tenants change what this one has
//! ([`crate::core::ownership`]). Dispatcher, scheduler and token renewal follow the result.
//!
//! Invariant: a partition that has to be given up is reported as at rest only after the dispatcher has acknowledged that
//! nothing runs for its tenants any more.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::commands::DispatcherCommand;
use super::fleet::{Fleet, FleetWatch};
use crate::core::ids::TenantId;
use crate::core::ownership::{Ownership, PartitionStage, partition_of};
use crate::ports::Outlet;

pub struct Assignment {
    pub configured: FleetWatch,
    pub outlet: Arc<dyn Outlet>,
    /// What this process has.
    pub owned: watch::Sender<Fleet>,
    pub commands: mpsc::Sender<DispatcherCommand>,
}

/// Of the configured tenants those that this process has.
pub fn owned(configured: &Fleet, ownership: &Ownership) -> Fleet {
    match ownership {
        Ownership::All => configured.clone(),
        Ownership::Partitions { .. } => configured
            .iter()
            .filter(|tenant| ownership.owns(tenant.id))
            .cloned()
            .collect(),
    }
}

impl Assignment {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut ownership = self.outlet.ownership();
        // With this the dispatcher begins.
        let mut handed = Ownership::All;
        let (mut draining, mut resting) = (BTreeSet::new(), JoinSet::new());
        // The local ledger drops the sender: what it has never changes.
        let mut changes = true;
        loop {
            let now = ownership.borrow_and_update().clone();
            self.release(&now, &mut draining, &mut resting).await;
            self.hand_over(&now, &handed).await;
            handed = now;
            tokio::select! {
                () = self.configured.changed() => {}
                changed = ownership.changed(), if changes => changes = changed.is_ok(),
                Some(rested) = resting.join_next() => if let Ok(partition) = rested {
                    self.outlet.at_rest(partition);
                },
            }
        }
    }

    /// Gives up the tenants of partitions that have begun to drain.
    async fn release(
        &self,
        ownership: &Ownership,
        draining: &mut BTreeSet<u16>,
        resting: &mut JoinSet<u16>,
    ) {
        let Ownership::Partitions { count, stages } = ownership else {
            return;
        };
        let drains = |(of, stage): (&u16, &PartitionStage)| {
            (*stage == PartitionStage::Draining).then_some(*of)
        };
        let now: BTreeSet<u16> = stages.iter().filter_map(drains).collect();
        draining.retain(|partition| now.contains(partition));
        for partition in now {
            if !draining.insert(partition) {
                continue;
            }
            let fleet = self.owned.borrow().clone();
            let tenants: HashSet<TenantId> = fleet.iter().map(|tenant| tenant.id).collect();
            let of = |tenant: &TenantId| partition_of(*tenant, *count) == partition;
            let tenants = tenants.into_iter().filter(of).collect();
            let (done, at_rest) = oneshot::channel();
            // Fails only while the daemon stops: nothing runs then, either.
            let _ = self
                .commands
                .send(DispatcherCommand::Release { tenants, done })
                .await;
            resting.spawn(async move {
                let _ = at_rest.await;
                partition
            });
        }
    }

    async fn hand_over(&mut self, ownership: &Ownership, before: &Ownership) {
        let fleet = owned(&self.configured.now(), ownership);
        let same = |was: &Fleet| {
            was.len() == fleet.len()
                && was
                    .iter()
                    .zip(&*fleet)
                    .all(|(was, is)| Arc::ptr_eq(was, is))
        };
        let same = same(&self.owned.borrow());
        if !same {
            self.owned.send_replace(fleet.clone());
        }
        if !same || (ownership != before && !fleet.is_empty()) {
            let ownership = ownership.clone();
            let command = DispatcherCommand::Fleet { fleet, ownership };
            let _ = self.commands.send(command).await;
        }
    }
}

#[cfg(test)]
mod tests;
