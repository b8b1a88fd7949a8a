//! nextLinks that are not followed, and alerts behind a link.

use super::*;
use crate::core::incident::version::Seen;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Interval;

const NOT_FOLLOWED: &str = "a nextLink is not followed";

fn hundred(server: &Server) {
    for id in 1..=100 {
        server.set(id, at(3000 - id as i64), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_behind_a_link_that_leads_elsewhere_is_read_by_skip_and_that_is_logged_once() {
    let warnings = Warnings::new();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Shuffled] {
        // The server has its own page size.
        let (world, server) = (
            World::new(ROOM),
            Server::of(SourceKind::Graph, order, Some(7)),
        );
        server.faults.elsewhere.store(true, Ordering::SeqCst);
        hundred(&server);
        let tenant = world.tenant(1, &server, 50);
        let before = warnings.of(NOT_FOLLOWED);
        for _ in 0..3 {
            let outcome = sweep(&world, &tenant).await;
            assert!(outcome.halt.is_none(), "{outcome:?}");
            fill(&world, &tenant, Duration::from_secs(3600)).await;
        }
        assert_eq!(published(&world).len(), 100, "{order:?}");
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.caught_up, "{outcome:?}");
        assert_eq!(warnings.of(NOT_FOLLOWED) - before, 1, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_text_is_a_link_that_is_not_followed() {
    for link in ["7", "{\"href\":\"x\"}", "\"\\ud83d\"", "[]"] {
        let world = World::new(ROOM);
        let tenant = scripted(&world, move |ask| {
            let PageAsk::Query(query) = ask else {
                panic!("followed {ask:?}");
            };
            let incident = |n: u32| format!("{{\"id\":{n},\"at\":\"{}\"}}", at(i64::from(n)));
            let all: Vec<_> = (query.skip + 1..=120).take(50).map(incident).collect();
            let more = if query.skip + 50 < 120 {
                format!(",\"@odata.nextLink\":{link}")
            } else {
                String::new()
            };
            format!("{{\"value\":[{}]{more}}}", all.join(","))
        });
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
        assert_eq!(published(&world).len(), 120);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_whose_link_is_not_followed_costs_a_request_or_two_and_the_cursor_waits() {
    let world = World::new(ROOM);
    let asks = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = asks.clone();
    let tenant = scripted(&world, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        "{\"value\":[],\"@odata.nextLink\":\"elsewhere\"}".to_owned()
    });
    let outcome = sweep(&world, &tenant).await;
    assert!(!outcome.caught_up, "{outcome:?}");
    assert!(asks.load(Ordering::SeqCst) <= 2, "{asks:?}");
}

/// One incident with `members`, and a page of two alerts behind the link "more".
fn continued(members: &str) -> impl Fn(&PageAsk) -> String + Send + Sync + 'static {
    let page = format!(
        "{{\"value\":[{{\"id\":1,\"at\":\"{}\",{members}}}]}}",
        at(60)
    );
    move |ask| match ask {
        PageAsk::Link(link) => {
            assert_eq!(link, "more");
            "{\"value\":[{\"n\":1},{\"n\":2}]}".to_owned()
        }
        _ => page.clone(),
    }
}

fn seen(world: &World) -> Seen {
    let seen = world.ledger.seen.lock();
    *seen.values().next().expect("it is known")
}

#[tokio::test(start_paused = true)]
async fn alerts_behind_a_link_are_joined_whatever_stands_for_none_of_them() {
    let link = "\"alerts@odata.nextLink\":\"more\"";
    for alerts in [
        "\"alerts\":null,",
        "",
        "\"alerts\":[],",
        "\"alerts\":7,\"alerts\":null,",
    ] {
        let world = World::new(ROOM);
        let tenant = scripted(&world, continued(&format!("{alerts}{link}")));
        assert_eq!(sweep(&world, &tenant).await.published, 1);
        let values = world.topic.values("incidents");
        assert!(
            values[0].contains("\"alerts\":[{\"n\":1},{\"n\":2}]"),
            "{values:?}"
        );
        assert!(!values[0].contains("nextLink"), "{values:?}");
        assert!(seen(&world).whole);
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_that_cant_be_joined_are_missing_and_are_tried_again() {
    for members in [
        "\"alerts\":7,\"alerts@odata.nextLink\":\"more\"",
        "\"alerts\":{},\"alerts@odata.nextLink\":\"more\"",
        "\"alerts\":\"[]\",\"alerts@odata.nextLink\":\"more\"",
        "\"alerts\":[],\"alerts@odata.nextLink\":\"more\",\"alerts@odata.count\":3",
        "\"alerts\":[],\"alerts@odata.nextLink\":7",
        "\"alerts\":[],\"alerts@odata.nextLink\":{\"href\":\"more\"}",
        "\"alerts\":[],\"alerts@odata.nextLink\":\"elsewhere\"",
        "\"alerts\":[],\"alerts\\u0040odata.nextLink\":\"elsewhere\"",
    ] {
        let world = World::new(ROOM);
        let tenant = scripted(&world, continued(members));
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none(), "{members}: {outcome:?}");
        assert_eq!(outcome.published, 1, "{members}");
        assert!(!seen(&world).whole, "{members}: it counts as whole");
        let state = outcome.state.expect("a state");
        assert_eq!(
            state.backlog.intervals(),
            [Interval::again(at(60), Ticks(at(60).0 + 1))],
            "{members}: it is not tried again"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_whose_link_leads_elsewhere_are_logged_once_and_cost_no_request() {
    let (world, warnings) = (World::new(ROOM), Warnings::new());
    let asks = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (count, answer) = (
        asks.clone(),
        continued("\"alerts@odata.nextLink\":\"elsewhere\""),
    );
    let tenant = scripted(&world, move |ask| {
        count.fetch_add(1, Ordering::SeqCst);
        answer(ask)
    });
    for _ in 0..10 {
        let outcome = sweep(&world, &tenant).await;
        assert!(outcome.halt.is_none(), "{outcome:?}");
    }
    // What can't be read completely is left to the backlog, and everything around it is read.
    assert!(asks.load(Ordering::SeqCst) <= 20, "{asks:?}");
    assert_eq!(warnings.of("only some of an incident's alerts"), 1);
    assert_eq!(published(&world).len(), 1);
}
