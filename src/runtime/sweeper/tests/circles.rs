//! Lists that come to no end.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::core::reading::Shape;
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody};

/// Each of its pages shows the same incident, and leads on as `leads` says.
struct Circling {
    server: Arc<Server>,
    leads: fn(u32) -> Option<u32>,
}

struct Whole(Option<Bytes>);

impl PageBody for Whole {
    fn date(&self) -> Option<Ticks> {
        Some(START)
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        std::future::ready(Ok(self.0.take())).boxed()
    }
}

impl IncidentSource for Circling {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn shape(&self) -> &'static Shape {
        self.server.shape()
    }

    fn max_response(&self) -> usize {
        1 << 20
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        _: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        let page = match ask {
            PageAsk::Link(page) => page.parse().expect("a number"),
            _ => 0,
        };
        let link = (self.leads)(page)
            .map(|next| format!(",\"@odata.nextLink\":\"{next}\""))
            .unwrap_or_default();
        let text = format!("{{\"value\":[{{\"id\":1,\"at\":\"{}\"}}]{link}}}", at(60));
        std::future::ready(Ok(Box::new(Whole(Some(text.into()))) as Box<dyn PageBody>)).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_leads_in_circles_again_and_again_is_told_of_and_its_incidents_are_published() {
    let circles: [fn(u32) -> Option<u32>; 3] = [
        |_| Some(1),
        |page| Some(page % 2 + 1),
        |page| Some(page + 1),
    ];
    for leads in circles {
        let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
        let tenant = world.tenant_made(1, &server, |parts| {
            let server = server.clone();
            parts.source = Arc::new(Circling { server, leads });
        });
        for _ in 0..2 {
            let swept = sweep(&world, &tenant).await;
            assert!(swept.halt.is_none() && !swept.caught_up, "{swept:?}");
        }
        let swept = sweep(&world, &tenant).await;
        match swept.halt {
            Some(Halt::HeldBack(why)) => assert!(why.to_string().contains("in circles"), "{why:?}"),
            other => panic!("not told: {other:?}"),
        }
        assert_eq!(published(&world).len(), 1);
    }
}
