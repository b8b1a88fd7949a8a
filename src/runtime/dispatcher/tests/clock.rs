//! A wall clock that is set while tenants are polled.

use super::*;
use crate::ports::Clock;

const HOUR: i64 = 3600;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_costs_no_turn_floods_nobody_and_counts_only_what_it_jumped_over() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    sleep(PERIOD).await;
    let missed = || *world.counts.missed.lock().expect("lock");
    for (set, jumped) in [
        (-2 * HOUR, 0),
        (10 * HOUR, 1200),
        (-10 * HOUR, 0),
        (HOUR, 120),
    ] {
        rig.fire(2).await;
        let before = (asks(&server), missed());
        world.clock.set(set);
        rig.fire(10).await;
        // Beside the turns there is one reconcile, since nobody knows when the last one was.
        let turns = asks(&server) - before.0;
        assert!((10..=20).contains(&turns), "{turns} after {set} s");
        assert_eq!(missed() - before.1, jumped, "missed after {set} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_lag_grows_on_a_clock_that_was_set_back_and_the_next_sweep_shows_where_it_lies() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(3).await;
    *server.delay.lock().expect("lock") = Duration::from_secs(1_000_000);
    rig.firings.send(firing()).await.expect("at work");
    sleep(PERIOD).await;
    let before = rig.board.tenants().remove(0);
    world.clock.set(-2 * HOUR);
    sleep(PERIOD * 20).await;
    let after = rig.board.tenants().remove(0);
    assert_eq!(
        after.lag_seconds.expect("it was swept"),
        before.lag_seconds.expect("it was swept") + 600
    );
    let next = |of: &crate::core::status::TenantStatus| of.next_sweep.expect("planned");
    let moved = next(&before).since(next(&after));
    assert_eq!(moved.as_secs_f64().round(), 7200.0);
}

/// A tenant on `schedule`, with what its server does beside.
fn on_schedule(world: &World, server: &Arc<Server>, schedule: &str) -> Arc<Tenant> {
    let schedule = schedule.parse().expect("schedule");
    world.tenant_made(1, server, |parts| parts.schedule = schedule)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_waits_for_its_turn_is_not_overdue_however_far_off_that_is() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let rig = Rig::start(&world, &[on_schedule(&world, &server, "every 24h")], 4);
    sleep(PERIOD).await;
    let fresh = rig.board.tenants().remove(0);
    let turn = "every 24h".parse::<Schedule>().expect("schedule");
    let turn = turn.next_after(world.clock.now()).expect("a turn");
    let wait = turn.since(world.clock.now());
    assert!(wait > Duration::from_secs(3600), "{wait:?}");
    sleep(wait).await;
    let waited = rig.board.tenants().remove(0);
    sleep(Duration::from_secs(600)).await;
    let passed_over = rig.board.tenants().remove(0);
    assert_eq!(
        [&fresh, &waited, &passed_over].map(|tenant| tenant.overdue_seconds),
        [0, 0, 600]
    );
    assert!(waited.lag_seconds.expect("it was swept") >= wait.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_was_never_read_is_overdue_from_the_start() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let pause = Reaction::Wait(Duration::from_secs(3600));
    let asked = Failure::new(Health::Throttled, pause, "429", "wait");
    *server.faults.lock().expect("lock") = vec![Fault::Refuse(asked); 100];
    let rig = Rig::start(&world, &[on_schedule(&world, &server, "every 1h")], 4);
    sleep(Duration::from_secs(36_000)).await;
    let tenant = rig.board.tenants().remove(0);
    assert_eq!(tenant.state, Health::Throttled);
    assert_eq!((tenant.lag_seconds, tenant.overdue_seconds), (None, 36_000));
}

#[tokio::test(start_paused = true)]
async fn a_new_schedule_says_when_a_tenant_is_due() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let board = Board::new(
        &[on_schedule(&world, &server, "every 24h")],
        world.clock.clone(),
    );
    let swept = Swept {
        caught_up: true,
        ..Swept::default()
    };
    let overdue = || board.tenants().remove(0).overdue_seconds;
    board.note(board.tenants()[0].id, Instant::now(), &swept);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(overdue(), 0);
    board.enter(&on_schedule(&world, &server, "every 30s"));
    assert!((570..600).contains(&overdue()), "{}", overdue());
}
