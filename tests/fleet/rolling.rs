//! Replicas that share two thousand tenants are restarted, one after another.

use super::*;

use crate::kafka_ledger::Replicas;
use incidentd::simulator::{Journal, Simulator, Tenant};

const REPLICAS: usize = 3;
const PARTITIONS: u16 = 12;
/// The longest time without a sweep: a period that ends while the tenant moves, and the next owner's first turn.
const MOST: i64 = 2 * PERIOD + LATE;
/// Each restart moves a third of the tenants away, and a third back; the start moves some, too.
const MOST_TOKENS: u64 = 5 * TENANTS as u64;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_three_replicas_leaves_no_tenant_unswept_for_long() {
    // With Microsoft's quotas: the budgets have to hold across a move.
    let options = Options {
        tenants: (1..=TENANTS).map(Tenant::numbered).collect(),
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 1);
    let further = |setup: Setup| {
        setup
            .text("poll.schedule", &format!("every {PERIOD}s"))
            .key("poll.requests_per_minute", "25")
    };
    let replicas = Replicas::at(&shared(), &simulator, REPLICAS, PARTITIONS, further).await;
    let mut running = Vec::new();
    for n in 0..REPLICAS {
        running.push(replicas.spawn(n).ready().await);
    }
    replicas
        .share_all(&running.iter().collect::<Vec<_>>())
        .await;
    swept_since(&journal, 0).await;

    let (mut missed, mut longest_stop) = (0.0, Duration::ZERO);
    let begun = Instant::now();
    for n in 0..REPLICAS {
        world.evolve(200);
        missed += running[n].metric("incidentd_missed_firings_total").await;
        let stopping = Instant::now();
        running[n].stop().await;
        longest_stop = longest_stop.max(stopping.elapsed());
        running[n] = replicas.spawn(n).ready().await;
        replicas
            .share_all(&running.iter().collect::<Vec<_>>())
            .await;
    }
    let took = begun.elapsed();
    swept_since(&journal, world.now()).await;
    let tokens = journal.token_requests();
    let ended = world.now();
    for replica in &running {
        missed += replica.metric("incidentd_missed_firings_total").await;
    }
    replicas.complete(&journal).await;
    replicas
        .end(&journal, &mut running.iter_mut().collect::<Vec<_>>())
        .await;

    let sweeps = sweeps(&first_pages(&journal));
    let until_end = |times: &[i64]| ended - times[times.len() - 1];
    let longest = sweeps
        .values()
        .flat_map(|times| gaps(times).chain([until_end(times)]))
        .max()
        .unwrap_or(0);
    tell(format_args!(
        "rolling restart of {REPLICAS} replicas with {TENANTS} tenants every {PERIOD} s, in {took:?}: longest time without a \
         sweep of a tenant {:.1} s, missed firings {missed}, token requests {tokens}, 429s {}, longest stop {longest_stop:?}",
        seconds(longest),
        journal.throttled(),
    ));
    assert_eq!(sweeps.len(), TENANTS as usize, "tenants that were swept");
    assert!(
        longest <= MOST * SECOND,
        "{} s without a sweep",
        seconds(longest)
    );
    assert!(tokens <= MOST_TOKENS, "{tokens} token requests");
    assert_eq!(journal.throttled(), 0, "the budgets did not hold");
    assert!(missed <= f64::from(TENANTS), "{missed} missed firings");
    for tenant in sweeps.keys() {
        assert_eq!(
            journal.most_concurrent_lists(*tenant),
            1,
            "two replicas swept {tenant}"
        );
    }
}

/// The requests that begin a sweep.
fn first_pages(journal: &Journal) -> Vec<Request> {
    let requests = journal.requests().into_iter();
    requests
        .filter(|request| !request.query.contains("skip"))
        .collect()
}

/// Waits until each tenant was swept after `since`.
async fn swept_since(journal: &Journal, since: i64) {
    until("each tenant is swept", 2 * SOON, async || {
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        let sweeps = sweeps(&first_pages(journal));
        let swept = sweeps
            .values()
            .filter(|times| times[times.len() - 1] > since);
        swept.count() == TENANTS as usize
    })
    .await;
}
