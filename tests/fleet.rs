//! Two thousand tenants on one schedule: each is swept in each period, no sweep overlaps another of its tenant, and
//! each tenant requests its token once.

use std::collections::HashMap;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, tell, until};
use incidentd::simulator::{Endpoint, Options, Request, SECOND};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

mod rolling;

const TENANTS: u32 = 2_000;
const PERIOD: i64 = 30;
/// The first turns, and three periods after them.
const TIME: Duration = Duration::from_secs(100);
/// How late a sweep may be on a busy machine.
const LATE: i64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_tenants_are_each_swept_once_in_each_period() {
    let (kafka, topic) = (shared(), unique("fleet"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let simulator = simulator(TENANTS, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 1);
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("poll.schedule", &format!("every {PERIOD}s"))
        .key("poll.requests_per_minute", "25");
    let config = setup.write();
    let begun = Instant::now();
    let mut daemon = Daemon::start(&config).await;
    tell(format_args!(
        "{TENANTS} tenants: endpoints open after {:?}",
        begun.elapsed()
    ));
    let began = world.now();
    sleep_until(Instant::now() + TIME).await;
    let ended = world.now();
    let (cpu, memory) = (daemon.cpu_seconds().await, daemon.peak_memory());
    let missed = daemon.metric("incidentd_missed_firings_total").await;
    let healthy = daemon.metric("incidentd_tenants{state=\"ok\"}").await;
    until("all is published", SOON, async || {
        daemon.metric("incidentd_in_flight_bytes").await == 0.0
    })
    .await;
    daemon.stop().await;
    journal.settled().await;

    let sweeps = sweeps(&journal.requests());
    let counts = sweeps.values().map(Vec::len);
    tell(format_args!(
        "{:?}: sweeps={} a tenant={}..={} token requests={} missed={missed} healthy={healthy}",
        TIME,
        counts.clone().sum::<usize>(),
        counts.clone().min().unwrap_or(0),
        counts.max().unwrap_or(0),
        journal.token_requests(),
    ));
    let longest = sweeps
        .values()
        .flat_map(|times| gaps(times))
        .max()
        .unwrap_or(0);
    tell(format_args!(
        "longest time between two sweeps of a tenant {:.1} s; CPU {cpu:.1} s, peak memory {:.1} MiB",
        seconds(longest),
        memory as f64 / f64::from(1 << 20),
    ));
    assert_eq!(sweeps.len(), TENANTS as usize, "tenants that were swept");
    for (tenant, times) in &sweeps {
        assert_eq!(
            journal.most_concurrent_lists(*tenant),
            1,
            "{tenant} overlapped itself"
        );
        // The first turn comes within one period of the start, then one in each period of the schedule.
        assert!(
            times[0] - began <= (PERIOD + LATE) * SECOND,
            "{tenant} waited at the start"
        );
        for gap in gaps(times) {
            assert!(
                gap <= (PERIOD + LATE) * SECOND,
                "{tenant}: {} s without a sweep",
                seconds(gap)
            );
        }
        for gap in gaps(&times[1..]) {
            assert!(
                gap >= (PERIOD - LATE) * SECOND,
                "{tenant}: swept twice in {} s",
                seconds(gap)
            );
        }
        let last = ended - times[times.len() - 1];
        assert!(
            last <= (PERIOD + LATE) * SECOND,
            "{tenant}: none in the last {} s",
            seconds(last)
        );
    }
    assert_eq!(
        journal.token_requests(),
        u64::from(TENANTS),
        "one token for each tenant's lifetime"
    );
    assert_eq!(
        (missed, healthy),
        (0.0, f64::from(TENANTS)),
        "missed firings, healthy tenants"
    );
    Tally::read(&kafka, &topic, &journal)
        .await
        .assert_exact(&journal);
}

/// When each tenant's sweeps began, in the ticks of the simulated world.
fn sweeps(requests: &[Request]) -> HashMap<Uuid, Vec<i64>> {
    let mut sweeps: HashMap<Uuid, Vec<i64>> = HashMap::new();
    for request in requests
        .iter()
        .filter(|request| request.endpoint == Endpoint::List)
    {
        assert!(
            !request.query.contains("skip"),
            "one page is enough: {}",
            request.query
        );
        sweeps
            .entry(request.tenant.expect("a token of a tenant"))
            .or_default()
            .push(request.at);
    }
    sweeps
}

fn gaps(times: &[i64]) -> impl Iterator<Item = i64> {
    times.windows(2).map(|pair| pair[1] - pair[0])
}

#[allow(clippy::cast_precision_loss)]
fn seconds(ticks: i64) -> f64 {
    ticks as f64 / SECOND as f64
}
