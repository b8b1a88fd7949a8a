//! The ledger's promises: compared with a model, with a failing disk, and with files that are not ledgers.

mod absent;
mod damage;
mod faults;
mod model;
mod outlines;

use std::path::Path;

use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::{Letter, MOST};
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Forms, Phase, Seen};
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Backlog;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::ports::{Ledger, LedgerEntry, Part};

use super::dead_letters::{FORMER, LETTERS};
use super::tables::{TENANTS, VERSIONS};
use super::{LedgerError, LocalLedger};
use damage::{tamper, wait_for};

fn tenant(n: u8) -> TenantId {
    TenantId::from_bytes([n; 16])
}

fn seen(n: u64) -> Seen {
    Seen {
        updated: Ticks(n as i64),
        phase: Phase::Open,
        forms: Forms::NONE.and(ContentHash(n)),
        origin: SourceKind::Defender,
        whole: true,
    }
}

/// One incident of one tenant, and the tenant's state.
fn entry(of: u8, id: u64) -> LedgerEntry {
    LedgerEntry {
        tenant: tenant(of),
        seen: vec![(IncidentId(id), seen(id))],
        outlines: Vec::new(),
        letters: Vec::new(),
        state: Some(TenantState {
            start: Ticks(0),
            cursor: Ticks(id as i64),
            reconciled: Ticks(0),
            backlog: Backlog::default(),
            paused: None,
        }),
        forget_before: None,
        forget_letters_before: None,
    }
}

async fn known(ledger: &LocalLedger, of: u8, id: u64) -> Option<Seen> {
    let found = ledger.known(tenant(of), &[IncidentId(id)]).await;
    found.expect("a sound ledger answers")[0]
}

fn open(dir: &Path) -> LocalLedger {
    LocalLedger::open(dir).unwrap_or_else(|error| panic!("{error}"))
}

/// Checks that `dir` is refused and that the bytes of its ledger stay the same. Returns the error.
fn refused_untouched(dir: &Path) -> LedgerError {
    let file = dir.join("ledger.redb");
    let before = std::fs::read(&file).expect("the file to be refused");
    let error = LocalLedger::open(dir).expect_err("it must be refused");
    let after = std::fs::read(&file).expect("the file is still there");
    assert!(before == after, "a refused file was changed: {error}");
    error
}

#[test]
fn a_tenant_whose_first_range_no_ledger_kept_goes_on_without_a_bound() {
    let dir = tempfile::tempdir().expect("temporary directory");
    open(dir.path()).close();
    // In the previous format: cursor and last reconcile.
    let mut old = vec![2];
    old.extend([7_i64, 5].into_iter().flat_map(i64::to_be_bytes));
    tamper(dir.path(), |transaction| {
        let mut tenants = transaction.open_table(TENANTS).expect("table");
        let row = tenants.insert(tenant(1).as_bytes(), &*old);
        row.expect("insert");
    });
    let mut state = TenantState {
        start: Ticks::MIN,
        cursor: Ticks(7),
        reconciled: Ticks(5),
        backlog: Backlog::default(),
        paused: None,
    };
    let ledger = open(dir.path());
    assert_eq!(wait_for(ledger.state(tenant(1))), Ok(Some(state.clone())));
    state.cursor = Ticks(8);
    let mut moved = entry(1, 1);
    moved.state = Some(state.clone());
    wait_for(ledger.write(moved)).expect("written");
    ledger.close();
    let again = open(dir.path());
    assert_eq!(wait_for(again.state(tenant(1))), Ok(Some(state)));
}

#[test]
fn a_version_of_a_former_release_is_known_without_its_hash_and_written_anew_with_one() {
    let dir = tempfile::tempdir().expect("temporary directory");
    open(dir.path()).close();
    let mut row = vec![3];
    row.extend(7_i64.to_be_bytes());
    row.push(0);
    row.extend(0xdead_u64.to_be_bytes());
    tamper(dir.path(), |transaction| {
        let mut versions = transaction.open_table(VERSIONS).expect("table");
        let key = crate::core::codec::incident_key(tenant(1), IncidentId(7));
        versions.insert(&key, &*row).expect("insert");
    });
    let ledger = open(dir.path());
    let former = Seen {
        forms: Forms::NONE,
        ..seen(7)
    };
    assert_eq!(wait_for(known(&ledger, 1, 7)), Some(former));
    wait_for(ledger.write(entry(1, 7))).expect("written");
    assert_eq!(wait_for(known(&ledger, 1, 7)), Some(seen(7)));
}

#[test]
fn dead_letters_of_a_former_release_are_taken_over_up_to_the_bound_and_age_from_then_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    open(dir.path()).close();
    let key = |of, content| crate::core::codec::dead_key(tenant(of), ContentHash(content));
    tamper(dir.path(), |transaction| {
        transaction.delete_table(LETTERS).expect("deleted");
        let mut former = transaction.open_table(FORMER).expect("table");
        for content in 0..2 * MOST as u64 {
            former.insert(&key(1, content), ()).expect("insert");
        }
        former.insert(&key(2, 5), ()).expect("insert");
    });
    let ledger = open(dir.path());
    let letters = |of| wait_for(ledger.letters(tenant(of))).expect("read");
    assert_eq!((letters(1).len(), letters(2).len()), (MOST, 1));
    let (content, Letter { met, accepted }) = letters(2)[0];
    assert!(accepted && content == ContentHash(5), "{content}");
    // In the year 2020, before this test was written.
    assert!(met > Ticks::from_unix_seconds(1_600_000_000), "{met}");
    let forget = |before| LedgerEntry {
        seen: Vec::new(),
        state: None,
        forget_letters_before: Some(before),
        ..entry(1, 1)
    };
    wait_for(ledger.write(forget(met))).expect("written");
    assert_eq!(letters(1).len(), MOST, "forgotten too early");
    wait_for(ledger.write(forget(Ticks::MAX))).expect("written");
    assert_eq!((letters(1).len(), letters(2).len()), (0, 1));
    ledger.close();
    let ledger = open(dir.path());
    assert_eq!(
        wait_for(ledger.letters(tenant(1))),
        Ok(Vec::new()),
        "taken over again"
    );
}

#[test]
fn no_more_dead_letters_of_a_tenant_are_kept_than_the_bound() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    let met = |contents: std::ops::Range<u64>, accepted| LedgerEntry {
        letters: contents
            .map(|content| {
                let met = Ticks(7);
                (ContentHash(content), Letter { met, accepted })
            })
            .collect(),
        ..entry(1, 1)
    };
    let most = MOST as u64;
    wait_for(ledger.write(met(0..most + 10, false))).expect("written");
    wait_for(ledger.write(met(most + 10..most + 20, false))).expect("written");
    // Known letters can still change.
    wait_for(ledger.write(met(most - 1..most, true))).expect("written");
    let letters = wait_for(ledger.letters(tenant(1))).expect("read");
    assert_eq!(letters.len(), MOST);
    let accepted: Vec<_> = letters
        .iter()
        .filter(|(_, letter)| letter.accepted)
        .collect();
    assert_eq!(accepted.len(), 1, "{accepted:?}");
}
