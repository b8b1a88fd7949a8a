//! A page of 100 incidents compared with a ledger that knows a million versions: the daemon's work when nothing changed.

#![allow(clippy::expect_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use incidentd::core::ids::{IncidentId, TenantId};
use incidentd::core::incident::version::{
    ContentHash, Decision, Deduplicate, Forms, Phase, Reading, Seen, decide,
};
use incidentd::core::sources::SourceKind;
use incidentd::core::time::ticks::Ticks;
use incidentd::ledger::LocalLedger;
use incidentd::ports::{Ledger, LedgerEntry};
use tokio::runtime::Runtime;

const TENANTS: u32 = 1_000;
const INCIDENTS: u64 = 1_000;
const PAGE: u64 = 100;

/// Ids are scattered like real GUIDs, so that the rows of one page are not close to those of the page before.
fn tenant(n: u32) -> TenantId {
    let scattered = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    TenantId::from_bytes(scattered.to_be_bytes())
}

fn seen(id: u64) -> Seen {
    Seen {
        updated: Ticks(16_000_000_000_000_000 + id.cast_signed()),
        phase: Phase::Open,
        forms: Forms::NONE.and(ContentHash(id)),
        origin: SourceKind::Defender,
        whole: true,
    }
}

/// A page of `tenant`, all of it known.
fn page(first: u64) -> Vec<Reading> {
    let reading = |id| {
        let Seen {
            updated,
            phase,
            forms,
            origin,
            whole,
            ..
        } = seen(id);
        Reading {
            id: IncidentId(id),
            updated,
            phase,
            hash: forms.hashes().next().expect("a hash"),
            origin,
            whole,
        }
    };
    (first..first + PAGE).map(reading).collect()
}

async fn fill(ledger: &LocalLedger) {
    for group in (0..TENANTS).collect::<Vec<_>>().chunks(10) {
        let writes = group.iter().map(|n| {
            ledger.write(LedgerEntry {
                tenant: tenant(*n),
                seen: (0..INCIDENTS)
                    .map(|id| (IncidentId(id), seen(id)))
                    .collect(),
                outlines: Vec::new(),
                letters: Vec::new(),
                state: None,
                forget_before: None,
                forget_letters_before: None,
            })
        });
        for written in join_all(writes).await {
            written.expect("written");
        }
    }
}

async fn unchanged(ledger: &LocalLedger, tenant: TenantId, page: &[Reading]) -> usize {
    let ids: Vec<_> = page.iter().map(|reading| reading.id).collect();
    let known = ledger.known(tenant, &ids).await.expect("an answer");
    let verdicts = page
        .iter()
        .zip(&known)
        .map(|(reading, seen)| decide(reading, seen.as_ref(), Deduplicate::Version));
    verdicts
        .filter(|verdict| *verdict == Decision::Unchanged)
        .count()
}

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = LocalLedger::open(&folder.path().join("ledger")).expect("a ledger");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(fill(&ledger));
    assert_eq!(
        runtime.block_on(unchanged(&ledger, tenant(7), &page(500))),
        100,
        "the ledger knows them"
    );

    let mut group = criterion.benchmark_group("ledger of 1,000,000 versions");
    group.throughput(Throughput::Elements(PAGE));
    let mut turn = 0_u32;
    group.bench_function("a known page of 100", |b| {
        b.iter_batched(
            || {
                turn += 1;
                let first = u64::from(turn % 10) * PAGE;
                (tenant(turn % TENANTS), page(first))
            },
            |(tenant, page)| black_box(runtime.block_on(unchanged(&ledger, tenant, &page))),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    ledger.close();
}

criterion_group!(benches, bench);
criterion_main!(benches);
