//! What could keep a backlog from ever ending, or a live sweep from advancing.

use super::*;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Interval;
use crate::core::sweep::cursor::TenantState;
use crate::core::sweep::pager::PageAsk;

const LONG: Duration = Duration::from_secs(12 * 3600);
/// The time between two live sweeps.
const PERIOD: Duration = Duration::from_secs(30);

fn state(world: &World, tenant: &Tenant) -> TenantState {
    let states = world.ledger.states.lock();
    states.get(&tenant.id).cloned().expect("a state")
}

/// A tenant that is up to date, except for 1,000 incidents of the hour before.
fn behind(world: &World, server: &Arc<Server>) -> Arc<Tenant> {
    let tenant = world.tenant(1, server, 20);
    for id in 1..=1000 {
        server.set(id, at(3600 - id as i64 * 3), 1);
    }
    let mut state = TenantState::first(START, Duration::ZERO);
    state.backlog.open(Interval::unread(at(3600), at(0)));
    world.ledger.states.lock().insert(tenant.id, state);
    tenant
}

/// A live sweep, and then the backlog until the next one.
async fn period(world: &World, tenant: &Tenant) {
    assert!(sweep(world, tenant).await.halt.is_none());
    let _ = fill(world, tenant, PERIOD).await;
}

#[tokio::test(start_paused = true)]
async fn a_poisonous_incident_in_the_backlog_is_searched_for_however_well_live_sweeps_go() {
    for api in [SourceKind::Graph, SourceKind::Defender] {
        let (world, server) = (World::new(ROOM), Server::of(api, Order::NewestFirst, None));
        let tenant = behind(&world, &server);
        server.unreadable.poison.lock().insert(700);
        for _ in 0..10 {
            period(&world, &tenant).await;
        }
        let published = published(&world).len();
        assert!(published >= 999, "{api:?}: {published} of 1000");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_the_backlog_that_hangs_until_each_live_sweep_is_searched_too() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = behind(&world, &server);
    server.unreadable.hang.lock().insert(700);
    for _ in 0..30 {
        period(&world, &tenant).await;
    }
    assert_eq!(published(&world).len(), 999);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_kafka_refuses_holds_up_its_own_window_alone() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = behind(&world, &server);
    *world.topic.refused.lock() = Some("\"id\":990,");
    for _ in 0..10 {
        period(&world, &tenant).await;
    }
    assert_eq!(published(&world).len(), 999);
    assert!(!state(&world, &tenant).backlog.is_empty(), "given up");
    *world.topic.refused.lock() = None;
    sleep(LONG).await;
    period(&world, &tenant).await;
    assert_eq!(published(&world).len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_kafka_refuses_among_the_newest_keeps_nothing_older_from_being_read() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    for id in 1..=1000 {
        server.set(id, at(3600 - id as i64 * 36 / 10), 1);
    }
    let tenant = world.tenant(1, &server, 20);
    *world.topic.refused.lock() = Some("\"id\":995,");
    for _ in 0..2 {
        let outcome = sweep(&world, &tenant).await;
        assert!(
            matches!(outcome.halt, Some(Halt::HeldBack(_))),
            "{outcome:?}"
        );
        assert_eq!(cursor(&world, &tenant), Some(at(3600)), "passed it");
        fill(&world, &tenant, LONG).await;
    }
    assert_eq!(published(&world).len(), 999);
    assert!(state(&world, &tenant).backlog.is_empty());
    *world.topic.refused.lock() = None;
    assert!(sweep(&world, &tenant).await.halt.is_none());
    fill(&world, &tenant, LONG).await;
    assert!(published(&world).values().all(|times| *times == 1));
    assert_eq!(published(&world).len(), 1000);
    assert_eq!(cursor(&world, &tenant), Some(at(0)));
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_cannot_be_listed_even_without_alerts_is_passed() {
    let (world, server) = (
        World::new(ROOM),
        Server::of(SourceKind::Graph, Order::NewestFirst, None),
    );
    for id in 1..=100 {
        server.set(id, at(200 - id as i64), 1);
    }
    server.unreadable.poison.lock().insert(40);
    server.unreadable.bare_too.store(true, Ordering::SeqCst);
    let tenant = world.tenant(1, &server, 50);
    for _ in 0..4 {
        sweep(&world, &tenant).await;
    }
    assert_eq!(published(&world).len(), 99);
    assert_eq!(cursor(&world, &tenant), Some(at(100)));
}

#[tokio::test(start_paused = true)]
async fn a_long_range_with_nothing_recent_is_filled_in_once() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    for id in 1..=1000 {
        server.set(id, at(3600 - id as i64), 1);
    }
    let tenant = world.tenant(1, &server, 20);
    for _ in 0..2 {
        assert!(sweep(&world, &tenant).await.halt.is_none());
        assert!(fill(&world, &tenant, LONG).await.halt.is_none());
    }
    assert_eq!(published(&world).len(), 1000);
    let before = server.traffic.asks.load(Ordering::SeqCst);
    sleep(PERIOD).await;
    sweep(&world, &tenant).await;
    fill(&world, &tenant, LONG).await;
    let spent = server.traffic.asks.load(Ordering::SeqCst) - before;
    assert!(spent <= 3, "{spent} requests for what was read already");
}

#[tokio::test(start_paused = true)]
async fn troubles_never_reach_into_the_future_where_they_would_blind_live_sweeps() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    for id in 1..=100 {
        server.set(id, at(200 - id as i64), 1);
    }
    // The list's first incident is unreadable, and the second has a last update in the far future.
    server.set(101, Ticks::MAX, 1);
    server.set(102, Ticks(Ticks::MAX.0 - 1), 1);
    server.unreadable.poison.lock().insert(101);
    let tenant = world.tenant(1, &server, 50);
    for _ in 0..4 {
        sweep(&world, &tenant).await;
        for open in state(&world, &tenant).backlog.intervals() {
            assert!(open.to <= START.plus(Duration::from_secs(1)), "{open:?}");
        }
    }
    let later = START.plus(PERIOD);
    *server.now.lock() = later;
    server.set(103, later, 1);
    // Each sweep meets the unreadable incident. The first failure does not start a search.
    sweep(&world, &tenant).await;
    sweep(&world, &tenant).await;
    let seen = published(&world);
    assert!(seen.keys().any(|value| value.contains("\"id\":103,")));
    let asked = server
        .traffic
        .log
        .lock()
        .iter()
        .filter(|ask| matches!(ask, PageAsk::Query(_)))
        .count();
    assert!(asked < 200, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_window_walked_on_after_a_record_was_held_back_is_not_closed_over_it() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = behind(&world, &server);
    *server.faults.delay.lock() = Duration::from_secs(1);
    *world.topic.refused.lock() = Some("\"id\":990,");
    assert!(
        fill(&world, &tenant, Duration::from_millis(2500))
            .await
            .published
            > 0
    );
    *world.topic.refused.lock() = None;
    for _ in 0..4 {
        fill(&world, &tenant, LONG).await;
        sleep(LONG).await;
    }
    assert!(state(&world, &tenant).backlog.is_empty());
    assert_eq!(published(&world).len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_first_range_is_corrected_though_the_first_sweep_failed() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    // Microsoft's clock is half an hour behind ours.
    *server.now.lock() = at(1800);
    server.set(1, at(1800 + 3500), 1);
    let refusal = crate::runtime::fakes::broken_page();
    server.faults.pages.lock().push(Fault::Refuse(refusal));
    failed(&sweep(&world, &tenant).await);
    sweep(&world, &tenant).await;
    // A second answer shows that the clock advances.
    sleep(Duration::from_secs(30)).await;
    *server.now.lock() = at(1770);
    assert_eq!(sweep(&world, &tenant).await.published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_clock_lags_a_little_does_not_begin_a_tenant_anew() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(1), 1);
    sweep(&world, &tenant).await;
    *server.now.lock() = at(30);
    sweep(&world, &tenant).await;
    assert_eq!(cursor(&world, &tenant), Some(at(1)));
}
