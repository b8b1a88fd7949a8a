//! Tenants whose partition of the ledger is fenced and read again.

use super::*;
use crate::core::ownership::PartitionStage;

fn in_stage(stage: PartitionStage) -> Ownership {
    Ownership::Partitions {
        count: 1,
        stages: [(0, stage)].into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_partition_is_read_again_is_shown_and_not_swept_and_keeps_its_numbers() {
    use PartitionStage::{Active, Draining, Fencing, Restoring};
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    server.set(1, crate::runtime::fakes::START, 1);
    let tenants = [world.tenant(1, &server, 100)];
    let rig = Rig::start(&world, &[], 4);
    let shown = || rig.board.tenants().pop().expect("it is shown");
    let waits = || {
        let shown = shown();
        let said = (shown.error.is_some(), shown.remedy.is_some());
        let states = rig.board.states();
        (shown.state, states, said) == (Health::Starting, vec![Health::Starting], (true, true))
    };
    for stage in [Fencing, Restoring] {
        rig.hand_over(&tenants, in_stage(stage));
        rig.fire(2).await;
        assert!(waits(), "{stage}: {:?}", shown());
    }
    assert_eq!(asks(&server), 0, "swept before its partition is read");
    rig.hand_over(&tenants, in_stage(Active));
    rig.fire(2).await;
    let healthy = shown();
    assert_eq!((healthy.state, healthy.published), (Health::Ok, 1));
    assert_eq!((healthy.error, healthy.remedy), (None, None));

    let asked = asks(&server);
    rig.hand_over(&tenants, in_stage(Fencing));
    rig.fire(2).await;
    assert!(waits(), "{:?}", shown());
    assert!(shown().since > healthy.since, "since it waits");
    assert_eq!(asks(&server), asked, "swept while its partition is fenced");
    rig.hand_over(&tenants, in_stage(Active));
    sleep(PERIOD).await;
    assert!(asks(&server) > asked, "not swept again");
    let again = shown();
    assert_eq!((again.state, again.since), (Health::Ok, healthy.since));
    assert_eq!(again.published, 1, "it counts since the start");

    rig.hand_over(&tenants, in_stage(Draining));
    rig.fire(1).await;
    assert_eq!(shown().state, Health::Ok, "it is given up");
    rig.hand_over(&[], in_stage(Draining));
    rig.fire(1).await;
    assert_eq!(rig.board.tenants(), []);
}

/// Asks for a pause of two minutes, once.
fn pausing() -> Arc<Server> {
    let server = Server::new(Order::NewestFirst, None);
    let pause = Reaction::Wait(PAUSE);
    let refusal = Failure::new(Health::Throttled, pause, "429", "wait").with_status(429);
    *server.faults.pages.lock() = vec![Fault::Refuse(refusal)];
    server
}

const PAUSE: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn a_pause_that_microsoft_asked_for_outlasts_a_restart_of_the_partition() {
    use PartitionStage::{Active, Fencing, Restoring};
    let (world, server) = (World::new(1 << 20), pausing());
    let tenants = [world.tenant(1, &server, 100)];
    let rig = Rig::start(&world, &[], 4);
    rig.hand_over(&tenants, in_stage(Active));
    rig.fire(1).await;
    assert_eq!(asks(&server), 1);
    for stage in [Fencing, Restoring, Active] {
        rig.hand_over(&tenants, in_stage(stage));
        rig.fire(1).await;
        assert_eq!(asks(&server), 1, "asked during the pause: {stage}");
    }
    assert_eq!(rig.health("tenant-1"), Health::Throttled);
    sleep(PAUSE / 2).await;
    assert_eq!(asks(&server), 2, "the pause is over");
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_microsoft_asked_for_holds_for_a_tenant_that_was_away() {
    let (world, server) = (World::new(1 << 20), pausing());
    let tenants = [world.tenant(1, &server, 100)];
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(1).await;
    assert_eq!(asks(&server), 1);
    rig.hand_over(&[], in_stage(PartitionStage::Lost));
    rig.fire(1).await;
    assert_eq!(rig.board.tenants(), []);
    rig.hand_over(&tenants, in_stage(PartitionStage::Active));
    rig.fire(1).await;
    assert_eq!(asks(&server), 1, "asked during the pause");
    assert_eq!(rig.health("tenant-1"), Health::Throttled);
    sleep(PAUSE).await;
    assert_eq!(asks(&server), 2, "the pause is over");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_whose_partition_is_fenced_ends_and_is_repeated_when_the_partition_is_read_again() {
    use PartitionStage::{Active, Fencing};
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenants = [world.tenant(1, &server, 100)];
    let rig = Rig::start(&world, &[], 4);
    *server.faults.delay.lock() = Duration::from_secs(1_000_000);
    rig.hand_over(&tenants, in_stage(Active));
    sleep(PERIOD).await;
    assert_eq!(asks(&server), 1);
    rig.hand_over(&tenants, in_stage(Fencing));
    *server.faults.delay.lock() = Duration::ZERO;
    rig.fire(2).await;
    assert_eq!(asks(&server), 1, "swept while its partition is fenced");
    rig.hand_over(&tenants, in_stage(Active));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(asks(&server), 2, "without a firing");
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}
