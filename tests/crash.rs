//! A daemon that is killed at any moment loses nothing. It repeats at most what was between Kafka's acknowledgement and
//! the ledger's commit when it died.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Found, create_topic, ends, shared};
use crate::support::setup::{Setup, drawn_simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, blocking, tell, until};
use incidentd::simulator::{Version, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

const KILLS: usize = 50;
const TENANTS: u32 = 3;
const INCIDENTS: usize = 300;
/// The daemon's contract: the most records of a batch.
const BATCH: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_nothing_and_repeat_at_most_the_batch_in_flight() {
    let (kafka, topic) = (shared(), unique("crash"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let (simulator, seed) = drawn_simulator(TENANTS, INCIDENTS / TENANTS as usize).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let setup = Setup::new(&simulator, &kafka, &topic);
    let config = setup.write();
    let mut chance = StdRng::seed_from_u64(seed);
    let changing = keep_changing(world.clone());
    // For each run of the daemon, the ends of the topic's partitions after its death.
    let mut runs = Vec::new();
    for kill in 0..KILLS {
        let mut daemon = Daemon::spawn(&config, &[], &[]);
        sleep(Duration::from_millis(chance.random_range(50..1_500))).await;
        // Sweeps are short, and most moments lie between them. So every other kill waits for a sweep that found
        // something, and hits what follows: records on their way, acknowledgements, the ledger's commit.
        if kill % 2 == 1 {
            let shown = journal.shown_count();
            let more = async || journal.shown_count() > shown;
            until_now("a sweep finds something", more).await;
            sleep(Duration::from_micros(chance.random_range(0..30_000))).await;
        }
        daemon.kill().await;
        runs.push(settled_ends(&kafka, &topic).await);
    }
    changing.abort();
    let _ = changing.await;
    let mut daemon = Daemon::start(&config).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    daemon.stop().await;
    journal.settled().await;

    let tally = Tally::read(&kafka, &topic, &journal).await;
    let lost = tally.missing(journal.current());
    assert!(lost.is_empty(), "lost: {lost:?}");
    superseded_only(&tally, journal.shown());
    tally.assert_in_order();
    let repeats = Repeats::count(&tally, &runs);
    for (kill, of_tenants) in repeats.by_kill.iter().enumerate() {
        let each: Vec<usize> = of_tenants.values().copied().collect();
        tell(format_args!(
            "kill {:>2}: repeats {} {each:?}",
            kill + 1,
            each.iter().sum::<usize>()
        ));
        assert!(
            each.iter().all(|count| *count <= BATCH),
            "more than a batch: {each:?}"
        );
    }
    repeats.assert_one_batch_each();
    let with = repeats
        .by_kill
        .iter()
        .filter(|tenants| !tenants.is_empty())
        .count();
    tell(format_args!(
        "{KILLS} kills: shown={} records={} repeats={} lost=0; {with} kills caused repeats",
        journal.shown_count(),
        tally.records.len(),
        tally.repeats(),
    ));
    assert!(
        tally.records.len() > 2 * INCIDENTS,
        "much was published between the kills"
    );
}

/// Like [`until`], but notices within a millisecond.
async fn until_now(what: &str, met: impl AsyncFn() -> bool) {
    let waited = timeout(SOON, async {
        while !met().await {
            sleep(Duration::from_millis(1)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"));
}

/// Small changes all the time, and sometimes a bulk change, so that batches have all sizes.
fn keep_changing(world: World) -> JoinHandle<()> {
    let tenants = world.tenants();
    tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(30));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0_usize.. {
            tick.tick().await;
            world.evolve(1);
            if turn % 16 == 0 {
                let tenant = &tenants[turn / 16 % tenants.len()];
                let first = 1 + (turn as u64 * 7) % 80;
                let ids: Vec<u64> = (first..first + 20).collect();
                // This fails at a merged incident; those before it have changed.
                let _ = world.bulk_update(tenant.id, &ids);
            }
        }
    })
}

/// The ends of the partitions once they stop moving: data that a killed process gave to the kernel still arrives.
async fn settled_ends(kafka: &str, topic: &str) -> Vec<i64> {
    let mut last = Vec::new();
    until("the topic stands still", SOON, async || {
        let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
        let now = blocking(move || ends(&kafka, &topic)).await;
        let still = now == last;
        last = now;
        still
    })
    .await;
    last
}

/// Fails if a version that the API showed is missing and no later version of its incident was published.
fn superseded_only(tally: &Tally, shown: HashSet<Version>) {
    let mut newest: HashMap<(Uuid, u64), u32> = HashMap::new();
    for version in tally.versions() {
        let newest = newest
            .entry((version.tenant, version.incident))
            .or_default();
        *newest = version.revision.max(*newest);
    }
    let missing = tally.missing(shown);
    for version in &missing {
        let newest = newest.get(&(version.tenant, version.incident));
        assert!(
            newest > Some(&version.revision),
            "shown, lost and not superseded: {version:?}"
        );
    }
    tell(format_args!(
        "{} versions were shown to a daemon that died, and had changed when the next one asked",
        missing.len()
    ));
}

/// Repeated records, by the kill that caused them.
struct Repeats<'a> {
    by_kill: Vec<BTreeMap<Uuid, usize>>,
    /// Each record with the run that published it, in the order of its partition.
    records: Vec<(usize, &'a Found, Version)>,
}

impl<'a> Repeats<'a> {
    fn count(tally: &'a Tally, runs: &[Vec<i64>]) -> Self {
        let run = |record: &Found| {
            let partition = usize::try_from(record.partition).unwrap();
            runs.iter()
                .filter(|ends| ends[partition] <= record.offset)
                .count()
        };
        let records: Vec<_> = tally
            .records
            .iter()
            .map(|(record, version)| (run(record), record, *version))
            .collect();
        let mut by_kill = vec![BTreeMap::new(); runs.len()];
        let mut first: HashMap<Version, usize> = HashMap::new();
        for (run, record, version) in &records {
            let Some(before) = first.insert(*version, *run) else {
                continue;
            };
            assert!(
                before < *run,
                "{} was repeated without a kill between",
                record.key
            );
            *by_kill[before].entry(version.tenant).or_default() += 1;
        }
        Self { by_kill, records }
    }

    /// Checks that a kill repeats at most one batch. A tenant's batches follow one another: each waits until the ledger
    /// has recorded the one before. So a kill repeats only the end of what its run published. Fails if the ledger had
    /// recorded a record after a repeated one, which shows because its incident is never published again.
    fn assert_one_batch_each(&self) {
        let mut seen_later: HashMap<Version, usize> = HashMap::new();
        let mut incident_later: HashMap<(Uuid, u64), usize> = HashMap::new();
        // From the end: whether the version, or its incident, comes again in a later run.
        let mut fates: Vec<(bool, bool)> = Vec::new();
        for (run, _, version) in self.records.iter().rev() {
            let incident = (version.tenant, version.incident);
            let again = seen_later
                .insert(*version, *run)
                .is_some_and(|later| later > *run);
            let later = incident_later
                .insert(incident, *run)
                .is_some_and(|later| later > *run);
            fates.push((again, later));
        }
        fates.reverse();
        let mut repeated: HashSet<(usize, i32, Uuid)> = HashSet::new();
        for ((run, record, version), (again, later)) in self.records.iter().zip(fates) {
            let stream = (*run, record.partition, version.tenant);
            if again {
                repeated.insert(stream);
            }
            assert!(
                later || !repeated.contains(&stream),
                "run {run}: {version:?} was recorded, but a record of a batch before it was repeated"
            );
        }
    }
}
