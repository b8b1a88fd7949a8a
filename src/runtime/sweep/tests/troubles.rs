//! Pages that fail because of their content.

use super::*;
use crate::core::ids::IncidentId;
use crate::core::sources::SourceKind;
use crate::core::sweep::pager::PageAsk;
use crate::runtime::fakes::broken_page;

const LONG: Duration = Duration::from_secs(12 * 3600);

/// 100 incidents, one per second. `poison` can't be returned with its alerts.
fn poisoned(api: SourceKind, poison: u64) -> Arc<Server> {
    let server = Server::of(
        api,
        Order::NewestFirst,
        (api == SourceKind::Graph).then_some(50),
    );
    for id in 1..=100 {
        server.set(id, at(200 - id as i64), 1);
    }
    server.unreadable.poison.lock().insert(poison);
    server
}

fn asks(server: &Server) -> u32 {
    server.traffic.asks.load(Ordering::SeqCst)
}

/// Sweeps until the search of the failing page is over.
async fn search(world: &World, tenant: &Tenant) {
    assert_eq!(
        failed(&sweep(world, tenant).await).status,
        Some(500),
        "the first failure is taken for a hiccup"
    );
    assert!(sweep(world, tenant).await.halt.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_incident_whose_alerts_microsoft_cannot_give_is_published_without_them_and_stalls_nobody()
 {
    let (world, server) = (World::new(ROOM), poisoned(SourceKind::Graph, 40));
    let tenant = world.tenant(1, &server, 50);
    search(&world, &tenant).await;
    assert_eq!(published(&world).len(), 100);
    let bare = world.topic.values("incidents");
    let bare: Vec<_> = bare
        .iter()
        .filter(|value| !value.contains("content"))
        .collect();
    assert_eq!(bare.len(), 1, "{bare:?}");
    assert!(bare[0].starts_with("{\"id\":40,"));
    let alone = server
        .traffic
        .log
        .lock()
        .contains(&PageAsk::One(IncidentId(40)));
    assert!(alone, "it was not tried alone");
}

#[tokio::test(start_paused = true)]
async fn sweeps_after_the_search_go_round_the_poisonous_incident_and_move_the_cursor() {
    let (world, server) = (World::new(ROOM), poisoned(SourceKind::Graph, 40));
    let tenant = world.tenant(1, &server, 50);
    search(&world, &tenant).await;
    for _ in 0..5 {
        let before = asks(&server);
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none() && outcome.caught_up);
        assert!(asks(&server) - before <= 4, "searched again");
        assert!(
            fill(&world, &tenant, Duration::from_secs(1))
                .await
                .halt
                .is_none()
        );
    }
    assert_eq!(cursor(&world, &tenant), Some(at(100)));
    server.set(101, at(50), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 1);
}

#[tokio::test(start_paused = true)]
async fn once_microsoft_can_give_it_again_it_is_published_whole() {
    for api in [SourceKind::Graph, SourceKind::Defender] {
        let (world, server) = (World::new(ROOM), poisoned(api, 40));
        let tenant = world.tenant(1, &server, 50);
        search(&world, &tenant).await;
        sweep(&world, &tenant).await;
        for _ in 0..5 {
            sleep(LONG).await;
            *server.now.lock() = world.sweeper.clock.now();
            sweep(&world, &tenant).await;
            fill(&world, &tenant, LONG).await;
        }
        let whole = |world: &World| {
            let values = world.topic.values("incidents");
            values
                .iter()
                .filter(|value| value.contains("content"))
                .count()
        };
        assert_eq!(whole(&world), 99, "{api:?}");
        server.unreadable.poison.lock().clear();
        sleep(LONG).await;
        sweep(&world, &tenant).await;
        let filled = fill(&world, &tenant, LONG).await;
        assert!(filled.halt.is_none());
        assert_eq!(whole(&world), 100, "{api:?}");
        assert!(
            published(&world).values().all(|times| *times == 1),
            "{api:?}"
        );
        let state = world.ledger.states.lock().get(&tenant.id).cloned();
        assert!(state.expect("a state").backlog.is_empty(), "{api:?}");
        assert!(
            world
                .memory(&tenant, |memory| memory.unreadable.resting.unseen())
                .is_none(),
            "{api:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_alerts_cannot_be_left_out_the_incident_is_passed_and_kept_in_the_backlog() {
    let (world, server) = (World::new(ROOM), poisoned(SourceKind::Defender, 40));
    let tenant = world.tenant(1, &server, 50);
    search(&world, &tenant).await;
    assert_eq!(published(&world).len(), 99);
    fill(&world, &tenant, Duration::from_secs(60)).await;
    let outcome = sweep(&world, &tenant).await;
    assert!(outcome.caught_up);
    assert_eq!(
        cursor(&world, &tenant),
        Some(at(100)),
        "the cursor waits for it"
    );
    let open = outcome.state.expect("a state").backlog;
    let [interval] = open.intervals() else {
        panic!("{open:?}")
    };
    assert!(interval.from <= at(160) && at(160) < interval.to && !interval.again);
    assert!(
        world
            .memory(&tenant, |memory| memory.unreadable.resting.unseen())
            .is_some(),
        "and nothing is reported"
    );
}

/// Whether the instant of the `poisoned` incident 40 is backlog.
fn is_open(state: &TenantState) -> bool {
    let poison = Span::between(at(160), at(159));
    state.backlog.outside(poison).is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_passed_is_recorded_though_the_cursor_waits_for_something_else() {
    for refused in [false, true] {
        let (world, server) = (World::new(ROOM), poisoned(SourceKind::Defender, 40));
        let tenant = world.tenant(1, &server, 50);
        failed(&sweep(&world, &tenant).await);
        if refused {
            *world.topic.refused.lock() = Some("\"id\":30,");
        } else {
            *server.faults.pages.lock() = vec![Fault::Partial];
        }
        let mut most = 0;
        for pass in 0..4 {
            let before = asks(&server);
            let outcome = sweep(&world, &tenant).await;
            let held_back = matches!(outcome.halt, Some(Halt::HeldBack(_)));
            assert!(held_back || (pass > 0 && !refused), "{:?}", outcome.halt);
            assert!(is_open(&outcome.state.expect("a state")), "not recorded");
            if held_back {
                assert_eq!(cursor(&world, &tenant), Some(at(3600)));
            }
            if pass > 0 {
                most = most.max(asks(&server) - before);
            }
        }
        assert!(most <= 6, "searched again: {most} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_passed_but_not_recorded_is_forgotten_once_a_live_sweep_reads_it() {
    let (world, server) = (World::new(ROOM), poisoned(SourceKind::Defender, 40));
    let tenant = world.tenant(1, &server, 50);
    failed(&sweep(&world, &tenant).await);
    let ledger = || world.ledger.states.lock();
    let before = ledger().get(&tenant.id).cloned().expect("a state");
    assert!(sweep(&world, &tenant).await.halt.is_none());
    // As if the commit had failed.
    ledger().insert(tenant.id, before);
    assert!(
        world
            .memory(&tenant, |memory| memory.unreadable.resting.unseen())
            .is_some()
    );
    server.unreadable.poison.lock().clear();
    assert!(sweep(&world, &tenant).await.halt.is_none());
    assert_eq!(published(&world).len(), 100);
    assert_eq!(
        world.memory(&tenant, |memory| memory.unreadable.resting.unseen()),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_too_large_are_asked_for_smaller_and_the_size_is_remembered() {
    let (world, server) = (
        World::new(ROOM),
        Server::of(SourceKind::Graph, Order::NewestFirst, None),
    );
    for id in 1..=200 {
        server.set(id, at(300 - id as i64), 1);
    }
    *server.faults.most.lock() = Some(20);
    let tenant = world.tenant(1, &server, 50);
    assert!(
        sweep(&world, &tenant).await.halt.is_none(),
        "too large is no hiccup"
    );
    fill(&world, &tenant, LONG).await;
    assert_eq!(published(&world).len(), 200);
    server.traffic.log.lock().clear();
    let outcome = sweep(&world, &tenant).await;
    assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
    let tops: Vec<_> = server
        .traffic
        .log
        .lock()
        .iter()
        .map(|ask| match ask {
            PageAsk::Query(query) => query.top,
            _ => 0,
        })
        .collect();
    assert!(tops.iter().all(|top| *top <= 20), "{tops:?}");
}

#[tokio::test(start_paused = true)]
async fn when_everything_fails_it_is_the_service_and_searches_stay_rare() {
    let (world, server) = (
        World::new(ROOM),
        Server::of(SourceKind::Graph, Order::NewestFirst, None),
    );
    *server.faults.pages.lock() = vec![Fault::Refuse(broken_page()); 10_000];
    let tenant = world.tenant(1, &server, 50);
    for _ in 0..100 {
        assert_eq!(failed(&sweep(&world, &tenant).await).status, Some(500));
    }
    assert!(
        asks(&server) < 250,
        "{} requests in 100 sweeps",
        asks(&server)
    );
    assert_eq!(cursor(&world, &tenant), Some(at(3600)));
    server.faults.pages.lock().clear();
    assert!(sweep(&world, &tenant).await.halt.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_proves_that_only_a_crowd_of_neighbours_is_broken_is_published_as_it_was_shown() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    for id in 1..=20 {
        server.set(id, at(200 - id as i64), 1);
    }
    server.unreadable.poison.lock().extend(5..=13);
    let tenant = world.tenant(1, &server, 10);
    *server.before_page.lock() = Box::new(|server| {
        let mut incidents = server.incidents.lock();
        for (_, content) in incidents.values_mut() {
            *content += 1;
        }
    });
    search(&world, &tenant).await;
    let shown = server.traffic.shown.lock().clone();
    let published = published(&world);
    for (id, _, content) in &shown {
        let of_it = |value: &&String| {
            value.starts_with(&format!("{{\"id\":{id},"))
                && value.ends_with(&format!("\"content\":{content}}}"))
        };
        assert!(
            published.keys().any(|value| of_it(&value)),
            "content {content} of incident {id} was shown and not published"
        );
    }
    assert!(shown.len() > 11, "no proof was asked for: {}", shown.len());
}

#[tokio::test(start_paused = true)]
async fn a_token_service_that_is_silent_is_not_searched_for_a_poisonous_incident() {
    for api in [SourceKind::Defender, SourceKind::Graph] {
        let (world, server) = (World::new(ROOM), poisoned(api, 40));
        let entra = Arc::new(Entra::default());
        entra.silent.store(true, Ordering::SeqCst);
        let tenant = world.tenant_with(1, &server, 50, &entra);
        for sweeps in 1..=5 {
            assert!(sweep(&world, &tenant).await.halt.is_some());
            assert_eq!(
                entra.requests.load(Ordering::SeqCst),
                sweeps,
                "{api:?}: token requests after so many sweeps"
            );
        }
        assert!(
            world.memory(&tenant, |memory| memory.unreadable.why.is_none()),
            "{api:?}"
        );
    }
}
