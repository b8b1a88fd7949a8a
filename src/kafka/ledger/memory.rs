//! What the rows of one partition say: state, versions and dead letters of each of its tenants.
//!
//! A restore [applies](PartitionMemory::apply) every committed row. After that, the partition's owner is its only writer: it
//! asks for the [change](PartitionMemory::change) that a transaction makes, writes its rows, and
//! [accepts](PartitionMemory::accept) it once the transaction is committed. Rows that are not committed never get here:
//! versions in them would count as published.
//!
//! A version with an outline of two alerts takes about 200 bytes, so that a million of them take 200 MB, and one without an
//! outline about 105: measured with ids that ascend as they are read, the usual and the worst order, which leaves the map's nodes
//! half empty.

mod compact;
mod forget;

use std::collections::{BTreeMap, HashSet};

use compact::CompactSeen;
use forget::{ForgetBudget, ForgetPass, MOST_TOMBSTONES};

use super::log::Row;
use super::rows::{LedgerRow, RowError};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::ports::LedgerEntry;

/// See the module's documentation.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PartitionMemory {
    tenants: BTreeMap<TenantId, TenantMemory>,
    versions: u64,
    /// With how many partitions the ledger is written.
    partitions: Option<u16>,
}

#[derive(Debug, Default, PartialEq)]
struct TenantMemory {
    state: Option<TenantState>,
    versions: BTreeMap<IncidentId, StoredVersion>,
    letters: BTreeMap<u64, Letter>,
    pass: Option<ForgetPass>,
}

#[derive(Debug, PartialEq)]
struct StoredVersion {
    seen: CompactSeen,
    outline: Option<PackedOutline>,
}

/// What a transaction changes. It is computed before the transaction, and holds once that is committed.
#[derive(Debug, Default)]
pub(super) struct MemoryChange {
    rows: Vec<LedgerRow>,
    /// Where each pass goes on. `None`: it is over.
    passes: Vec<(TenantId, Option<ForgetPass>)>,
}

impl MemoryChange {
    /// What the transaction has to write, in order: removals first, and for each entry its tenant's state last.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.rows.iter().map(LedgerRow::encode)
    }
}

impl PartitionMemory {
    /// Applies a committed row that was read.
    pub(super) fn apply(&mut self, row: &Row) -> Result<(), RowError> {
        self.set(LedgerRow::decode(row)?);
        Ok(())
    }

    /// What a transaction with these entries changes.
    ///
    /// All removals come first. They follow from what was committed before, so that a later row of an entry, which is newer,
    /// wins over the removal of the same key.
    pub(super) fn change<'a>(
        &self,
        entries: impl Iterator<Item = &'a LedgerEntry> + Clone,
    ) -> MemoryChange {
        let mut change = MemoryChange::default();
        let mut budget = ForgetBudget::new();
        for entry in entries.clone() {
            self.forget(entry, &mut budget, &mut change);
        }
        for entry in entries {
            let tenant = entry.tenant;
            let versions = (entry.versions()).map(|(id, seen, outline)| LedgerRow::Version {
                tenant,
                id,
                seen: Some(*seen),
                outline: outline.cloned(),
            });
            change.rows.extend(versions);
            let letters = entry
                .letters
                .iter()
                .map(|(content, letter)| LedgerRow::Letter {
                    tenant,
                    content: *content,
                    letter: Some(*letter),
                });
            change.rows.extend(letters);
            let state = entry.state.clone();
            change.rows.extend(state.map(|state| LedgerRow::State {
                tenant,
                state: Some(state),
            }));
        }
        change
    }

    /// What removes a tenant, as far as it fits into one transaction. The state comes last, so that a tenant that is only
    /// partly removed is still found.
    pub(super) fn removal(&self, tenant: TenantId) -> MemoryChange {
        let Some(of) = self.tenants.get(&tenant) else {
            return MemoryChange::default();
        };
        let versions = of.versions.keys().map(|id| LedgerRow::Version {
            tenant,
            id: *id,
            seen: None,
            outline: None,
        });
        let letters = of.letters.keys().map(|content| LedgerRow::Letter {
            tenant,
            content: ContentHash(*content),
            letter: None,
        });
        let state = of.state.iter().map(|_| LedgerRow::State {
            tenant,
            state: None,
        });
        MemoryChange {
            rows: versions
                .chain(letters)
                .chain(state)
                .take(MOST_TOMBSTONES)
                .collect(),
            passes: Vec::new(),
        }
    }

    /// What writes down that the ledger has `count` partitions: nothing if that is known.
    ///
    /// # Errors
    /// It has another number.
    pub(super) fn pin(&self, count: u16) -> Result<MemoryChange, RowError> {
        match self.partitions {
            Some(written) if written != count => Err(RowError::Partitions {
                written,
                configured: count,
            }),
            Some(_) => Ok(MemoryChange::default()),
            None => Ok(MemoryChange {
                rows: vec![LedgerRow::Partitions(count)],
                passes: Vec::new(),
            }),
        }
    }

    /// The tenants that have rows and are not `configured`, and that nobody has read for as long as Microsoft keeps incidents.
    pub(super) fn abandoned(&self, configured: &HashSet<TenantId>, now: Ticks) -> Vec<TenantId> {
        let states = self
            .tenants
            .iter()
            .filter(|(tenant, _)| !configured.contains(tenant));
        let old = states.filter(|(_, of)| {
            of.state
                .as_ref()
                .is_none_or(|state| state.is_abandoned(now))
        });
        old.map(|(tenant, _)| *tenant).collect()
    }

    /// Takes over what a transaction changed that is now committed.
    pub(super) fn accept(&mut self, change: MemoryChange) {
        for row in change.rows {
            self.set(row);
        }
        for (tenant, pass) in change.passes {
            if let Some(of) = self.tenants.get_mut(&tenant) {
                of.pass = pass;
            }
        }
    }

    pub(super) fn state(&self, tenant: TenantId) -> Option<TenantState> {
        self.tenants.get(&tenant)?.state.clone()
    }

    /// For each id the version last published.
    pub(super) fn known(&self, tenant: TenantId, ids: &[IncidentId]) -> Vec<Option<Seen>> {
        let of = self.tenants.get(&tenant);
        let seen = |id| Some(of?.versions.get(id)?.seen.seen());
        ids.iter().map(seen).collect()
    }

    /// For each id the outline of this version.
    pub(super) fn outlines(
        &self,
        tenant: TenantId,
        ids: &[IncidentId],
    ) -> Vec<Option<PackedOutline>> {
        let of = self.tenants.get(&tenant);
        let outline = |id| of?.versions.get(id)?.outline.clone();
        ids.iter().map(outline).collect()
    }

    pub(super) fn letters(&self, tenant: TenantId) -> Vec<(ContentHash, Letter)> {
        let letters = self.tenants.get(&tenant).map(|of| of.letters.iter());
        let letters = letters.into_iter().flatten();
        letters
            .map(|(content, letter)| (ContentHash(*content), *letter))
            .collect()
    }

    /// Incidents known, over all tenants.
    pub(super) fn versions(&self) -> u64 {
        self.versions
    }

    /// Finds what an entry asks to forget.
    fn forget(&self, entry: &LedgerEntry, budget: &mut ForgetBudget, change: &mut MemoryChange) {
        let tenant = entry.tenant;
        let Some(of) = self.tenants.get(&tenant) else {
            return;
        };
        if let Some(pass) = ForgetPass::next(of.pass, entry.forget_before) {
            let updated = |version: &StoredVersion| version.seen.updated();
            let (ids, next) = pass.go_on(&of.versions, updated, budget);
            change.passes.push((tenant, next));
            let rows = ids.into_iter().map(|id| LedgerRow::Version {
                tenant,
                id,
                seen: None,
                outline: None,
            });
            change.rows.extend(rows);
        }
        if let Some(before) = entry.forget_letters_before {
            let expired = of.letters.iter().filter(|(_, letter)| letter.met < before);
            for (content, _) in expired.take(budget.removals) {
                budget.removals -= 1;
                change.rows.push(LedgerRow::Letter {
                    tenant,
                    content: ContentHash(*content),
                    letter: None,
                });
            }
        }
    }

    pub(super) fn set(&mut self, row: LedgerRow) {
        match row {
            LedgerRow::Partitions(count) => self.partitions = Some(count),
            LedgerRow::State { tenant, state } => {
                self.tenants.entry(tenant).or_default().state = state;
                self.drop_if_empty(tenant);
            }
            LedgerRow::Version {
                tenant,
                id,
                seen: Some(seen),
                outline,
            } => {
                let versions = &mut self.tenants.entry(tenant).or_default().versions;
                let seen = CompactSeen::new(&seen);
                let before = versions.insert(id, StoredVersion { seen, outline });
                self.versions += u64::from(before.is_none());
            }
            LedgerRow::Version {
                tenant,
                id,
                seen: None,
                ..
            } => {
                let of = self.tenants.get_mut(&tenant);
                let before = of.and_then(|of| of.versions.remove(&id));
                self.versions -= u64::from(before.is_some());
                self.drop_if_empty(tenant);
            }
            LedgerRow::Letter {
                tenant,
                content,
                letter: Some(letter),
            } => {
                let of = self.tenants.entry(tenant).or_default();
                of.letters.insert(content.0, letter);
            }
            LedgerRow::Letter {
                tenant,
                content,
                letter: None,
            } => {
                if let Some(of) = self.tenants.get_mut(&tenant) {
                    of.letters.remove(&content.0);
                }
                self.drop_if_empty(tenant);
            }
        }
    }

    fn drop_if_empty(&mut self, tenant: TenantId) {
        let of = self.tenants.get(&tenant);
        if of
            .is_some_and(|of| of.state.is_none() && of.versions.is_empty() && of.letters.is_empty())
        {
            self.tenants.remove(&tenant);
        }
    }
}

/// For moving a ledger and looking into it.
impl PartitionMemory {
    /// The tenants that have rows, in order.
    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.tenants.keys().copied()
    }

    /// All that is known of a tenant, as entries of one row each. Its state comes first.
    pub(super) fn entries_of(&self, tenant: TenantId) -> impl Iterator<Item = LedgerEntry> + '_ {
        let of = self.tenants.get(&tenant);
        let state = of.and_then(|of| of.state.clone());
        let state = state.map(move |state| LedgerEntry {
            state: Some(state),
            ..LedgerEntry::of(tenant)
        });
        let of = of.into_iter();
        let versions = of.clone().flat_map(|of| &of.versions);
        let versions = versions.map(move |(id, version)| LedgerEntry {
            seen: vec![(*id, version.seen.seen())],
            outlines: (version.outline.iter())
                .map(|outline| (*id, outline.clone()))
                .collect(),
            ..LedgerEntry::of(tenant)
        });
        let letters = of.flat_map(|of| &of.letters);
        let letters = letters.map(move |(content, letter)| LedgerEntry {
            letters: vec![(ContentHash(*content), *letter)],
            ..LedgerEntry::of(tenant)
        });
        state.into_iter().chain(versions).chain(letters)
    }

    /// The rows of a tenant.
    #[cfg(test)]
    pub(super) fn rows_of(&self, tenant: TenantId) -> impl Iterator<Item = Row> + '_ {
        self.entries_of(tenant).flat_map(|entry| {
            // Without what this memory still has to forget.
            let alone = Self::default().change(std::iter::once(&entry));
            alone.rows().collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests;
