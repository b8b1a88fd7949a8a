//! Tenants that want the same bytes.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::core::reading::Shape;
use crate::core::ticks::Ticks;
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody};
use crate::runtime::fakes::START;

/// A server of fifty large incidents, the alerts of each on two hundred further pages.
struct Endless(Arc<Server>);

struct Whole(Option<Bytes>);

impl PageBody for Whole {
    fn date(&self) -> Option<Ticks> {
        Some(START)
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        std::future::ready(Ok(self.0.take())).boxed()
    }
}

impl Endless {
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

    fn alerts(page: u32) -> String {
        let next = page + 1;
        format!("{{\"value\":[{{}}],\"@odata.nextLink\":\"{next}\"}}")
    }
}

impl IncidentSource for Endless {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn shape(&self) -> &'static Shape {
        self.0.shape()
    }

    fn max_response(&self) -> usize {
        1 << 20
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        _: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        async move {
            sleep(Duration::from_millis(300)).await;
            let text = match ask {
                PageAsk::Link(page) => Self::alerts(page.parse().expect("a number")),
                _ => Self::list(),
            };
            Ok(Box::new(Whole(Some(text.into()))) as Box<dyn PageBody>)
        }
        .boxed()
    }
}

/// How long it takes at most until a healthy tenant's incident is published, beside one whose alerts have no end.
async fn latest_beside_one_without_end(requests_per_minute: u32) -> Duration {
    let world = World::new(100_000);
    let (server, healthy) = (
        Server::new(Order::NewestFirst, None),
        Server::new(Order::NewestFirst, None),
    );
    let endless = world.tenant_made(1, &server, |parts| {
        parts.source = Arc::new(Endless(server.clone()));
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
        *healthy.now.lock().expect("lock") = now;
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
