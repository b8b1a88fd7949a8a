//! The ledger's promises: held against a model, on a disk that fails, and on files that are not its own.

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

use super::{LedgerError, LocalLedger};

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
            cursor: Ticks(id as i64),
            reconciled: Ticks(0),
            backlog: Backlog::default(),
        }),
        forget_before: None,
    }
}

fn known(ledger: &LocalLedger, of: u8, id: u64) -> Option<Seen> {
    let found = ledger.known(tenant(of), &[IncidentId(id)]);
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
