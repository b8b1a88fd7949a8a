//! What the status page shows of what a tenant did.

use super::*;
use crate::core::health::activity::{EventKind, HOURS, MOST_EVENTS};
use crate::core::health::fleet_view::FleetQuery;
use crate::core::health::status::{
    ConfigurationState, ConfigurationStatus, PartStatus, RunState, StatusReport,
};
use crate::core::time::ticks::Ticks;
use crate::runtime::fakes::START;

/// Of a daemon that is well.
fn report() -> StatusReport {
    StatusReport {
        version: "",
        started: START,
        state: RunState::Running,
        configuration: ConfigurationStatus {
            state: ConfigurationState::Ok,
            loaded: START,
            restart_needed: vec![],
            error: None,
        },
        alarms: vec![],
        tenants: vec![],
        kafka: PartStatus::OK,
        ledger: PartStatus::OK,
        ownership: None,
    }
}

fn kinds(board: &Board, tenant: &Tenant) -> Vec<(EventKind, u32)> {
    let details = board.details(tenant.id).expect("it is read here");
    let events = details.events.iter();
    events.map(|event| (event.kind, event.times)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tenants_events_are_its_changes_its_failures_and_its_reloads() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(2).await;
    let refused = Failure::new(Health::Consent, Reaction::Soon, "no role", "consent");
    *server.faults.pages.lock() = vec![Fault::Refuse(refused); 2];
    rig.fire(5).await;
    rig.reload(&[world.tenant_made(1, &server, |parts| parts.rules.page_size = 50)]);
    rig.fire(1).await;
    assert_eq!(
        kinds(&rig.board, &tenant),
        [
            (EventKind::Joined, 1),
            (EventKind::FirstSuccess, 1),
            (EventKind::Changed(Health::Consent), 1),
            (EventKind::SweepFailed, 1),
            (EventKind::Changed(Health::Ok), 1),
            (EventKind::NewSettings, 1),
        ]
    );
    let stranger = world.tenant(2, &server, 100);
    assert!(rig.board.details(stranger.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn published_records_are_counted_in_the_hour_in_which_the_sweep_ended() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    for n in 1..=7_u64 {
        server.set(n, Ticks(START.0 - 10_000_000 * n as i64), 1);
    }
    let tenants = [world.tenant(1, &server, 100), world.tenant(2, &server, 100)];
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(2).await;
    let view = || {
        rig.board
            .view(report(), &FleetQuery::new("tenant-1", None, 1))
    };
    let now = view();
    assert_eq!(now.hours.iter().sum::<u64>(), 14, "of both");
    assert_eq!(now.tenants.len(), 1, "of which one was asked for");
    let shown = &now.tenants[0];
    assert_eq!(shown.hours[HOURS - 1], 7);
    let sweep = shown.last_sweep.expect("it was swept");
    assert!(!sweep.failed);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(view().tenants[0].hours[HOURS - 2..], [7, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_fails_for_ever_keeps_few_events() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let board = Board::new(std::slice::from_ref(&tenant), world.clock.clone());
    for n in 0..1000 {
        let what = format!("{n} {}", "x".repeat(1000));
        let failure = Failure::new(Health::Unreachable, Reaction::Backoff, what, "wait");
        let outcome = SweepOutcome {
            halt: Some(Halt::Failed(failure)),
            ..SweepOutcome::default()
        };
        board.note(tenant.id, Instant::now(), &outcome);
    }
    let kept = kinds(&board, &tenant).len();
    assert!((10..=MOST_EVENTS).contains(&kept), "{kept}");
}
