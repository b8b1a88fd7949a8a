//! The ledger in Kafka: replicas share the tenants, and whatever dies, a consumer of committed records sees each version
//! once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, open_transactions, shared};
use crate::support::setup::{Setup, create_in_each, drawn_simulator, number, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, blocking, tell, until};
use incidentd::simulator::{Journal, Options, Simulator, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

mod faults;
mod open_transaction;
mod paused;
mod refusals;
mod rights;
mod storm;
mod strangers;
mod tools;
mod zombie;

/// How long the group waits for a member that is silent, with room for a busy machine.
const SESSION: Duration = Duration::from_secs(12);
/// Between two changes, where a replica should always have something to write.
const OFTEN: Duration = Duration::from_millis(25);

/// Replicas of one group.
pub struct Replicas {
    kafka: String,
    topic: String,
    group: String,
    partitions: u16,
    /// One for each replica, with its folder.
    setups: Vec<Setup>,
}

impl Replicas {
    async fn new(simulator: &Simulator, count: usize, partitions: u16) -> Self {
        Self::at(&shared(), simulator, count, partitions, |setup| setup).await
    }

    /// The same at this Kafka, each with what `further` adds to its configuration.
    pub async fn at(
        kafka: &str,
        simulator: &Simulator,
        count: usize,
        partitions: u16,
        further: impl Fn(Setup) -> Setup,
    ) -> Self {
        let (kafka, topic, group) = (kafka.to_owned(), unique("once"), unique("group"));
        create_topic(&kafka, &topic, 3, &[]).await;
        let setup = || {
            further(Setup::new(simulator, &kafka, &topic))
                .text("ledger.kind", "kafka")
                .text("ledger.topic", &format!("{group}-ledger"))
                .text("ledger.group", &group)
                .key("ledger.partitions", &partitions.to_string())
        };
        Self {
            setups: (0..count).map(|_| setup()).collect(),
            kafka,
            topic,
            group,
            partitions,
        }
    }

    fn config(&self, replica: usize) -> PathBuf {
        self.setups[replica].write()
    }

    fn ledger(&self) -> String {
        format!("{}-ledger", self.group)
    }

    /// Makes the ledger's topic for replicas that may make none. Returns its name.
    async fn make_ledger(&self) -> String {
        let (ledger, compact) = (self.ledger(), [("cleanup.policy", "compact")]);
        create_topic(&self.kafka, &ledger, self.partitions.into(), &compact).await;
        ledger
    }

    pub fn spawn(&self, replica: usize) -> Daemon {
        Daemon::spawn(&self.config(replica), &[], &[])
    }

    /// Waits until the replicas have all partitions among them, each one once and each replica some, and all are restored.
    pub async fn share_all(&self, replicas: &[&Daemon]) {
        until("the replicas share all partitions", SOON, async || {
            let mut all = BTreeSet::new();
            for replica in replicas {
                let active = active(replica).await;
                if active.is_empty() || !all.is_disjoint(&active) {
                    return false;
                }
                all.extend(active);
            }
            all.len() == usize::from(self.partitions)
        })
        .await;
    }

    /// Waits until all that the world has now is published.
    pub async fn complete(&self, journal: &Journal) {
        Tally::until_complete(&self.kafka, &self.topic, journal, 2 * SOON).await;
    }

    /// Stops the replicas, and fails unless consumers of committed records see each version once, in order, and all that
    /// the world has now.
    pub async fn end(&self, journal: &Journal, replicas: &mut [&mut Daemon]) {
        for replica in &mut *replicas {
            replica.stop().await;
        }
        journal.settled().await;
        let tally = Tally::read(&self.kafka, &self.topic, journal).await;
        let lost = tally.missing(journal.current());
        if tally.repeats() > 0 || !lost.is_empty() {
            for (n, replica) in replicas.iter().enumerate() {
                tell(format_args!("log of replica {n}:\n{}", replica.log()));
            }
        }
        assert_eq!(
            tally.repeats(),
            0,
            "published twice, in group {}",
            self.group
        );
        assert!(lost.is_empty(), "lost, in group {}: {lost:?}", self.group);
        tally.assert_in_order();
    }

    /// The partitions of the ledger's topic that hold an open transaction.
    async fn open(&self) -> BTreeSet<u64> {
        let (kafka, ledger) = (self.kafka.clone(), self.ledger());
        let open = blocking(move || open_transactions(&kafka, &ledger)).await;
        open.into_iter()
            .map(|id| id.unsigned_abs().into())
            .collect()
    }

    /// Suspends a replica while a transaction of it is open.
    async fn suspend_in_transaction(&self, replica: &Daemon) {
        const TRIES: u64 = 100;
        let of_replica = active(replica).await;
        let open = async || self.open().await.intersection(&of_replica).count() > 0;
        for n in 1..=TRIES {
            replica.signal("STOP");
            if open().await {
                // What was on its way to Kafka may have ended it.
                sleep(Duration::from_millis(500)).await;
                if open().await {
                    tell(format_args!(
                        "suspended in the middle of a transaction, at try {n}"
                    ));
                    return;
                }
            }
            replica.signal("CONT");
            // At another time of the replica's second each time.
            sleep(Duration::from_millis(20 + 37 * n % 180)).await;
        }
        panic!("no transaction was hit in {TRIES} tries");
    }
}

/// Waits until a replica works again: it is ready, and has partitions.
async fn recovered(replica: &Daemon) {
    until(
        "the replica is ready and has partitions",
        SOON,
        async || replica.get("/readyz").await.0 == 200 && !active(replica).await.is_empty(),
    )
    .await;
}

/// Changes incidents of all tenants until it is aborted.
pub fn keep_changing(world: World, every: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            world.evolve(3);
        }
    })
}

/// The partitions whose tenants a replica sweeps.
pub async fn active(replica: &Daemon) -> BTreeSet<u64> {
    in_state(replica, "active").await
}

async fn in_state(replica: &Daemon, state: &str) -> BTreeSet<u64> {
    let status = replica.status().await;
    let partitions = status["ownership"]["partitions"].as_array().cloned();
    let is_it = |partition: &Value| partition["state"] == state;
    let of = partitions.unwrap_or_default().into_iter().filter(is_it);
    of.filter_map(|partition| partition["id"].as_u64())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_tenants_and_take_over_those_of_one_that_is_killed() {
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::new(&simulator, 2, 6).await;
    let mut first = replicas.spawn(0).ready().await;
    replicas.share_all(&[&first]).await;
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON).await;
    let mut second = replicas.spawn(1).ready().await;
    replicas.share_all(&[&first, &second]).await;
    let tenants =
        async |replica: &Daemon| replica.status().await["tenants"].as_array().unwrap().len();
    let (of_first, of_second) = (tenants(&first).await, tenants(&second).await);
    assert_eq!(of_first + of_second, 12, "{of_first} and {of_second}");
    assert!(of_first > 0 && of_second > 0, "{of_first} and {of_second}");
    world.evolve(20);
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON).await;
    first.kill().await;
    world.evolve(20);
    replicas.share_all(&[&second]).await;
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON).await;
    second.stop().await;
    journal.settled().await;
    let tally = Tally::read(&replicas.kafka, &replicas.topic, &journal).await;
    assert_eq!(tally.repeats(), 0, "{}", second.log());
    let lost = tally.missing(journal.current());
    assert!(lost.is_empty(), "lost: {lost:?}");
    tally.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_leaves_the_group_before_it_ends() {
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 3);
    let replicas = Replicas::new(&simulator, 2, 6).await;
    let mut first = replicas.spawn(0).ready().await;
    let mut second = replicas.spawn(1).ready().await;
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        replicas.share_all(&[&first, &second]).await;
        first.stop().await;
        let stopped = Instant::now();
        replicas.share_all(&[&second]).await;
        longest = longest.max(stopped.elapsed());
        first = replicas.spawn(0).ready().await;
    }
    tell(format_args!(
        "taken over from a replica that stopped within {longest:?}"
    ));
    assert!(
        longest < SESSION,
        "taken over after {longest:?}, as from a replica that dies"
    );
    replicas.share_all(&[&first, &second]).await;
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut first, &mut second]).await;
}
