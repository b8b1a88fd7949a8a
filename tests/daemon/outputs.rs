//! Where records go and in which form: standard output, raw values, the additional topics, and topics and brokers that
//! become available late.

use std::collections::BTreeSet;
use std::process::Stdio;

use incidentd::simulator::{Effect, Endpoint, Options, Rule};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::support::daemon::{Daemon, STOP_LIMIT, incidentd};
use crate::support::kafka::{Broker, Found, create_topic, read_all, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tally::{Tally, header, structured};
use crate::support::{SOON, blocking, until};

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_has_one_record_a_line_and_needs_no_kafka() {
    let simulator = simulator(2, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 20);
    let setup = Setup::new(&simulator, "127.0.0.1:1", "none");
    let mut daemon = Daemon::start_with(&setup.write(), &["--output", "stdout"], &[]).await;
    until("all incidents are written", SOON, async || {
        daemon.output().lines().count() >= 40
    })
    .await;
    until("it is ready", SOON, async || {
        daemon.get("/readyz").await.0 == 200
    })
    .await;
    daemon.stop().await;
    journal.settled().await;
    let output = daemon.output();
    assert!(output.ends_with('\n'));
    let mut ids = BTreeSet::new();
    for line in output.lines() {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(event["type"], "incidentd.incident.created.v1", "{line}");
        assert!(event["data"]["id"].is_string(), "{line}");
        assert!(ids.insert(event["id"].to_string()), "written twice: {line}");
    }
    assert_eq!(ids.len(), journal.shown_count(), "lines and versions");
    assert!(daemon.log_lines().len() > 2, "the log is on standard error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_standard_output_that_stalls_does_not_keep_the_daemon_from_its_stop() {
    let simulator = simulator(1, Options::default()).await;
    let world = simulator.world();
    // More than a pipe can hold.
    world.create(world.tenants()[0].id, 300).unwrap();
    let setup = Setup::new(&simulator, "127.0.0.1:1", "none");
    let mut child = incidentd()
        .args(["run", "--output", "stdout", "--config"])
        .arg(setup.write())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _never_read = child.stdout.take();
    until("pages were read", SOON, async || {
        !simulator.journal().requests().is_empty()
    })
    .await;
    let pid = child.id().unwrap();
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("sleep 2; kill -TERM {pid}")])
        .status();
    assert!(sent.unwrap().success());
    let ended = timeout(STOP_LIMIT, child.wait()).await;
    let status = ended.expect("it ends within the budget").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_reader_has_seen_enough_ends_without_a_complaint() {
    let mut demo = incidentd()
        .args(["demo", "--seconds", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    for _ in 0..5 {
        assert!(lines.next_line().await.unwrap().is_some(), "it has begun");
    }
    drop(lines);
    let ended = timeout(STOP_LIMIT, demo.wait_with_output()).await;
    let output = ended.expect("it ends by itself").unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*told), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_values_are_microsofts_bytes() {
    let (kafka, topic) = (shared(), unique("raw"));
    create_topic(&kafka, &topic, 2, &[]).await;
    let simulator = simulator(2, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    world.evolve(60);
    let setup = Setup::new(&simulator, &kafka, &topic).text("kafka.format", "raw");
    let mut daemon = Daemon::start(&setup.write()).await;
    let read = async || Tally::read_as(&kafka, &topic, &journal, <[u8]>::to_vec).await;
    until("all is on the topic", SOON, async || {
        read().await.missing(journal.current()).is_empty()
    })
    .await;
    daemon.stop().await;
    journal.settled().await;
    let tally = read().await;
    tally.assert_exact(&journal);
    assert!(!tally.records.is_empty(), "there were incidents");
    for (record, _) in &tally.records {
        assert_eq!(header(record, "content-type"), Some("application/json"));
        assert!(
            header(record, "ce_id").is_some_and(|id| id.starts_with(&record.key)),
            "{record:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_incidents_and_health_changes_have_topics_of_their_own() {
    const BAD: &str = r#"{"id": "not a number", "status": "active"}"#;
    let kafka = shared();
    let (topic, dead, status) = (unique("main"), unique("dead"), unique("status"));
    for topic in [&topic, &dead, &status] {
        create_topic(&kafka, topic, 1, &[]).await;
    }
    let simulator = simulator(1, Options::default()).await;
    let (world, journal, faults) = (simulator.world(), simulator.journal(), simulator.faults());
    let tenant = world.tenants()[0].clone();
    world.create(tenant.id, 20).unwrap();
    faults.push(Rule::new(Effect::BadIncident(BAD.into())).at(Endpoint::List));
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.dead_letter_topic", &dead)
        .text("kafka.status_topic", &status);
    let mut daemon = Daemon::start(&setup.write()).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    let sweeps = journal.requests().len();
    until("it was read many times", SOON, async || {
        journal.requests().len() > sweeps + 4
    })
    .await;
    assert!(daemon.metric("incidentd_dead_letters_total").await >= 1.0);
    world
        .administer(tenant.id, |tenant| tenant.licensed = false)
        .unwrap();
    until("the licence is missed", SOON, async || {
        daemon.status().await["tenants"][0]["state"] == "forbidden"
    })
    .await;
    let letters = all(&kafka, &dead).await;
    until(
        "both changes of health are on their topic",
        SOON,
        async || all(&kafka, &status).await.len() >= 2,
    )
    .await;
    daemon.stop().await;
    Tally::read(&kafka, &topic, &journal)
        .await
        .assert_exact(&journal);
    assert_eq!(
        letters.len(),
        1,
        "one dead letter for one content: {letters:?}"
    );
    assert_eq!(letters[0].value, BAD.as_bytes());
    assert_eq!(
        header(&letters[0], "tenant_id"),
        Some(tenant.id.to_string().as_str())
    );
    assert!(header(&letters[0], "reason").is_some_and(|reason| !reason.is_empty()));
    let changes = all(&kafka, &status).await;
    let states: Vec<(Value, String)> = changes
        .iter()
        .map(|record| {
            let data: Value = serde_json::from_slice(&structured(&record.value)).unwrap();
            (data["state"].clone(), record.key.clone())
        })
        .collect();
    let key = tenant.id.to_string();
    assert_eq!(
        states,
        [("ok".into(), key.clone()), ("forbidden".into(), key)]
    );
}

async fn all(kafka: &str, topic: &str) -> Vec<Found> {
    let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
    blocking(move || read_all(&kafka, &topic)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_with_the_command_and_used_once_it_exists() {
    let (kafka, topic) = (shared(), unique("missing"));
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    world.create(world.tenants()[0].id, 5).unwrap();
    let setup = Setup::new(&simulator, &kafka, &topic);
    let mut daemon = Daemon::start(&setup.write()).await;
    let command = format!("kafka-topics.sh --bootstrap-server {kafka} --create --topic {topic}");
    until("the status names the command", SOON, async || {
        daemon.status().await["tenants"][0]["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains(&command))
    })
    .await;
    assert!(
        daemon.log().contains(&command),
        "the log names it too:\n{}",
        daemon.log()
    );
    create_topic(&kafka, &topic, 1, &[]).await;
    let tally = Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    until("the tenant is healthy", SOON, async || {
        daemon.status().await["tenants"][0]["state"] == "ok"
    })
    .await;
    daemon.stop().await;
    tally.assert_exact(&journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_comes_after_the_daemon_gets_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, dir) = blocking(move || (Broker::start(dir.path()), dir)).await;
    let (kafka, topic) = (broker.bootstrap(), "late");
    create_topic(&kafka, topic, 1, &[]).await;
    let (mut broker, dir) = blocking(move || {
        broker.stop();
        (broker, dir)
    })
    .await;
    let simulator = simulator(2, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    world.evolve(20);
    let setup = Setup::new(&simulator, &kafka, topic);
    let mut daemon = Daemon::start(&setup.write()).await;
    until("incidents wait for Kafka", SOON, async || {
        daemon.metric("incidentd_in_flight_bytes").await > 0.0
    })
    .await;
    world.evolve(20);
    let (code, why) = daemon.get("/readyz").await;
    assert!(code == 503 && why.contains(&kafka), "{code} {why}");
    let status = daemon.status().await;
    assert!(status["kafka"]["error"].is_string(), "{status:#}");
    let (_broker, _dir) = blocking(move || {
        broker.restart();
        (broker, dir)
    })
    .await;
    until("it is ready", SOON, async || {
        daemon.get("/readyz").await.0 == 200
    })
    .await;
    Tally::until_complete(&kafka, topic, &journal, SOON).await;
    daemon.stop().await;
    journal.settled().await;
    Tally::read(&kafka, topic, &journal)
        .await
        .assert_exact(&journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_json_readers_refuse_arrives_byte_by_byte_and_a_letter_too_large_for_its_topic_arrives_cut()
 {
    let kafka = shared();
    let (topic, dead) = (unique("readable"), unique("cut"));
    create_topic(&kafka, &topic, 1, &[]).await;
    create_topic(&kafka, &dead, 1, &[("max.message.bytes", "20000")]).await;
    let simulator = simulator(1, Options::default()).await;
    let (world, faults) = (simulator.world(), simulator.faults());
    let updated = "2026-09-06T14:46:57.29Z";
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    let values: [&[u8]; 5] = [
        br#""mail from \ud83d""#,
        b"1e400",
        &deep,
        b"\"\xff\"",
        b"\"a\nb\"",
    ];
    let incidents: Vec<Vec<u8>> = (9_001..)
        .zip(values)
        .map(|(id, value)| {
            let head = format!(r#"{{"id":"{id}","lastUpdateDateTime":"{updated}","displayName":"#);
            [head.as_bytes(), value, b",\"x\":", value, b"}"].concat()
        })
        .collect();
    // Numbers that do not repeat, because the limit applies after compression.
    let noise: Vec<u8> = (0..60_000_u64)
        .map(|n| b'0' + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) % 75) as u8)
        .map(|byte| if byte == b'\\' { b'z' } else { byte })
        .collect();
    let unreadable = [b"{\"noise\":\"", &noise[..], b"\"}"].concat();
    for bad in incidents.iter().chain([&unreadable]) {
        faults.push(
            Rule::new(Effect::BadIncident(bad.clone()))
                .at(Endpoint::List)
                .times(4),
        );
    }
    world.create(world.tenants()[0].id, 3).unwrap();
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.format", "raw")
        .text("kafka.dead_letter_topic", &dead);
    let mut daemon = Daemon::start(&setup.write()).await;
    until("all incidents are there", SOON, async || {
        all(&kafka, &topic).await.len() >= 3 + incidents.len()
    })
    .await;
    until("the letter is there", SOON, async || {
        !all(&kafka, &dead).await.is_empty()
    })
    .await;
    assert_eq!(daemon.metric("incidentd_dead_letters_total").await, 1.0);
    daemon.stop().await;
    let records = all(&kafka, &topic).await;
    assert_eq!(records.len(), 3 + incidents.len(), "a record was repeated");
    for incident in &incidents {
        let found = records.iter().any(|record| record.value == *incident);
        assert!(found, "{}", String::from_utf8_lossy(incident));
    }
    let letters = all(&kafka, &dead).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(
        header(letter, "truncated"),
        Some(unreadable.len().to_string().as_str())
    );
    assert!(letter.value.len() > 15_000 && unreadable.starts_with(&letter.value));
}
