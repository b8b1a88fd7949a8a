//! Each test has its own node.

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use super::broker::{Broker, Right, grant};
use super::worker::{answer, commit, worker};
use super::*;
use crate::core::health::failure::Health;
use crate::kafka::ledger::commits::CommitError;
use crate::kafka::ledger::tenant;

const USER: &str = "incidentd";
const PASSWORD: &str = "s3cret-of-kafka";

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_its_grant_is_enough() {
    let (broker, login, _dir) = blocking(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let (broker, login) = Broker::start_guarded(dir.path(), USER, PASSWORD, "");
        (broker, login, dir)
    })
    .await;
    let plain = broker.bootstrap();
    create_topic(&plain, "ledger", 1, &[("cleanup.policy", "compact")]).await;
    create_topic(&plain, "records", 1, &[]).await;
    let mut setup = setup(&login, "ledger", 0);
    for (name, value) in [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", USER),
        ("sasl.password", PASSWORD),
    ] {
        let property = (name.to_owned(), SecretString::from(value));
        setup.connection.properties.push(property);
    }
    blocking(move || {
        let needs = |error: Option<PartitionLogError>, words: &str| {
            let Some(PartitionLogError::Failed(failure)) = error else {
                panic!("{words}: {error:?}");
            };
            assert_eq!(failure.health, Health::Misconfigured, "{failure:?}");
            assert!(failure.remedy.contains(words), "{words}: {failure:?}");
        };
        let mut log = TransactionalLog::new(setup);
        let ids = "--transactional-id group-of-ledger- --resource-pattern-type prefixed";
        needs(log.fence().err(), ids);
        grant(&plain, USER, Right::Transactions("group-of-ledger-"));
        needs(log.fence().err(), "--producer --topic ledger");
        grant(&plain, USER, Right::Produce("ledger"));
        log.fence().expect("fenced");
        let read = loop {
            match log.read() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        needs(read, "--operation Read --operation Describe --topic ledger");
        grant(&plain, USER, Right::Read("ledger"));
        log.fence().expect("fenced");
        assert_eq!(restore(&mut log), []);
        let one = || vec![Entry::Record(record("records", 1, 10))];
        let refused = write(&mut log, one());
        let Err(PartitionLogError::Refused {
            entry: 0,
            oversize: false,
            failure,
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert!(
            failure.remedy.contains("--producer --topic records"),
            "{failure:?}"
        );
        grant(&plain, USER, Right::Produce("records"));
        log.fence().expect("fenced");
        write(&mut log, one()).expect("committed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_which_the_broker_closes_the_connection_is_found() {
    let (broker, _dir) = blocking(|| {
        let dir = tempfile::tempdir().expect("a folder");
        (
            Broker::start_with(dir.path(), "socket.request.max.bytes=200000"),
            dir,
        )
    })
    .await;
    let brokers = broker.bootstrap();
    create_topic(&brokers, "ledger", 1, &[("cleanup.policy", "compact")]).await;
    create_topic(&brokers, "records", 1, &[]).await;
    blocking(move || {
        let setup = setup(&brokers, "ledger", 0);
        let mut log = TransactionalLog::new(setup.clone());
        let entries = || {
            let sizes = [100, 500_000, 100];
            sizes
                .map(|size| Entry::Record(record("records", size, size)))
                .to_vec()
        };
        log.fence().expect("fenced");
        let started = Instant::now();
        let failed = write(&mut log, entries());
        assert!(
            matches!(failed, Err(PartitionLogError::Failed(_))),
            "{failed:?}"
        );
        assert!(setup.is_careful());
        println!("suspected after {:?}", started.elapsed());
        log.fence().expect("fenced");
        let started = Instant::now();
        let refused = write(&mut log, entries());
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
        println!("found after {:?}", started.elapsed());
        log.fence().expect("fenced");
        let fits = vec![Entry::Record(record("records", 1, 100_000))];
        write(&mut log, fits).expect("committed");
        assert_eq!(read_all(&brokers, "records").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_end_in_the_middle_cost_no_row_and_repeat_no_record() {
    let (mut broker, _dir) = blocking(|| {
        let dir = tempfile::tempdir().expect("a folder");
        (Broker::start(dir.path()), dir)
    })
    .await;
    let brokers = broker.bootstrap();
    create_topic(&brokers, "ledger", 1, &[("cleanup.policy", "compact")]).await;
    create_topic(&brokers, "records", 2, &[]).await;
    let (node, address) = (brokers.clone(), brokers.clone());
    let trouble = tokio::task::spawn_blocking(move || {
        // The second time longer than a transaction waits.
        for away in [0, 25] {
            std::thread::park_timeout(Duration::from_secs(4));
            broker.kill();
            std::thread::park_timeout(Duration::from_secs(away));
            broker.restart();
        }
        std::thread::park_timeout(Duration::from_secs(2));
        broker
    });
    blocking(move || {
        let mut log = TransactionalLog::new(setup(&address, "ledger", 0));
        let mut fences = 0;
        for n in 0.. {
            let entries = || {
                vec![
                    Entry::Record(record("records", n, 10)),
                    Entry::Row(row(n, "x")),
                ]
            };
            // As the owner does it: after any error, fence, restore, and see what was committed.
            while fences == 0 || write(&mut log, entries()).is_err() {
                while log.fence().is_err() {}
                fences += 1;
                if restore(&mut log).contains(&row(n, "x")) {
                    break;
                }
            }
            if trouble.is_finished() {
                println!("{} commits and {fences} fences", n + 1);
                let found = read_all(&node, "records");
                let keys: std::collections::BTreeSet<_> =
                    found.iter().map(|one| one.key.clone()).collect();
                assert_eq!((found.len(), keys.len()), (n + 1, n + 1));
                assert!(fences > 1, "the broker did not end in a transaction");
                break;
            }
        }
    })
    .await;
}

/// Carries a limited number of bytes a second to a broker, on each connection.
async fn slow_link(listener: TcpListener, broker: String, rate: f64) {
    while let Ok((client, _)) = listener.accept().await {
        let broker = TcpStream::connect(&broker).await.expect("it listens");
        let ((mut from, mut back), (mut answers, mut to)) =
            (client.into_split(), broker.into_split());
        tokio::spawn(async move { copy(&mut answers, &mut back).await });
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                tokio::time::sleep(Duration::from_secs_f64(count as f64 / rate)).await;
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// 100 KB a second are 1.5 MB in the time of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_slow_link_does_not_carry_in_time_is_named_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let lines = format!(
        "\nadvertised.listeners=PLAINTEXT://{}\n",
        listener.local_addr().expect("bound")
    );
    let (broker, _dir) = blocking(move || {
        let dir = tempfile::tempdir().expect("a folder");
        (Broker::start_with(dir.path(), &lines), dir)
    })
    .await;
    let brokers = broker.bootstrap();
    tokio::spawn(slow_link(listener, brokers.clone(), 100_000.0));
    create_topic(&brokers, "ledger", 2, &[("cleanup.policy", "compact")]).await;
    let large = [("max.message.bytes", "4000000")];
    create_topic(&brokers, "records", 1, &large).await;

    let of = setup(&brokers, "ledger", 0);
    let (together, _) = worker(of.clone()).await;
    let (alone, _) = worker(of.partition(1)).await;
    for worker in [&together, &alone] {
        let small = commit(&worker.commits(), "records", 1, 1, 10);
        answer(small).await.expect("committed");
    }
    of.partition(1).become_careful();
    let of_one = commit(&alone.commits(), "records", 1, 2, 2_000_000);
    let first = commit(&together.commits(), "records", 1, 2, 2_000_000);
    let lost = answer(first).await;
    assert!(matches!(lost, Err(CommitError::Lost)), "{lost:?}");
    let failed = answer(of_one).await;
    let Err(CommitError::Alone(failure)) = failed else {
        panic!("{failed:?}");
    };
    let size = "a record of 2000003 bytes for the topic records did not arrive within the 15 s";
    assert!(failure.what.contains(size), "{failure:?}");
    let shown = tenant::alone(&failure);
    assert!(shown.what.contains(size), "{shown:?}");
    for words in ["2000003 bytes have to", "producer_byte_rate", "bandwidth"] {
        assert!(shown.remedy.contains(words), "{words}: {shown:?}");
    }
}

/// One broker can't keep the three replicas that Kafka wants of its transactions by default.
#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_answers_without_a_coordinator_of_transactions_is_named() {
    let (broker, _dir) = blocking(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let three = "transaction.state.log.replication.factor=3";
        (Broker::start_with(dir.path(), three), dir)
    })
    .await;
    let setup = setup(&broker.bootstrap(), "ledger", 0);
    setup.kafka.answered();
    let fenced = blocking(move || TransactionalLog::new(setup).fence()).await;
    let Err(PartitionLogError::Failed(failure)) = fenced else {
        panic!("{fenced:?}");
    };
    assert!(failure.what.contains("group-of-ledger-0"), "{failure:?}");
    let words = "transaction.state.log.replication.factor";
    assert!(failure.remedy.contains(words), "{failure:?}");
}
