//! Servers that ignore `$filter`, `$top` or `$skip`.

use super::*;

const NOTICED: &str = "the API ignores $filter";
const DAY: i64 = 86_400;

/// `count` incidents over a year, and ten in the last hour.
fn history(order: Order, cap: Option<usize>, count: u64) -> Arc<Server> {
    let server = Server::of(SourceKind::Graph, order, cap);
    server.faults.unfiltered.store(true, Ordering::SeqCst);
    for id in 1..=count {
        server.set(id, at(365 * DAY - id as i64 * 600), 1);
    }
    for id in 0..10 {
        server.set(10_000 + id, at(600 - id as i64), 1);
    }
    server
}

/// A sweep, and its backlog half a minute later. Returns the outcome and the number of requests.
async fn turn(world: &World, server: &Server, tenant: &Tenant) -> (SweepOutcome, u32) {
    let before = server.traffic.asks.load(Ordering::SeqCst);
    let outcome = sweep(world, tenant).await;
    fill(world, tenant, Duration::from_secs(25)).await;
    sleep(Duration::from_secs(30)).await;
    *server.now.lock() = world.sweeper.clock.now();
    (outcome, server.traffic.asks.load(Ordering::SeqCst) - before)
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_not_filtered_is_named_once_and_neither_read_nor_published() {
    let warnings = Warnings::new();
    for cap in [None, Some(20)] {
        let (world, server) = (World::new(ROOM), history(Order::NewestFirst, cap, 3000));
        let tenant = world.tenant(1, &server, 50);
        let before = warnings.of(NOTICED);
        for pass in 0..5 {
            server.set(20_000 + pass, world.sweeper.clock.now(), 1);
            let (outcome, asks) = turn(&world, &server, &tenant).await;
            assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
            // The whole list is read once, because its first pages don't prove an order.
            let most = if pass == 0 {
                3000 / cap.unwrap_or(50) + 10
            } else {
                4
            };
            assert!(asks as usize <= most, "{asks} requests in pass {pass}");
        }
        assert_eq!(published(&world).len(), 15);
        assert!(published(&world).values().all(|times| *times == 1));
        assert_eq!(warnings.of(NOTICED) - before, 1, "{cap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_long_first_range_that_is_not_filtered_all_is_read_and_nothing_older() {
    let (world, server) = (World::new(ROOM), history(Order::NewestFirst, None, 3000));
    let tenant = world.tenant_ruled(1, &server, |rules| {
        (rules.page_size, rules.lookback) = (50, Duration::from_secs(7 * DAY.cast_unsigned()));
    });
    for id in 0..900 {
        server.set(30_000 + id, at(DAY + id as i64 * 300), 1);
    }
    let mut asks = 0;
    for _ in 0..10 {
        asks += turn(&world, &server, &tenant).await.1;
    }
    assert_eq!(published(&world).len(), 910);
    let states = world.ledger.states.lock();
    assert!(states[&tenant.id].backlog.is_empty(), "{states:?}");
    // The whole list once, and then only the requested spans.
    let whole = 3910 / 49 + 1;
    assert!(asks <= whole + 50, "{asks} requests");
}

/// A list of 300 incidents, newest *created* first. `updated` is an incident that was updated since, and how many
/// seconds ago.
fn by_creation(world: &World, updated: Arc<Mutex<Option<(u32, i64)>>>) -> Arc<Tenant> {
    scripted(world, move |ask| {
        let PageAsk::Query(query) = ask else {
            panic!("{ask:?}");
        };
        let updated = *updated.lock();
        let incident = |n: u32| {
            let ago = updated.filter(|(id, _)| *id == n).map(|(_, ago)| ago);
            let ago = ago.unwrap_or(100 + i64::from(n) * 6 * 3600);
            format!("{{\"id\":{n},\"at\":\"{}\"}}", at(ago))
        };
        let page: Vec<_> = (query.skip..(query.skip + query.top).min(300))
            .map(incident)
            .collect();
        format!("{{\"value\":[{}]}}", page.join(","))
    })
}

#[tokio::test(start_paused = true)]
async fn an_old_incident_that_was_updated_is_found_in_a_history_that_is_listed_by_creation() {
    let found = |world: &World, id: u32| {
        let id = format!("\"id\":{id},");
        published(world).keys().any(|record| record.contains(&id))
    };
    for quiet in [true, false] {
        let world = World::new(ROOM);
        let updated = Arc::new(Mutex::new((!quiet).then_some((160, 50))));
        let tenant = by_creation(&world, updated.clone());
        let outcome = sweep(&world, &tenant).await;
        if quiet {
            // So far the list looks sorted by last update.
            assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
            *updated.lock() = Some((160, -20));
            sleep(tenant.rules.reach.reconcile_every).await;
            let _ = sweep(&world, &tenant).await;
        }
        assert!(found(&world, 160), "lost: {outcome:?}");
        // Now the order is known, and each sweep reads everything.
        *updated.lock() = Some((170, -30));
        let outcome = sweep(&world, &tenant).await;
        assert_eq!(failed(&outcome).health, Health::Misconfigured);
        assert!(found(&world, 170), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_neither_filtered_nor_sorted_shows_as_the_tenants_fault_and_news_arrive()
{
    for order in [Order::OldestFirst, Order::Shuffled] {
        let (world, server) = (World::new(ROOM), history(order, None, 1000));
        let tenant = world.tenant(1, &server, 50);
        for _ in 0..3 {
            let (outcome, _) = turn(&world, &server, &tenant).await;
            let why = failed(&outcome);
            assert_eq!(
                (why.health, why.reaction),
                (Health::Misconfigured, Reaction::Slow)
            );
            assert!(why.what.contains("$filter"), "{why:?}");
            let rests = matches!(outcome.halt, Some(Halt::Failed(_)));
            assert!(rests, "the next sweep would read all again: {outcome:?}");
        }
        assert_eq!(published(&world).len(), 10, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_very_long_history_that_is_not_sorted_either_is_given_up() {
    let (world, server) = (World::new(ROOM), history(Order::OldestFirst, None, 5000));
    let tenant = world.tenant(1, &server, 50);
    let (outcome, asks) = turn(&world, &server, &tenant).await;
    assert_eq!(failed(&outcome).health, Health::Misconfigured);
    assert!(asks <= 50, "{asks} requests");
    assert_eq!(published(&world).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn single_odd_incidents_are_no_habit_of_the_servers_and_are_published() {
    let (world, warnings) = (World::new(ROOM), Warnings::new());
    let old = [at(9 * DAY), at(8 * DAY)];
    let tenant = scripted(&world, move |_| {
        let incident = |(id, at): (usize, &Ticks)| format!("{{\"id\":{id},\"at\":\"{at}\"}}");
        let all: Vec<_> = old
            .iter()
            .chain([&at(60)])
            .enumerate()
            .map(incident)
            .collect();
        format!("{{\"value\":[{}]}}", all.join(","))
    });
    for _ in 0..3 {
        assert!(sweep(&world, &tenant).await.halt.is_none());
    }
    assert_eq!(published(&world).len(), 3);
    assert_eq!(warnings.of(NOTICED), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_hundreds_whatever_it_is_asked_for_is_read_whole() {
    for all in [60_u32, 300, 999] {
        let world = World::new(ROOM);
        let tenant = scripted(&world, move |ask| {
            let PageAsk::Query(query) = ask else {
                panic!("{ask:?}");
            };
            let incident = |n: u32| format!("{{\"id\":{n},\"at\":\"{}\"}}", at(i64::from(n)));
            let all: Vec<_> = (query.skip..all).map(incident).collect();
            format!("{{\"value\":[{}]}}", all.join(","))
        });
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
        assert_eq!(published(&world).len(), all as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_skip_is_asked_a_few_times_and_the_cursor_waits() {
    let world = World::new(ROOM);
    let asks = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = asks.clone();
    let tenant = scripted(&world, move |ask| {
        count.fetch_add(1, Ordering::SeqCst);
        let PageAsk::Query(query) = ask else {
            panic!("{ask:?}");
        };
        let incident = |n: u32| format!("{{\"id\":{n},\"at\":\"{}\"}}", at(i64::from(n)));
        let page: Vec<_> = (0..query.top).map(incident).collect();
        format!("{{\"value\":[{}]}}", page.join(","))
    });
    let outcome = sweep(&world, &tenant).await;
    assert!(!outcome.caught_up, "{outcome:?}");
    assert_eq!(published(&world).len(), 50);
    assert!(asks.load(Ordering::SeqCst) <= 30, "{asks:?}");
}
