//! Rights of the Kafka user that are taken away and given back.

use super::*;

use crate::kafka_limits::{USER, guarded, logging_in, permit};
use crate::support::kafka::{Broker, Right, revoke};

const LIMIT: Duration = Duration::from_secs(120);

/// Takes a right away while incidents change, waits until the status names what to grant, gives it back, and waits until all
/// works again.
async fn without(
    broker: &Broker,
    replicas: &Replicas,
    replica: &Daemon,
    world: &World,
    right: Right<'_>,
    names: &str,
) {
    revoke(&broker.bootstrap(), USER, right);
    let mut status = Value::Null;
    let taken = Instant::now();
    while !status.to_string().contains(names) {
        assert!(
            taken.elapsed() < LIMIT,
            "{right:?} was taken away, and the status does not name {names:?}: {status:#}"
        );
        world.evolve(3);
        sleep(Duration::from_millis(200)).await;
        status = replica.status().await;
    }
    tell(format_args!(
        "without {right:?}: named after {:?}",
        taken.elapsed()
    ));
    permit(broker, &[right]);
    let given = Instant::now();
    until("all works again", LIMIT, async || {
        let status = replica.status().await;
        let tenants = status["tenants"].as_array().unwrap();
        !tenants.is_empty()
            && tenants.iter().all(|one| one["state"] == "ok")
            && !status.to_string().contains(names)
    })
    .await;
    replicas.share_all(&[replica]).await;
    tell(format_args!(
        "with {right:?} again: all works after {:?}",
        given.elapsed()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_and_once_it_is_granted_all_goes_on() {
    let (broker, login, _dir) = guarded("").await;
    let simulator = simulator(6, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::at(&broker.bootstrap(), &simulator, 1, 2, |setup| {
        logging_in(setup).text("kafka.brokers", &login)
    })
    .await;
    let ledger = replicas.make_ledger().await;
    let (topic, group) = (replicas.topic.clone(), replicas.group.clone());
    let ids = format!("{group}-");
    permit(
        &broker,
        &[
            Right::Produce(&topic),
            Right::Produce(&ledger),
            Right::Read(&ledger),
            Right::Transactions(&ids),
        ],
    );
    let mut replica = replicas.spawn(0).ready().await;
    let of_group = format!("--operation Read --group {group}");
    until(
        "the status names the right to the group",
        SOON,
        async || replica.status().await.to_string().contains(&of_group),
    )
    .await;
    permit(&broker, &[Right::Group(&group)]);
    replicas.share_all(&[&replica]).await;
    replicas.complete(&journal).await;

    let of_topic = format!("--producer --topic {topic}");
    let of_ids = format!("--transactional-id {ids}");
    for (right, names) in [
        (Right::Produce(&topic), &of_topic),
        (Right::Transactions(&ids), &of_ids),
        (Right::Group(&group), &of_group),
    ] {
        without(&broker, &replicas, &replica, &world, right, names).await;
    }
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut replica]).await;
}
