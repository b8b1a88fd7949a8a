//! Incidents that no page can hold and that are requested alone, and the pauses that a server asks for meanwhile.

use super::*;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Interval;
use crate::runtime::fakes::broken_page;

const PERIOD: Duration = Duration::from_secs(30);

/// 100 incidents, one per second, oldest first.
fn hundred(api: SourceKind) -> Arc<Server> {
    let server = Server::of(api, Order::NewestFirst, None);
    for id in 1..=100 {
        server.set(id, at(200 - id as i64), 1);
    }
    server
}

fn asks(server: &Server) -> u32 {
    server.traffic.asks.load(Ordering::SeqCst)
}

/// One more incident, a live sweep, and the backlog until the next sweep.
async fn period(world: &World, server: &Server, tenant: &Tenant) -> SweepOutcome {
    let now = world.sweeper.clock.now();
    *server.now.lock() = now;
    let id = server.incidents.lock().len() as u64 + 1;
    server.set(id, now, 1);
    let outcome = sweep(world, tenant).await;
    fill(world, tenant, PERIOD - Duration::from_secs(5)).await;
    sleep(Duration::from_secs(5)).await;
    outcome
}

#[tokio::test(start_paused = true)]
async fn an_incident_too_heavy_for_any_page_is_published_whole_and_no_later_sweep_searches_for_it()
{
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Graph));
    server.unreadable.heavy.lock().insert(40);
    let tenant = world.tenant(1, &server, 50);
    failed(&period(&world, &server, &tenant).await);
    period(&world, &server, &tenant).await;
    assert_eq!(published(&world).len(), 102);
    let whole = world.topic.values("incidents");
    assert!(whole.iter().all(|value| value.contains("content")));
    for _ in 0..20 {
        let before = asks(&server);
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
        let live = asks(&server) - before;
        assert!(live <= 4, "a sweep took {live} requests");
        period(&world, &server, &tenant).await;
    }
    let behind = START.since(cursor(&world, &tenant).expect("a cursor"));
    assert_eq!(behind, Duration::ZERO, "the cursor waits for it");
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_comes_alone_but_not_whole_is_published_and_all_behind_it_is_read() {
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Graph));
    server.unreadable.heavy.lock().insert(40);
    server
        .unreadable
        .alone_partial
        .store(true, Ordering::SeqCst);
    let tenant = world.tenant(1, &server, 50);
    for _ in 0..3 {
        period(&world, &server, &tenant).await;
    }
    assert_eq!(published(&world).len(), 103);
    assert!(sweep(&world, &tenant).await.halt.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_place_of_the_incident_asked_for_is_not_taken_for_it() {
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Graph));
    server.unreadable.heavy.lock().insert(40);
    server.unreadable.alone_stale.store(true, Ordering::SeqCst);
    let tenant = world.tenant(1, &server, 50);
    for _ in 0..3 {
        period(&world, &server, &tenant).await;
    }
    let listed = world.topic.values("incidents").into_iter();
    let listed: Vec<_> = listed
        .filter(|value| value.starts_with("{\"id\":40,"))
        .collect();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(
        listed[0].contains(&at(160).to_string()),
        "an older state stands for the listed one: {listed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn neighbours_that_cannot_be_read_cost_nobody_else_anything() {
    for (api, neighbours) in [
        (SourceKind::Defender, 3),
        (SourceKind::Defender, 12),
        (SourceKind::Graph, 7),
    ] {
        let (world, server) = (World::new(ROOM), hundred(api));
        server.unreadable.poison.lock().extend(40..40 + neighbours);
        server.unreadable.bare_too.store(true, Ordering::SeqCst);
        let tenant = world.tenant(1, &server, 50);
        for _ in 0..4 {
            period(&world, &server, &tenant).await;
        }
        assert_eq!(published(&world).len() as u64, 104 - neighbours, "{api:?}");
        assert!(sweep(&world, &tenant).await.caught_up, "{api:?}");
        assert!(
            world
                .memory(&tenant, |memory| memory.unreadable.resting.unseen())
                .is_some()
        );
        server.unreadable.poison.lock().clear();
        sleep(Duration::from_secs(6 * 3600)).await;
        period(&world, &server, &tenant).await;
        assert_eq!(
            published(&world).len(),
            105,
            "{api:?}: once they can be read"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_comes_through_no_incident_is_blamed() {
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Defender));
    server.unreadable.poison.lock().extend(1..=100);
    let tenant = world.tenant(1, &server, 50);
    for _ in 0..3 {
        failed(&sweep(&world, &tenant).await);
        sleep(PERIOD).await;
    }
    let state = world.ledger.states.lock();
    let state = state.get(&tenant.id).expect("a state");
    assert_eq!(state.cursor, world_start(&tenant));
    world.memory(&tenant, |memory| {
        assert!(memory.unreadable.suspected.is_some(), "there was no search");
        assert_eq!(
            (memory.unreadable.resting.unseen(), &memory.unreadable.why),
            (None, &None)
        );
    });
}

fn world_start(tenant: &Tenant) -> Ticks {
    START.minus(tenant.rules.lookback)
}

/// The answer of a gateway when the server behind it fails.
fn busy(seconds: u64) -> Failure {
    let failure = broken_page().with_status(503);
    Failure {
        reaction: Reaction::Wait(Duration::from_secs(seconds)),
        ..failure
    }
}

#[tokio::test(start_paused = true)]
async fn a_poisonous_incident_behind_a_gateway_that_asks_for_pauses_is_found_all_the_same() {
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Defender));
    server.unreadable.poison.lock().insert(40);
    *server.unreadable.poisoned_answer.lock() = busy(20);
    let tenant = world.tenant(1, &server, 50);
    let mut turns = 0;
    while published(&world).len() < 99 {
        turns += 1;
        assert!(turns < 10, "{} published", published(&world).len());
        sweep(&world, &tenant).await;
        sleep(PERIOD).await;
    }
    let throttled = *world.counts.throttled.lock();
    assert_eq!(throttled, 0, "it is no limit on requests");
}

#[tokio::test(start_paused = true)]
async fn what_came_is_published_before_a_search_waits_for_its_next_step() {
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Graph));
    server.unreadable.poison.lock().insert(40);
    *server.unreadable.poisoned_answer.lock() = busy(60);
    let tenant = world.tenant(1, &server, 50);
    failed(&sweep(&world, &tenant).await);
    sleep(Duration::from_secs(66)).await;
    let began = Instant::now();
    let mut search = Box::pin(sweep(&world, &tenant));
    loop {
        tokio::select! {
            outcome = &mut search => break assert!(outcome.halt.is_none(), "{outcome:?}"),
            () = sleep(Duration::from_secs(10)) => {}
        }
        let shown = server.traffic.shown.lock().len();
        let published = published(&world).len();
        assert!(
            published >= shown,
            "{published} of {shown} after {:?}",
            began.elapsed()
        );
    }
    assert!(began.elapsed() > 5 * Duration::from_secs(60), "no search");
    assert_eq!(published(&world).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_that_the_backlog_was_asked_for_shows_at_the_next_live_sweep() {
    let (world, server) = (World::new(ROOM), hundred(SourceKind::Defender));
    let tenant = world.tenant(1, &server, 100);
    let state = sweep(&world, &tenant).await.state;
    let mut state = state.expect("a state");
    state.backlog.open(Interval::unread(at(9000), at(5000)));
    world.ledger.states.lock().insert(tenant.id, state);
    let hour = Duration::from_secs(3600);
    let refusal =
        Failure::new(Health::Throttled, Reaction::Wait(hour), "429", "wait").with_status(429);
    server.faults.pages.lock().push(Fault::Refuse(refusal));
    fill(&world, &tenant, PERIOD).await;
    let (before, asked) = (Instant::now(), asks(&server));
    let outcome = sweep(&world, &tenant).await;
    let failure = failed(&outcome);
    assert_eq!(failure.health, Health::Throttled);
    assert!(
        matches!(failure.reaction, Reaction::Wait(left) if left <= hour + hour / 10 && left > hour - PERIOD),
        "{failure:?}"
    );
    assert_eq!((before.elapsed(), asks(&server)), (Duration::ZERO, asked));
    sleep(hour + hour / 10).await;
    assert!(sweep(&world, &tenant).await.halt.is_none());
}
