//! The ledger in Kafka: replicas share the tenants, and whatever dies, a consumer of committed records sees each version
//! once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, tell, until};
use incidentd::simulator::{Options, Simulator, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

mod storm;

/// Replicas of one group.
struct Replicas {
    kafka: String,
    topic: String,
    group: String,
    partitions: u16,
    /// One for each replica, with its folder.
    setups: Vec<Setup>,
}

impl Replicas {
    async fn new(simulator: &Simulator, count: usize, partitions: u16) -> Self {
        let (kafka, topic, group) = (shared(), unique("once"), unique("group"));
        create_topic(&kafka, &topic, 3, &[]).await;
        let setup = || {
            Setup::new(simulator, &kafka, &topic)
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

    fn spawn(&self, replica: usize) -> Daemon {
        Daemon::spawn(&self.config(replica), &[], &[])
    }

    /// Waits until the replicas have all partitions among them, each one once and each replica some, and all are restored.
    async fn share_all(&self, replicas: &[&Daemon]) {
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
}

/// The partitions whose tenants a replica sweeps.
async fn active(replica: &Daemon) -> BTreeSet<u64> {
    let status = replica.status().await;
    let partitions = status["ownership"]["partitions"].as_array().cloned();
    let active = |partition: &Value| partition["state"] == "active";
    let of = partitions.unwrap_or_default().into_iter().filter(active);
    of.filter_map(|partition| partition["id"].as_u64())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_tenants_and_take_over_those_of_one_that_is_killed() {
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    for tenant in world.tenants() {
        world.create(tenant.id, 5).unwrap();
    }
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
