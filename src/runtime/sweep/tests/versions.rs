//! What counts as a version, from the page to the topic.

use super::*;
use crate::core::incident::version::{Forms, Seen};

/// Removes the hashes, as if a former release had recorded everything.
fn recorded_by_a_former_release(world: &World) {
    for seen in world.ledger.seen.lock().values_mut() {
        *seen = Seen {
            forms: Forms::NONE,
            ..*seen
        };
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_publishes_nothing_again_and_every_later_change() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    for id in 1..=50 {
        server.set(id, at(50), 1);
    }
    assert_eq!(sweep(&world, &tenant).await.published, 50);
    recorded_by_a_former_release(&world);
    // After a while, a sweep is a full one again.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(sweep(&world, &tenant).await.published, 0, "published again");
    sleep(Duration::from_secs(60)).await;
    server.set(7, at(50), 2);
    server.set(8, at(40), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_former_release_published_without_alerts_is_published_once_they_come() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    recorded_by_a_former_release(&world);
    for seen in world.ledger.seen.lock().values_mut() {
        seen.whole = false;
    }
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    assert_eq!(sweep(&world, &tenant).await.published, 0);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_is_asked_for_outlines_only_of_incidents_that_are_published_again() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    for id in 1..=50 {
        server.set(id, at(50), 1);
    }
    assert_eq!(sweep(&world, &tenant).await.published, 50);
    assert_eq!(sweep(&world, &tenant).await.published, 0);
    let read = || world.ledger.outlines_read.load(Ordering::SeqCst);
    assert_eq!((read(), world.ledger.outlines.lock().len()), (0, 50));
    server.set(7, at(40), 2);
    server.set(60, at(30), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 2);
    assert_eq!((read(), world.ledger.outlines.lock().len()), (1, 51));
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_alternates_between_two_forms_is_published_twice() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let mut published = Vec::new();
    for pass in 0..10 {
        server.set(1, at(50), 1 + pass % 2);
        published.push(sweep(&world, &tenant).await.published);
    }
    assert_eq!(published, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    // When the last update moves, both forms are news again.
    for (form, expected) in [(1, 1), (2, 1), (1, 0), (2, 0)] {
        server.set(1, at(40), form);
        assert_eq!(sweep(&world, &tenant).await.published, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_goes_round_several_forms_is_published_once_in_each() {
    for forms in [3, 4, Forms::MOST as u32] {
        let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
        let tenant = world.tenant(1, &server, 100);
        for pass in 0..4 * forms {
            server.set(1, at(50), 1 + pass % forms);
            let published = sweep(&world, &tenant).await.published;
            assert_eq!(
                published,
                u64::from(pass < forms),
                "pass {pass} of {forms} forms"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_forms_in_one_page_are_published_once_each() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let form = |content| format!(r#"{{"id":1,"at":"{}","content":{content}}}"#, at(50));
    let page = [1, 2, 1, 2, 1].map(form).join(",");
    for expected in [2, 0] {
        let both = Fault::Garbage(page.clone().leak());
        server.faults.pages.lock().push(both);
        assert_eq!(sweep(&world, &tenant).await.published, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incident_is_published_byte_by_byte_whatever_is_in_it() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let values = [
        r#""mail from \ud83d""#,
        "1e400",
        &deep,
        "\"a\tb\"",
        r#""\x""#,
    ];
    let elements: Vec<_> = (1..)
        .zip(values)
        .map(|(id, value)| {
            format!(
                r#"{{"id":{id},"at":"{}","content":{value},"x":{value}}}"#,
                at(50)
            )
        })
        .collect();
    for expected in [values.len() as u64, 0] {
        let page = Fault::Garbage(elements.join(",").leak());
        server.faults.pages.lock().push(page);
        assert_eq!(sweep(&world, &tenant).await.published, expected);
    }
    assert_eq!(world.topic.values("incidents"), elements);
    assert_eq!(world.topic.values("dead"), [""; 0]);
}
