use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::core::incident::version::{Forms, Phase};
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Backlog;
use crate::core::time::ticks::PER_SECOND;

fn tenant(number: u8) -> TenantId {
    TenantId::from_bytes([number; 16])
}

fn seen(updated: i64, hashes: &[u64]) -> Seen {
    let hashes = hashes.iter().copied().map(ContentHash);
    Seen {
        updated: Ticks(updated),
        phase: Phase::Open,
        forms: hashes.fold(Forms::NONE, Forms::and),
        origin: SourceKind::Graph,
        whole: true,
    }
}

fn state(cursor: i64) -> TenantState {
    TenantState {
        start: Ticks(0),
        cursor: Ticks(cursor),
        reconciled: Ticks(0),
        backlog: Backlog::default(),
        paused: None,
    }
}

fn entry(of: u8) -> LedgerEntry {
    LedgerEntry {
        tenant: tenant(of),
        seen: Vec::new(),
        outlines: Vec::new(),
        letters: Vec::new(),
        state: None,
        forget_before: None,
        forget_letters_before: None,
    }
}

/// Commits, and returns the rows that were written.
fn commit(memory: &mut PartitionMemory, entries: &[LedgerEntry]) -> Vec<Row> {
    let change = memory.change(entries.iter());
    let rows = change.rows().collect();
    memory.accept(change);
    rows
}

fn restored(rows: impl IntoIterator<Item = Row>) -> PartitionMemory {
    let mut memory = PartitionMemory::default();
    for row in rows {
        memory.apply(&row).expect("a row");
    }
    memory
}

fn all_rows(memory: &PartitionMemory) -> Vec<Row> {
    let rows = memory.tenants().flat_map(|tenant| memory.rows_of(tenant));
    rows.collect()
}

/// About what this takes in memory.
fn bytes(memory: &PartitionMemory) -> usize {
    // With half-empty nodes, and what is around them.
    const NODES: (usize, usize) = (13, 6);
    let tenants = memory.tenants.values().map(|of| {
        let other = |version: &&StoredVersion| matches!(version.seen, CompactSeen::Other(_));
        let others = of.versions.values().filter(other).count();
        let versions = size_of::<(IncidentId, StoredVersion)>() * of.versions.len();
        let outlines = of
            .versions
            .values()
            .filter_map(|version| version.outline.as_ref());
        // With what the allocator adds.
        let outlines: usize = outlines
            .map(|it| it.as_bytes().len().next_multiple_of(16) + 8)
            .sum();
        let letters = size_of::<(u64, Letter)>() * of.letters.len();
        size_of::<(TenantId, TenantMemory)>()
            + size_of::<Seen>() * others
            + outlines
            + (versions + letters) * NODES.0 / NODES.1
    });
    tenants.sum()
}

/// What compaction leaves: the last row of each key, in the order in which they were written.
fn compacted(log: &[Row]) -> Vec<Row> {
    let last: HashMap<&[u8], usize> = log
        .iter()
        .zip(0..)
        .map(|(row, at)| (&*row.key, at))
        .collect();
    let kept: BTreeSet<usize> = last.into_values().collect();
    kept.into_iter().map(|at| log[at].clone()).collect()
}

const IDS: u64 = 6;

fn entries() -> impl Strategy<Value = LedgerEntry> {
    let hashes = prop::collection::vec(any::<u64>(), 0..4);
    let outline = prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
    let versions = prop::collection::vec((0..IDS, 0..100_i64, hashes, outline), 0..4);
    let letter = (0..IDS, 0..100_i64, any::<bool>());
    let letters = prop::collection::vec(letter, 0..3);
    let forget = || prop::option::weighted(0.2, 0..100_i64);
    let cursor = prop::option::of(0..100_i64);
    (1..3_u8, versions, letters, cursor, forget(), forget()).prop_map(
        |(of, versions, letters, cursor, forget, forget_letters)| LedgerEntry {
            seen: (versions.iter())
                .map(|(id, updated, hashes, _)| (IncidentId(*id), seen(*updated, hashes)))
                .collect(),
            outlines: (versions.into_iter())
                .filter_map(|(id, .., bytes)| {
                    Some((IncidentId(id), PackedOutline::from_bytes(&bytes?)))
                })
                .collect(),
            letters: (letters.into_iter())
                .map(|(content, met, accepted)| {
                    let met = Ticks(met);
                    (ContentHash(content), Letter { met, accepted })
                })
                .collect(),
            state: cursor.map(state),
            forget_before: forget.map(Ticks),
            forget_letters_before: forget_letters.map(Ticks),
            ..entry(of)
        },
    )
}

/// The ledger as plain maps. What an entry forgets does not touch what entries of the same transaction write.
#[derive(Default)]
struct Plain {
    seen: BTreeMap<(TenantId, IncidentId), (Seen, Option<PackedOutline>)>,
    letters: BTreeMap<(TenantId, u64), Letter>,
    states: BTreeMap<TenantId, TenantState>,
}

impl Plain {
    fn write(&mut self, entries: &[LedgerEntry]) {
        for entry in entries {
            let of = entry.tenant;
            if let Some(before) = entry.forget_before {
                self.seen
                    .retain(|(tenant, _), (seen, _)| *tenant != of || seen.updated >= before);
            }
            if let Some(before) = entry.forget_letters_before {
                self.letters
                    .retain(|(tenant, _), letter| *tenant != of || letter.met >= before);
            }
        }
        for entry in entries {
            let of = entry.tenant;
            let versions = entry.versions();
            self.seen
                .extend(versions.map(|(id, seen, outline)| ((of, id), (*seen, outline.cloned()))));
            let letters = entry.letters.iter();
            self.letters
                .extend(letters.map(|(content, letter)| ((of, content.0), *letter)));
            self.states
                .extend(entry.state.clone().map(|state| (of, state)));
        }
    }

    fn is(&self, memory: &PartitionMemory) -> Result<(), TestCaseError> {
        let ids: Vec<IncidentId> = (0..IDS).map(IncidentId).collect();
        for of in (1..3).map(tenant) {
            let kept = |id: &IncidentId| self.seen.get(&(of, *id));
            let known: Vec<_> = (ids.iter())
                .map(|id| kept(id).map(|(seen, _)| *seen))
                .collect();
            prop_assert_eq!(memory.known(of, &ids), known);
            let outlines: Vec<_> = (ids.iter())
                .map(|id| kept(id).and_then(|(_, outline)| outline.clone()))
                .collect();
            prop_assert_eq!(memory.outlines(of, &ids), outlines);
            prop_assert_eq!(memory.state(of), self.states.get(&of).cloned());
            let letters = self.letters.iter().filter(|((tenant, _), _)| *tenant == of);
            let letters: Vec<_> = letters
                .map(|((_, it), letter)| (ContentHash(*it), *letter))
                .collect();
            prop_assert_eq!(memory.letters(of), letters);
        }
        prop_assert_eq!(memory.versions(), self.seen.len() as u64);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_says_what_was_committed_and_a_restore_says_the_same(
        transactions in prop::collection::vec(prop::collection::vec(entries(), 1..4), 0..10),
        from in any::<prop::sample::Index>(),
    ) {
        let (mut memory, mut plain, mut log) = (PartitionMemory::default(), Plain::default(), Vec::new());
        for entries in transactions {
            // A transaction that is not committed changes nothing.
            drop(memory.change(entries.iter()));
            plain.write(&entries);
            log.extend(commit(&mut memory, &entries));
            plain.is(&memory)?;
        }
        plain.is(&restored(log.iter().cloned()))?;
        // Compaction has reached any place of the log.
        let (old, new) = log.split_at(if log.is_empty() { 0 } else { from.index(log.len()) });
        let rows = [&compacted(old), new].concat();
        let again = restored(rows);
        plain.is(&again)?;
        prop_assert_eq!(all_rows(&again), all_rows(&memory));
        prop_assert_eq!(&restored(all_rows(&memory)), &again);
        // Without its tenants it is empty.
        let tenants: Vec<TenantId> = memory.tenants().collect();
        for tenant in tenants {
            let removal = memory.removal(tenant);
            for row in removal.rows() {
                memory.apply(&row).expect("a row");
            }
        }
        prop_assert_eq!(memory.versions(), 0);
        prop_assert_eq!(memory.tenants().count(), 0);
    }
}

#[test]
fn removals_come_first_and_the_state_last() {
    let mut memory = PartitionMemory::default();
    let old = LedgerEntry {
        seen: vec![
            (IncidentId(1), seen(5, &[1])),
            (IncidentId(2), seen(50, &[2])),
        ],
        ..entry(1)
    };
    commit(&mut memory, &[old]);
    let new = LedgerEntry {
        seen: vec![(IncidentId(1), seen(60, &[3]))],
        state: Some(state(7)),
        forget_before: Some(Ticks(10)),
        ..entry(1)
    };
    let rows = commit(&mut memory, &[new]);
    let rows: Vec<LedgerRow> = rows
        .iter()
        .map(|row| LedgerRow::decode(row).expect("a row"))
        .collect();
    let (tenant, id) = (tenant(1), IncidentId(1));
    let expected = [
        LedgerRow::Version {
            tenant,
            id,
            seen: None,
            outline: None,
        },
        LedgerRow::Version {
            tenant,
            id,
            seen: Some(seen(60, &[3])),
            outline: None,
        },
        LedgerRow::State {
            tenant,
            state: Some(state(7)),
        },
    ];
    assert_eq!(rows, expected, "the newer version stays");
    assert_eq!(memory.versions(), 2);
}

#[test]
fn forgetting_takes_several_commits_and_none_scans_everything() {
    let mut memory = PartitionMemory::default();
    let versions = 25_000;
    let all = LedgerEntry {
        // Every tenth is old.
        seen: (0..versions)
            .map(|id| {
                (
                    IncidentId(id),
                    seen(if id % 10 == 0 { 1 } else { 100 }, &[id]),
                )
            })
            .collect(),
        ..entry(1)
    };
    commit(&mut memory, &[all]);
    let forget = LedgerEntry {
        forget_before: Some(Ticks(50)),
        ..entry(1)
    };
    let mut removed = vec![commit(&mut memory, &[forget]).len()];
    // Later commits go on with it, even those that ask for nothing.
    while memory.tenants[&tenant(1)].pass.is_some() {
        let before = memory.change([entry(1)].iter()).rows().count();
        removed.push(commit(&mut memory, &[entry(1)]).len());
        assert_eq!(removed.last(), Some(&before), "not committed: not done");
    }
    assert!(
        removed.iter().all(|rows| *rows <= MOST_TOMBSTONES),
        "{removed:?}"
    );
    assert_eq!(removed.iter().sum::<usize>(), 2_500);
    assert_eq!(removed, [1_000, 1_000, 500]);
    assert_eq!(memory.versions(), 22_500);
    assert_eq!(commit(&mut memory, &[entry(1)]), []);
    // A pass that finds nothing takes as many commits, and writes nothing.
    let forget = LedgerEntry {
        forget_before: Some(Ticks(60)),
        ..entry(1)
    };
    assert_eq!(commit(&mut memory, &[forget]), []);
    let next = |memory: &PartitionMemory| memory.tenants[&tenant(1)].pass.map(|pass| pass.from.0);
    assert_eq!(next(&memory), Some(11_112), "10,000 of 22,500");
    assert_eq!(commit(&mut memory, &[entry(1)]), []);
    assert_eq!(next(&memory), Some(22_223));
    assert_eq!(commit(&mut memory, &[entry(1)]), []);
    assert_eq!(next(&memory), None);
}

#[test]
fn tenants_of_one_transaction_share_what_it_may_forget() {
    let mut memory = PartitionMemory::default();
    let old = |of: u8| LedgerEntry {
        seen: (0..700)
            .map(|id| (IncidentId(id), seen(1, &[id])))
            .collect(),
        letters: (0..10)
            .map(|content| {
                let (met, accepted) = (Ticks(1), true);
                (ContentHash(content), Letter { met, accepted })
            })
            .collect(),
        ..entry(of)
    };
    let forget = |of: u8| LedgerEntry {
        forget_before: Some(Ticks(50)),
        forget_letters_before: Some(Ticks(50)),
        ..entry(of)
    };
    commit(&mut memory, &[old(1), old(2), old(3)]);
    let rows = commit(&mut memory, &[forget(1), forget(2), forget(3)]);
    assert_eq!(rows.len(), MOST_TOMBSTONES);
    assert_eq!(memory.versions(), 1_110);
    let rows = commit(&mut memory, &[entry(2), entry(3)]);
    assert_eq!(rows.len(), MOST_TOMBSTONES, "none is forgotten");
    assert_eq!(commit(&mut memory, &[entry(3)]).len(), 110);
    assert_eq!(memory.versions(), 0);
    let letters = memory.letters(tenant(2)).len();
    assert_eq!(letters, 10, "with the next request");
    assert_eq!(commit(&mut memory, &[forget(2), forget(3)]).len(), 20);
    assert_eq!(memory.tenants().count(), 0);
}

#[test]
fn a_tenant_that_nobody_has_read_for_long_is_removed_in_bounded_transactions_and_its_state_last() {
    let day = 86_400 * PER_SECOND;
    let mut memory = PartitionMemory::default();
    let versions = (0..2_500).map(|id| (IncidentId(id), seen(7, &[id])));
    let old = LedgerEntry {
        seen: versions.collect(),
        state: Some(state(10 * day)),
        ..entry(1)
    };
    let young = LedgerEntry {
        state: Some(state(100 * day)),
        ..entry(2)
    };
    commit(&mut memory, &[old, young]);
    let now = Ticks(191 * day);
    let configured = HashSet::from([tenant(1)]);
    assert_eq!(memory.abandoned(&configured, now), []);
    assert_eq!(memory.abandoned(&HashSet::new(), now), [tenant(1)]);
    let mut transactions = Vec::new();
    while memory.tenants().any(|of| of == tenant(1)) {
        let change = memory.removal(tenant(1));
        let rows: Vec<Row> = change.rows().collect();
        assert!(rows.iter().all(|row| row.value.is_none()));
        transactions.push(rows.len());
        let state_is_there = memory.state(tenant(1)).is_some();
        assert!(state_is_there, "the rest is not found again after a crash");
        memory.accept(change);
    }
    assert_eq!(transactions, [1_000, 1_000, 501]);
    assert!(memory.state(tenant(2)).is_some());
}

#[test]
fn a_damaged_row_changes_nothing() {
    let mut memory = PartitionMemory::default();
    let state = LedgerEntry {
        state: Some(state(3)),
        ..entry(1)
    };
    let mut rows = commit(&mut memory, &[state]);
    rows[0].value = Some(vec![0]);
    assert!(memory.apply(&rows[0]).is_err());
    assert_eq!(
        memory.state(tenant(1)).map(|state| state.cursor),
        Some(Ticks(3))
    );
}

/// Prints what a million versions take, alone: `cargo test --lib a_million_versions -- --nocapture`.
#[test]
fn a_million_versions_are_restored_within_seconds_and_are_small() {
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages = pages
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse::<usize>().ok());
        pages.expect("a number") * 4096
    };
    let (tenants, each) = (50, 20_000);
    // Two alerts.
    let outline = PackedOutline::from_bytes(&[7; 4 + 6 * 5 + 2 * 26]);
    let before = resident();
    let began = tokio::time::Instant::now();
    let mut memory = PartitionMemory::default();
    for id in 0..each {
        for of in 0..tenants {
            let row = LedgerRow::Version {
                tenant: tenant(of),
                id: IncidentId(id),
                seen: Some(seen(id as i64, &[id])),
                outline: Some(outline.clone()),
            };
            memory.apply(&row.encode()).expect("a row");
        }
    }
    let took = began.elapsed();
    let read = resident().saturating_sub(before);
    let versions = memory.versions();
    assert_eq!(versions, u64::from(tenants) * each);
    let per_version = |bytes: usize| bytes as f64 / versions as f64;
    println!(
        "{versions} versions: read in {took:?}; bytes of memory per version: {:.1} measured, {:.1} estimated",
        per_version(read),
        per_version(bytes(&memory)),
    );
    assert_eq!(size_of::<CompactSeen>(), 24);
    assert!((190.0..220.0).contains(&per_version(bytes(&memory))));
}
