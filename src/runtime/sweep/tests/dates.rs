//! Answers with a wrong `Date`.

use super::*;

const CLOCKS: &str = "the API's Date and this machine's clock differ";
const HUNDRED_DAYS: i64 = 100 * 86_400;

/// A sweep and its backlog half a minute later by both clocks. The `Date`s of the answers are off by `off` seconds.
async fn later(world: &World, server: &Server, tenant: &Tenant, off: &[i64]) -> SweepOutcome {
    sleep(Duration::from_secs(30)).await;
    let now = world.sweeper.clock.now();
    *server.now.lock() = now;
    *server.faults.dates_off.lock() = off.iter().rev().copied().collect();
    let outcome = sweep(world, tenant).await;
    assert!(outcome.halt.is_none(), "{outcome:?}");
    server.faults.dates_off.lock().clear();
    fill(world, tenant, Duration::from_secs(20)).await;
    outcome
}

fn state(world: &World, tenant: &Tenant) -> TenantState {
    let states = world.ledger.states.lock();
    states.get(&tenant.id).expect("a state").clone()
}

/// One incident a hundred days old, and one a minute old.
fn old_and_new() -> Arc<Server> {
    let server = Server::new(Order::NewestFirst, None);
    server.set(1, at(HUNDRED_DAYS), 1);
    server.set(2, at(60), 1);
    server
}

/// Seconds between 1970 and the time of these tests.
fn since_1970() -> i64 {
    START.0 / crate::core::time::ticks::PER_SECOND - 10
}

#[tokio::test(start_paused = true)]
async fn one_wrong_date_moves_neither_the_start_nor_the_cursor_back_and_reads_nothing_again() {
    for off in [
        -since_1970(),
        -150,
        -3600,
        -HUNDRED_DAYS,
        150,
        3600,
        76 * 365 * 86_400,
    ] {
        for sweeps_before in 0..3 {
            let (world, server) = (World::new(ROOM), old_and_new());
            let tenant = world.tenant(1, &server, 100);
            for _ in 0..sweeps_before {
                later(&world, &server, &tenant, &[]).await;
            }
            // The newest incident has moved the cursor.
            server.set(
                3,
                world.sweeper.clock.now().plus(Duration::from_secs(29)),
                1,
            );
            let asks = server.traffic.asks.load(Ordering::SeqCst);
            later(&world, &server, &tenant, &[off]).await;
            let asks = server.traffic.asks.load(Ordering::SeqCst) - asks;
            assert!(asks <= 3, "{off} s after {sweeps_before}: {asks} requests");
            let first = state(&world, &tenant);
            later(&world, &server, &tenant, &[]).await;
            let second = state(&world, &tenant);
            let case = format!("{off} s after {sweeps_before} sweeps: {first:?}, {second:?}");
            assert_eq!(second.start, first.start, "{case}");
            assert!(
                second.start.since(at(3601)) < Duration::from_secs(120),
                "{case}"
            );
            assert!(second.cursor >= first.cursor, "{case}");
            assert_eq!(published(&world).len(), 2, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_never_set_is_not_believed_however_often_it_answers() {
    let (world, server) = (World::new(ROOM), old_and_new());
    let tenant = world.tenant(1, &server, 100);
    for _ in 0..5 {
        later(&world, &server, &tenant, &[-since_1970(); 10]).await;
    }
    assert_eq!(published(&world).len(), 1);
    assert!(state(&world, &tenant).start > at(3601));
}

#[tokio::test(start_paused = true)]
async fn a_date_that_stands_still_moves_no_start_and_is_named_once() {
    let warnings = Warnings::new();
    for off in [-since_1970(), -300 * 86_400] {
        let (world, server) = (World::new(ROOM), old_and_new());
        let tenant = world.tenant(1, &server, 100);
        let before = warnings.of(CLOCKS);
        for pass in 0..6 {
            // Its error grows.
            later(&world, &server, &tenant, &[off - pass * 30; 10]).await;
        }
        assert_eq!(published(&world).len(), 1, "{off}");
        assert!(state(&world, &tenant).start > at(3601), "{off}");
        assert_eq!(warnings.of(CLOCKS) - before, 1, "{off}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_ours_that_is_ahead_is_found_out_by_the_second_sweep_and_nothing_is_lost() {
    for ahead in [7200, HUNDRED_DAYS] {
        let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
        let tenant = world.tenant(1, &server, 100);
        server.set(1, at(ahead + 3000), 1);
        server.set(2, at(ahead + 60), 1);
        for _ in 0..2 {
            later(&world, &server, &tenant, &[-ahead; 10]).await;
        }
        assert_eq!(published(&world).len(), 2, "{ahead}");
        assert!(state(&world, &tenant).start <= at(ahead + 3500), "{ahead}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_date_in_the_future_lets_an_incident_of_the_future_blind_the_tenant() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(-10 * 365 * 86_400), 1);
    later(&world, &server, &tenant, &[76 * 365 * 86_400]).await;
    assert!(state(&world, &tenant).cursor <= world.sweeper.clock.now());
    server.set(2, world.sweeper.clock.now(), 1);
    assert_eq!(later(&world, &server, &tenant, &[]).await.published, 1);
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_cant_be_read_opens_no_backlog_into_the_future() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    for id in 1..=5 {
        server.set(id, at(100 - id as i64), 1);
    }
    server.unreadable.poison.lock().insert(5);
    for _ in 0..4 {
        *server.now.lock() = world.sweeper.clock.now();
        *server.faults.dates_off.lock() = vec![76 * 365 * 86_400; 100];
        let _ = sweep(&world, &tenant).await;
        sleep(Duration::from_secs(30)).await;
    }
    let now = world.sweeper.clock.now();
    let backlog = state(&world, &tenant).backlog;
    assert!(!backlog.is_empty());
    let ahead = backlog
        .intervals()
        .iter()
        .filter(|open| open.to > now.plus(Duration::from_secs(60)));
    assert_eq!(ahead.count(), 0, "{backlog:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_a_wrong_clock_put_into_the_future_is_taken_back_when_both_clocks_say_so() {
    let (world, server) = (World::new(ROOM), old_and_new());
    let tenant = world.tenant(1, &server, 100);
    let ahead = TenantState {
        start: at(3600),
        cursor: at(-HUNDRED_DAYS),
        ..TenantState::first(START, Duration::ZERO)
    };
    world.ledger.states.lock().insert(tenant.id, ahead);
    // The first answer is wrong too, and does not count.
    later(&world, &server, &tenant, &[-150]).await;
    later(&world, &server, &tenant, &[]).await;
    let state = state(&world, &tenant);
    assert_eq!((state.start, state.cursor), (at(3600), at(60)));
    assert_eq!(published(&world).len(), 1);
}
