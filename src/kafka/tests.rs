//! The publisher with librdkafka's in-process broker, which can be told to return errors. What needs a broker that
//! keeps the order and refuses repeats is tested with a real Kafka, in `tests/kafka_publisher.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::mock::MockBroker;
use super::reader::{Arrived, TopicReader};
use super::{KafkaError, KafkaPublisher};
use crate::core::health::failure::{Health, Reaction};
use crate::core::health::status::PartState;
use crate::ports::{Part, Publisher, Record, Refused};
use crate::settings::KafkaConnection;

const LIMIT: Duration = Duration::from_secs(60);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topics: &[&str]) -> Cluster {
    let cluster = MockCluster::new(1).expect("an in-process broker");
    for topic in topics {
        cluster.create_topic(topic, 4, 1).expect("a topic");
    }
    cluster
}

fn options(brokers: &str, properties: &[(&str, &str)]) -> KafkaConnection {
    KafkaConnection {
        brokers: brokers.to_owned(),
        properties: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect(),
        max_in_flight: 1 << 20,
    }
}

fn publisher(cluster: &Cluster, properties: &[(&str, &str)]) -> KafkaPublisher {
    KafkaPublisher::connect(options(&cluster.bootstrap_servers(), properties)).expect("a publisher")
}

fn record(topic: &str, key: usize, value: Vec<u8>) -> Record {
    Record {
        raw: 0..0,
        topic: Arc::from(topic),
        key: format!("t/{key}"),
        headers: vec![("ce_id", format!("id-{key}"))],
        value,
    }
}

fn records(topic: &str, count: usize) -> Vec<Record> {
    (0..count)
        .map(|n| record(topic, n, format!("value {n}").into_bytes()))
        .collect()
}

/// Reads `count` records, and makes sure that no other follows.
async fn read(brokers: &str, topic: &str, count: usize) -> Vec<Arrived> {
    let reader = TopicReader::open(brokers, topic).await.expect("a reader");
    let mut arrived = Vec::new();
    while arrived.len() < count {
        let next = timeout(LIMIT, reader.next()).await;
        let next =
            next.unwrap_or_else(|_| panic!("only {} of {count} records arrived", arrived.len()));
        arrived.push(next.expect("a record"));
    }
    let more = timeout(Duration::from_millis(500), reader.next()).await;
    assert!(more.is_err(), "more than {count} records arrived: {more:?}");
    arrived
}

fn count_by_key(arrived: &[Arrived]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for one in arrived {
        *counts.entry(one.key.as_str()).or_default() += 1;
    }
    counts
}

async fn state_becomes(publisher: &KafkaPublisher, wanted: PartState) {
    let mut states = publisher.watch();
    let reached = timeout(LIMIT, states.wait_for(|now| now.state == wanted)).await;
    assert!(
        reached.is_ok(),
        "{wanted:?} is not reached: {:?}",
        publisher.status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_whole() {
    let broker = MockBroker::start(&[("incidents", 4)]).expect("a broker");
    let publisher = KafkaPublisher::connect(options(broker.brokers(), &[])).expect("a publisher");
    assert_eq!(publisher.status().state, PartState::Starting);
    let results = timeout(LIMIT, publisher.publish(records("incidents", 100))).await;
    assert_eq!(results.expect("acknowledged"), vec![Ok(()); 100]);
    assert_eq!(publisher.status().state, PartState::Ok);
    let arrived = read(broker.brokers(), "incidents", 100).await;
    for one in &arrived {
        let n = one.key.strip_prefix("t/").expect("our key");
        assert_eq!(one.value, format!("value {n}").into_bytes());
        assert_eq!(one.header("ce_id"), Some(format!("id-{n}").as_str()));
    }
    assert_eq!(count_by_key(&arrived).len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_arrive_in_the_order_given() {
    let cluster = cluster(&["t"]);
    let publisher = publisher(&cluster, &[]);
    let batch = (0..60_usize)
        .map(|n| record("t", n % 7, n.to_string().into_bytes()))
        .collect();
    let results = timeout(LIMIT, publisher.publish(batch))
        .await
        .expect("acknowledged");
    assert_eq!(results, vec![Ok(()); 60]);
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut arrived = read(&cluster.bootstrap_servers(), "t", 60).await;
    arrived.sort_by_key(|one| (one.partition, one.offset));
    for one in arrived {
        let n: usize = String::from_utf8_lossy(&one.value)
            .parse()
            .expect("our value");
        let before = last.insert(one.key.clone(), n);
        assert!(
            before.is_none_or(|before| before < n),
            "{}: {n} came after {before:?}",
            one.key
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_errors_of_a_broker_are_retried_until_every_record_is_there() {
    let cluster = cluster(&["t"]);
    let publisher = publisher(&cluster, &[]);
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    let results = timeout(LIMIT, publisher.publish(records("t", 200))).await;
    assert_eq!(results.expect("acknowledged"), vec![Ok(()); 200]);
    // This can't check for repeats: unlike a real broker, the mock does not drop the repeats of an idempotent producer
    // (`tests/kafka_publisher.rs`).
    let reader = TopicReader::open(&cluster.bootstrap_servers(), "t")
        .await
        .expect("a reader");
    let mut keys = BTreeSet::new();
    while keys.len() < 200 {
        let next = timeout(LIMIT, reader.next()).await;
        let next = next.unwrap_or_else(|_| panic!("only {} of 200 records arrived", keys.len()));
        keys.insert(next.expect("a record").key);
    }
}

/// Publishes a record, stops the broker, and publishes fifty more meanwhile.
async fn strand(
    cluster: &Cluster,
    publisher: &Arc<KafkaPublisher>,
) -> JoinHandle<Vec<Result<(), Refused>>> {
    let first = timeout(LIMIT, publisher.publish(records("t", 1))).await;
    assert_eq!(first.expect("acknowledged"), vec![Ok(())]);
    cluster.broker_down(1).expect("the broker goes down");
    let publisher = Arc::clone(publisher);
    tokio::spawn(async move { publisher.publish(records("t", 50)).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_abandoned_is_told_and_never_sent() {
    let cluster = cluster(&["t"]);
    let publisher = Arc::new(publisher(&cluster, &[]));
    let waiting = strand(&cluster, &publisher).await;
    let all_sent = async {
        while publisher.in_flight() < 50 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, all_sent).await.expect("sent");
    assert!(publisher.abandon());
    let results = timeout(LIMIT, waiting)
        .await
        .expect("answered")
        .expect("no panic");
    assert!(results.iter().all(Result::is_err), "{results:?}");
    cluster.broker_up(1).expect("the broker comes up");
    assert_eq!(read(&cluster.bootstrap_servers(), "t", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_publishing_waits_and_the_state_says_so() {
    let cluster = cluster(&["t"]);
    let publisher = Arc::new(publisher(&cluster, &[]));
    let waiting = strand(&cluster, &publisher).await;
    state_becomes(&publisher, PartState::Unavailable).await;
    let error = publisher.status().error.expect("a reason");
    assert!(
        error.contains("127.0.0.1"),
        "the address is missing: {error}"
    );
    assert!(!waiting.is_finished(), "publishing did not wait");
    cluster.broker_up(1).expect("the broker comes up");
    let results = timeout(LIMIT, waiting)
        .await
        .expect("acknowledged")
        .expect("no panic");
    assert_eq!(results, vec![Ok(()); 50]);
    assert_eq!(publisher.status().state, PartState::Ok);
    assert_eq!(publisher.status().error, None);
    let arrived = read(&cluster.bootstrap_servers(), "t", 51).await;
    assert_eq!(count_by_key(&arrived).len(), 50);
}

/// Starts the probe. The future stops it.
fn probed(publisher: &Arc<KafkaPublisher>) -> impl Future<Output = ()> {
    let stop = CancellationToken::new();
    let (publisher, until) = (Arc::clone(publisher), stop.clone());
    let probe = tokio::spawn(async move { publisher.probe(until).await });
    async move {
        stop.cancel();
        let ended = timeout(LIMIT, probe).await.expect("the probe stops");
        ended.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_finds_a_broker_that_appears_without_a_record_being_sent() {
    let cluster = cluster(&[]);
    cluster.broker_down(1).expect("the broker goes down");
    let publisher = Arc::new(publisher(&cluster, &[]));
    let stop_probe = probed(&publisher);
    state_becomes(&publisher, PartState::Unavailable).await;
    cluster.broker_up(1).expect("the broker comes up");
    state_becomes(&publisher, PartState::Ok).await;
    stop_probe.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_is_noticed_at_once_not_made_and_used_when_it_appears() {
    let cluster = cluster(&["other"]);
    let publisher = publisher(&cluster, &[]);
    let batch = [records("missing", 2), records("other", 1)].concat();
    let results = timeout(Duration::from_secs(10), publisher.publish(batch.clone())).await;
    let results = results.expect("noticed long before librdkafka's own 30 s");
    for result in &results[..2] {
        let failure = &result.as_ref().expect_err("no such topic").failure;
        assert_eq!(
            (failure.health, failure.reaction),
            (Health::Misconfigured, Reaction::Backoff)
        );
        let command = format!(
            "kafka-topics.sh --bootstrap-server {} --create --topic missing --partitions 6 --replication-factor 1",
            cluster.bootstrap_servers()
        );
        assert!(failure.remedy.contains(&command), "{}", failure.remedy);
    }
    assert_eq!(results[2], Ok(()), "another topic's record must go");
    cluster.create_topic("missing", 4, 1).expect("a topic");
    let results = timeout(LIMIT, publisher.publish(batch))
        .await
        .expect("acknowledged");
    assert_eq!(results, vec![Ok(()); 3]);
    read(&cluster.bootstrap_servers(), "missing", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_is_refused_alone() {
    let cluster = cluster(&["t"]);
    let publisher = publisher(&cluster, &[("message.max.bytes", "100000")]);
    let mut batch = records("t", 9);
    let large = record("t", 100, vec![b'x'; 150_000]);
    batch.insert(4, large.clone());
    let results = timeout(LIMIT, publisher.publish(batch))
        .await
        .expect("acknowledged");
    for (n, result) in results.iter().enumerate().filter(|(n, _)| *n != 4) {
        assert_eq!(*result, Ok(()), "record {n}");
    }
    let Refused { failure, oversize } = results[4].as_ref().expect_err("too large");
    assert_eq!(
        (failure.health, failure.reaction),
        (Health::Misconfigured, Reaction::HoldBack)
    );
    assert_eq!(oversize.as_deref(), Some(&large), "it is not given back");
    assert!(
        failure.what.contains("150005"),
        "the size is missing: {}",
        failure.what
    );
    for name in ["max.message.bytes", "message.max.bytes", "topic t"] {
        assert!(
            failure.remedy.contains(name),
            "{name} is missing: {}",
            failure.remedy
        );
    }
    read(&cluster.bootstrap_servers(), "t", 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_too_large_is_sent_again_record_by_record() {
    let cluster = cluster(&["t"]);
    let publisher = publisher(&cluster, &[("linger.ms", "100")]);
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 4],
    );
    let results = timeout(LIMIT, publisher.publish(records("t", 100))).await;
    assert_eq!(results.expect("acknowledged"), vec![Ok(()); 100]);
    let arrived = read(&cluster.bootstrap_servers(), "t", 100).await;
    assert_eq!(count_by_key(&arrived).len(), 100);
    assert!(
        arrived.iter().all(|one| one.header("ce_id").is_some()),
        "headers were lost"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_kafka_refuses_says_what_to_grant_and_is_replaced_once_that_is_done() {
    let cluster = cluster(&["t"]);
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 2],
    );
    let publisher = publisher(&cluster, &[]);
    let results = timeout(LIMIT, publisher.publish(records("t", 5)))
        .await
        .expect("ended");
    let command = format!(
        "kafka-acls.sh --bootstrap-server {} --add --producer --topic t ",
        cluster.bootstrap_servers()
    );
    for result in results {
        let failure = result.expect_err("the producer is dead").failure;
        assert_eq!(failure.health, Health::Misconfigured);
        assert!(failure.remedy.contains(&command), "{}", failure.remedy);
    }
    let state = publisher.status();
    assert_eq!(state.state, PartState::Failed);
    let remedy = state.remedy.unwrap_or_default();
    assert!(remedy.contains(&command), "{remedy}");
    // The mock has one more refusal: the next producer also fails, and the one after it works.
    publish_until_accepted(&publisher, 5).await;
    assert_eq!(publisher.status().state, PartState::Ok);
    assert_eq!(publisher.status().remedy, None);
    let ended = timeout(Duration::from_millis(100), publisher.fatal()).await;
    assert!(ended.is_err(), "the process would end: {ended:?}");
    let arrived = read(&cluster.bootstrap_servers(), "t", 5).await;
    assert_eq!(count_by_key(&arrived).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_producer_comes_back_without_a_record_being_sent() {
    let cluster = cluster(&["t"]);
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    let publisher = Arc::new(publisher(&cluster, &[]));
    let stop_probe = probed(&publisher);
    state_becomes(&publisher, PartState::Failed).await;
    state_becomes(&publisher, PartState::Ok).await;
    stop_probe.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_which_connections_are_closed_comes_back_as_too_large_and_holds_up_no_other()
{
    let cluster = cluster(&["t"]);
    let publisher = publisher(&cluster, &[]);
    let first = timeout(LIMIT, publisher.publish(records("t", 1))).await;
    assert_eq!(first.expect("acknowledged"), vec![Ok(())]);
    // The mock closes the connection at each of the next produce requests.
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 40],
    );
    let large = record("t", 7, vec![b'x'; 2_000_000]);
    let results = timeout(LIMIT, publisher.publish(vec![large.clone()])).await;
    let refused = results.expect("it does not wait for ever").remove(0);
    let Refused { failure, oversize } = refused.expect_err("too large");
    assert_eq!(failure.reaction, Reaction::HoldBack);
    for part in [
        "2000003 bytes",
        "socket.request.max.bytes",
        "max.message.bytes",
    ] {
        let text = format!("{} {}", failure.what, failure.remedy);
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert_eq!(oversize.as_deref(), Some(&large), "it is not given back");
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    // The limit is remembered: no record of that size is sent again, and parts are made smaller.
    let started = tokio::time::Instant::now();
    let other = record("t", 8, vec![b'y'; 2_000_000]);
    let results = timeout(LIMIT, publisher.publish(vec![large, other])).await;
    assert!(results.expect("an answer").iter().all(Result::is_err));
    assert!(started.elapsed() < Duration::from_secs(1), "it was sent");
    let small = timeout(LIMIT, publisher.publish(records("t", 3))).await;
    assert_eq!(small.expect("acknowledged"), vec![Ok(()); 3]);
    assert_eq!(publisher.status().state, PartState::Ok);
}

/// Publishes until all records are accepted, as the runtime does.
async fn publish_until_accepted(publisher: &KafkaPublisher, count: usize) {
    let accepted = async {
        loop {
            let results = publisher.publish(records("t", count)).await;
            if results.iter().all(Result::is_ok) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let done = timeout(LIMIT, accepted).await;
    assert!(done.is_ok(), "it does not go on: {:?}", publisher.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_idempotence_is_named_and_used_once_it_has_it() {
    const INIT_PRODUCER_ID: RDKafkaApiKey = RDKafkaApiKey::InitProducerId;
    let cluster = cluster(&["t"]);
    cluster
        .apiversion(INIT_PRODUCER_ID, Some(-1), Some(-1))
        .expect("it is taken away");
    let publisher = publisher(&cluster, &[]);
    let results = timeout(LIMIT, publisher.publish(records("t", 1))).await;
    let refused = results.expect("an answer").remove(0);
    let failure = refused.expect_err("there are no producers").failure;
    assert_eq!(failure.health, Health::Misconfigured);
    assert!(failure.remedy.contains("InitProducerId"), "{failure:?}");
    assert_eq!(publisher.status().state, PartState::Failed);
    cluster
        .apiversion(INIT_PRODUCER_ID, Some(0), Some(4))
        .expect("it is given back");
    publish_until_accepted(&publisher, 3).await;
    assert_eq!(publisher.status().state, PartState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_a_broker_contradicts_is_replaced_and_nothing_is_lost() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    ] {
        let cluster = cluster(&["t"]);
        let publisher = publisher(&cluster, &[]);
        publish_until_accepted(&publisher, 1).await;
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        publish_until_accepted(&publisher, 20).await;
        assert_eq!(publisher.status().state, PartState::Ok, "{error:?}");
        let ended = timeout(Duration::from_millis(50), publisher.fatal()).await;
        assert!(ended.is_err(), "{error:?} would end the process: {ended:?}");
        let reader = TopicReader::open(&cluster.bootstrap_servers(), "t").await;
        let reader = reader.expect("a reader");
        let mut keys = BTreeSet::new();
        while keys.len() < 20 {
            let next = timeout(LIMIT, reader.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{error:?}: only {keys:?} arrived"));
            keys.insert(next.expect("a record").key);
        }
    }
}

#[test]
fn a_property_that_librdkafka_lacks_or_refuses_is_named_and_its_value_is_not() {
    let refused = |name: &str, value: &str| {
        // librdkafka reads its TLS properties only with TLS.
        let properties = [("security.protocol", "ssl"), (name, value)];
        let error = KafkaPublisher::connect(options("127.0.0.1:1", &properties))
            .err()
            .unwrap_or_else(|| panic!("{name} was accepted"));
        let text = format!("{error} {error:?}");
        assert!(text.contains(name), "the name is missing: {text}");
        assert!(
            !text.contains("hunter2-hunter2"),
            "the value is shown: {text}"
        );
        error
    };
    let unknown = refused("sasl.pasword", "hunter2-hunter2");
    assert!(
        matches!(unknown, KafkaError::UnknownProperty { .. }),
        "{unknown:?}"
    );
    let invalid = refused("compression.type", "hunter2-hunter2");
    assert!(
        matches!(invalid, KafkaError::InvalidProperty { .. }),
        "{invalid:?}"
    );
    for (name, value) in [
        ("ssl.ca.location", "/nowhere/hunter2-hunter2"),
        // librdkafka repeats it without the backslash.
        ("ssl.providers", "hunter2\\-hunter2"),
    ] {
        let unusable = refused(name, value);
        assert!(
            matches!(unusable, KafkaError::Client { .. }),
            "{unusable:?}"
        );
    }
}

#[test]
fn the_names_of_protocols_can_be_read_in_errors() {
    let properties = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "GSSAPI"),
    ];
    let error = KafkaPublisher::connect(options("127.0.0.1:1", &properties)).err();
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("SASL mechanism GSSAPI"), "{text}");
}

#[test]
fn an_operators_property_replaces_the_default_under_either_name() {
    for name in ["message.timeout.ms", "delivery.timeout.ms"] {
        let config = options("127.0.0.1:1", &[(name, "1234")]).producer();
        let native = config.create_native_config().expect("a configuration");
        assert_eq!(
            native.get("message.timeout.ms").expect("its value"),
            "1234",
            "{name}"
        );
    }
    let native = options("127.0.0.1:1", &[])
        .producer()
        .create_native_config();
    let native = native.expect("a configuration");
    for (name, value) in [
        ("message.timeout.ms", "0"),
        ("enable.idempotence", "true"),
        ("acks", "-1"),
        ("allow.auto.create.topics", "false"),
        ("bootstrap.servers", "127.0.0.1:1"),
    ] {
        assert_eq!(native.get(name).expect("its value"), value, "{name}");
    }
}
