//! The ledger's promises: held against a model, on a disk that fails, and on files that are not its own.

mod absent;
mod damage;
mod faults;
mod model;

use std::path::Path;

use crate::core::backlog::Backlog;
use crate::core::cursor::TenantState;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::ticks::Ticks;
use crate::core::version::{ContentHash, Origin, Phase, Seen};
use crate::ports::{Ledger, LedgerEntry};

use super::store::TENANTS;
use super::{LedgerError, LocalLedger};
use damage::{tamper, wait_for};

fn tenant(n: u8) -> TenantId {
    TenantId::from_bytes([n; 16])
}

fn seen(n: u64) -> Seen {
    Seen {
        updated: Ticks(n as i64),
        phase: Phase::Open,
        hash: ContentHash(n),
        origin: Origin::Defender,
        whole: true,
    }
}

/// One incident of one tenant, and the tenant's state.
fn entry(of: u8, id: u64) -> LedgerEntry {
    LedgerEntry {
        tenant: tenant(of),
        seen: vec![(IncidentId(id), seen(id))],
        dead: Vec::new(),
        state: Some(TenantState {
            start: Ticks(0),
            cursor: Ticks(id as i64),
            reconciled: Ticks(0),
            backlog: Backlog::default(),
        }),
        forget_before: None,
    }
}

async fn known(ledger: &LocalLedger, of: u8, id: u64) -> Option<Seen> {
    let found = ledger.known(tenant(of), &[IncidentId(id)]).await;
    found.expect("a sound ledger answers")[0]
}

fn open(dir: &Path) -> LocalLedger {
    LocalLedger::open(dir).unwrap_or_else(|error| panic!("{error}"))
}

/// Why `dir` is refused, and that its ledger's bytes are the same afterwards.
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
    // As the format before wrote it: cursor and last reconcile.
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
