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
