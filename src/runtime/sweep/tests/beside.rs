//! Incidents that need more requests besides their page than fit between two live sweeps.

use super::*;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Interval;

const LONG: Duration = Duration::from_secs(12 * 3600);
/// The time between two live sweeps.
const PERIOD: Duration = Duration::from_secs(30);
/// More alert pages than there are requests in a period.
const MANY: u32 = 60;

/// A tenant with 200 unread incidents.
fn unread(world: &World, server: &Arc<Server>, per_minute: u32) -> Arc<Tenant> {
    for id in 1..=200 {
        server.set(id, at(3600 - id as i64 * 10), 1);
    }
    let mut state = TenantState::first(START, Duration::ZERO);
    state.backlog.open(Interval::unread(at(3600), at(0)));
    let tenant = world.tenant_of_budget(server, 50, per_minute);
    let mut states = world.ledger.states.lock();
    states.insert(tenant.id, state);
    tenant
}

/// Live sweeps, and the backlog between them, until there is nothing left to try. Returns their number.
async fn periods(world: &World, tenant: &Tenant) -> u32 {
    for turn in 1..60 {
        let outcome = sweep(world, tenant).await;
        let state = outcome.state.expect("a state");
        if world.memory(tenant, |memory| {
            world.sweeper.awake(memory, &state).is_empty()
        }) {
            return turn;
        }
        let _ = fill(world, tenant, PERIOD).await;
    }
    panic!("{} published, and no end", published(world).len());
}

/// The number of records with their last alert.
fn whole(world: &World, last: u32) -> usize {
    let last = format!("{{\"alert\":{last}}}],");
    let values = world.topic.values("incidents");
    values.iter().filter(|value| value.contains(&last)).count()
}

fn backlog(world: &World, tenant: &Tenant) -> Vec<Interval> {
    let states = world.ledger.states.lock();
    let state = states.get(&tenant.id).expect("a state");
    state.backlog.intervals().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_page_that_takes_longer_than_there_is_between_two_sweeps_is_read_in_several_turns() {
    // At 20 a minute, two requests are more than two seconds apart. This does not count as silence of the server.
    for (per_minute, most_turns) in [(75, 12), (20, 40)] {
        let (world, server) = (
            World::new(ROOM),
            Server::of(SourceKind::Graph, Order::NewestFirst, None),
        );
        let tenant = unread(&world, &server, per_minute);
        for id in 1..=200 {
            server.further.set(id, 1);
        }
        let turns = periods(&world, &tenant).await;
        assert_eq!(whole(&world, 1), 200);
        assert!(published(&world).values().all(|times| *times == 1));
        assert!(backlog(&world, &tenant).is_empty());
        let asks = server.traffic.asks.load(Ordering::SeqCst);
        assert!(turns <= most_turns, "{turns} turns");
        assert!(asks <= 210 + 3 * turns, "{asks} requests, {turns} turns");
    }
}

#[tokio::test(start_paused = true)]
async fn an_incident_with_more_alerts_than_fit_between_two_sweeps_keeps_nothing_older_waiting() {
    for heavy in [false, true] {
        let (world, server) = (
            World::new(ROOM),
            Server::of(SourceKind::Graph, Order::NewestFirst, None),
        );
        let tenant = unread(&world, &server, 75);
        server.further.set(150, MANY);
        if heavy {
            server.unreadable.heavy.lock().insert(150);
        }
        periods(&world, &tenant).await;
        assert_eq!(published(&world).len(), 200, "{heavy}");
        let tick = at(3600 - 1500);
        assert_eq!(
            backlog(&world, &tenant),
            [Interval::unread(tick, Ticks(tick.0 + 1))],
            "it is tried again, and nothing else"
        );
        server.further.set(150, 3);
        sleep(LONG).await;
        periods(&world, &tenant).await;
        assert_eq!((published(&world).len(), whole(&world, 3)), (201, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_sweep_leaves_an_incident_with_very_many_alerts_to_the_backlog() {
    let (world, server) = (
        World::new(ROOM),
        Server::of(SourceKind::Graph, Order::NewestFirst, None),
    );
    // More than a live sweep waits for, but no more than fits between two.
    for id in 1..=10 {
        server.set(id, at(10 + id as i64), 1);
    }
    server.further.set(4, 25);
    let tenant = world.tenant_of_budget(&server, 50, 75);
    let began = Instant::now();
    let outcome = sweep(&world, &tenant).await;
    assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
    assert!(began.elapsed() < PERIOD, "{:?}", began.elapsed());
    assert_eq!((published(&world).len(), whole(&world, 25)), (10, 0));
    sleep(Duration::from_secs(6 * 60)).await;
    periods(&world, &tenant).await;
    assert_eq!((published(&world).len(), whole(&world, 25)), (11, 1));

    // The overlap shows it again.
    for _ in 0..10 {
        let asks = server.traffic.asks.load(Ordering::SeqCst);
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
        let asks = server.traffic.asks.load(Ordering::SeqCst) - asks;
        assert!(asks <= 25, "{asks} requests");
        assert!(backlog(&world, &tenant).is_empty());
        sleep(PERIOD).await;
    }
    assert_eq!(published(&world).len(), 11);
}

#[tokio::test(start_paused = true)]
async fn others_are_published_while_alerts_are_fetched() {
    let (world, server) = (
        World::new(ROOM),
        Server::of(SourceKind::Graph, Order::NewestFirst, None),
    );
    for id in 1..=10 {
        server.set(id, at(10 + id as i64), 1);
    }
    server.further.set(4, 20);
    // Three seconds between two requests.
    let tenant = world.tenant_of_budget(&server, 50, 20);
    let began = Instant::now();
    let mut sweeping = Box::pin(sweep(&world, &tenant));
    while published(&world).len() < 9 {
        tokio::select! {
            outcome = &mut sweeping => panic!("nothing before the sweep's end: {outcome:?}"),
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
    let waited = began.elapsed();
    assert!(sweeping.await.halt.is_none());
    assert!(
        waited * 4 < began.elapsed(),
        "{waited:?} of {:?}",
        began.elapsed()
    );
    assert_eq!((published(&world).len(), whole(&world, 20)), (10, 1));
}
