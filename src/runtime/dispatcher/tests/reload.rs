//! A fleet that is replaced while tenants are swept.

use super::*;

fn servers(count: usize) -> Vec<Arc<Server>> {
    (0..count)
        .map(|_| Server::new(Order::NewestFirst, None))
        .collect()
}

fn tenants(world: &World, servers: &[Arc<Server>]) -> Vec<Arc<Tenant>> {
    let tenant = |(n, server)| world.tenant(n, server, 100);
    (1..).zip(servers).map(tenant).collect()
}

impl Rig {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .board
            .tenants()
            .iter()
            .map(|tenant| tenant.name.to_string())
            .collect();
        names.sort();
        names
    }
}

fn hang(server: &Server, seconds: u64) {
    *server.faults.delay.lock() = Duration::from_secs(seconds);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_added_is_read_at_once_and_the_others_keep_their_sweep_and_their_place() {
    let (world, servers) = (World::new(1 << 20), servers(3));
    let all = tenants(&world, &servers);
    hang(&servers[0], 100);
    let rig = Rig::start(&world, &all[..2], 4);
    rig.fire(1).await;
    assert_eq!((asks(&servers[0]), asks(&servers[1])), (1, 2));
    rig.reload(&all);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(asks(&servers[2]), 1, "the new one");
    assert_eq!(asks(&servers[1]), 2, "one with nothing to do");
    sleep(Duration::from_secs(80)).await;
    assert_eq!(
        rig.health("tenant-1"),
        Health::Ok,
        "its sweep came to its end"
    );
    assert_eq!(asks(&servers[0]), 1, "it was not begun anew");
    assert_eq!(*world.counts.missed.lock(), 1, "turns of the one that hung");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_removed_comes_to_rest_and_is_shown_no_more() {
    let (world, servers) = (World::new(1 << 20), servers(2));
    let all = tenants(&world, &servers);
    hang(&servers[0], 1_000_000);
    let rig = Rig::start(&world, &all, 4);
    rig.fire(1).await;
    rig.reload(&all[1..]);
    rig.fire(3).await;
    assert_eq!(rig.names(), ["tenant-2"]);
    assert_eq!(asks(&servers[0]), 1);
    assert_eq!(
        servers[0].traffic.at_work.load(Ordering::SeqCst),
        0,
        "still hanging"
    );
    assert_eq!(asks(&servers[1]), 5);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_new_settings_is_read_with_them_at_once_and_never_twice_at_a_time() {
    let (world, servers) = (World::new(1 << 20), servers(2));
    let former = world.tenant(1, &servers[0], 100);
    hang(&servers[0], 1_000_000);
    let rig = Rig::start(&world, &[former], 4);
    rig.fire(1).await;
    rig.reload(&[world.tenant(1, &servers[1], 100)]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((asks(&servers[0]), asks(&servers[1])), (1, 1));
    assert_eq!(servers[0].traffic.at_work.load(Ordering::SeqCst), 0);
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn new_settings_end_the_rest_of_a_tenant_that_failed() {
    let (world, servers) = (World::new(1 << 20), servers(1));
    let refused = Failure::new(Health::Misconfigured, Reaction::Slow, "no host", "mend it");
    *servers[0].faults.pages.lock() = vec![Fault::Refuse(refused)];
    let rig = Rig::start(&world, &tenants(&world, &servers), 4);
    rig.fire(1).await;
    assert_eq!(rig.health("tenant-1"), Health::Misconfigured);
    rig.reload(&tenants(&world, &servers));
    assert_eq!(
        rig.health("tenant-1"),
        Health::Misconfigured,
        "until it is read"
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn new_settings_end_no_pause_that_the_api_asked_for() {
    let (world, servers) = (World::new(1 << 20), servers(1));
    let pause = Reaction::Wait(Duration::from_secs(200));
    let throttled = Failure::new(Health::Throttled, pause, "429", "wait").with_status(429);
    *servers[0].faults.pages.lock() = vec![Fault::Refuse(throttled)];
    let rig = Rig::start(&world, &tenants(&world, &servers), 4);
    rig.fire(1).await;
    assert_eq!(asks(&servers[0]), 1);
    for _ in 0..5 {
        rig.reload(&tenants(&world, &servers));
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(asks(&servers[0]), 1, "within the pause");
    sleep(Duration::from_secs(300)).await;
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn new_settings_spend_no_request_a_second_time() {
    let (world, servers) = (World::new(1 << 20), servers(1));
    let anew = || [world.tenant_of_budget(&servers[0], 100, 25)];
    let rig = Rig::start(&world, &anew(), 4);
    // A budget that was empty at the start of the daemon would be full by now.
    rig.fire(10).await;
    let before = asks(&servers[0]);
    for _ in 0..120 {
        rig.reload(&anew());
        sleep(Duration::from_millis(500)).await;
    }
    let spent = asks(&servers[0]) - before;
    // The requests of this minute, and what the budget had left before.
    assert!((25..=50).contains(&spent), "{spent} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_ends_when_the_last_tenant_that_has_its_cause_is_removed() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let entra = Arc::new(Entra::default());
    entra.wrong.store(true, Ordering::SeqCst);
    let mut all: Vec<_> = (1..=3)
        .map(|n| world.tenant_with(n, &server, 100, &entra))
        .collect();
    all.push(world.tenant(4, &server, 100));
    let rig = Rig::start(&world, &all, 4);
    rig.fire(1).await;
    assert_eq!(rig.board.alarms().len(), 1);
    rig.reload(&all[3..]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.board.alarms(), []);
}

/// In each reload some of 30 tenants are untouched, some get new settings, some go, and some come back. The servers of
/// all hang sometimes.
#[tokio::test(start_paused = true)]
async fn under_any_row_of_reloads_no_tenant_overlaps_itself_and_each_that_stays_is_read() {
    const TENANTS: usize = 30;
    let (world, servers) = (World::new(1 << 20), servers(TENANTS));
    let all = tenants(&world, &servers);
    let mut fleet: Vec<Option<Arc<Tenant>>> = all.iter().cloned().map(Some).collect();
    let rig = Rig::start(&world, &all, 8);
    let mut chance = 7_u64;
    let mut draw = |below: u64| {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (chance >> 33) % below
    };
    for _ in 0..200 {
        // The first ten are never touched.
        for n in 10..TENANTS {
            hang(&servers[n], [0, 0, 2, 40][draw(4) as usize]);
            let anew = || world.tenant(n as u8 + 1, &servers[n], 100);
            match draw(6) {
                0 => fleet[n] = None,
                1 => fleet[n] = Some(anew()),
                2 if fleet[n].is_none() => fleet[n] = Some(anew()),
                _ => {}
            }
        }
        let now: Vec<_> = fleet.iter().flatten().cloned().collect();
        rig.reload(&now);
        sleep(Duration::from_millis(draw(3000))).await;
        if draw(10) == 0 {
            rig.fire(1).await;
        }
    }
    let fired = asks(&servers[0]);
    assert!(fired > 10, "{fired} sweeps");
    for (n, server) in servers.iter().enumerate() {
        let most = server.traffic.most_at_work.load(Ordering::SeqCst);
        assert_eq!(most, 1, "sweeps at once of tenant {n}");
        let asks = asks(server);
        assert!(
            n >= 10 || asks == fired,
            "tenant {n}, which was left alone: {asks} of {fired} sweeps"
        );
        hang(server, 0);
    }
    sleep(Duration::from_secs(100)).await;
    rig.fire(2).await;
    let shown = rig.board.tenants();
    assert_eq!(shown.len(), fleet.iter().flatten().count());
    for tenant in shown {
        assert_eq!(tenant.state, Health::Ok, "{}", tenant.name);
    }
}
