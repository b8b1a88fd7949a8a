//! Tenants that compete for the same bytes.

use super::*;
use crate::ports::{IncidentSource, PageAsk};
use crate::runtime::fakes::{START, Scripted};

/// Fifty large incidents.
fn list() -> String {
    let padding = "x".repeat(3000);
    let incident = |id: u32| {
        let at = START.minus(Duration::from_secs(u64::from(id)));
        format!(
            "{{\"id\":{id},\"at\":\"{at}\",\"x\":\"{padding}\",\"alerts\":[],\"alerts@odata.nextLink\":\"1\"}}"
        )
    };
    let incidents: Vec<_> = (1..=50).map(incident).collect();
    format!("{{\"value\":[{}]}}", incidents.join(","))
}

/// Their alerts, on endless pages.
fn alerts(page: u32) -> String {
    let next = page + 1;
    format!("{{\"value\":[{{}}],\"@odata.nextLink\":\"{next}\"}}")
}

/// The longest time until a healthy tenant's incident is published, beside a tenant whose alerts have no end.
async fn latest_beside_one_without_end(requests_per_minute: u32) -> Duration {
    let world = World::new(100_000);
    let (server, healthy) = (
        Server::new(Order::NewestFirst, None),
        Server::new(Order::NewestFirst, None),
    );
    let endless = world.tenant_made(1, &server, |parts| {
        parts.source = Arc::new(Scripted {
            shape: server.shape(),
            delay: Duration::from_millis(300),
            answer: Box::new(|ask| match ask {
                PageAsk::Link(page) => alerts(page.parse().expect("a number")),
                _ => list(),
            }),
        });
        parts.rules.reach.requests_per_minute = requests_per_minute;
    });
    let rig = Rig::start(&world, &[endless, world.tenant(2, &healthy, 100)], 8);
    let published = |endless: bool| {
        let values = world.topic.values("incidents").into_iter();
        values
            .filter(|value| value.contains("\"x\":") == endless)
            .count() as u64
    };
    let mut latest = Duration::ZERO;
    for id in 1..=40 {
        let now = world.sweeper.clock.now();
        *healthy.now.lock() = now;
        healthy.set(id, now, 1);
        let appeared = Instant::now();
        rig.fire(1).await;
        while published(false) < id && latest < PERIOD * 10 {
            sleep(Duration::from_millis(100)).await;
            latest = latest.max(appeared.elapsed());
        }
    }
    assert_eq!(published(true), 50, "those without end are published too");
    latest
}

#[tokio::test(start_paused = true)]
async fn alerts_without_end_hold_no_bytes_that_others_wait_for() {
    let latest = latest_beside_one_without_end(75).await;
    assert!(latest < PERIOD + Duration::from_secs(10), "{latest:?}");
}

#[tokio::test(start_paused = true)]
async fn nor_do_those_that_come_fast() {
    let latest = latest_beside_one_without_end(100_000).await;
    assert!(latest < PERIOD + Duration::from_secs(10), "{latest:?}");
}
