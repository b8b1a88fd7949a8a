//! Others use the consumer group, or know other tenants. The replicas find it out, and name it.

use super::*;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::kafka::leave_open;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// An application that reads `topic` as a member of `group`, with the assignor that most have. It leaves when `stop` is set.
fn other_application(kafka: &str, group: &str, topic: &str, stop: Arc<AtomicBool>) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("partition.assignment.strategy", "range");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    while !stop.load(Ordering::Acquire) {
        let _ = consumer.poll(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_application_in_the_group_is_named_and_when_it_has_left_all_goes_on() {
    let simulator = simulator(3, Options::default()).await;
    create_in_each(&simulator.world(), 5);
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let application = {
        let (kafka, group, topic) = (
            replicas.kafka.clone(),
            replicas.group.clone(),
            replicas.topic.clone(),
        );
        let stop = stop.clone();
        std::thread::spawn(move || other_application(&kafka, &group, &topic, stop))
    };
    // The first member decides the protocol of the group.
    sleep(Duration::from_secs(4)).await;
    let mut replica = replicas.spawn(0).ready().await;
    let mut status = Value::Null;
    until("the other application is named", SOON, async || {
        status = replica.status().await["ledger"].clone();
        let remedy = status["remedy"].to_string();
        remedy.contains("another application is in the consumer group")
            && remedy.contains("set ledger.group")
    })
    .await;
    assert_eq!(status["state"], "unavailable", "{status:#}");
    let (code, why) = replica.get("/readyz").await;
    assert_eq!(code, 503, "{why}");

    stop.store(true, Ordering::Release);
    blocking(move || application.join()).await.unwrap();
    replicas.share_all(&[&replica]).await;
    recovered(&replica).await;
    replica.stop().await;
}

/// Each has a topic of its own. The group knows both, and gives each its partitions; but the transactional ids are the same.
#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_in_one_group_are_named() {
    let simulator = simulator(6, Options::default()).await;
    let world = simulator.world();
    create_in_each(&world, 5);
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let mut first = replicas.spawn(0).ready().await;
    replicas.share_all(&[&first]).await;
    let records = unique("records");
    create_topic(&replicas.kafka, &records, 1, &[]).await;
    let other = Setup::new(&simulator, &replicas.kafka, &records)
        .text("ledger.kind", "kafka")
        .text("ledger.topic", &unique("ledger"))
        .text("ledger.group", &replicas.group)
        .key("ledger.partitions", "2");
    let mut second = Daemon::spawn(&other.write(), &[], &[]).ready().await;
    let changing = keep_changing(world.clone(), Duration::from_millis(200));
    let began = Instant::now();
    let what = format!(
        "another deployment that uses the group {} with another ledger.topic",
        replicas.group
    );
    until("the other ledger is named", 2 * SOON, async || {
        let (first, second) = (first.status().await, second.status().await);
        [first, second]
            .iter()
            .any(|of| of["ledger"]["remedy"].to_string().contains(&what))
    })
    .await;
    tell(format_args!("named after {:?}", began.elapsed()));
    changing.abort();
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_that_only_another_replica_knows_is_named_once() {
    let simulator = simulator(8, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let mut first = replicas.spawn(0).ready().await;
    replicas.complete(&journal).await;
    let (known, unknown) = (world.tenants()[..4].to_vec(), world.tenants()[4..].to_vec());
    let setup = Setup::at(&simulator.url(), known, &replicas.kafka, &replicas.topic)
        .text("ledger.kind", "kafka")
        .text("ledger.topic", &replicas.ledger())
        .text("ledger.group", &replicas.group)
        .key("ledger.partitions", "2");
    let mut second = Daemon::spawn(&setup.write(), &[], &[]).ready().await;
    replicas.share_all(&[&first, &second]).await;
    first.stop().await;
    replicas.share_all(&[&second]).await;
    let named = || -> Vec<String> {
        let lines = second.log_lines().into_iter().filter(|line| {
            line["message"]
                .to_string()
                .contains("are not in this replica's configuration")
        });
        let ids = lines.map(|line| line["ids"].as_str().unwrap().to_owned());
        ids.flat_map(|ids| ids.split(", ").map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    until("all are named", SOON, async || {
        named().len() >= unknown.len()
    })
    .await;

    // Its partitions are restored once more.
    let fenced = {
        let (kafka, ledger) = (replicas.kafka.clone(), replicas.ledger());
        let id = format!("{}-0", replicas.group);
        blocking(move || {
            let key: &[u8] = b"owner";
            leave_open(&kafka, &id, Duration::from_secs(5), &[(&*ledger, 0, key)])
        })
        .await
    };
    until("it is fenced", SOON, async || {
        world.evolve(3);
        second.log().contains("another process has fenced")
    })
    .await;
    recovered(&second).await;
    replicas.share_all(&[&second]).await;
    sleep(Duration::from_secs(2)).await;
    let mut named = named();
    named.sort();
    let mut all: Vec<String> = unknown.iter().map(|one| one.id.to_string()).collect();
    all.sort();
    assert_eq!(named, all, "{}", second.log());
    drop(fenced);
    second.stop().await;
}
