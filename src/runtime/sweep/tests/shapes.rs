//! Answers of any shape: they cost no more than the limits allow, and the failure says what is wrong.

use super::*;

fn in_flight(world: &World) -> usize {
    world.sweeper.bytes.used()
}

#[tokio::test(start_paused = true)]
async fn a_page_of_more_elements_than_were_asked_for_is_refused_in_few_requests() {
    for element in ["{}", "1", "[]", "{\"a\":[[[1]]]}", "null"] {
        let world = World::new(ROOM);
        let asks = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let count = asks.clone();
        let page = format!("{{\"value\":[{}]}}", vec![element; 50_000].join(","));
        let tenant = scripted(&world, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            page.clone()
        });
        for _ in 0..5 {
            let outcome = sweep(&world, &tenant).await;
            let why = failed(&outcome);
            assert!(why.what.contains("more than 1000 elements"), "{why:?}");
            assert_eq!(why.health, Health::Unreachable);
        }
        assert_eq!(asks.load(Ordering::SeqCst), 5, "less is asked for in vain");
        assert_eq!(in_flight(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_link_leads_to_too_many_elements_the_list_is_read_by_skip() {
    let world = World::new(ROOM);
    let tenant = scripted(&world, move |ask| {
        let incident = |n: u32| format!("{{\"id\":{n},\"at\":\"{}\"}}", at(i64::from(n)));
        let PageAsk::Query(query) = ask else {
            return format!("{{\"value\":[{}]}}", vec!["{}"; 5_000].join(","));
        };
        let page: Vec<_> = (query.skip..120).take(50).map(incident).collect();
        let more = if query.skip + 50 < 120 {
            ",\"@odata.nextLink\":\"large\""
        } else {
            ""
        };
        format!("{{\"value\":[{}]{more}}}", page.join(","))
    });
    let outcome = sweep(&world, &tenant).await;
    assert!(outcome.halt.is_none() && outcome.caught_up, "{outcome:?}");
    assert!((0..120).all(|n| {
        published(&world)
            .keys()
            .any(|key| key.contains(&format!("{{\"id\":{n},")))
    }));
}

#[tokio::test(start_paused = true)]
async fn what_an_incident_with_alerts_elsewhere_keeps_in_memory_is_what_is_counted() {
    let world = World::new(ROOM);
    let tenant = scripted(&world, move |ask| {
        let PageAsk::Link(_) = ask else {
            let link = "\"alerts@odata.nextLink\":\"more\"";
            let incident = format!("{{\"id\":1,\"at\":\"{}\",{link}}}", at(60));
            return format!("{{\"value\":[{incident}]}}");
        };
        // More elements than a page may have.
        format!("{{\"value\":[{}]}}", vec!["{}"; 11_000].join(","))
    });
    let outcome = sweep(&world, &tenant).await;
    assert!(outcome.halt.is_none(), "{outcome:?}");
    assert_eq!((outcome.published, in_flight(&world)), (1, 0));
    let seen = world.ledger.seen.lock();
    assert!(seen.values().all(|seen| !seen.whole));
}
