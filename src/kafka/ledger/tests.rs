//! The ledger's clients with a real Apache Kafka, which `tests/run` starts. librdkafka's in-process broker honours neither
//! isolation nor fencing.

// Real clients need real time.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::{Entry, PartitionLog, PartitionLogError, Row};
use super::setup::WorkerSetup;
use super::transactional::TransactionalLog;
use crate::core::incident::outline::PackedOutline;
use crate::kafka::connection::Connection;
use crate::kafka::scrub::Scrubber;
use crate::ports::Record;
use crate::settings::KafkaConnection;
use broker::{create_topic, ends, read_all};

#[allow(dead_code)]
#[path = "../../../tests/support/kafka.rs"]
mod broker;
mod faults;
mod look;
mod membership;
mod owner;
mod topic;
mod worker;

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn setup(brokers: &str, topic: &str, partition: u16) -> WorkerSetup {
    let kafka = Connection::new(brokers.to_owned(), Scrubber::new(&[]));
    WorkerSetup {
        connection: KafkaConnection {
            brokers: brokers.to_owned(),
            properties: Vec::new(),
            max_in_flight: 1 << 20,
        },
        kafka: Arc::new(kafka),
        topic: Arc::from(topic),
        group: Arc::from(format!("group-of-{topic}")),
        partition,
        count: 4,
        epoch: 1,
        caution: Arc::default(),
        stop: CancellationToken::new(),
        steps: Arc::default(),
    }
}

fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}

fn row(key: usize, value: &str) -> Row {
    Row {
        key: format!("key-of-{key:08}").into_bytes(),
        value: Some(value.as_bytes().to_vec()),
        outline: None,
    }
}

fn record(topic: &str, key: usize, size: usize) -> Arc<Record> {
    Arc::new(Record {
        raw: 0..0,
        topic: Arc::from(topic),
        key: format!("t/{key}"),
        headers: vec![("ce_id", key.to_string())],
        value: vec![b'x'; size],
    })
}

/// The shared broker with a topic of the ledger and one for records, each with four partitions.
async fn topics() -> (String, String, String) {
    let brokers = broker::shared();
    let (ledger, records) = (unique("ledger"), unique("records"));
    create_topic(&brokers, &ledger, 4, &[("cleanup.policy", "compact")]).await;
    create_topic(&brokers, &records, 4, &[]).await;
    (brokers, ledger, records)
}

fn write(log: &mut TransactionalLog, entries: Vec<Entry>) -> Result<(), PartitionLogError> {
    log.begin()?;
    for entry in entries {
        log.add(entry)?;
    }
    log.commit()
}

fn restore(log: &mut TransactionalLog) -> Vec<Row> {
    let end = log.end().expect("an end");
    let deadline = Instant::now() + LIMIT;
    while log.stable_end().expect("a stable end") < end {
        assert!(Instant::now() < deadline, "the stable end stays behind");
    }
    let mut rows = Vec::new();
    while let Some(more) = log.read().expect("rows") {
        assert!(Instant::now() < deadline, "no end of rows");
        rows.extend(more);
    }
    assert_eq!(log.read(), Ok(None), "the rows are read once");
    rows
}

/// Blocks as the threads of the ledger do.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_restored_by_the_next_owner_and_seen_by_consumers() {
    let (brokers, ledger, records) = topics().await;
    blocking(move || {
        let mut first = TransactionalLog::new(setup(&brokers, &ledger, 2));
        first.fence().expect("fenced");
        assert_eq!(restore(&mut first), []);
        let outlined = Row {
            outline: Some(PackedOutline::from_bytes(&[0, 7, 255])),
            ..row(2, "b")
        };
        let entries = vec![
            Entry::Record(record(&records, 1, 100)),
            Entry::Row(row(1, "a")),
            Entry::Row(outlined.clone()),
        ];
        write(&mut first, entries).expect("committed");
        write(&mut first, vec![]).expect("nothing to commit");
        let gone = Row {
            value: None,
            ..row(1, "")
        };
        write(&mut first, vec![Entry::Row(gone.clone())]).expect("committed");
        let mut second = TransactionalLog::new(setup(&brokers, &ledger, 2));
        second.fence().expect("fenced");
        let rows = restore(&mut second);
        // Compaction may have removed the first.
        assert!(rows.ends_with(&[outlined, gone]), "{rows:?}");
        let found = read_all(&brokers, &records);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, "t/1");
        assert_eq!(found[0].headers, [("ce_id".to_owned(), "1".to_owned())]);
    })
    .await;
}

/// Time in which librdkafka works, and in which its events are served.
fn idle_for(log: &TransactionalLog, millis: u64) {
    std::thread::park_timeout(Duration::from_millis(millis));
    log.idle().expect("alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_owner_is_fenced_in_the_middle_of_a_transaction() {
    let (brokers, ledger, records) = topics().await;
    blocking(move || {
        let mut first = TransactionalLog::new(setup(&brokers, &ledger, 0));
        first.fence().expect("fenced");
        write(&mut first, vec![Entry::Row(row(1, "a"))]).expect("committed");
        first.begin().expect("begun");
        first
            .add(Entry::Record(record(&records, 1, 10)))
            .expect("added");
        first.add(Entry::Row(row(1, "b"))).expect("added");
        // So that it is in the log, and open, when the next owner comes.
        idle_for(&first, 500);
        let mut second = TransactionalLog::new(setup(&brokers, &ledger, 0));
        second.fence().expect("fenced");
        assert_eq!(restore(&mut second), [row(1, "a")]);
        write(&mut second, vec![Entry::Row(row(1, "c"))]).expect("committed");
        let fenced = first.commit();
        assert!(
            matches!(fenced, Err(PartitionLogError::Fenced(_))),
            "{fenced:?}"
        );
        let again = first.add(Entry::Row(row(1, "d")));
        assert!(
            matches!(again, Err(PartitionLogError::Fenced(_))),
            "{again:?}"
        );
        assert_eq!(read_all(&brokers, &records).len(), 0);
        let mut third = TransactionalLog::new(setup(&brokers, &ledger, 0));
        third.fence().expect("fenced");
        assert!(restore(&mut third).ends_with(&[row(1, "c")]));
        drop(second);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_hides_no_later_row_from_a_restore() {
    let (brokers, ledger, _) = topics().await;
    blocking(move || {
        let of = |group: &str| WorkerSetup {
            group: Arc::from(group),
            ..setup(&brokers, &ledger, 0)
        };
        let mut other = TransactionalLog::new(of("a-stranger"));
        other.fence().expect("fenced");
        other.begin().expect("begun");
        other.add(Entry::Row(row(9, "open"))).expect("added");
        idle_for(&other, 500);
        let mut owner = TransactionalLog::new(of("the-group"));
        owner.fence().expect("fenced");
        let (end, stable) = (
            owner.end().expect("an end"),
            owner.stable_end().expect("one"),
        );
        assert!(stable < end, "{stable} {end}");
        let rows = restore(&mut owner);
        assert_eq!(
            rows,
            [],
            "the stranger's transaction is aborted after its time limit"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_kafka_refuses_is_named() {
    let (brokers, ledger, records) = topics().await;
    let small = unique("small");
    create_topic(&brokers, &small, 1, &[("max.message.bytes", "2000")]).await;
    blocking(move || {
        let setup = setup(&brokers, &ledger, 0);
        let mut log = TransactionalLog::new(setup.clone());
        log.fence().expect("fenced");
        let one = |topic: &str, size| Entry::Record(record(topic, 1, size));
        let refused = write(
            &mut log,
            vec![one(&records, 10), one(&small, 5000), one(&records, 20)],
        );
        assert!(
            matches!(
                refused,
                Err(PartitionLogError::Refused {
                    entry: 1,
                    oversize: true,
                    ..
                })
            ),
            "{refused:?}"
        );
        log.fence().expect("fenced");
        let missing = unique("missing");
        let started = Instant::now();
        let refused = write(&mut log, vec![one(&records, 10), one(&missing, 50)]);
        assert!(
            matches!(
                refused,
                Err(PartitionLogError::Refused {
                    entry: 1,
                    oversize: false,
                    ..
                })
            ),
            "{refused:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(10));
        // A batch of records that fit, and together don't.
        log.fence().expect("fenced");
        let many: Vec<Entry> = (0..50).map(|_| one(&small, 300)).collect();
        let together = write(&mut log, many.clone());
        assert!(
            matches!(together, Err(PartitionLogError::Failed(_))),
            "{together:?}"
        );
        assert!(setup.is_careful());
        log.fence().expect("fenced");
        write(&mut log, many.clone()).expect("one by one");
        assert_eq!(read_all(&brokers, &small).len(), 50);
        // One by one, the record is known even among its like.
        let mut many = many;
        many.insert(30, one(&small, 3000));
        let refused = write(&mut log, many);
        assert!(
            matches!(
                refused,
                Err(PartitionLogError::Refused {
                    entry: 30,
                    oversize: true,
                    ..
                })
            ),
            "{refused:?}"
        );
        assert_eq!(read_all(&brokers, &small).len(), 50, "nothing of the rest");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_kafka_and_ends_with_a_stop() {
    let setup = setup("127.0.0.1:1", "ledger", 0);
    let stop = setup.stop.clone();
    let fenced = tokio::task::spawn_blocking(move || TransactionalLog::new(setup).fence());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!fenced.is_finished());
    stop.cancel();
    let fenced = tokio::time::timeout(Duration::from_secs(5), fenced).await;
    assert_eq!(
        fenced.expect("it ends").expect("no panic"),
        Err(PartitionLogError::Stopped)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run it alone"]
async fn a_million_rows_are_restored_and_a_commit_takes_milliseconds() {
    let (brokers, ledger, records) = topics().await;
    blocking(move || {
        let mut log = TransactionalLog::new(setup(&brokers, &ledger, 1));
        log.fence().expect("fenced");
        let started = Instant::now();
        let value = "v".repeat(40);
        for first in (0..1_000_000).step_by(20_000) {
            let rows = (first..first + 20_000).map(|n| Entry::Row(row(n, &value)));
            write(&mut log, rows.collect()).expect("committed");
        }
        println!("1,000,000 rows written in {:?}", started.elapsed());
        let mut times = Vec::new();
        for n in 0..200 {
            let started = Instant::now();
            let entries = vec![
                Entry::Record(record(&records, n, 2000)),
                Entry::Row(row(n, &value)),
                Entry::Row(row(n + 1, &value)),
            ];
            write(&mut log, entries).expect("committed");
            times.push(started.elapsed());
        }
        times.sort();
        println!("one commit: median {:?}, 99 % {:?}", times[100], times[197]);
        let mut times = Vec::new();
        for n in 0..40 {
            let started = Instant::now();
            log.add(Entry::Row(row(n, &value))).expect("added");
            log.commit_at_once().expect("committed");
            times.push(started.elapsed());
        }
        times.sort();
        println!(
            "one commit that does not wait for deliveries before: median {:?}",
            times[20]
        );
        let mut times = Vec::new();
        for n in 0..100 {
            idle_for(&log, 50);
            let started = Instant::now();
            write(&mut log, vec![Entry::Row(row(n, &value))]).expect("committed");
            times.push(started.elapsed());
        }
        times.sort();
        println!(
            "one commit after a pause: median {:?}, 99 % {:?}",
            times[50], times[98]
        );
        let started = Instant::now();
        let mut next = TransactionalLog::new(setup(&brokers, &ledger, 1));
        next.fence().expect("fenced");
        println!("fenced in {:?}", started.elapsed());
        let rows = restore(&mut next).len();
        println!("{rows} rows restored in {:?}", started.elapsed());
        println!("ends: {:?}", ends(&brokers, &ledger));
    })
    .await;
}
