//! An API that refuses repeatedly.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn refusal(status: u16, health: Health, asked: u64) -> Failure {
    let pause = Reaction::Wait(Duration::from_secs(asked));
    Failure::new(health, pause, status.to_string(), "wait").with_status(status)
}

/// How many requests a tenant makes in each of the next `minutes`.
async fn per_minute(server: &Server, minutes: u32) -> Vec<u32> {
    let mut counts = Vec::new();
    for _ in 0..minutes {
        let before = asks(server);
        sleep(MINUTE).await;
        counts.push(asks(server) - before);
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn whatever_pause_is_asked_for_a_dozen_requests_are_made_in_the_first_minute_and_fewer_later()
{
    for (status, health) in [(429, Health::Throttled), (503, Health::Unreachable)] {
        for asked in [0, 1, 2, 60] {
            let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
            let refusal = refusal(status, health, asked);
            *server.faults.pages.lock() = vec![Fault::Refuse(refusal); 10_000];
            let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
            sleep(Duration::from_secs(5)).await;
            let counts = per_minute(&server, 20).await;
            assert!(counts[0] <= 12, "{status} with {asked} s: {counts:?}");
            let later = &counts[2..];
            assert!(
                later.iter().all(|count| *count <= 2),
                "{status} with {asked} s: {counts:?}"
            );
            assert_eq!(rig.board.tenants()[0].state, health, "{asked}");
            server.faults.pages.lock().clear();
            rig.fire(25).await;
            assert_eq!(
                rig.board.tenants()[0].state,
                Health::Ok,
                "{status} with {asked} s is over"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_served_now_and_then_does_not_bring_the_rush_back() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let refusal = refusal(429, Health::Throttled, 1);
    let turns = [
        Fault::Fine,
        Fault::Refuse(refusal.clone()),
        Fault::Refuse(refusal),
    ];
    *server.faults.pages.lock() = turns.iter().cycle().take(9_999).cloned().collect();
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    sleep(Duration::from_secs(5)).await;
    let mut counts = Vec::new();
    for _ in 0..40 {
        let before = asks(&server);
        rig.fire(2).await;
        counts.push(asks(&server) - before);
    }
    assert!(counts[0] <= 12, "{counts:?}");
    let later: u32 = counts[20..].iter().sum();
    assert!(later <= 40, "two a minute at most: {counts:?}");
}
