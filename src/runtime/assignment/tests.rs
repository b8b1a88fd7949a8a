use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::ports::{Encoder, Lease};
use crate::runtime::fakes::{Order, Server, World};
use crate::runtime::tenant::Tenant;

const PARTITIONS: u16 = 3;

/// An outlet of which only the ownership is used.
struct Shared {
    ownership: watch::Sender<Ownership>,
    at_rest: Mutex<Vec<u16>>,
}

impl Outlet for Shared {
    fn lease(&self, _: TenantId, _: Arc<dyn Encoder>) -> Result<Box<dyn Lease>, Failure> {
        Err(Failure::new(
            Health::Unreachable,
            Reaction::Fenced,
            "not used",
            "none",
        ))
    }

    fn waits_for(&self) -> Option<Duration> {
        None
    }

    fn ownership(&self) -> watch::Receiver<Ownership> {
        self.ownership.subscribe()
    }

    fn at_rest(&self, partition: u16) {
        self.at_rest.lock().push(partition);
    }
}

struct Scene {
    tenants: Vec<Arc<Tenant>>,
    outlet: Arc<Shared>,
    configured: watch::Sender<Fleet>,
    commands: Receiver<DispatcherCommand>,
    stop: CancellationToken,
}

/// Nine tenants, and an assignment that runs with `ownership`.
fn scene(ownership: Ownership) -> Scene {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenants: Vec<_> = (1..=9).map(|n| world.tenant(n, &server, 100)).collect();
    let fleet: Fleet = tenants.clone().into();
    let outlet = Arc::new(Shared {
        ownership: watch::Sender::new(ownership.clone()),
        at_rest: Mutex::default(),
    });
    let (configured, watch) = FleetWatch::new(fleet.clone());
    let (commands, received) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let assignment = Assignment {
        configured: watch,
        outlet: outlet.clone(),
        owned: FleetWatch::new(owned(&fleet, &ownership)).0,
        commands,
    };
    tokio::spawn(assignment.run(stop.clone()));
    Scene {
        tenants,
        outlet,
        configured,
        commands: received,
        stop,
    }
}

fn partitions(stages: &[(u16, PartitionStage)]) -> Ownership {
    Ownership::Partitions {
        count: PARTITIONS,
        stages: stages.iter().copied().collect::<BTreeMap<_, _>>(),
    }
}

impl Scene {
    /// The configured tenants of these partitions.
    fn of(&self, partitions: &[u16]) -> Vec<TenantId> {
        let ids = self.tenants.iter().map(|tenant| tenant.id);
        ids.filter(|id| partitions.contains(&partition_of(*id, PARTITIONS)))
            .collect()
    }

    async fn command(&mut self) -> Option<DispatcherCommand> {
        timeout(Duration::from_secs(1), self.commands.recv())
            .await
            .ok()?
    }

    async fn fleet(&mut self) -> Vec<TenantId> {
        match self.command().await {
            Some(DispatcherCommand::Fleet { fleet, ownership }) => {
                let ids = fleet.iter().map(|tenant| tenant.id);
                ids.filter(|id| ownership.may_sweep(*id)).collect()
            }
            _ => panic!("no fleet"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tenants_of_owned_partitions_are_handed_over_and_only_those_of_active_ones_to_be_swept() {
    use PartitionStage::{Active, Fencing, Lost, Restoring};
    let mut scene = scene(partitions(&[]));
    assert!(scene.command().await.is_none(), "it has no tenant yet");
    for (stage, tenants) in [
        (Fencing, scene.of(&[1])),
        (Restoring, scene.of(&[1])),
        (Lost, vec![]),
    ] {
        let now = partitions(&[(1, stage)]);
        scene.outlet.ownership.send_replace(now.clone());
        let Some(DispatcherCommand::Fleet { fleet, ownership }) = scene.command().await else {
            panic!("no fleet while {stage}");
        };
        let ids: Vec<_> = fleet.iter().map(|tenant| tenant.id).collect();
        assert_eq!((ids, &ownership), (tenants, &now));
        let may_sweep = fleet.iter().any(|it| ownership.may_sweep(it.id));
        assert!(!may_sweep, "a tenant is swept while {stage}");
    }
    scene
        .outlet
        .ownership
        .send_replace(partitions(&[(1, Active), (2, Restoring)]));
    assert_eq!(scene.fleet().await, scene.of(&[1]));
    scene
        .outlet
        .ownership
        .send_replace(partitions(&[(1, Active), (2, Active)]));
    assert_eq!(scene.fleet().await, scene.of(&[1, 2]));
    scene
        .outlet
        .ownership
        .send_replace(partitions(&[(1, Active), (2, Lost)]));
    assert_eq!(scene.fleet().await, scene.of(&[1]));
}

#[tokio::test(start_paused = true)]
async fn a_draining_partition_is_at_rest_only_after_the_dispatcher_has_acknowledged() {
    use PartitionStage::{Active, Draining};
    let mut scene = scene(partitions(&[(0, Active), (1, Active)]));
    scene
        .outlet
        .ownership
        .send_replace(partitions(&[(0, Active), (1, Draining)]));
    let Some(DispatcherCommand::Release { tenants, done }) = scene.command().await else {
        panic!("no release");
    };
    assert_eq!(tenants, scene.of(&[1]).into_iter().collect());
    assert_eq!(scene.fleet().await, scene.of(&[0]));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(
        scene.outlet.at_rest.lock().is_empty(),
        "before its sweeps came to rest"
    );
    done.send(()).expect("it waits");
    assert!(scene.command().await.is_none());
    assert_eq!(*scene.outlet.at_rest.lock(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_hands_over_those_of_its_tenants_that_this_process_has() {
    let mut scene = scene(Ownership::All);
    assert!(scene.command().await.is_none(), "nothing changed");
    let fewer: Fleet = scene.tenants[..2].to_vec().into();
    scene.configured.send_replace(fewer);
    assert_eq!(scene.fleet().await.len(), 2);
    scene.outlet.ownership.send_replace(partitions(&[]));
    assert_eq!(scene.fleet().await, []);
    let all: Fleet = scene.tenants.clone().into();
    scene.configured.send_replace(all);
    assert!(scene.command().await.is_none(), "it has none of them");
    scene.stop.cancel();
}
