//! Tenants that were removed from the configuration.

use std::collections::HashSet;

use super::*;
use crate::core::time::ticks::PER_SECOND;
use crate::ledger::prune::STEP;

fn day(n: i64) -> Ticks {
    Ticks(n * 86_400 * PER_SECOND)
}

/// What a start does on that day with these tenants in the configuration.
async fn start(ledger: &LocalLedger, configured: &[u8], on: i64) {
    let configured: HashSet<_> = configured.iter().map(|of| tenant(*of)).collect();
    ledger.prune(configured, day(on)).await;
}

async fn is_there(ledger: &LocalLedger, of: u8) -> bool {
    let state = ledger.state(tenant(of)).await.expect("read").is_some();
    let letters = ledger.letters(tenant(of)).await.expect("read");
    let dead = !letters.is_empty();
    let version = known(ledger, of, 7).await.is_some();
    assert!(
        state == dead && dead == version,
        "half of tenant {of} is there"
    );
    state
}

async fn filled(dir: &Path) -> LocalLedger {
    let ledger = open(dir);
    for of in 1..=3 {
        let mut entry = entry(of, 7);
        let (met, accepted) = (Ticks(7), true);
        entry.letters = vec![(ContentHash(3), Letter { met, accepted })];
        ledger.write(entry).await.expect("written");
    }
    ledger
}

#[tokio::test]
async fn a_tenant_that_is_put_back_within_180_days_is_as_if_it_had_never_left() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = filled(dir.path()).await;
    start(&ledger, &[1, 2, 3], 0).await;
    start(&ledger, &[1, 2], 1_000).await;
    start(&ledger, &[1, 2], 1_179).await;
    assert!(is_there(&ledger, 3).await, "absent for 179 days");
    start(&ledger, &[1, 2, 3], 1_180).await;
    // Its absence is counted from the beginning again.
    start(&ledger, &[1, 2], 1_181).await;
    start(&ledger, &[1, 2], 1_360).await;
    assert!(is_there(&ledger, 3).await);
    start(&ledger, &[1, 2], 1_361).await;
    assert!(!is_there(&ledger, 3).await, "absent for 180 days");
    assert!(is_there(&ledger, 1).await && is_there(&ledger, 2).await);
    assert_eq!(ledger.status().versions, Some(2));
}

#[tokio::test]
async fn one_that_was_never_seen_absent_stays_however_old_its_rows_are() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = filled(dir.path()).await;
    start(&ledger, &[1, 2], 20_000).await;
    assert!(is_there(&ledger, 3).await);
}

#[tokio::test]
async fn a_clock_that_was_ahead_once_keeps_nothing_for_ever() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = filled(dir.path()).await;
    start(&ledger, &[1, 2], 50_000).await;
    start(&ledger, &[1, 2], 1_000).await;
    start(&ledger, &[1, 2], 1_180).await;
    assert!(!is_there(&ledger, 3).await);
}

#[tokio::test]
async fn many_rows_are_dropped_in_steps_across_a_restart_in_between() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = filled(dir.path()).await;
    let mut large = entry(3, 7);
    large.seen = (0..STEP as u64 + 5)
        .map(|id| (IncidentId(id), seen(id)))
        .collect();
    ledger.write(large).await.expect("written");
    start(&ledger, &[1, 2], 0).await;
    let step = ledger.on_writer(|store| store.drop_rows(tenant(3)));
    assert_eq!(step.await, Ok(false), "one step is not enough");
    ledger.close();
    let ledger = open(dir.path());
    assert_eq!(ledger.status().versions, Some(2 + 5));
    start(&ledger, &[1, 2], 180).await;
    assert!(!is_there(&ledger, 3).await);
    assert_eq!(ledger.status().versions, Some(2));
}
