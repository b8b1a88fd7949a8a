//! With librdkafka's in-process broker, which does not report the settings of topics. Permissions, limits and log-ins
//! are tested with a real Kafka, in `tests/cli_check.rs`.

use super::*;
use crate::kafka::mock::MockBroker;
use crate::settings::LedgerKind;

fn options(brokers: &str) -> KafkaConnection {
    KafkaConnection {
        brokers: brokers.to_owned(),
        properties: Vec::new(),
        max_in_flight: 1 << 20,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_found_out_is_said() {
    let broker = MockBroker::start(&[("incidents", 3)]).expect("a broker");
    let topics = ["incidents", "missing"].map(Arc::from);
    let seen = inspect(&options(broker.brokers()), &topics).await;
    assert_eq!((seen.failure, seen.brokers), (None, 1));
    let [incidents, missing] = &seen.topics[..] else {
        panic!("one for each topic, in order: {:?}", seen.topics);
    };
    assert_eq!((&incidents.failure, incidents.partitions), (&None, 3));
    assert!(
        matches!(incidents.write, Write::Unknown(_)),
        "{incidents:?}"
    );
    assert!(
        incidents.notes[0].contains("DescribeConfigs"),
        "{incidents:?}"
    );
    let failure = missing.failure.as_ref().expect("no such topic");
    let command = "--create --topic missing --partitions 6 --replication-factor 1 --config max.message.bytes=8388608";
    assert!(failure.remedy.ends_with(command), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_away_is_told_within_the_limit() {
    let seen = inspect(&options("127.0.0.1:1"), &[Arc::from("incidents")]).await;
    let failure = seen.failure.expect("nobody is there");
    assert_eq!(failure.health, Health::Unreachable);
    assert!(failure.what.contains("Connection refused"), "{failure:?}");
}

#[test]
fn properties_that_librdkafka_refuses_are_found_without_a_broker() {
    for (name, value) in [("no.such.property", "1"), ("linger.ms", "soon")] {
        let mut options = options("127.0.0.1:1");
        options.properties = vec![(name.to_owned(), value.to_owned().into())];
        let error = options.check(LedgerKind::Local).expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
        let error = KafkaConnection::check_property(name, value).expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn properties_that_only_together_are_wrong_are_found_without_a_broker() {
    for (property, named) in [
        (("security.protocol", "sasl_plaintext"), "sasl.username"),
        (
            ("ssl.ca.location", "/nonexistent/ca.pem"),
            "ssl.ca.location",
        ),
    ] {
        let mut options = options("127.0.0.1:1");
        let (name, value) = property;
        KafkaConnection::check_property(name, value).expect(name);
        options.properties = vec![
            ("security.protocol".to_owned(), "ssl".to_owned().into()),
            ("sasl.mechanism".to_owned(), "PLAIN".to_owned().into()),
            (name.to_owned(), value.to_owned().into()),
        ];
        let error = options.check(LedgerKind::Local).expect_err(name);
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn properties_that_only_the_ledger_s_clients_refuse_are_found_without_a_broker() {
    let mut options = options("127.0.0.1:1");
    let property = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned().into())];
    options.properties = property("max.poll.interval.ms", "10000");
    options
        .check(LedgerKind::Local)
        .expect("no member of a group");
    let error = options.check(LedgerKind::Kafka).expect_err("refused");
    assert!(
        error.to_string().contains("max.poll.interval.ms"),
        "{error}"
    );
    for usual in [
        ("enable.partition.eof", "true"),
        ("linger.ms", "50"),
        ("message.timeout.ms", "60000"),
        ("queue.buffering.max.kbytes", "65536"),
        ("acks", "all"),
        ("compression.type", "zstd"),
    ] {
        options.properties = property(usual.0, usual.1);
        options.check(LedgerKind::Kafka).expect(usual.0);
    }
}
