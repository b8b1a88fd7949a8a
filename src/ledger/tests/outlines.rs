//! The rows that say what was published besides the version.

use std::collections::HashSet;

use redb::{ReadableDatabase, ReadableTableMetadata};

use super::*;
use crate::core::codec::{encode_seen, incident_key};
use crate::core::time::ticks::PER_SECOND;
use crate::ledger::outlines::OUTLINES;

fn outline(byte: u8) -> PackedOutline {
    PackedOutline::from_bytes(&[byte; 20])
}

fn with_outline(of: u8, id: u64, byte: u8) -> LedgerEntry {
    LedgerEntry {
        outlines: vec![(IncidentId(id), outline(byte))],
        ..entry(of, id)
    }
}

fn kept(ledger: &LocalLedger, of: u8, id: u64) -> Option<PackedOutline> {
    let found = wait_for(ledger.outlines(tenant(of), &[IncidentId(id)]));
    found.expect("a sound ledger answers").remove(0)
}

fn rows(dir: &Path) -> u64 {
    let database = redb::Database::open(dir.join("ledger.redb")).expect("open");
    let read = database.begin_read().expect("begin");
    let table = read.open_table(OUTLINES).expect("table");
    table.len().expect("a number")
}

#[test]
fn a_ledger_of_an_earlier_release_has_none_and_takes_some() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    wait_for(ledger.write(entry(1, 7))).expect("written");
    ledger.close();
    tamper(dir.path(), |transaction| {
        transaction.delete_table(OUTLINES).expect("deleted");
    });
    let ledger = open(dir.path());
    assert_eq!(kept(&ledger, 1, 7), None);
    wait_for(ledger.write(with_outline(1, 7, 1))).expect("written");
    assert_eq!(kept(&ledger, 1, 7), Some(outline(1)));
}

#[test]
fn an_outline_of_another_version_counts_as_none() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    wait_for(ledger.write(with_outline(1, 7, 1))).expect("written");
    assert_eq!(kept(&ledger, 1, 7), Some(outline(1)));
    ledger.close();
    // What a rollback does: an earlier release writes a later version, or another form of the same last update.
    let later = Seen {
        updated: Ticks(8),
        ..seen(7)
    };
    let other = Seen {
        forms: seen(7).forms.and(ContentHash(8)),
        ..seen(7)
    };
    for (written, expected) in [(later, None), (other, None), (seen(7), Some(outline(1)))] {
        tamper(dir.path(), |transaction| {
            let mut versions = transaction.open_table(VERSIONS).expect("table");
            let key = incident_key(tenant(1), IncidentId(7));
            versions
                .insert(&key, &*encode_seen(&written))
                .expect("insert");
        });
        let ledger = open(dir.path());
        assert_eq!(kept(&ledger, 1, 7), expected, "{written:?}");
    }
    let ledger = open(dir.path());
    wait_for(ledger.write(entry(1, 7))).expect("written");
    assert_eq!(kept(&ledger, 1, 7), None, "the version now has none");
    ledger.close();
    assert_eq!(rows(dir.path()), 0);
}

#[test]
fn a_damaged_row_counts_as_none_and_goes_with_the_old_ones() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    for id in [7, 8, 9] {
        wait_for(ledger.write(with_outline(1, id, 1))).expect("written");
    }
    ledger.close();
    tamper(dir.path(), |transaction| {
        let mut outlines = transaction.open_table(OUTLINES).expect("table");
        let key = incident_key(tenant(1), IncidentId(9));
        outlines.insert(&key, [7_u8].as_slice()).expect("insert");
    });
    let ledger = open(dir.path());
    assert_eq!(kept(&ledger, 1, 9), None);
    let forget = LedgerEntry {
        forget_before: Some(Ticks(8)),
        ..LedgerEntry::of(tenant(1))
    };
    wait_for(ledger.write(forget)).expect("written");
    assert_eq!(
        (kept(&ledger, 1, 7), kept(&ledger, 1, 8)),
        (None, Some(outline(1)))
    );
    ledger.close();
    assert_eq!(rows(dir.path()), 1);
}

#[test]
fn the_rows_of_a_tenant_that_is_gone_go_with_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    wait_for(ledger.write(with_outline(1, 7, 1))).expect("written");
    wait_for(ledger.write(with_outline(2, 7, 2))).expect("written");
    let configured = || HashSet::from([tenant(1)]);
    wait_for(ledger.prune(configured(), Ticks(0)));
    wait_for(ledger.prune(configured(), Ticks(200 * 86_400 * PER_SECOND)));
    assert_eq!(
        (kept(&ledger, 1, 7), kept(&ledger, 2, 7)),
        (Some(outline(1)), None)
    );
    ledger.close();
    assert_eq!(rows(dir.path()), 1);
}

/// Prints what an incident with two alerts takes in the file: `cargo test --lib what_outlines_take -- --nocapture`.
#[test]
fn what_outlines_take_in_the_file_is_in_proportion() {
    const INCIDENTS: u64 = 20_000;
    let size = |outline: Option<usize>| {
        let dir = tempfile::tempdir().expect("temporary directory");
        let ledger = open(dir.path());
        let ids: Vec<u64> = (0..INCIDENTS).collect();
        for ids in ids.chunks(1_000) {
            let outlines = ids.iter().filter_map(|id| {
                let outline = PackedOutline::from_bytes(&vec![*id as u8; outline?]);
                Some((IncidentId(*id), outline))
            });
            let entry = LedgerEntry {
                seen: ids.iter().map(|id| (IncidentId(*id), seen(*id))).collect(),
                outlines: outlines.collect(),
                ..LedgerEntry::of(tenant(1))
            };
            wait_for(ledger.write(entry)).expect("written");
        }
        ledger.close();
        let path = dir.path().join("ledger.redb");
        let bytes = || std::fs::metadata(&path).expect("a file").len() / INCIDENTS;
        let running = bytes();
        let mut database = redb::Database::open(&path).expect("open");
        database.compact().expect("compacted");
        drop(database);
        (running, bytes())
    };
    let (without, with) = (size(None), size(Some(86)));
    println!(
        "bytes of an incident in the file of a daemon, and compacted: {without:?} without an outline, {with:?} with two alerts"
    );
    assert!(
        without.1 < with.1 && with.1 < without.1 + 200,
        "{without:?}, {with:?}"
    );
}
