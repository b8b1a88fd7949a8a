//! Long ranges: newest first, resumable, and read beside live polling.

use super::*;
use crate::core::sweep::backlog::Interval;
use crate::core::sweep::pager::PageAsk;

const HOUR: Duration = Duration::from_secs(3600);

/// 1,000 incidents, evenly spread over the hour of the lookback.
fn full_hour() -> Arc<Server> {
    let server = Server::new(Order::NewestFirst, None);
    for id in 1..=1000 {
        server.set(id, at(3600 - id as i64 * 36 / 10), 1);
    }
    server
}

fn open(world: &World, tenant: &Tenant) -> Vec<(Ticks, Ticks)> {
    let states = world.ledger.states.lock();
    let backlog = states.get(&tenant.id).map(|state| state.backlog.clone());
    let intervals = backlog.unwrap_or_default();
    intervals
        .intervals()
        .iter()
        .map(|open| (open.from, open.to))
        .collect()
}

fn asks(server: &Server) -> u32 {
    server.traffic.asks.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_long_first_range_shows_the_newest_at_once_and_the_rest_is_filled_in() {
    let (world, server) = (World::new(ROOM), full_hour());
    let tenant = world.tenant(1, &server, 20);
    let outcome = sweep(&world, &tenant).await;
    assert!(outcome.halt.is_none() && outcome.caught_up);
    assert_eq!(
        open(&world, &tenant),
        [(at(3600), at(900))],
        "all but the newest quarter of an hour"
    );
    assert!(
        (250..400).contains(&outcome.published),
        "{}",
        outcome.published
    );
    let filled = fill(&world, &tenant, HOUR).await;
    assert!(filled.halt.is_none());
    assert_eq!(outcome.published + filled.published, 1000);
    assert!(published(&world).values().all(|times| *times == 1));
    assert_eq!(open(&world, &tenant), []);
    assert_eq!(
        outcome.late_found + filled.late_found,
        0,
        "what was never read can't be late"
    );
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_backfill_are_never_deep() {
    let (world, server) = (World::new(ROOM), full_hour());
    let tenant = world.tenant(1, &server, 10);
    sweep(&world, &tenant).await;
    server.traffic.log.lock().clear();
    fill(&world, &tenant, HOUR).await;
    for ask in server.traffic.log.lock().iter() {
        let PageAsk::Query(query) = ask else {
            panic!("{ask:?}")
        };
        assert!(query.skip <= 100, "{ask:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backfill_goes_on_after_a_restart_where_it_was() {
    let (world, server) = (World::new(ROOM), full_hour());
    let mut tenant = world.tenant_of_budget(&server, 10, 60);
    sweep(&world, &tenant).await;
    let mut restarts = 0;
    while !open(&world, &tenant).is_empty() {
        fill(&world, &tenant, Duration::from_secs(60)).await;
        // A new process: only the ledger remains.
        tenant = world.tenant_of_budget(&server, 10, 60);
        let budget = crate::core::pace::budget::Budget::new(60, world.sweeper.uptime());
        world.memory(&tenant, |memory| memory.pace.budget = budget);
        restarts += 1;
        assert!(restarts < 40, "a restart begins anew each time");
    }
    assert!(restarts > 1, "no restart was in between");
    assert_eq!(published(&world).len(), 1000);
    assert!(published(&world).values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_window_broken_off_for_a_live_sweep_is_walked_on_and_not_begun_again() {
    let (world, server) = (World::new(ROOM), full_hour());
    let tenant = world.tenant_of_budget(&server, 10, 60);
    sweep(&world, &tenant).await;
    let before = asks(&server);
    let mut turns = 0;
    while !open(&world, &tenant).is_empty() {
        fill(&world, &tenant, Duration::from_secs(3)).await;
        turns += 1;
        assert!(turns < 200, "the backlog is never done");
    }
    let spent = asks(&server) - before;
    assert!(spent <= 150, "{spent} requests for 75 pages");
}

#[tokio::test(start_paused = true)]
async fn a_gap_after_a_downtime_closes_from_the_cursor() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 10);
    server.set(1, at(3000), 1);
    sweep(&world, &tenant).await;
    for id in 2..=500 {
        server.set(id, at(3000 - id as i64 * 6), 1);
    }
    assert!(sweep(&world, &tenant).await.halt.is_none());
    assert!(fill(&world, &tenant, HOUR).await.halt.is_none());
    assert_eq!(published(&world).len(), 500);
    assert_eq!(open(&world, &tenant), []);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_reconcile_can_find_is_found_and_counted_as_late() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant_ruled(1, &server, |rules| rules.lookback = 72 * HOUR);
    server.set(1, at(100), 1);
    server.set(2, at(0), 1);
    sweep(&world, &tenant).await;
    // A change in alerts only, and an incident indexed two days late. Both lie beyond the overlap now.
    server.set(1, at(100), 2);
    server.set(3, at(2 * 86_400), 1);
    server.set(4, START.plus(HOUR), 1);
    *server.now.lock() = START.plus(HOUR);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        sweep(&world, &tenant).await.published,
        2,
        "within the overlap, and the new one"
    );
    sleep(tenant.rules.reach.reconcile_every).await;
    assert_eq!(sweep(&world, &tenant).await.published, 0);
    let filled = fill(&world, &tenant, HOUR).await;
    assert_eq!((filled.published, filled.late_found), (1, 1));
    assert_eq!(open(&world, &tenant), []);
}

#[tokio::test(start_paused = true)]
async fn a_first_range_that_a_fast_clock_put_into_the_future_begins_where_it_belongs() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    // Microsoft's clock is ten hours behind ours.
    *server.now.lock() = START.minus(10 * HOUR);
    server.set(1, START.minus(10 * HOUR + HOUR / 2), 1);
    sweep(&world, &tenant).await;
    // A second answer shows that the clock advances.
    let passed = Duration::from_secs(30);
    sleep(passed).await;
    *server.now.lock() = START.minus(10 * HOUR).plus(passed);
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    let cursor = cursor(&world, &tenant).expect("a state");
    assert_eq!(cursor, START.minus(10 * HOUR + HOUR / 2));
}

#[tokio::test(start_paused = true)]
async fn the_ledger_forgets_what_microsoft_has_deleted_for_good_and_nothing_else() {
    let day = Duration::from_secs(86_400);
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    for (id, at) in [
        (1, at(100)),
        (2, START.plus(200 * day)),
        (3, START.plus(400 * day)),
    ] {
        sleep(at.since(world.sweeper.clock.now())).await;
        *server.now.lock() = at;
        server.set(id, at, 1);
        sweep(&world, &tenant).await;
        fill(&world, &tenant, HOUR).await;
    }
    sleep(tenant.rules.reach.reconcile_every).await;
    assert!(sweep(&world, &tenant).await.halt.is_none());
    let mut known: Vec<_> = world
        .ledger
        .seen
        .lock()
        .keys()
        .map(|(_, id)| id.0)
        .collect();
    known.sort_unstable();
    assert_eq!(known, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_back_fills_stay_within_the_byte_budget_while_kafka_is_away() {
    const BUDGET: usize = 200_000;
    let (world, server) = (World::new(BUDGET), Server::new(Order::NewestFirst, None));
    for id in 1..=20 {
        server.set(id, at(3000 + id as i64), 1);
    }
    let tenants: Vec<_> = (0..1000)
        .map(|n| world.tenant_of_many(n, &server, 100))
        .collect();
    for tenant in &tenants {
        let unread = Interval::unread(at(4000), at(2000));
        let state = TenantState {
            start: at(4000),
            cursor: at(2000),
            reconciled: START,
            backlog: [unread].into_iter().collect(),
            paused: None,
        };
        let mut states = world.ledger.states.lock();
        states.insert(tenant.id, state);
    }
    world.topic.away.send_replace(true);
    let permits = Permits::new(64);
    let fills = tenants.iter().map(|tenant| async {
        let mut permit = permits.take(Lane::Backlog).await;
        let halt = world.sweeper.stop.child_token();
        world.fill(tenant, &mut permit, halt).await
    });
    let mut fills = Box::pin(futures_util::future::join_all(fills));
    let mut most = 0;
    for _ in 0..600 {
        tokio::select! {
            _ = &mut fills => panic!("did not wait for Kafka"),
            () = sleep(Duration::from_secs(1)) => {}
        }
        most = most.max(world.sweeper.bytes.used());
    }
    // One page may exceed the limit, with the cost of its records.
    assert!(
        (BUDGET / 2..BUDGET + 20_000).contains(&most),
        "{most} bytes of {BUDGET}"
    );
    world.topic.away.send_replace(false);
    let filled = fills.await;
    assert!(
        filled
            .iter()
            .all(|filled| filled.published == 20 && filled.halt.is_none())
    );
    assert_eq!(world.sweeper.bytes.used(), 0);
}
