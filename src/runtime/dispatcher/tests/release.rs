//! Tenants that are released, so that another machine can take them over.

use tokio::sync::oneshot;

use super::*;

impl Rig {
    fn release(&self, tenants: &[&Tenant]) -> oneshot::Receiver<()> {
        let (done, released) = oneshot::channel();
        let tenants = tenants.iter().map(|tenant| tenant.id).collect();
        self.command(DispatcherCommand::Release { tenants, done });
        released
    }
}

fn two(world: &World) -> ([Arc<Server>; 2], [Arc<Tenant>; 2]) {
    let servers = [(); 2].map(|()| Server::new(Order::NewestFirst, None));
    let tenants = [1, 2].map(|n| world.tenant(n, &servers[usize::from(n) - 1], 100));
    (servers, tenants)
}

#[tokio::test(start_paused = true)]
async fn a_release_is_acknowledged_when_all_its_sweeps_have_come_to_rest_and_not_before() {
    let world = World::new(1 << 20);
    let (servers, tenants) = two(&world);
    for server in &servers {
        server.set(1, crate::runtime::fakes::START, 1);
    }
    // Both tenants have a record that Kafka does not acknowledge: a sweep does not end within a commit.
    world.topic.away.send_replace(true);
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(1).await;
    let mut released = rig.release(&[&tenants[0]]);
    sleep(PERIOD).await;
    assert!(released.try_recv().is_err(), "its sweep is still at work");
    world.topic.away.send_replace(false);
    released.await.expect("acknowledged");
    let seen = world.ledger.seen.lock().keys().copied().collect::<Vec<_>>();
    let own = seen.iter().filter(|(tenant, _)| *tenant == tenants[0].id);
    assert_eq!(own.count(), 1, "what it published is recorded");
    let asked = asks(&servers[0]);
    rig.fire(3).await;
    assert_eq!(asks(&servers[0]), asked, "swept after its release");
    assert!(asks(&servers[1]) >= 3, "the other is swept on");
    rig.reload(&tenants[1..]);
    sleep(PERIOD).await;
    assert_eq!(rig.board.tenants().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tenants_at_rest_and_unknown_ones_are_released_at_once_and_the_fleet_takes_them_up_again() {
    let world = World::new(1 << 20);
    let (servers, tenants) = two(&world);
    let rig = Rig::start(&world, &tenants[..1], 4);
    rig.fire(1).await;
    let began = Instant::now();
    let released = rig.release(&[&tenants[0], &tenants[1]]);
    released.await.expect("acknowledged");
    assert_eq!(began.elapsed(), Duration::ZERO);
    let asked = asks(&servers[0]);
    rig.reload(&tenants);
    sleep(PERIOD).await;
    assert!(asks(&servers[0]) > asked, "the same tenant as before");
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_taken_up_again_while_it_comes_to_rest_is_acknowledged_all_the_same() {
    let world = World::new(1 << 20);
    let (servers, tenants) = two(&world);
    *servers[0].faults.delay.lock() = Duration::from_secs(1_000_000);
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(1).await;
    let released = rig.release(&[&tenants[0]]);
    *servers[0].faults.delay.lock() = Duration::ZERO;
    rig.reload(&tenants);
    released.await.expect("acknowledged");
    sleep(PERIOD).await;
    assert_eq!(rig.health("tenant-1"), Health::Ok);
    assert_eq!(servers[0].traffic.most_at_work.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_acknowledges_what_it_has_aborted() {
    let world = World::new(1 << 20);
    let (servers, tenants) = two(&world);
    servers[0].set(1, crate::runtime::fakes::START, 1);
    world.topic.away.send_replace(true);
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(1).await;
    let released = rig.release(&[&tenants[0]]);
    sleep(Duration::from_secs(1)).await;
    rig.stop.cancel();
    released.await.expect("acknowledged");
    rig.dispatcher.await.expect("ends");
}
