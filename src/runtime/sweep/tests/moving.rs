//! A tenant that moves from one API to the other with its ledger.

use super::*;

/// The same incidents in the other API: with other words, and with instants cut to milliseconds.
fn other_api(of: &Server, api: SourceKind) -> Arc<Server> {
    let other = Server::of(api, Order::NewestFirst, None);
    for (id, (at, content)) in of.incidents.lock().iter() {
        let at = if api == SourceKind::Graph {
            at / 10_000 * 10_000
        } else {
            *at
        };
        other.set(*id, Ticks(at), content + 100);
    }
    other
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_moves_publishes_nothing_again_loses_nothing_and_goes_on_with_later_changes()
{
    for (from, to) in [
        (SourceKind::Defender, SourceKind::Graph),
        (SourceKind::Graph, SourceKind::Defender),
    ] {
        let (world, before) = (World::new(ROOM), Server::of(from, Order::NewestFirst, None));
        for id in 1..=150 {
            before.set(id, Ticks(at(700).0 + id as i64 * 33_333_333), 1);
        }
        let tenant = world.tenant(1, &before, 50);
        sweep(&world, &tenant).await;
        fill(&world, &tenant, Duration::from_secs(3600)).await;
        assert_eq!(published(&world).len(), 150);

        before.set(7, at(30), 2);
        before.set(151, at(20), 1);
        let after = other_api(&before, to);
        let moved = world.tenant(1, &after, 50);
        let outcome = sweep(&world, &moved).await;
        let filled = fill(&world, &moved, Duration::from_secs(3600)).await;
        assert_eq!(
            outcome.published + filled.published,
            2,
            "{from:?} to {to:?}: what changed meanwhile"
        );
        assert_eq!(sweep(&world, &moved).await.published, 0);

        sleep(Duration::from_secs(1)).await;
        after.set(8, at(10), 200);
        let (tick, content) = after.incidents.lock()[&9];
        after.set(9, Ticks(tick), content + 1);
        assert_eq!(
            sweep(&world, &moved).await.published,
            2,
            "{from:?} to {to:?}: a change, and one in alerts only"
        );
        assert_eq!(sweep(&world, &moved).await.published, 0);
    }
}
