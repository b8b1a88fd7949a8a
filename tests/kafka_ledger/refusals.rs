//! What Kafka refuses of one tenant costs the others of its partition little, and what it forgets costs nothing.

use super::*;

use crate::kafka_limits::{guarded, logging_in, permit};
use crate::support::daemon::incidentd;
use crate::support::kafka::{Broker, Right, add_partitions, alter_topic, delete_topic, read_all};

/// Of a change until it is published, while one tenant is refused again and again.
const OTHERS: Duration = Duration::from_secs(120);

/// All tenants are in one partition, and the first has a topic of its own.
async fn with_own_topic(
    kafka: &str,
    simulator: &Simulator,
    further: impl Fn(Setup) -> Setup,
) -> (Replicas, String, Uuid) {
    let (own, first) = (unique("own"), simulator.world().tenants()[0].id);
    let replicas = Replicas::at(kafka, simulator, 1, 1, |setup| {
        further(setup).own_text(first, "kafka.topic", &own)
    })
    .await;
    create_topic(kafka, &own, 1, &[]).await;
    (replicas, own, first)
}

async fn shown(replica: &Daemon, tenant: Uuid) -> Value {
    let status = replica.status().await;
    let mut tenants = status["tenants"].as_array().unwrap().iter();
    let of = tenants.find(|one| one["id"] == tenant.to_string());
    of.cloned().unwrap_or_default()
}

/// New incidents of all tenants but `without` arrive.
async fn others_go_on(replicas: &Replicas, world: &World, without: Uuid) {
    let others = world.tenants().into_iter().filter(|one| one.id != without);
    for tenant in others {
        world.create(tenant.id, 2).unwrap();
    }
    let began = Instant::now();
    until("the others' incidents arrive", OTHERS, async || {
        let (kafka, topic) = (replicas.kafka.clone(), replicas.topic.clone());
        let found = blocking(move || read_all(&kafka, &topic)).await;
        let keys: BTreeSet<String> = found.into_iter().map(|one| one.key).collect();
        let mut all = world
            .current()
            .into_iter()
            .filter(|one| one.tenant != without);
        all.all(|one| keys.contains(&format!("{}/{}", one.tenant, one.incident)))
    })
    .await;
    tell(format_args!(
        "the others arrived within {:?}",
        began.elapsed()
    ));
}

async fn arrives(kafka: &str, topic: &str, count: usize) {
    until("what was refused arrives", 10 * SOON, async || {
        let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
        let found = blocking(move || read_all(&kafka, &topic)).await;
        assert!(found.len() <= count, "published again: {}", found.len());
        found.len() == count
    })
    .await;
}

/// Whether it is said of the tenant that this topic refuses its records. `false`: the broker's own marker was too old for the topic,
/// too, as on a busy machine. It never ends such a transaction.
async fn is_named(replica: &Daemon, tenant: Uuid, topic: &str) -> bool {
    let began = Instant::now();
    loop {
        let one = shown(replica, tenant).await;
        let error = one["error"].to_string();
        if one["state"] == "misconfigured" && error.contains(topic) {
            tell(format_args!("named after {:?}", began.elapsed()));
            return true;
        }
        if error.contains("has not fenced the earlier owner") {
            return false;
        }
        let log = replica.log();
        assert!(
            began.elapsed() < 3 * SOON,
            "nothing is said of it: {one:#}\n{log}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// To this topic each record is too old, which the ledger does not know as a reason of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_refuses_each_record_stops_its_own_tenant_and_no_other() {
    const OLDEST: &str = "message.timestamp.before.max.ms";
    const TRIES: usize = 4;
    let simulator = simulator(6, Options::default()).await;
    let world = simulator.world();
    create_in_each(&world, 3);
    for attempt in 1.. {
        let (replicas, own, first) = with_own_topic(&shared(), &simulator, |setup| setup).await;
        // The broker's own markers are younger, as a rule.
        alter_topic(&replicas.kafka, &own, OLDEST, "2").await;
        let mut replica = replicas.spawn(0).ready().await;
        if !is_named(&replica, first, &own).await {
            assert!(attempt < TRIES, "the broker refuses its own markers");
            replica.stop().await;
            continue;
        }
        for _ in 0..3 {
            others_go_on(&replicas, &world, first).await;
        }
        alter_topic(&replicas.kafka, &own, OLDEST, "3600000").await;
        arrives(&replicas.kafka, &own, 3).await;
        replica.stop().await;
        break;
    }
}

/// The topic is there, so that nothing is wrong before the transaction begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_be_seen_and_not_written_stops_its_own_tenant_and_no_other() {
    let (broker, login, _dir) = guarded("").await;
    let simulator = simulator(6, Options::default()).await;
    let world = simulator.world();
    let (replicas, own, first) = with_own_topic(&broker.bootstrap(), &simulator, |setup| {
        logging_in(setup).text("kafka.brokers", &login)
    })
    .await;
    let ledger = replicas.make_ledger().await;
    let (topic, group) = (replicas.topic.clone(), replicas.group.clone());
    permit(
        &broker,
        &[
            Right::Produce(&topic),
            Right::Produce(&ledger),
            Right::Read(&ledger),
            Right::Transactions(&format!("{group}-")),
            Right::Group(&group),
            // READ and DESCRIBE.
            Right::Read(&own),
        ],
    );
    create_in_each(&world, 3);
    let mut replica = replicas.spawn(0).ready().await;
    until("the status says what to grant", 3 * SOON, async || {
        let one = shown(&replica, first).await;
        one["remedy"]
            .to_string()
            .contains(&format!("--producer --topic {own}"))
    })
    .await;
    for _ in 0..3 {
        others_go_on(&replicas, &world, first).await;
    }
    permit(&broker, &[Right::Produce(&own)]);
    arrives(&replicas.kafka, &own, 3).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_whose_id_kafka_has_forgotten_costs_no_version_and_repeats_none() {
    const FORGETS: &str = "\ntransactional.id.expiration.ms=5000\ntransaction.remove.expired.transaction.cleanup.interval.ms=1000\n\
                           producer.id.expiration.ms=5000\nproducer.id.expiration.check.interval.ms=1000\n";
    /// Longer than all of these.
    const IDLE: Duration = Duration::from_secs(12);
    let dir = tempfile::tempdir().unwrap();
    let (broker, _dir) = blocking(move || (Broker::start_with(dir.path(), FORGETS), dir)).await;
    let simulator = simulator(6, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::at(&broker.bootstrap(), &simulator, 1, 2, |setup| setup).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    for _ in 0..2 {
        replicas.complete(&journal).await;
        sleep(IDLE).await;
        world.evolve(10);
        let began = Instant::now();
        replicas.complete(&journal).await;
        tell(format_args!("complete after {:?}", began.elapsed()));
    }
    let log = replica.log();
    let said =
        log.contains("a partition of the ledger does not work") || log.contains("has fenced");
    assert!(said, "Kafka has forgotten nothing:\n{log}");
    assert!(!log.contains("PurgeQueue"), "the reason is lost:\n{log}");
    replicas.end(&journal, &mut [&mut replica]).await;
}

async fn ends_over_the_policy(replica: &mut Daemon) {
    let code = replica.wait(2 * SOON).await;
    let log = replica.log();
    assert_ne!(code, 0, "{log}");
    assert!(
        log.contains("cleanup.policy"),
        "it does not say why it ends:\n{log}"
    );
}

/// The replica must not write into a topic that Kafka deletes from.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_s_topic_that_is_deleted_is_asked_for_and_refused_when_it_is_made_wrong() {
    let simulator = simulator(6, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.complete(&journal).await;
    let ledger = replicas.ledger();
    delete_topic(&replicas.kafka, &ledger).await;
    let command = format!(
        "--create --topic {ledger} --partitions 2 --replication-factor 1 --config cleanup.policy=compact"
    );
    until(
        "the status says how to make the topic",
        3 * SOON,
        async || {
            world.evolve(3);
            let status = replica.status().await;
            let remedy = status["ledger"]["remedy"].to_string();
            let tenants = status["tenants"].as_array().unwrap().clone();
            let said = |one: &Value| one["remedy"].to_string().contains(&command);
            remedy.contains(&command) && !tenants.is_empty() && tenants.iter().all(said)
        },
    )
    .await;
    create_topic(&replicas.kafka, &ledger, 2, &[]).await;
    ends_over_the_policy(&mut replica).await;
}

/// No transaction shows that Kafka deletes rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_s_topic_that_is_altered_to_lose_rows_ends_the_replicas_that_use_it() {
    let simulator = simulator(2, Options::default()).await;
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    alter_topic(
        &replicas.kafka,
        &replicas.ledger(),
        "cleanup.policy",
        "delete",
    )
    .await;
    ends_over_the_policy(&mut replica).await;
}

/// Somebody adds partitions to the topic, and starts a replica with the new number.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_not_written_with_another_number_of_partitions_and_can_still_be_exported() {
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.complete(&journal).await;
    replica.stop().await;
    add_partitions(&replicas.kafka, &replicas.ledger(), 4).await;
    let mut other = replicas.setups.into_iter().next().unwrap();
    other = other.key("ledger.partitions", "4");
    let mut replica = Daemon::spawn(&other.write(), &[], &[]);
    let code = replica.wait(SOON).await;
    let log = replica.log();
    assert_ne!(code, 0, "{log}");
    assert!(log.contains("it was written with 2 partitions"), "{log}");
    let tally = Tally::read(&replicas.kafka, &replicas.topic, &journal).await;
    assert_eq!(tally.repeats(), 0, "published again:\n{log}");

    other = other.key("ledger.partitions", "2");
    let mut export = incidentd();
    export
        .args(["ledger", "export", "--config"])
        .arg(other.write());
    let exported = export.output().await.unwrap();
    let errors = String::from_utf8_lossy(&exported.stderr);
    assert!(exported.status.success(), "{errors}");
    let lines = String::from_utf8_lossy(&exported.stdout).lines().count();
    // A head, an end, and a state for each tenant.
    assert_eq!(lines, 2 + 12 + 12 * 5, "{errors}");
}
