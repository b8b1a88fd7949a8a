//! Kafka is unavailable for a minute under load: nothing is lost, nothing is repeated, and memory stays within its
//! limit.

use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, create_topic};
use crate::support::setup::{Setup, simulator};
use crate::support::tally::Tally;
use crate::support::{SOON, blocking, tell, until};
use incidentd::simulator::{Options, World};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const MIB: u64 = 1 << 20;
const OUTAGE: Duration = Duration::from_secs(60);
/// Tenants that change all the time.
const BUSY: usize = 4;
/// Tenants without changes until Kafka is unavailable, and then with many at once. A sweep that waits for Kafka reads
/// no further, so it takes new tenants to fill the budget.
const QUIET: usize = 12;
const INCIDENT_BYTES: usize = 20_000;
const MAX_IN_FLIGHT: u64 = 6 * MIB;
/// The largest page that the daemon accepts here. One may come in addition to what is in flight.
const MAX_RESPONSE: u64 = 4 * MIB;
/// What the process may need besides: itself, a copy of each record in flight within librdkafka, redb's cache of 32
/// MiB.
/// README promises 64 MiB. 17 of them are the pages of a release build's own file, which are not counted here.
const CONSTANT: u64 = (64 - 17) * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_kafka_loses_and_repeats_nothing_within_the_memory_budget() {
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, dir) = blocking(move || (Broker::start(dir.path()), dir)).await;
    let (kafka, topic) = (broker.bootstrap(), "outage");
    create_topic(&kafka, topic, 4, &[]).await;
    let options = Options {
        incident_bytes: Some(INCIDENT_BYTES),
        ..Options::default()
    };
    let simulator = simulator((BUSY + QUIET) as u32, options).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let setup = Setup::new(&simulator, &kafka, topic)
        .key("poll.max_in_flight", &format!("\"{MAX_IN_FLIGHT}\""))
        .key("poll.max_response", &format!("\"{MAX_RESPONSE}\""));
    let mut daemon = Daemon::start(&setup.write()).await;
    let load = keep_changing(world.clone());
    until("records arrive under load", SOON, async || {
        published(&daemon).await > 50.0
    })
    .await;
    let (before, records_before) = (daemon.memory_now(), published(&daemon).await);

    let (stopped, dir) = blocking(move || {
        broker.stop();
        (broker, dir)
    })
    .await;
    for tenant in &world.tenants()[BUSY..] {
        world.create(tenant.id, 60).unwrap();
    }
    let mut most_in_flight: u64 = 0;
    let end = Instant::now() + OUTAGE;
    while Instant::now() < end {
        most_in_flight =
            most_in_flight.max(daemon.metric("incidentd_in_flight_bytes").await as u64);
        sleep(Duration::from_millis(100)).await;
    }
    let (code, why) = daemon.get("/readyz").await;
    assert_eq!(
        code, 200,
        "an outage is waited out, not restarted away: {why}"
    );
    let status = daemon.status().await;
    assert_eq!(status["kafka"]["state"], "unavailable", "{status:#}");
    assert!(status["kafka"]["error"].is_string(), "{status:#}");
    let mut broker = stopped;
    let (broker, _dir) = blocking(move || {
        broker.restart();
        (broker, dir)
    })
    .await;
    let back = Instant::now();
    until("publishing goes on", SOON, async || {
        published(&daemon).await > records_before + 50.0
    })
    .await;
    tell(format_args!(
        "publishing went on {:?} after the broker's return",
        back.elapsed()
    ));
    load.abort();
    let _ = load.await;
    let tally = Tally::until_complete(&broker.bootstrap(), topic, &journal, SOON).await;
    most_in_flight = most_in_flight.max(daemon.metric("incidentd_in_flight_bytes").await as u64);
    let (peak, after) = (daemon.peak_memory(), daemon.memory_now());
    daemon.stop().await;
    journal.settled().await;

    let tally_after = Tally::read(&broker.bootstrap(), topic, &journal).await;
    assert!(tally_after.records.len() >= tally.records.len());
    tally_after.assert_exact(&journal);
    tally_after.assert_in_order();
    tell(format_args!(
        "outage of {OUTAGE:?}: shown={} records={} (before it {records_before}) repeats={} lost=0",
        journal.shown_count(),
        tally_after.records.len(),
        tally_after.repeats(),
    ));
    tell(format_args!(
        "in flight at most {:.1} MiB of {:.1} + {:.1}; memory {:.1} MiB before, {:.1} at most, {:.1} after; limit {:.1}",
        mib(most_in_flight),
        mib(MAX_IN_FLIGHT),
        mib(MAX_RESPONSE),
        mib(before),
        mib(peak),
        mib(after),
        mib(MAX_IN_FLIGHT + CONSTANT),
    ));
    assert!(
        most_in_flight > MAX_IN_FLIGHT / 2,
        "the load was enough to fill the budget: {most_in_flight}"
    );
    assert!(
        most_in_flight <= MAX_IN_FLIGHT + MAX_RESPONSE,
        "{most_in_flight} bytes in flight"
    );
    assert!(peak <= MAX_IN_FLIGHT + CONSTANT, "{peak} bytes of memory");
}

async fn published(daemon: &Daemon) -> f64 {
    let text = daemon.metrics().await;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("incidentd_records_published_total{"));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// About 10 changes a second, most of them new incidents.
fn keep_changing(world: World) -> JoinHandle<()> {
    let mut tenants = world.tenants();
    tenants.truncate(BUSY);
    tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(300));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0_usize.. {
            tick.tick().await;
            let tenant = &tenants[turn % tenants.len()];
            world.evolve_tenant(tenant.id, 1).unwrap();
            world.create(tenant.id, 2).unwrap();
        }
    })
}

#[allow(clippy::cast_precision_loss)]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
