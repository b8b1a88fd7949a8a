//! How long a tenant's sweep has been due by its own schedule.

use super::*;
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::runtime::fakes::START;

/// A tenant on `schedule`.
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
    *server.faults.pages.lock() = vec![Fault::Refuse(asked); 100];
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
    let outcome = SweepOutcome {
        caught_up: true,
        ..SweepOutcome::default()
    };
    let overdue = || board.tenants().remove(0).overdue_seconds;
    board.note(board.tenants()[0].id, Instant::now(), &outcome);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(overdue(), 0);
    board.enter(&on_schedule(&world, &server, "every 30s"));
    assert!((570..600).contains(&overdue()), "{}", overdue());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_of_which_one_incident_cannot_be_read_is_unreachable_and_not_overdue() {
    let world = World::new(1 << 20);
    let server = Server::of(SourceKind::Defender, Order::NewestFirst, None);
    for n in 1..=100_u64 {
        server.set(n, Ticks(START.0 - 10_000_000 * n as i64), 1);
    }
    server.unreadable.poison.lock().insert(40);
    let rig = Rig::start(&world, &[on_schedule(&world, &server, "every 30s")], 4);
    rig.fire(20).await;
    for _ in 0..480 {
        rig.fire(1).await;
        let tenant = rig.board.tenants().remove(0);
        assert_eq!(tenant.state, Health::Unreachable, "{tenant:?}");
        assert!(tenant.overdue_seconds < 60, "{tenant:?}");
    }
}
