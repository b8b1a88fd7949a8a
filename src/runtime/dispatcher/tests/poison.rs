//! Many unreadable incidents among readable ones.

use super::*;
use crate::core::sources::SourceKind;
use crate::runtime::fakes::START;

const HOUR: Duration = Duration::from_secs(3600);

/// 400 incidents, one every ten seconds. Every third of the newest can't be returned.
fn poisoned(api: SourceKind, count: u64) -> Arc<Server> {
    let server = Server::of(api, Order::NewestFirst, None);
    *server.faults.delay.lock() = Duration::from_millis(300);
    for n in 1..=400_u32 {
        server.set(u64::from(n), START.minus(Duration::from_secs(10) * n), 1);
    }
    let poison = (0..count).map(|n| 3 + 3 * n);
    server.unreadable.poison.lock().extend(poison);
    server
}

#[tokio::test(start_paused = true)]
async fn a_hundred_incidents_that_cannot_be_read_keep_no_other_from_being_read() {
    // Graph lists them without their alerts. Defender can't list them at all.
    for (api, page_size, budget, all) in [
        (SourceKind::Graph, 50, 75, 400),
        (SourceKind::Defender, 100, 25, 300),
    ] {
        let world = World::new(1 << 20);
        let server = poisoned(api, 100);
        let tenant = world.tenant_ruled(1, &server, |rules| {
            rules.lookback = 2 * HOUR;
            rules.page_size = page_size;
            rules.reach.requests_per_minute = budget;
        });
        let rig = Rig::start(&world, &[tenant], 8);
        rig.fire(150).await;
        let published = world.topic.records.lock().len();
        assert_eq!(published, all, "{api:?}: records after 75 minutes");
        rig.stop.cancel();
    }
}
