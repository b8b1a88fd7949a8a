//! A replica that is suspended in the middle of a transaction.

use super::*;

/// The partitions of a suspended replica are others' after the session timeout of 15 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_fenced_and_publishes_nothing_twice_and_recovers_by_itself() {
    let simulator = simulator(24, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 10);
    let replicas = Replicas::new(&simulator, 2, 4).await;
    let mut zombie = replicas.spawn(0).ready().await;
    let mut other = replicas.spawn(1).ready().await;
    replicas.share_all(&[&zombie, &other]).await;
    let changing = keep_changing(world.clone(), OFTEN);
    replicas.suspend_in_transaction(&zombie).await;
    replicas.share_all(&[&other]).await;
    changing.abort();
    let _ = changing.await;
    replicas.complete(&journal).await;

    let changing = keep_changing(world.clone(), OFTEN);
    zombie.signal("CONT");
    recovered(&zombie).await;
    replicas.share_all(&[&zombie, &other]).await;
    changing.abort();
    let _ = changing.await;
    let log = zombie.log();
    assert!(
        log.contains("gave partitions of the ledger to others")
            || log.contains("another process has fenced"),
        "the zombie did not notice:\n{log}"
    );
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut zombie, &mut other]).await;
}

/// The only replica, so nobody but Kafka ends its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_kafka_gives_up_is_neither_lost_nor_repeated() {
    let simulator = simulator(24, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 10);
    let replicas = Replicas::new(&simulator, 1, 4).await;
    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    let changing = keep_changing(world.clone(), OFTEN);
    replicas.suspend_in_transaction(&replica).await;
    until("Kafka aborts the transaction", SOON, async || {
        replicas.open().await.is_empty()
    })
    .await;
    replica.signal("CONT");
    recovered(&replica).await;
    replicas.share_all(&[&replica]).await;
    changing.abort();
    let _ = changing.await;
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut replica]).await;
}
