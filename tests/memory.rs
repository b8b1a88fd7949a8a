//! The memory of the process in the worst cases: the largest accepted page, and a thousand back-fills while Kafka is
//! unavailable.

mod prober;
mod shapes;

use std::collections::HashSet;
use std::time::Duration;

use prober::Prober;
use shapes::Shapes;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, create_topic, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, blocking, tell, until};
use incidentd::simulator::{Effect, Endpoint, GraphOptions, Options, Rule, SECOND, World};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// The memory of the process besides bytes in flight and one page: the process itself, redb's cache of 32 MiB,
/// connections, and the second copy of each record within librdkafka while it is sent.
/// README promises 64 MiB. 17 of them are the pages of a release build's own file, which are not counted here.
const CONSTANT: u64 = (64 - 17) * MIB;
/// The memory of a tenant while it is read: its sweep, token, budget and connection. Measured in a debug build: 117 to
/// 134 KiB with a thousand active tenants, including everything else that grew with the load (bytes in flight, redb's
/// cache).
const PER_TENANT: u64 = 128 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_64_mib_costs_no_more_than_the_budget_and_itself() {
    const MAX_IN_FLIGHT: u64 = 16 * MIB;
    const MAX_RESPONSE: u64 = 64 * MIB;
    const INCIDENTS: usize = 100;
    let (kafka, topic) = (shared(), unique("memory-page"));
    create_topic(&kafka, &topic, 1, &[("max.message.bytes", "8388608")]).await;
    let options = Options {
        // A page of a hundred incidents, the most that Defender returns, just below the limit.
        incident_bytes: Some((MAX_RESPONSE - MIB) as usize / INCIDENTS),
        ..Options::default()
    };
    let simulator = simulator(1, options).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("api.source", "defender")
        .key("poll.max_in_flight", &format!("\"{MAX_IN_FLIGHT}\""))
        .key("poll.max_response", &format!("\"{MAX_RESPONSE}\""));
    let mut daemon = Daemon::start(&setup.write()).await;
    let idle = daemon.memory_now();
    world.create(world.tenants()[0].id, INCIDENTS).unwrap();
    let limit = 2 * SOON;
    Tally::until_complete(&kafka, &topic, &journal, limit).await;
    let peak = daemon.peak_memory();
    daemon.stop().await;
    Tally::read(&kafka, &topic, &journal)
        .await
        .assert_exact(&journal);
    report(
        "a page of 64 MiB",
        idle,
        peak,
        MAX_IN_FLIGHT + MAX_RESPONSE + CONSTANT,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn white_space_of_64_mib_costs_next_to_nothing() {
    const MAX_IN_FLIGHT: u64 = 16 * MIB;
    let (kafka, topic) = (shared(), unique("memory-space"));
    create_topic(&kafka, &topic, 1, &[]).await;
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    world.create(world.tenants()[0].id, 10).unwrap();
    let padding = Effect::PadPage((63 * MIB) as usize);
    let rule = Rule::new(padding).at(Endpoint::List).times(1);
    simulator.faults().push(rule);
    let setup = Setup::new(&simulator, &kafka, &topic)
        .key("poll.max_in_flight", &format!("\"{MAX_IN_FLIGHT}\""));
    let mut daemon = Daemon::start(&setup.write()).await;
    let idle = daemon.memory_now();
    Tally::until_complete(&kafka, &topic, &journal, 2 * SOON).await;
    let peak = daemon.peak_memory();
    daemon.stop().await;
    report(
        "white space of 64 MiB",
        idle,
        peak,
        MAX_IN_FLIGHT + CONSTANT,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_back_fills_without_kafka_stay_within_the_budget() {
    const TENANTS: u32 = 1_000;
    const MAX_IN_FLIGHT: u64 = 8 * MIB;
    const MAX_RESPONSE: u64 = 4 * MIB;
    /// The number of tenants that are read to the end before the test is over.
    const SAMPLE: usize = 25;
    /// Longer than the period, so that each tenant gets its turn.
    const OUTAGE: Duration = Duration::from_secs(35);
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, dir) = blocking(move || (Broker::start(dir.path()), dir)).await;
    let (kafka, topic) = (broker.bootstrap(), "memory-backlog");
    create_topic(&kafka, topic, 4, &[]).await;
    let alone = alone(&kafka, topic).await;
    let options = Options {
        // Small pages make the look-back deep, so that it is left to the back-fill.
        graph: GraphOptions {
            page: Some(2),
            ..GraphOptions::default()
        },
        ..Options::default()
    };
    let simulator = simulator(TENANTS, options).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let setup = Setup::new(&simulator, &kafka, topic)
        .text("poll.schedule", "every 30s")
        .text("poll.lookback", "7d")
        .key("poll.requests_per_minute", "25")
        .key("poll.max_in_flight", &format!("\"{MAX_IN_FLIGHT}\""))
        .key("poll.max_response", &format!("\"{MAX_RESPONSE}\""));
    // More pages than a tenant's budget allows before the last tenant starts: for a moment all tenants are in
    // back-fill.
    let shown = fill(&world, 34);
    let mut daemon = Daemon::start(&setup.write()).await;
    let started = daemon.memory_now();
    until("all tenants are in back-fill", 3 * SOON, async || {
        filling(&daemon).await == TENANTS as usize
    })
    .await;
    broker = blocking(move || {
        broker.stop();
        broker
    })
    .await;
    // Back-fill alone holds only as many pages as it has permits; live sweeps fill the budget.
    create_in_each(&world, 4);
    let mut most_in_flight: u64 = 0;
    let end = Instant::now() + OUTAGE;
    while Instant::now() < end {
        let now = daemon.metric("incidentd_in_flight_bytes").await as u64;
        most_in_flight = most_in_flight.max(now);
        sleep(Duration::from_millis(100)).await;
    }
    let (away, in_back_fill) = (daemon.peak_memory(), filling(&daemon).await);
    broker = blocking(move || {
        broker.restart();
        broker
    })
    .await;
    let back = Instant::now();
    let mut done = HashSet::new();
    until("some back-fills end", 5 * SOON, async || {
        done = whole(&daemon).await;
        done.len() >= SAMPLE
    })
    .await;
    let caught_up = back.elapsed();
    let (peak, after) = (daemon.peak_memory(), daemon.memory_now());
    daemon.stop().await;
    journal.settled().await;
    let tally = Tally::read(&broker.bootstrap(), topic, &journal).await;
    let current = journal.current().into_iter();
    let missing = tally.missing(current.filter(|version| done.contains(&version.tenant)));
    assert!(
        missing.is_empty(),
        "read to the end, and missing: {missing:?}"
    );
    assert_eq!(tally.repeats(), 0, "repeated records");
    drop(dir);

    tell(format_args!(
        "memory: {TENANTS} tenants with {shown} incidents, {in_back_fill} in back-fill without Kafka: in flight at most \
         {:.1} MiB; {:.1} MiB at the start, {:.1} at most without Kafka, {:.1} in the end; {} read to the end {:.0} s \
         after Kafka's return; {:.0} KiB a tenant",
        mib(most_in_flight),
        mib(started),
        mib(away),
        mib(after),
        done.len(),
        caught_up.as_secs_f64(),
        mib(after.saturating_sub(alone)) * 1024.0 / f64::from(TENANTS),
    ));
    assert!(
        in_back_fill >= TENANTS as usize * 9 / 10,
        "only {in_back_fill} in back-fill"
    );
    assert!(
        most_in_flight > MAX_IN_FLIGHT / 2,
        "the budget was not filled: {most_in_flight}"
    );
    assert!(
        most_in_flight <= MAX_IN_FLIGHT + MAX_RESPONSE,
        "{most_in_flight} in flight"
    );
    let tenants = u64::from(TENANTS) * PER_TENANT;
    report(
        "1,000 back-fills",
        started,
        peak,
        MAX_IN_FLIGHT + MAX_RESPONSE + CONSTANT + tenants,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_shape_to_a_thousand_tenants_stay_within_the_ceiling_and_the_daemon_answers() {
    const TENANTS: u32 = 1_000;
    const MAX_IN_FLIGHT: u64 = 64 * MIB;
    const MAX_RESPONSE: u64 = 64 * MIB;
    /// The limit for an answer of `/livez`.
    const SOON_ENOUGH: Duration = Duration::from_millis(100);
    /// One answer in a hundred may meet a moment in which this machine does something else.
    const AT_LAST: Duration = Duration::from_secs(1);
    let (kafka, topic) = (shared(), unique("memory-shapes"));
    create_topic(&kafka, &topic, 1, &[("max.message.bytes", "8388608")]).await;
    let (simulator, shapes) = (
        simulator(TENANTS, Options::default()).await,
        Shapes::start().await,
    );
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("api.base_url", &shapes.url())
        .text("api.source", "defender")
        .text("poll.schedule", "every 5s")
        .key("poll.max_in_flight", &format!("\"{MAX_IN_FLIGHT}\""))
        .key("poll.max_response", &format!("\"{MAX_RESPONSE}\""));
    let mut daemon = Daemon::start(&setup.write()).await;
    let idle = daemon.memory_now();
    let (began, prober) = (Instant::now(), Prober::start(daemon.address()));
    while shapes.answered().0 < shapes.answered().1 {
        assert!(
            began.elapsed() < 3 * SOON,
            "only {:?} were asked for",
            shapes.answered()
        );
        sleep(Duration::from_millis(100)).await;
    }
    let waits = blocking(move || prober.stop()).await;
    let peak = daemon.peak_memory();
    daemon.stop().await;
    let (most, slowest) = (waits[waits.len() * 99 / 100], waits[waits.len() - 1]);
    tell(format_args!(
        "memory: {:?} pages of any shape in {:.0} s; {} answers of /livez: 99 of 100 within {most:?}, the slowest {slowest:?}",
        shapes.answered().0,
        began.elapsed().as_secs_f64(),
        waits.len(),
    ));
    let tenants = u64::from(TENANTS) * PER_TENANT;
    report(
        "pages of any shape",
        idle,
        peak,
        MAX_IN_FLIGHT + MAX_RESPONSE + CONSTANT + tenants,
    );
    assert!(
        most <= SOON_ENOUGH && slowest <= AT_LAST,
        "/livez answered after {most:?}, at the latest after {slowest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn single_incidents_as_large_as_is_let_through_stay_within_the_ceiling() {
    const MAX: u64 = 64 * MIB;
    let (kafka, topic) = (shared(), unique("memory-large"));
    create_topic(&kafka, &topic, 1, &[("max.message.bytes", "8388608")]).await;
    let (simulator, shapes) = (
        simulator(1, Options::default()).await,
        Shapes::large().await,
    );
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("api.base_url", &shapes.url())
        .text("api.source", "defender")
        .key("poll.max_in_flight", &format!("\"{MAX}\""))
        .key("poll.max_response", &format!("\"{MAX}\""));
    let mut daemon = Daemon::start(&setup.write()).await;
    let idle = daemon.memory_now();
    until("all were asked for", 3 * SOON, async || {
        let (answered, all) = shapes.answered();
        answered > all
    })
    .await;
    let peak = daemon.peak_memory();
    daemon.stop().await;
    report("an incident of 60 MiB", idle, peak, 2 * MAX + CONSTANT);
}

/// The memory of a daemon with one tenant.
async fn alone(kafka: &str, topic: &str) -> u64 {
    let simulator = simulator(1, Options::default()).await;
    // Keep it: dropping it removes its folder with the secret.
    let setup = Setup::new(&simulator, kafka, topic);
    let mut daemon = Daemon::start(&setup.write()).await;
    until("its first sweep ended", SOON, async || {
        daemon.metric("incidentd_tenants{state=\"ok\"}").await == 1.0
    })
    .await;
    let memory = daemon.memory_now();
    daemon.stop().await;
    memory
}

/// The number of tenants that still have a backlog.
async fn filling(daemon: &Daemon) -> usize {
    let status = daemon.status().await;
    let tenants = status["tenants"].as_array().unwrap();
    let filling = tenants.iter().filter(|one| !one["backfill"].is_null());
    filling.count()
}

/// The tenants without a backlog.
async fn whole(daemon: &Daemon) -> HashSet<Uuid> {
    let status = daemon.status().await;
    let tenants = status["tenants"].as_array().unwrap().iter();
    let whole = tenants.filter(|one| one["state"] == "ok" && one["backfill"].is_null());
    whole
        .map(|one| one["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Gives each tenant `count` incidents over six days. Returns their total number.
fn fill(world: &World, count: i64) -> i64 {
    let (now, tenants) = (world.now(), world.tenants());
    for tenant in &tenants {
        for n in 0..count {
            let age = (n + 1) * 6 * 86_400 / count;
            world.create_dated(tenant.id, now - age * SECOND).unwrap();
        }
    }
    count * tenants.len() as i64
}

fn report(what: &str, before: u64, peak: u64, limit: u64) {
    tell(format_args!(
        "memory: {what}: {:.1} MiB before, {:.1} at most; limit {:.1}",
        mib(before),
        mib(peak),
        mib(limit)
    ));
    assert!(peak <= limit, "{what}: {:.1} MiB of memory", mib(peak));
}

#[allow(clippy::cast_precision_loss)]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
