//! A wall clock that is set while tenants are polled.

use super::*;

const HOUR: i64 = 3600;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_costs_no_turn_floods_nobody_and_counts_only_what_it_jumped_over() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    sleep(PERIOD).await;
    let missed = || *world.counts.missed.lock();
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
        // Besides the turns there is one reconcile, because nobody knows when the last one was.
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
    *server.faults.delay.lock() = Duration::from_secs(1_000_000);
    rig.command(firing());
    sleep(PERIOD).await;
    let before = rig.board.tenants().remove(0);
    world.clock.set(-2 * HOUR);
    sleep(PERIOD * 20).await;
    let after = rig.board.tenants().remove(0);
    assert_eq!(
        after.lag_seconds.expect("it was swept"),
        before.lag_seconds.expect("it was swept") + 600
    );
    let next = |of: &crate::core::health::status::TenantStatus| of.next_sweep.expect("planned");
    let moved = next(&before).since(next(&after));
    assert_eq!(moved.as_secs_f64().round(), 7200.0);
}
