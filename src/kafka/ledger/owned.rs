//! What sweeps and the status read of the owner ([`super::owner`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::time::Instant;

use super::commits::CommitQueue;
use super::memory::PartitionMemory;
use crate::core::health::failure::Failure;
use crate::core::ownership::PartitionStage;

/// A partition whose rows are in memory, and that can be written.
#[derive(Clone)]
pub(super) struct OwnedPartition {
    pub(super) epoch: u64,
    pub(super) memory: Arc<RwLock<PartitionMemory>>,
    pub(super) commits: CommitQueue,
}

/// What sweeps and the status read of the owner.
#[derive(Default)]
pub(super) struct Owned {
    pub(super) partitions: RwLock<HashMap<u16, OwnedPartition>>,
    pub(super) view: RwLock<OwnerView>,
}

/// What the status shows.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnerView {
    /// The member's id in the group. `None`: it has not joined yet.
    pub(super) member: Option<String>,
    /// Since when it is no member.
    pub(super) apart: Option<Instant>,
    pub(super) stages: Vec<(u16, PartitionStage)>,
    /// Rows read and rows to read, of partitions that are being restored.
    pub(super) restoring: BTreeMap<u16, (u64, i64)>,
    /// Why this process has no place in the group. It stays until the group assigns something.
    pub(super) outside: Option<Failure>,
    /// Why a partition does not work, and what to do. It stays until all partitions work.
    pub(super) problem: Option<Failure>,
    /// How often another process has fenced a partition.
    pub(super) fenced: u64,
    /// How often a partition has failed.
    pub(super) failed: u64,
}

impl Owned {
    pub(super) fn get(&self, partition: u16) -> Option<OwnedPartition> {
        self.partitions.read().get(&partition).cloned()
    }

    /// All that can be written now.
    pub(super) fn all(&self) -> Vec<OwnedPartition> {
        self.partitions.read().values().cloned().collect()
    }

    /// Whether the start that `owned` belongs to still counts.
    pub(super) fn is_current(&self, partition: u16, epoch: u64) -> bool {
        let partitions = self.partitions.read();
        partitions
            .get(&partition)
            .is_some_and(|owned| owned.epoch == epoch)
    }

    pub(super) fn member(&self, member: Option<String>) {
        let mut view = self.view.write();
        view.apart = match &member {
            Some(_) => None,
            None => view.apart.or_else(|| Some(Instant::now())),
        };
        view.member = member;
    }

    /// Shows why the ledger can't be used yet.
    pub(super) fn show(&self, outside: Option<Failure>) {
        let mut view = self.view.write();
        if let Some(failure) = &outside
            && view.outside.as_ref().map(|known| &known.what) != Some(&failure.what)
        {
            tracing::warn!(error = %failure, remedy = failure.remedy, "the ledger can't be used yet");
        }
        view.outside = outside;
    }

    pub(super) fn view(&self) -> OwnerView {
        self.view.read().clone()
    }

    pub(super) fn versions(&self) -> u64 {
        let partitions = self.partitions.read();
        partitions
            .values()
            .map(|owned| owned.memory.read().versions())
            .sum()
    }
}
