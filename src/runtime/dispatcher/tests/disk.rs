//! A silent disk, and tenants whose secrets are on it. In real time, because a thread that hangs holds up paused time.

use std::sync::mpsc::sync_channel;

use tokio::time::timeout;

use super::*;

async fn until(what: impl Fn() -> bool) {
    let looks = async {
        while !what() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), looks)
        .await
        .expect("it never came about");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_under_a_secret_holds_up_neither_others_nor_a_request_for_long() {
    let world = World::new(1 << 20);
    let [refused, unread] = [Arc::<Entra>::default(), Arc::<Entra>::default()];
    let [sick, fresh] = [(); 2].map(|()| Server::new(Order::NewestFirst, None));
    refused.wrong.store(true, Ordering::SeqCst);
    let sick = world.tenant_with(1, &sick, 100, &refused);
    let rig = Rig::start(&world, std::slice::from_ref(&sick), 4);
    until(|| rig.health("tenant-1") == Health::Credential).await;
    let [(answer_1, silence_1), (answer_2, silence_2)] =
        [sync_channel::<()>(1), sync_channel::<()>(1)];
    *refused.silent_disk.lock() = Some(silence_1);
    *unread.silent_disk.lock() = Some(silence_2);
    // The dispatcher checks the secret of the tenant with the hanging disk.
    until(|| refused.silent_disk.try_lock().is_none()).await;
    let fresh = [sick, world.tenant_with(2, &fresh, 100, &unread)];
    rig.reload(&fresh);
    until(|| {
        let tenants = rig.board.tenants();
        let second = tenants.iter().find(|tenant| &*tenant.name == "tenant-2");
        second.is_some_and(|tenant| tenant.state == Health::Ok)
    })
    .await;
    drop((answer_1, answer_2));
    refused.wrong.store(false, Ordering::SeqCst);
    refused.stamp.fetch_add(1, Ordering::SeqCst);
    until(|| rig.health("tenant-1") == Health::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_does_not_answer_holds_up_neither_the_dispatcher_nor_its_stop() {
    let world = World::new(1 << 20);
    world.ledger.hangs.store(true, Ordering::SeqCst);
    let (_servers, tenants) = many(&world, 20);
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(2).await;
    assert!(!rig.dispatcher.is_finished(), "the dispatcher goes on");
    rig.stop.cancel();
    let before = Instant::now();
    rig.dispatcher.await.expect("it ends");
    let took = before.elapsed();
    assert!(took <= Duration::from_secs(21), "the stop took {took:?}");
}
