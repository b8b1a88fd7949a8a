//! Kafka ends, is away, or refuses single records.

use super::*;

use std::collections::BTreeMap;

use crate::kafka_limits::{incident, of_incident, show};
use crate::support::kafka::{Broker, Found, alter_topic, read_all};
use crate::support::tally::header;
use incidentd::simulator::{Effect, Endpoint, Rule};
use tokio::time::sleep_until;

const AWAY: Duration = Duration::from_secs(30);
/// What status and probe show of a ledger.
const WORKS: (bool, u16) = (true, 200);
const FAILS: (bool, u16) = (false, 503);

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_or_away_for_half_a_minute_costs_no_version_and_repeats_none() {
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, _dir) = blocking(move || (Broker::start(dir.path()), dir)).await;
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 10);
    let kafka = broker.bootstrap();
    let replicas = Replicas::at(&kafka, &simulator, 2, 4, |setup| setup).await;
    let mut first = replicas.spawn(0).ready().await;
    let mut second = replicas.spawn(1).ready().await;
    replicas.share_all(&[&first, &second]).await;
    replicas.complete(&journal).await;
    // Little, because a busy machine has to catch up in the end.
    let changing = keep_changing(world.clone(), Duration::from_millis(300));
    let broker = blocking(move || {
        broker.kill();
        broker.restart();
        broker
    })
    .await;
    replicas.share_all(&[&first, &second]).await;
    let mut away = broker;
    let away = blocking(move || {
        away.stop();
        away
    })
    .await;
    let since = Instant::now();
    second.stop().await;
    second = replicas.spawn(1).ready().await;
    sleep_until(since + AWAY).await;
    let status = first.status().await;
    assert_eq!(status["kafka"]["state"], "unavailable", "{status:#}");
    let mut broker = away;
    let _broker = blocking(move || {
        broker.restart();
        broker
    })
    .await;
    let back = Instant::now();
    for replica in [&first, &second] {
        recovered(replica).await;
    }
    replicas.share_all(&[&first, &second]).await;
    tell(format_args!(
        "the replicas worked again {:?} after Kafka's return",
        back.elapsed()
    ));
    changing.abort();
    let _ = changing.await;
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut first, &mut second]).await;
}

/// A frozen broker keeps its connections, and answers nothing: no client sees an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_answers_nothing_is_seen_and_when_it_goes_on_so_does_the_replica() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, _dir) = blocking(move || (Broker::start(dir.path()), dir)).await;
    let simulator = simulator(6, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::at(&broker.bootstrap(), &simulator, 2, 1, |setup| setup).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    let mut idle = replicas.spawn(1).ready().await;
    until("one that owns nothing is healthy", SOON, async || {
        shown(&idle).await == WORKS
    })
    .await;
    replicas.complete(&journal).await;
    broker.freeze();
    let since = Instant::now();
    // After the session timeout of the group it has no partition any more.
    until("the replica reads nobody", SOON, async || {
        active(&replica).await.is_empty()
    })
    .await;
    until(
        "the one without partitions sees it, too",
        SOON,
        async || shown(&idle).await == FAILS,
    )
    .await;
    for _ in 0..5 {
        for replica in [&replica, &idle] {
            let status = replica.status().await["ledger"].clone();
            assert!(status["error"].is_string(), "{status:#}");
            assert_eq!(shown(replica).await, FAILS, "{status:#}");
        }
        sleep(Duration::from_secs(1)).await;
    }
    tell(format_args!("seen after {:?}", since.elapsed()));
    world.evolve(20);
    broker.thaw();
    let back = Instant::now();
    until("both work again", SOON, async || {
        shown(&replica).await == WORKS && shown(&idle).await == WORKS
    })
    .await;
    tell(format_args!("they worked again after {:?}", back.elapsed()));
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut replica, &mut idle]).await;
}

/// Whether the status says that the ledger works, and what the probe answers.
async fn shown(replica: &Daemon) -> (bool, u16) {
    let status = replica.status().await;
    let (code, _) = replica.get("/readyz").await;
    (status["ledger"]["state"] == "ok", code)
}

/// All tenants are in one partition, so that a refused record aborts the transactions of the others, too.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_become_too_large_for_their_topic_are_split_or_held_back_and_others_go_on() {
    let simulator = simulator(6, Options::default()).await;
    let world = simulator.world();
    let ids: Vec<Uuid> = world.tenants().iter().map(|tenant| tenant.id).collect();
    let [splits, stays, neighbours @ ..] = &ids[..] else {
        panic!("six tenants");
    };
    let graph = |setup: Setup| setup.text("api.source", "graph");
    let replicas = Replicas::at(&shared(), &simulator, 1, 1, graph).await;
    let (kafka, topic) = (&replicas.kafka, &replicas.topic);
    let mut replica = replicas.spawn(0).ready().await;
    for tenant in &ids {
        world.create(*tenant, 3).unwrap();
    }
    arrive(&replicas, &world).await;

    alter_topic(kafka, topic, "max.message.bytes", "150000").await;
    let whole = incident(*splits, 9_001, &[40_000; 10]);
    show(&simulator, *splits, &whole);
    show(&simulator, *stays, &incident(*stays, 9_002, &[400_000]));
    let held = async || {
        let status = replica.status().await;
        let mut tenants = status["tenants"].as_array().unwrap().iter().cloned();
        let of = tenants.find(|one| one["id"] == stays.to_string());
        // It is not there while its partition is fenced and read again.
        of.unwrap_or_default()
    };
    until("the tenant is held back", SOON, async || {
        held().await["state"] == "misconfigured"
    })
    .await;
    until("the status says what to raise", SOON, async || {
        let said = held().await["remedy"].to_string();
        said.contains(&format!("max.message.bytes of the topic {topic}"))
    })
    .await;
    for tenant in neighbours {
        world.create(*tenant, 3).unwrap();
    }
    arrive(&replicas, &world).await;
    let mut found = Vec::new();
    until("the parts arrive", SOON, async || {
        found = records(&replicas).await;
        !of_incident(&found, *splits, 9_001).is_empty()
    })
    .await;
    let parts = of_incident(&found, *splits, 9_001);
    let mut alerts = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        assert_eq!(header(part, "part"), Some((n + 1).to_string().as_str()));
        let event: Value = serde_json::from_slice(&part.value).unwrap();
        alerts.extend(event["data"]["alerts"].as_array().unwrap().clone());
    }
    assert!(parts.len() > 1, "it was not split");
    assert!(alerts == *whole["alerts"].as_array().unwrap(), "not whole");
    assert!(of_incident(&found, *stays, 9_002).is_empty());

    alter_topic(kafka, topic, "max.message.bytes", "1000000").await;
    until("what was held back arrives", 2 * SOON, async || {
        found = records(&replicas).await;
        !of_incident(&found, *stays, 9_002).is_empty()
    })
    .await;
    replica.stop().await;
    once(&records(&replicas).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_of_dead_letters_holds_up_nobody_and_gets_them_once_it_is_there() {
    let simulator = simulator(6, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let dead = unique("dead");
    let with_dead = |setup: Setup| setup.text("kafka.dead_letter_topic", &dead);
    // All tenants are in one partition.
    let replicas = Replicas::at(&shared(), &simulator, 1, 1, with_dead).await;
    let tenants = world.tenants();
    let torn = b"{\"id\":\"77\",\"x\":\"\xff\"}".to_vec();
    let rule = Rule::new(Effect::BadIncident(torn.clone())).of(tenants[0].id);
    simulator.faults().push(rule.at(Endpoint::List));
    for tenant in &tenants {
        world.create(tenant.id, 5).unwrap();
    }
    let mut replica = replicas.spawn(0).ready().await;
    replicas.complete(&journal).await;
    let remedy = format!("--create --topic {dead}");
    until("the log says what to create", SOON, async || {
        let said = replica.log_lines().into_iter().filter(|line| {
            let remedy = line["remedy"]
                .as_str()
                .is_some_and(|it| it.contains(&remedy));
            remedy
                && line["message"]
                    .as_str()
                    .is_some_and(|it| it.starts_with("dead letters are not"))
        });
        said.count() == 1
    })
    .await;
    world.evolve(20);
    replicas.complete(&journal).await;
    recovered(&replica).await;

    create_topic(&replicas.kafka, &dead, 1, &[]).await;
    let mut letters = Vec::new();
    until("the dead letter arrives", 2 * SOON, async || {
        let (kafka, dead) = (replicas.kafka.clone(), dead.clone());
        letters = blocking(move || read_all(&kafka, &dead)).await;
        !letters.is_empty()
    })
    .await;
    world.evolve(20);
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut replica]).await;
    let (kafka, dead) = (replicas.kafka.clone(), dead.clone());
    let letters = blocking(move || read_all(&kafka, &dead)).await;
    let values: Vec<Vec<u8>> = letters.into_iter().map(|letter| letter.value).collect();
    assert_eq!(values, [torn], "raw, and once");
}

async fn records(replicas: &Replicas) -> Vec<Found> {
    let (kafka, topic) = (replicas.kafka.clone(), replicas.topic.clone());
    blocking(move || read_all(&kafka, &topic)).await
}

/// Waits until each incident of the world has a record.
async fn arrive(replicas: &Replicas, world: &World) {
    until("the incidents arrive", SOON, async || {
        let found = records(replicas).await;
        let keys: BTreeSet<&str> = found.iter().map(|one| one.key.as_str()).collect();
        let mut all = world.current().into_iter();
        all.all(|one| keys.contains(&*format!("{}/{}", one.tenant, one.incident)))
    })
    .await;
}

fn once(found: &[Found]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in found {
        *counts.entry(header(one, "ce_id").unwrap()).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    assert!(counts.is_empty(), "published again: {counts:?}");
}
