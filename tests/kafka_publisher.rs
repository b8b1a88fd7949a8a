//! The publisher's promises on a real Apache Kafka: nothing lost, nothing repeated, nothing out of order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use incidentd::core::failure::{Health, Reaction};
use incidentd::kafka::reader::TopicReader;
use incidentd::kafka::{Condition, KafkaOptions, KafkaPublisher};
use incidentd::ports::{Publisher, Record};
use support::blocking;
use support::kafka::{Broker, Found, create_topic, read_all, shared};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(120);

fn publisher(bootstrap: &str) -> KafkaPublisher {
    KafkaPublisher::connect(KafkaOptions {
        brokers: bootstrap.to_owned(),
        properties: Vec::new(),
        max_in_flight: 16 << 20,
    })
    .unwrap()
}

fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}

/// A record whose value is its number, filled up to `size` bytes.
fn record(topic: &str, key: usize, number: usize, size: usize) -> Record {
    Record {
        topic: Arc::from(topic),
        key: format!("tenant/{key}"),
        headers: vec![("ce_id", number.to_string())],
        value: format!("{number:<size$}").into_bytes(),
    }
}

/// The numbers in the topic per key, in the order of their partition. Fails when a key is in two partitions.
fn by_key(found: Vec<Found>) -> BTreeMap<String, Vec<usize>> {
    let mut keys: BTreeMap<String, (i32, Vec<usize>)> = BTreeMap::new();
    for one in found {
        let number = String::from_utf8(one.value)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let (partition, numbers) = keys
            .entry(one.key.clone())
            .or_insert((one.partition, vec![]));
        assert_eq!(
            *partition, one.partition,
            "{} is in two partitions",
            one.key
        );
        numbers.push(number);
    }
    keys.into_iter()
        .map(|(key, (_, numbers))| (key, numbers))
        .collect()
}

async fn publish(publisher: &KafkaPublisher, records: Vec<Record>) {
    let count = records.len();
    let results = timeout(LIMIT, publisher.publish(records)).await;
    let results = results.expect("no acknowledgement in time");
    assert_eq!(results, vec![Ok(()); count]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records_arrive_once_each_and_in_the_order_of_their_key() {
    const KEYS: usize = 500;
    let (kafka, topic) = (shared(), unique("order"));
    create_topic(&kafka, &topic, 4, &[]).await;
    let publisher = publisher(&kafka);
    for batch in 0..10 {
        let numbers = batch * 1_000..(batch + 1) * 1_000;
        let records = numbers.map(|n| record(&topic, n % KEYS, n, 200)).collect();
        publish(&publisher, records).await;
    }
    let keys = by_key(read_all(&kafka, &topic));
    assert_eq!(keys.len(), KEYS);
    for (n, numbers) in keys.values().map(|numbers| (numbers[0], numbers)) {
        let expected: Vec<usize> = (0..20).map(|turn| n + turn * KEYS).collect();
        assert_eq!(*numbers, expected, "key {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_stopped_for_ten_seconds_mid_stream_loses_and_repeats_nothing() {
    const WRITERS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, dir) = blocking(move || (Broker::start(dir.path()), dir)).await;
    let bootstrap = broker.bootstrap();
    create_topic(&bootstrap, "stream", 4, &[]).await;
    let publisher = Arc::new(publisher(&bootstrap));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let stop = tokio_util::sync::CancellationToken::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (publisher, acknowledged) = (Arc::clone(&publisher), Arc::clone(&acknowledged));
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut sent = 0;
                while !stop.is_cancelled() {
                    let numbers = sent..sent + 20;
                    let records = numbers.map(|n| record("stream", writer, n, 500));
                    publish(&publisher, records.collect()).await;
                    sent += 20;
                    acknowledged.fetch_add(20, Ordering::Relaxed);
                }
                sent
            })
        })
        .collect();
    let more = async |by: usize| {
        let goal = acknowledged.load(Ordering::Relaxed) + by;
        let reached = timeout(LIMIT, async {
            while acknowledged.load(Ordering::Relaxed) < goal {
                sleep(Duration::from_millis(5)).await;
            }
        });
        reached.await.expect("publishing stands still");
    };
    more(1_000).await;
    let (mut broker, dir) = blocking(move || {
        broker.stop();
        (broker, dir)
    })
    .await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(publisher.state().state, Condition::Unavailable);
    let (broker, _dir) = blocking(move || {
        broker.restart();
        (broker, dir)
    })
    .await;
    more(1_000).await;
    stop.cancel();
    let mut sent = Vec::new();
    for writer in writers {
        sent.push(writer.await.unwrap());
    }
    assert_eq!(publisher.state().state, Condition::Ok);
    let keys = by_key(read_all(&broker.bootstrap(), "stream"));
    for (writer, sent) in sent.into_iter().enumerate() {
        let numbers = &keys[&format!("tenant/{writer}")];
        let expected: Vec<usize> = (0..sent).collect();
        assert!(
            *numbers == expected,
            "writer {writer}: sent 0..{sent}, found {numbers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_names_the_command_and_is_used_once_it_exists() {
    let (kafka, topic) = (shared(), unique("late"));
    let publisher = publisher(&kafka);
    let results = timeout(LIMIT, publisher.publish(vec![record(&topic, 1, 1, 10)])).await;
    let results = results.expect("an answer");
    let failure = results[0].as_ref().expect_err("there is no such topic");
    assert_eq!(
        (failure.health, failure.reaction),
        (Health::Misconfigured, Reaction::Backoff)
    );
    let command = format!(
        "kafka-topics.sh --bootstrap-server {kafka} --create --topic {topic} --partitions "
    );
    assert!(failure.remedy.contains(&command), "{}", failure.remedy);
    create_topic(&kafka, &topic, 1, &[]).await;
    publish(&publisher, vec![record(&topic, 1, 1, 10)]).await;
    let reader = TopicReader::open(&kafka, &topic).await.unwrap();
    let arrived = timeout(LIMIT, reader.next())
        .await
        .expect("in time")
        .unwrap();
    assert_eq!(
        (arrived.key.as_str(), arrived.header("ce_id")),
        ("tenant/1", Some("1"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_its_topic_accepts_is_refused_and_its_neighbours_arrive() {
    let (kafka, topic) = (shared(), unique("small"));
    // Smaller than librdkafka's batches: the neighbours share a batch that is refused as a whole.
    create_topic(&kafka, &topic, 1, &[("max.message.bytes", "20000")]).await;
    let publisher = Arc::new(publisher(&kafka));
    let batches = (0..4).map(|batch| {
        let publisher = Arc::clone(&publisher);
        let records = (0..100).map(|n| {
            let number = batch * 100 + n;
            record(&topic, number, number, if n == 50 { 30_000 } else { 1_000 })
        });
        let records: Vec<Record> = records.collect();
        tokio::spawn(async move { timeout(LIMIT, publisher.publish(records)).await })
    });
    for batch in batches.collect::<Vec<_>>() {
        let results = batch.await.unwrap().expect("an answer for each");
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => assert_ne!(n, 50, "the large one was accepted"),
                Err(failure) => {
                    assert_eq!(n, 50, "a small record was refused: {failure}");
                    assert_eq!(
                        (failure.health, failure.reaction),
                        (Health::Misconfigured, Reaction::HoldBack)
                    );
                    assert!(
                        failure.what.starts_with("a record of 300"),
                        "{}",
                        failure.what
                    );
                }
            }
        }
    }
    let keys = by_key(read_all(&kafka, &topic));
    assert_eq!(keys.len(), 4 * 99);
    assert!(
        keys.values().all(|numbers| numbers.len() == 1),
        "repeats: {keys:?}"
    );
    assert_eq!(publisher.state().state, Condition::Ok);
}
