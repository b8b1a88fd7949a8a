//! `check` and Kafka: unavailable, refusing, with missing, small or forbidden topics.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli_check::command::{KAFKA_SECRET, NOBODY, microsoft, run, topic};
use crate::support::blocking;
use crate::support::kafka::{Broker, create_topic, ends};
use crate::support::setup::{Setup, unique};

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_it_ends_with_75_and_tells_of_the_tenants() {
    let simulator = microsoft(2).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 75, "{}", ended.all());
    ended.says(&[
        "unreachable 127.0.0.1:1",
        "Connection refused",
        "check that Kafka runs",
        "2 tenants: 2 ok.",
    ]);
    let json = run(&setup, &["check", "--json"]).await.json();
    assert_eq!(
        (&json["ok"], &json["kafka"]["state"]),
        (&false.into(), &"unreachable".into())
    );
    let world = simulator.world();
    world
        .administer(world.tenants()[0].id, |tenant| tenant.consented = false)
        .unwrap();
    let ended = run(&setup, &["check"]).await;
    assert_eq!(
        ended.code,
        1,
        "waiting alone mends nothing: {}",
        ended.all()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_comes_with_the_command_that_makes_it() {
    let simulator = microsoft(1).await;
    let (kafka, topic) = topic().await;
    let (status, small) = (unique("missing"), unique("small"));
    create_topic(&kafka, &small, 1, &[("max.message.bytes", "100000")]).await;
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.status_topic", &status)
        .text("kafka.dead_letter_topic", &small);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    let command = format!(
        "create it: kafka-topics.sh --bootstrap-server {kafka} --create --topic {status} --partitions 6 --replication-factor 1 \
         --config max.message.bytes=8388608"
    );
    ended.says(&[
        &command,
        "max.message.bytes of the topic is 100000, less than Kafka's default",
        "3 topics: 1 misconfigured, 2 ok",
        "incidentd: 1 topic not ok",
    ]);
    ended.in_order(&["MAX RECORD WRITE misconfigured", "ok check-", "ok small-"]);
    let topics = run(&setup, &["check", "--json"]).await.json()["kafka"]["topics"].clone();
    assert_eq!(topics[0]["may_write"], true);
    assert_eq!(
        (&topics[1]["ok"], &topics[1]["may_write"]),
        (&false.into(), &Value::Null)
    );
    assert_eq!(topics[2]["max_record_bytes"], 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_alerts_are_looked_at_for_all_tenants_and_for_one() {
    let simulator = microsoft(2).await;
    let (kafka, topic) = topic().await;
    let (missing, small) = (unique("missing"), unique("small"));
    create_topic(&kafka, &small, 1, &[("max.message.bytes", "100000")]).await;
    let second = simulator.world().tenants()[1].id;
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.alerts_topic", &missing)
        .own_text(second, "kafka.alerts_topic", &small);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    ended.says(&[
        &format!("--create --topic {missing} --partitions"),
        "max.message.bytes of the topic is 100000, less than Kafka's default",
        "3 topics: 1 misconfigured, 2 ok",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_written_is_noticed_and_stays_empty() {
    let simulator = microsoft(1).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    let broker = blocking(move || Broker::start_with(&folder, AUTHORIZER)).await;
    let (kafka, topic) = (broker.bootstrap(), "closed");
    create_topic(&kafka, topic, 1, &[]).await;
    for (operation, permission) in [(DESCRIBE, ALLOW), (DESCRIBE_CONFIGS, ALLOW), (WRITE, DENY)] {
        create_acl(&kafka, topic, operation, permission).await;
    }
    let setup = Setup::new(&simulator, &kafka, topic);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    ended.says(&[
        "misconfigured closed incidents 1 1.0 MiB no",
        "Kafka does not let incidentd write to the topic closed",
        "kafka-acls.sh",
    ]);
    let written: i64 = blocking(move || ends(&kafka, topic)).await.iter().sum();
    assert_eq!(written, 0);
    drop(broker);
}

// The numbers of CreateAcls.
const WRITE: u8 = 4;
const DESCRIBE: u8 = 8;
const DESCRIBE_CONFIGS: u8 = 10;
const DENY: u8 = 2;
const ALLOW: u8 = 3;

/// Creates one rule for all users and one topic. rdkafka has no request for it, so this writes CreateAcls, version 1,
/// of Kafka's protocol.
async fn create_acl(bootstrap: &str, topic: &str, operation: u8, permission: u8) {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    let (topic_kind, literal) = (2, 3);
    let request = [
        &[0, 30, 0, 1, 0, 0, 0, 7][..],
        &text("test"),
        &[0, 0, 0, 1, topic_kind],
        &text(topic),
        &[literal],
        &text("User:ANONYMOUS"),
        &text("*"),
        &[operation, permission],
    ]
    .concat();
    let mut stream = TcpStream::connect(bootstrap).await.unwrap();
    stream
        .write_u32(u32::try_from(request.len()).unwrap())
        .await
        .unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; stream.read_u32().await.unwrap() as usize];
    stream.read_exact(&mut answer).await.unwrap();
    // The error code follows correlation id, throttle time and count.
    assert_eq!(answer[12..14], [0, 0], "no rule was made: {answer:?}");
}

/// Users that no rule refuses are permitted.
const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                          allow.everyone.if.no.acl.found=true\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_way_into_kafka_is_told_from_a_kafka_that_is_away() {
    let simulator = microsoft(1).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    let (broker, login) =
        blocking(move || Broker::start_with_login(&folder, "alice", KAFKA_SECRET)).await;
    create_topic(&broker.bootstrap(), "incidents", 1, &[]).await;
    let with = |brokers: &str, password: &str, protocol: &str| {
        Setup::new(&simulator, brokers, "incidents")
            .text("kafka.properties.\"security.protocol\"", protocol)
            .text("kafka.properties.\"sasl.mechanism\"", "PLAIN")
            .text("kafka.properties.\"sasl.username\"", "alice")
            .text("kafka.properties.\"sasl.password\"", password)
    };
    let right = run(&with(&login, KAFKA_SECRET, "sasl_plaintext"), &["check"]).await;
    assert_eq!(right.code, 0, "{}", right.all());
    right.is_silent(&simulator, &[]);
    let wrong = "canary-wrong-password";
    let plain = broker.bootstrap();
    for (setup, code, says) in [
        (
            with(&login, wrong, "sasl_plaintext"),
            1,
            [
                "Authentication failed",
                "check sasl.mechanism, sasl.username and sasl.password",
            ],
        ),
        (
            with(&plain, wrong, "ssl"),
            75,
            ["SSL handshake failed", "whether the port speaks TLS"],
        ),
        (
            with(&login, wrong, "plaintext"),
            75,
            ["unreachable", "the port may want TLS or a login"],
        ),
    ] {
        let ended = run(&setup, &["check"]).await;
        ended.says(&says);
        assert_eq!(ended.code, code, "{}", ended.all());
        ended.is_silent(&simulator, &[wrong]);
    }
}
