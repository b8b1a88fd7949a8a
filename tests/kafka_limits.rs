//! What Kafka refuses, what it limits, and when it closes connections: the daemon keeps running, says what to do, and
//! nothing else waits.
//!
//! Each test has its own node, with limits and permissions that differ from those of a new installation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::support::daemon::{Daemon, incidentd};
use crate::support::kafka::{Broker, Found, Right, create_topic, grant, read_all};
use crate::support::setup::{Setup, create_in_each, simulator};
use crate::support::tally::{Tally, header};
use crate::support::{SOON, blocking, tell, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use incidentd::core::health::PartState;
use incidentd::core::time::ticks::Ticks;
use incidentd::kafka::KafkaPublisher;
use incidentd::ports::{Clock, Part, Publisher, Record};
use incidentd::settings::KafkaConnection;
use incidentd::simulator::{Effect, Endpoint, Options, Rule, Simulator};
use incidentd::telemetry::clock::SystemClock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(120);
const TOPIC: &str = "security.incidents";
pub const USER: &str = "incidentd";
const PASSWORD: &str = "s3cret-of-kafka";
/// The longest wait of other tenants beside a large incident, on a busy machine.
const NEIGHBOURS_WAIT: Duration = Duration::from_secs(10);

/// A node where users that log in may do only what is granted, and its address for them.
pub async fn guarded(lines: &'static str) -> (Broker, String, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    blocking(move || {
        let (broker, login) = Broker::start_guarded(dir.path(), USER, PASSWORD, lines);
        (broker, login, dir)
    })
    .await
}

pub fn permit(broker: &Broker, rights: &[Right<'_>]) {
    for right in rights {
        grant(&broker.bootstrap(), USER, *right);
    }
}

pub fn logging_in(setup: Setup) -> Setup {
    setup
        .text("kafka.properties.\"security.protocol\"", "sasl_plaintext")
        .text("kafka.properties.\"sasl.mechanism\"", "PLAIN")
        .text("kafka.properties.\"sasl.username\"", USER)
        .text("kafka.properties.\"sasl.password\"", PASSWORD)
        .text("api.source", "graph")
}

fn publisher(login: &str) -> Arc<KafkaPublisher> {
    let properties = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", USER),
        ("sasl.password", PASSWORD),
    ];
    let options = KafkaConnection {
        brokers: login.to_owned(),
        properties: properties
            .map(|(name, value)| (name.to_owned(), value.into()))
            .to_vec(),
        max_in_flight: 64 << 20,
    };
    Arc::new(KafkaPublisher::connect(options).unwrap())
}

fn now() -> Ticks {
    SystemClock.now()
}

/// Text without repetition.
fn noise(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        text.push_str(&STANDARD.encode(Uuid::new_v4().as_bytes()));
    }
    text.truncate(bytes);
    text
}

/// An incident as Graph sends it, with alerts of these sizes.
pub fn incident(tenant: Uuid, id: u64, alerts: &[usize]) -> Value {
    let at = now().to_string();
    let alert = |(n, size): (usize, &usize)| {
        json!({
            "id": format!("{id}-{n}"), "incidentId": id.to_string(), "tenantId": tenant.to_string(), "status": "new",
            "severity": "high", "classification": null, "determination": null, "title": "Large",
            "createdDateTime": at, "lastUpdateDateTime": at, "description": noise(*size), "evidence": [],
        })
    };
    json!({
        "id": id.to_string(), "tenantId": tenant.to_string(), "status": "active", "severity": "high",
        "classification": "unknown", "determination": "unknown", "assignedTo": null, "displayName": "Large",
        "createdDateTime": at, "lastUpdateDateTime": at, "redirectIncidentId": null, "customTags": [], "comments": [],
        "alerts": alerts.iter().enumerate().map(alert).collect::<Vec<_>>(),
    })
}

/// From now on this incident is on each page of its tenant.
pub fn show(simulator: &Simulator, tenant: Uuid, incident: &Value) {
    let bytes = incident.to_string().into_bytes();
    let rule = Rule::new(Effect::BadIncident(bytes)).of(tenant);
    simulator.faults().push(rule.at(Endpoint::List));
}

pub fn of_incident(found: &[Found], tenant: Uuid, id: u64) -> Vec<&Found> {
    let key = format!("{tenant}/{id}");
    found.iter().filter(|one| one.key == key).collect()
}

async fn state_of(daemon: &Daemon, tenant: Uuid) -> Value {
    let status = daemon.status().await;
    let mut tenants = status["tenants"].as_array().unwrap().iter();
    let id = tenant.to_string();
    let of = tenants.find(|one| one["id"] == id.as_str());
    of.cloned().expect("the tenant's state")
}

/// Incidents of 2 MB, and a broker that accepts requests of half that size, with a topic that would accept them. One
/// incident can be split, the other can't. `told`: the user may ask for the limits.
async fn large_incidents(lines: &'static str, told: bool, compression: &str) {
    let (broker, login, _dir) = guarded(lines).await;
    let configs = [
        ("max.message.bytes", "8388608"),
        ("message.timestamp.type", "LogAppendTime"),
    ];
    create_topic(&broker.bootstrap(), TOPIC, 1, &configs).await;
    permit(&broker, &[Right::Produce(TOPIC)]);
    if told {
        permit(
            &broker,
            &[Right::DescribeTopic(TOPIC), Right::DescribeCluster],
        );
    }
    let simulator = simulator(6, Options::default()).await;
    let world = simulator.world();
    let ids: Vec<Uuid> = world.tenants().iter().map(|tenant| tenant.id).collect();
    let [splits, stays, neighbours @ ..] = &ids[..] else {
        panic!("six tenants");
    };
    let setup = logging_in(Setup::new(&simulator, &login, TOPIC))
        .text("kafka.properties.\"compression.type\"", compression);
    let mut daemon = Daemon::start(&setup.write()).await;
    until("all is well", SOON, async || {
        daemon.status().await["tenants"]
            .as_array()
            .unwrap()
            .iter()
            .all(|tenant| tenant["state"] == "ok")
    })
    .await;
    let lines_before = daemon.log_lines().len();

    let whole = incident(*splits, 9_001, &[200_000; 10]);
    show(&simulator, *splits, &whole);
    show(&simulator, *stays, &incident(*stays, 9_002, &[2_000_000]));
    let mut made = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(12);
    while Instant::now() < end {
        for tenant in neighbours {
            let at = now();
            for id in world.create(*tenant, 1).unwrap() {
                made.insert(format!("{tenant}/{id}"), at);
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    let (kafka, keys) = (broker.bootstrap(), made.keys().cloned());
    let keys: BTreeSet<String> = keys.collect();
    let mut found = Vec::new();
    until(
        "the neighbours' incidents and the parts arrive",
        SOON,
        async || {
            let kafka = kafka.clone();
            found = blocking(move || read_all(&kafka, TOPIC)).await;
            let arrived: BTreeSet<String> = found.iter().map(|one| one.key.clone()).collect();
            keys.is_subset(&arrived) && !of_incident(&found, *splits, 9_001).is_empty()
        },
    )
    .await;
    let wait = |one: &Found| {
        let made = made.get(&one.key)?;
        let appended = Ticks(one.at * 10_000);
        Some(appended.since(*made))
    };
    let longest = found.iter().filter_map(wait).max().unwrap();
    let parts = of_incident(&found, *splits, 9_001);
    let mut log = daemon.log_lines();
    let log = log.split_off(lines_before);
    tell(format_args!(
        "told={told} compression={compression}: {} incidents of {} neighbours beside two of 2 MB; longest wait {longest:?}; \
         {} parts; {} log lines",
        made.len(),
        neighbours.len(),
        parts.len(),
        log.len(),
    ));
    assert!(longest < NEIGHBOURS_WAIT, "a neighbour waited {longest:?}");
    assert!(log.len() < 40, "the log is not quiet: {log:#?}");

    let mut alerts = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        assert_eq!(header(part, "part"), Some((n + 1).to_string().as_str()));
        assert_eq!(
            header(part, "parts"),
            Some(parts.len().to_string().as_str())
        );
        let event: Value = serde_json::from_slice(&part.value).unwrap();
        alerts.extend(event["data"]["alerts"].as_array().unwrap().clone());
    }
    assert!(
        alerts == *whole["alerts"].as_array().unwrap(),
        "not what was sent"
    );
    let held = state_of(&daemon, *stays).await;
    assert_eq!(held["state"], "misconfigured", "{held:#}");
    let said = format!("{} {}", held["error"], held["remedy"]);
    for part in ["socket.request.max.bytes", "max.message.bytes", "20"] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert_eq!(of_incident(&found, *stays, 9_002).len(), 0);
    let status = daemon.status().await;
    assert_eq!(status["kafka"]["state"], "ok", "{status:#}");
    daemon.stop().await;

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &found {
        let id = header(one, "ce_id").unwrap();
        *counts.entry(id).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    assert!(counts.is_empty(), "repeated: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_incident_holds_up_nobody_where_kafka_tells_its_limits() {
    large_incidents("socket.request.max.bytes=1048576\n", true, "none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_incident_holds_up_nobody_where_kafka_keeps_its_limits_to_itself() {
    // The limits of Azure Event Hubs.
    large_incidents("socket.request.max.bytes=1046528\n", false, "zstd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_stay_below_a_request_limit_that_is_told_and_shrink_below_one_that_is_not() {
    let (broker, login, _dir) = guarded("socket.request.max.bytes=300000\n").await;
    create_topic(&broker.bootstrap(), TOPIC, 1, &[]).await;
    permit(&broker, &[Right::Produce(TOPIC)]);
    let records = |from: usize| -> Vec<Record> {
        let numbers = from..from + 150;
        numbers
            .map(|n| Record {
                raw: 0..0,
                topic: TOPIC.into(),
                key: format!("t/{n}"),
                headers: vec![("ce_id", n.to_string())],
                value: noise(10_000).into_bytes(),
            })
            .collect()
    };
    for (from, told) in [(0, false), (1_000, true)] {
        if told {
            permit(
                &broker,
                &[Right::DescribeTopic(TOPIC), Right::DescribeCluster],
            );
        }
        let publisher = publisher(&login);
        let started = Instant::now();
        let results = timeout(LIMIT, publisher.publish(records(from))).await;
        let results = results.expect("batches are stuck");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        tell(format_args!(
            "told={told}: 1.5 MB of small records over requests of 300 kB in {:?}",
            started.elapsed()
        ));
        let limit = publisher.limit(TOPIC).await.unwrap();
        assert!(!told || limit < 300_000, "{limit}");
    }
    let bootstrap = broker.bootstrap();
    let found = blocking(move || read_all(&bootstrap, TOPIC)).await;
    let keys: BTreeSet<&str> = found.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_the_broker_closes_is_no_fault() {
    let (broker, login, _dir) = guarded("connections.max.idle.ms=1500\n").await;
    create_topic(&broker.bootstrap(), TOPIC, 1, &[]).await;
    permit(&broker, &[Right::Produce(TOPIC)]);
    let publisher = publisher(&login);
    let stop = CancellationToken::new();
    let probe = tokio::spawn({
        let (publisher, stop) = (publisher.clone(), stop.clone());
        async move { publisher.probe(stop).await }
    });
    let record = |n: usize| Record {
        raw: 0..0,
        topic: TOPIC.into(),
        key: format!("t/{n}"),
        headers: Vec::new(),
        value: vec![b'x'; 100],
    };
    for n in 0..3 {
        let results = timeout(LIMIT, publisher.publish(vec![record(n)])).await;
        assert_eq!(results.expect("acknowledged"), [Ok(())]);
        let quiet = Instant::now() + Duration::from_secs(5);
        while Instant::now() < quiet {
            let state = publisher.status();
            assert_eq!(state.state, PartState::Ok, "{state:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    stop.cancel();
    probe.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_is_told_what_to_grant_and_all_goes_on_by_itself_once_it_is_done() {
    const TENANTS: u32 = 5;
    let (broker, login, _dir) = guarded("").await;
    create_topic(&broker.bootstrap(), TOPIC, 2, &[]).await;
    let simulator = simulator(TENANTS, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 3);
    // These are never granted, which must not stop the incidents.
    let setup = logging_in(Setup::new(&simulator, &login, TOPIC))
        .text("kafka.status_topic", "security.status")
        .text("kafka.dead_letter_topic", "security.dead");
    let mut daemon = Daemon::start(&setup.write()).await;
    let command =
        format!("kafka-acls.sh --bootstrap-server {login} --add --producer --topic {TOPIC}");
    until("all tenants say what to grant", SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().unwrap();
        tenants.iter().all(|tenant| {
            let remedy = tenant["remedy"].as_str().unwrap_or_default();
            tenant["state"] == "misconfigured" && remedy.contains(&command)
        })
    })
    .await;
    sleep(Duration::from_secs(12)).await;
    let status = daemon.status().await;
    assert_eq!(status["kafka"]["state"], "failed", "{status:#}");
    let remedy = status["kafka"]["remedy"].as_str().unwrap_or_default();
    assert!(
        remedy.contains("kafka-acls.sh --bootstrap-server"),
        "{remedy}"
    );
    let quiet = daemon.log_lines().len();
    assert!(quiet < 60, "the log is not quiet: {}", daemon.log());

    permit(&broker, &[Right::Produce(TOPIC)]);
    let granted = Instant::now();
    let tally = Tally::until_complete(&broker.bootstrap(), TOPIC, &journal, LIMIT).await;
    tell(format_args!(
        "without rights for 12 s: {} log lines, {} token requests for {TENANTS} tenants; {} records {:?} after the grant",
        quiet,
        journal.token_requests(),
        tally.records.len(),
        granted.elapsed(),
    ));
    assert!(granted.elapsed() < Duration::from_secs(75), "too late");
    until("all is well again", SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().unwrap();
        status["kafka"]["state"] == "ok" && tenants.iter().all(|tenant| tenant["state"] == "ok")
    })
    .await;
    assert_eq!(journal.token_requests(), u64::from(TENANTS));
    assert!(
        !daemon.log().contains(PASSWORD),
        "the password is in the log"
    );
    daemon.stop().await;
    let tally = Tally::read(&broker.bootstrap(), TOPIC, &journal).await;
    tally.assert_exact(&journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_the_authorities_of_the_system() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, tls, authority, _dir) = blocking(move || {
        let (broker, tls, authority) = Broker::start_with_tls(dir.path());
        (broker, tls, authority, dir)
    })
    .await;
    create_topic(&broker.bootstrap(), TOPIC, 1, &[]).await;
    let simulator = simulator(1, Options::default()).await;
    let setup =
        Setup::new(&simulator, &tls, TOPIC).text("kafka.properties.\"security.protocol\"", "ssl");
    let config = setup.write();
    let check = async |file: &std::path::Path| {
        let mut command = incidentd();
        command.args(["check", "--json", "--config"]).arg(&config);
        let done = command.env("SSL_CERT_FILE", file).output().await.unwrap();
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        report["kafka"].clone()
    };
    let kafka = check(&authority).await;
    assert_eq!(kafka["state"], "ok", "{kafka:#}");
    // Without that authority among the trusted ones, the handshake fails, so certificates are verified.
    let none = setup.path().join("nowhere.pem");
    let kafka = check(&none).await;
    assert_eq!(kafka["state"], "misconfigured", "{kafka:#}");
}
