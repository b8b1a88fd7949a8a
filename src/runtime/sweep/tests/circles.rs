//! Lists without an end.

use super::*;
use crate::ports::{IncidentSource, PageAsk};
use crate::runtime::fakes::Scripted;

/// Each page shows the same incident, and `leads` decides where it leads.
fn page(ask: &PageAsk, leads: fn(u32) -> Option<u32>) -> String {
    let page = match ask {
        PageAsk::Link(page) => page.parse().expect("a number"),
        _ => 0,
    };
    let link = leads(page)
        .map(|next| format!(",\"@odata.nextLink\":\"{next}\""))
        .unwrap_or_default();
    format!("{{\"value\":[{{\"id\":1,\"at\":\"{}\"}}]{link}}}", at(60))
}

#[tokio::test(start_paused = true)]
async fn a_list_that_leads_in_circles_again_and_again_is_reported_and_its_incidents_are_published()
{
    let circles: [fn(u32) -> Option<u32>; 3] = [
        |_| Some(1),
        |page| Some(page % 2 + 1),
        |page| Some(page + 1),
    ];
    for leads in circles {
        let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
        let tenant = world.tenant_made(1, &server, |parts| {
            parts.source = Arc::new(Scripted {
                shape: server.shape(),
                delay: Duration::ZERO,
                answer: Box::new(move |ask| page(ask, leads)),
            });
        });
        for _ in 0..2 {
            let outcome = sweep(&world, &tenant).await;
            assert!(outcome.halt.is_none() && !outcome.caught_up, "{outcome:?}");
        }
        let outcome = sweep(&world, &tenant).await;
        match outcome.halt {
            Some(Halt::HeldBack(why)) => assert!(why.to_string().contains("in circles"), "{why:?}"),
            other => panic!("not reported: {other:?}"),
        }
        assert_eq!(published(&world).len(), 1);
    }
}
