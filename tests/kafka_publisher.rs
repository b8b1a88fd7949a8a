//! The publisher's promises with a real Apache Kafka: nothing lost, nothing repeated, nothing out of order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::blocking;
use crate::support::kafka::{Broker, Found, create_topic, read_all, shared};
use incidentd::core::health::PartState;
use incidentd::core::health::failure::{Health, Reaction};
use incidentd::core::ids::{IncidentId, TenantId};
use incidentd::core::incident::version::{Change, ContentHash, Phase, Reading};
use incidentd::core::sources::SourceKind;
use incidentd::core::time::ticks::Ticks;
use incidentd::kafka::KafkaPublisher;
use incidentd::kafka::reader::TopicReader;
use incidentd::ledger::LocalLedger;
use incidentd::ports::{Batch, Item, Ledger, Outlet, Part, Publisher, Record, Refused};
use incidentd::record::{Recipe, RecordEncoder};
use incidentd::runtime::local_outlet::LocalOutlet;
use incidentd::settings::{KafkaConnection, RecordFormat};
use incidentd::telemetry::metrics::Metrics;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(120);

fn publisher(bootstrap: &str) -> KafkaPublisher {
    KafkaPublisher::connect(KafkaConnection {
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
        raw: 0..0,
        topic: Arc::from(topic),
        key: format!("tenant/{key}"),
        headers: vec![("ce_id", number.to_string())],
        value: format!("{number:<size$}").into_bytes(),
    }
}

/// The numbers in the topic per key, in the order of their partition. Fails if a key is in two partitions.
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
    assert_eq!(publisher.status().state, PartState::Unavailable);
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
    assert_eq!(publisher.status().state, PartState::Ok);
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
    let failure = &results[0]
        .as_ref()
        .expect_err("there is no such topic")
        .failure;
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
    // Smaller than librdkafka's batches: other records share a batch that is refused as a whole.
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
                Err(Refused { failure, .. }) => {
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
    assert_eq!(publisher.status().state, PartState::Ok);
}

/// An incident as Microsoft sends it, with alerts of these sizes without repetition.
fn incident(id: u64, alerts: &[usize]) -> Value {
    let noise = |size: usize| -> String {
        let uuids = (0..=size / 36).map(|_| uuid::Uuid::new_v4().to_string());
        uuids.collect::<String>()[..size].to_owned()
    };
    let alerts = alerts.iter().enumerate();
    let alerts = alerts.map(|(n, size)| json!({"alertId": n, "alerts": [], "title": noise(*size)}));
    json!({"incidentId": id, "alerts": alerts.collect::<Vec<_>>(), "status": "Active"})
}

fn encoder(tenant: TenantId, topic: &str) -> RecordEncoder {
    RecordEncoder::new(Recipe {
        tenant,
        name: "contoso".into(),
        source: "https://api.example".to_owned(),
        topic: topic.into(),
        alerts_topic: None,
        format: RecordFormat::CloudEvents,
        status_topic: None,
        dead_letter_topic: None,
    })
}

fn item(id: u64, incident: &Value) -> Item {
    let reading = Reading {
        id: IncidentId(id),
        updated: Ticks(15_993_946_835_000_000),
        phase: Phase::Open,
        hash: ContentHash(id),
        origin: SourceKind::Defender,
        whole: true,
    };
    Item::Version {
        reading,
        change: Change::Created,
        seen: reading.seen(None),
        compared: Default::default(),
        raw: incident.to_string().into(),
    }
}

/// The incident of each key, put together from its records in their order. Fails if a part is missing.
fn put_together(found: Vec<Found>) -> BTreeMap<String, (usize, Value)> {
    let mut incidents: BTreeMap<String, (usize, Value)> = BTreeMap::new();
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for one in found {
        let header = |name: &str| {
            let mut headers = one.headers.iter();
            headers.find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let number = |name: &str| header(name).map_or(1, |value| value.parse().unwrap());
        let mut event: Value = serde_json::from_slice(&one.value).unwrap();
        assert_eq!(event["id"].as_str(), header("ce_id").map(String::as_str));
        let mut data = event["data"].take();
        let (parts, whole) = incidents
            .entry(one.key.clone())
            .or_insert_with(|| (0, data.clone()));
        *parts += 1;
        assert_eq!(*parts, number("part"), "{}: out of order", one.key);
        if *parts > 1 {
            let alerts = whole["alerts"].as_array_mut().unwrap();
            alerts.append(data["alerts"].as_array_mut().unwrap());
        }
        expected.insert(one.key, number("parts"));
    }
    for (key, (parts, _)) in &incidents {
        assert_eq!(*parts, expected[key], "{key}: parts are missing");
    }
    incidents
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_larger_than_its_topic_accepts_arrives_in_parts_that_make_it_up() {
    let (kafka, topic) = (shared(), unique("parts"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let publisher = Arc::new(publisher(&kafka));
    let limit = publisher.limit(&topic).await.expect("Kafka has limits");
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(LocalLedger::open(dir.path()).unwrap());
    let metrics = Arc::new(Metrics::new(&[]));
    let outlet = LocalOutlet::new(publisher, ledger.clone(), metrics);
    let tenant = TenantId::from_bytes([1; 16]);
    let incidents = [
        (1, incident(1, &[1_000])),
        (2, incident(2, &[90_000; 50])),
        // The limit except for its last few bytes, so that the framing of a record must be counted.
        (3, incident(3, &[limit - 1_000; 3])),
        (4, incident(4, &[10, 1_200_000, 10])),
        (5, incident(5, &[200_000, 900_000, 10, 100_000])),
    ];
    let items = incidents.iter().map(|(id, incident)| item(*id, incident));
    let batch = Batch {
        items: items.collect(),
        ..Batch::default()
    };
    let lease = outlet
        .lease(tenant, Arc::new(encoder(tenant, &topic)))
        .unwrap();
    let committed = timeout(LIMIT, lease.commit(batch)).await;
    let committed = committed.expect("an answer for each");
    let failure = committed.result.expect_err("an alert fits nowhere");
    assert_eq!(failure.reaction, Reaction::HoldBack);
    assert!(failure.what.contains("no parts"), "{failure}");
    assert_eq!(committed.published, 4);
    let ids = [1, 2, 3, 4, 5].map(IncidentId);
    let known = ledger.known(tenant, &ids).await.unwrap();
    let known: Vec<bool> = known.iter().map(Option::is_some).collect();
    assert_eq!(known, [true, true, true, false, true]);

    let mut arrived = put_together(read_all(&kafka, &topic));
    for (id, parts) in [(1, 1), (2, 5), (3, 3), (5, 2)] {
        let (_, expected) = &incidents[id - 1];
        let (count, whole) = arrived.remove(&format!("{tenant}/{id}")).unwrap();
        assert_eq!(count, parts, "incident {id}");
        assert!(whole == *expected, "incident {id} is not what was sent");
    }
    assert!(arrived.is_empty(), "also: {:?}", arrived.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_s_limit_is_its_own_and_no_more_than_the_producer_s() {
    let (kafka, topic) = (shared(), unique("limit"));
    let configs = [("max.message.bytes", "300000")];
    create_topic(&kafka, &topic, 1, &configs).await;
    let narrow = KafkaPublisher::connect(KafkaConnection {
        brokers: kafka.clone(),
        properties: vec![("message.max.bytes".to_owned(), "200000".into())],
        max_in_flight: 16 << 20,
    });
    for (publisher, most) in [(publisher(&kafka), 300_000), (narrow.unwrap(), 200_000)] {
        let limit = timeout(LIMIT, publisher.limit(&topic)).await.unwrap();
        let limit = limit.expect("Kafka has limits");
        assert!((most - 2_000..most).contains(&limit), "{limit} of {most}");
        let mut largest = record(&topic, 1, 1, 1);
        largest.value.resize(limit - largest.size() + 1, b' ');
        assert_eq!(largest.size(), limit);
        publish(&publisher, vec![largest]).await;
    }
    let nobody = publisher(&kafka).limit(&unique("absent")).await;
    assert!(nobody.is_some_and(|limit| (1_000_000..1_048_588).contains(&limit)));
}
