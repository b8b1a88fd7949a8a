//! Transactions of others that stay open in the ledger's topic.

use super::*;

use crate::support::kafka::leave_open;
use rdkafka::producer::Producer;

const PARTITIONS: u16 = 2;
/// How long the transaction stays open: longer than the session timeout of 15 s, so that the next owner has to wait.
const OPEN: Duration = Duration::from_secs(30);

/// The first owner dies and leaves a transaction open. The second one writes behind it, and dies, too. A third one that read
/// only what is decided would not see what the second one wrote.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_writes_behind_an_open_transaction_is_the_next_owners() {
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let replicas = Replicas::new(&simulator, 2, PARTITIONS).await;
    let mut second = replicas.spawn(0).ready().await;
    replicas.share_all(&[&second]).await;

    let open = {
        let (kafka, topic) = (replicas.kafka.clone(), replicas.topic.clone());
        let ledger = replicas.ledger();
        let id = format!("{}-of-the-first", replicas.group);
        blocking(move || {
            let key: &[u8] = b"owner";
            let records = [
                (&*ledger, 0, key),
                (&*ledger, 1, key),
                (&*topic, 0, b"first/1"),
            ];
            leave_open(&kafka, &id, OPEN, &records)
        })
        .await
    };
    create_in_each(&world, 20);
    until("all is swept", SOON, async || {
        let status = second.status().await;
        status["ledger"]["versions"] == 12 * 20
    })
    .await;
    let mut third = replicas.spawn(1).ready().await;
    second.kill().await;
    until("the third owner waits", SOON, async || {
        in_state(&third, "restoring").await.len() == usize::from(PARTITIONS)
    })
    .await;
    assert_eq!(
        replicas.open().await.len(),
        2,
        "the transaction has ended too early"
    );
    let status = third.status().await;
    let tenants = status["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 12, "it shows what it owns: {status:#}");
    for tenant in tenants {
        assert_eq!(tenant["state"], "starting", "{tenant:#}");
        let error = tenant["error"].to_string();
        assert!(error.contains("being restored"), "{tenant:#}");
        assert!(!tenant["remedy"].is_null(), "{tenant:#}");
    }
    let (code, why) = third.get("/readyz").await;
    assert_eq!(code, 503, "{why}");
    replicas.share_all(&[&third]).await;
    let open_still = replicas.open().await;
    assert!(open_still.is_empty(), "it did not wait for {open_still:?}");
    recovered(&third).await;
    world.evolve(20);
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut third]).await;
    drop(open);
}

/// Another process uses the transactional id of a partition: one of the two is fenced.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_its_partition_back_from_a_process_that_fenced_it() {
    let simulator = simulator(12, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 10);
    let replicas = Replicas::new(&simulator, 1, PARTITIONS).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    let changing = keep_changing(world.clone(), OFTEN);
    let other = {
        let (kafka, ledger, topic) = (
            replicas.kafka.clone(),
            replicas.ledger(),
            replicas.topic.clone(),
        );
        let id = format!("{}-0", replicas.group);
        blocking(move || {
            let key: &[u8] = b"owner";
            let records = [(&*ledger, 0, key), (&*topic, 0, b"other/1")];
            leave_open(&kafka, &id, OPEN, &records)
        })
        .await
    };
    until("the replica says that it is fenced", SOON, async || {
        replica.log().contains("another process has fenced")
    })
    .await;
    recovered(&replica).await;
    replicas.share_all(&[&replica]).await;
    changing.abort();
    let _ = changing.await;
    let committed = blocking(move || other.commit_transaction(SOON)).await;
    assert!(
        committed.is_err(),
        "the other one is not fenced: {committed:?}"
    );
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut replica]).await;
}

/// Nobody ends the transaction: the restore waits for as long as it is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_waits_needs_no_more_memory_and_threads_the_longer_it_waits() {
    const MANY: u16 = 16;
    const GROWTH: u64 = 3 << 20;
    let simulator = simulator(6, Options::default()).await;
    let replicas = Replicas::new(&simulator, 1, MANY).await;
    let ledger = replicas.make_ledger().await;
    let (kafka, id) = (replicas.kafka.clone(), format!("{}-other", replicas.group));
    let open = blocking(move || {
        let key: &[u8] = b"owner";
        let records: Vec<_> = (0..MANY).map(|of| (&*ledger, of.into(), key)).collect();
        leave_open(&kafka, &id, 2 * OPEN, &records)
    })
    .await;
    let mut replica = replicas.spawn(0).ready().await;
    until("all partitions wait", SOON, async || {
        in_state(&replica, "restoring").await.len() == usize::from(MANY)
    })
    .await;
    let task = format!("/proc/{}/task", replica.pid());
    let usage = || {
        (
            std::fs::read_dir(&task).unwrap().count(),
            replica.memory_now(),
        )
    };
    // Until every client has its connections.
    sleep(Duration::from_secs(5)).await;
    let (threads, memory) = usage();
    sleep(Duration::from_secs(15)).await;
    let (threads_later, memory_later) = usage();
    tell(format_args!(
        "{MANY} partitions wait: {threads} threads and {memory} bytes, later {threads_later} and {memory_later}"
    ));
    let waiting = in_state(&replica, "restoring").await.len();
    assert_eq!(waiting, usize::from(MANY), "the transaction has ended");
    assert!(threads_later <= threads + 4, "{threads_later} threads");
    assert!(memory_later < memory + GROWTH, "{memory_later} bytes");
    drop(open);
    replica.stop().await;
}
