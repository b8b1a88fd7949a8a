//! What was written is read back: compared with a plain map.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::core::health::status::PartState;

const TENANTS: u8 = 3;
const IDS: u64 = 6;

#[derive(Debug, Clone)]
enum Step {
    Write(LedgerEntry),
    Reopen,
}

fn entries() -> impl Strategy<Value = LedgerEntry> {
    let rows = proptest::collection::vec((0..IDS, 0..100_u64), 0..4);
    let letter = (0..IDS, 0..100_i64, any::<bool>()).prop_map(|(content, met, accepted)| {
        let met = Ticks(met);
        (ContentHash(content), Letter { met, accepted })
    });
    let letters = proptest::collection::vec(letter, 0..3);
    let state = proptest::option::of((0..100_i64, 0..100_i64));
    let forget = proptest::option::weighted(0.2, 0..100_i64);
    let entry = (0..TENANTS, rows, letters, state, forget.clone(), forget);
    entry.prop_map(
        |(of, rows, letters, state, forget, forget_letters)| LedgerEntry {
            tenant: tenant(of),
            outlines: (rows.iter())
                .filter(|(_, n)| n % 3 > 0)
                .map(|(id, n)| (IncidentId(*id), PackedOutline::from_bytes(&[*n as u8])))
                .collect(),
            seen: rows
                .into_iter()
                .map(|(id, n)| (IncidentId(id), seen(n)))
                .collect(),
            letters,
            state: state.map(|(cursor, reconciled)| TenantState {
                start: Ticks(0),
                cursor: Ticks(cursor),
                reconciled: Ticks(reconciled),
                backlog: Backlog::default(),
                paused: None,
            }),
            forget_before: forget.map(Ticks),
            forget_letters_before: forget_letters.map(Ticks),
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![4 => entries().prop_map(Step::Write), 1 => Just(Step::Reopen)];
    proptest::collection::vec(step, 1..12)
}

#[derive(Default)]
struct Model {
    seen: HashMap<(TenantId, IncidentId), (Seen, Option<PackedOutline>)>,
    letters: HashMap<(TenantId, ContentHash), Letter>,
    states: HashMap<TenantId, TenantState>,
}

impl Model {
    fn write(&mut self, entry: &LedgerEntry) {
        let tenant = entry.tenant;
        let versions = entry.versions();
        self.seen
            .extend(versions.map(|(id, seen, outline)| ((tenant, id), (*seen, outline.cloned()))));
        if let Some(before) = entry.forget_before {
            self.seen
                .retain(|(of, _), (seen, _)| *of != tenant || seen.updated >= before);
        }
        let letters = entry.letters.iter();
        self.letters
            .extend(letters.map(|(content, letter)| ((tenant, *content), *letter)));
        if let Some(before) = entry.forget_letters_before {
            self.letters
                .retain(|(of, _), letter| *of != tenant || letter.met >= before);
        }
        if let Some(state) = &entry.state {
            self.states.insert(tenant, state.clone());
        }
    }

    async fn holds_for(&self, ledger: &LocalLedger) -> Result<(), TestCaseError> {
        let ids: Vec<_> = (0..IDS).map(IncidentId).collect();
        for tenant in (0..TENANTS).map(tenant) {
            let kept = |id: &IncidentId| self.seen.get(&(tenant, *id)).cloned().unzip();
            let (expected, outlines): (Vec<_>, Vec<_>) = ids.iter().map(kept).unzip();
            prop_assert_eq!(ledger.known(tenant, &ids).await, Ok(expected));
            let outlines = outlines.into_iter().map(Option::flatten).collect();
            prop_assert_eq!(ledger.outlines(tenant, &ids).await, Ok(outlines));
            let state = self.states.get(&tenant).cloned();
            prop_assert_eq!(ledger.state(tenant).await, Ok(state));
            let letters = self.letters.iter().filter(|((of, _), _)| *of == tenant);
            let mut letters: Vec<_> = letters
                .map(|((_, content), letter)| (*content, *letter))
                .collect();
            letters.sort_unstable_by_key(|(content, _)| content.0);
            prop_assert_eq!(ledger.letters(tenant).await, Ok(letters));
        }
        let status = ledger.status();
        prop_assert_eq!((status.state, status.error), (PartState::Ok, None));
        prop_assert_eq!(status.versions, Some(self.seen.len() as u64));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_reads_what_was_written_by_tenant_and_across_restarts(steps in steps()) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        let mut ledger = open(dir.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Write(entry) => {
                    model.write(&entry);
                    prop_assert_eq!(runtime.block_on(ledger.write(entry)), Ok(()));
                }
                Step::Reopen => {
                    ledger.close();
                    ledger = open(dir.path());
                }
            }
            runtime.block_on(model.holds_for(&ledger))?;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_each_find_their_own_entry_after_their_answer() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = Arc::new(open(dir.path()));
    let writers: Vec<_> = (0..20_u8)
        .map(|of| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for id in 0..10 {
                    ledger.write(entry(of, id)).await.expect("written");
                    assert_eq!(known(&ledger, of, id).await, Some(seen(id)), "{of}/{id}");
                    let state = ledger
                        .state(tenant(of))
                        .await
                        .expect("read")
                        .expect("written");
                    assert_eq!(state.cursor, Ticks(id as i64), "{of}/{id}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer panicked");
    }
    assert_eq!(ledger.status().versions, Some(200));
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_file_at_that_moment() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    ledger.write(entry(1, 1)).await.expect("written");
    // The file as after a crash: not closed.
    let crashed = tempfile::tempdir().expect("temporary directory");
    std::fs::copy(
        dir.path().join("ledger.redb"),
        crashed.path().join("ledger.redb"),
    )
    .expect("copy");
    let after = open(crashed.path());
    assert_eq!(known(&after, 1, 1).await, Some(seen(1)));
    assert_eq!(after.status().versions, Some(1));
}

#[tokio::test]
async fn closing_writes_what_was_queued_first() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = Arc::new(open(dir.path()));
    // Polled once, so that the entry is queued, and then dropped.
    let gave_up = tokio::time::timeout(std::time::Duration::ZERO, ledger.write(entry(1, 1)));
    let _ = gave_up.await;
    drop(ledger);
    assert_eq!(known(&open(dir.path()), 1, 1).await, Some(seen(1)));
}
