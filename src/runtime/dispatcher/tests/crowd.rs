//! Many tenants with a backlog at once, and few permits.

use super::*;
use crate::core::sweep::backlog::Interval;
use crate::core::sweep::cursor::TenantState;
use crate::runtime::fakes::START;

const HOUR: Duration = Duration::from_secs(3600);
/// Incidents of each tenant's backlog: four to five pages of ten.
const EACH: u64 = 40;
/// How much later than its place in the period a live sweep may start.
const LATE: Duration = Duration::from_secs(8);

/// A tenant with a backlog of a few pages. Its server answers after `latency`.
fn behind(world: &World, n: u16, latency: Duration) -> (Arc<Tenant>, Arc<Server>) {
    let server = Server::new(Order::NewestFirst, None);
    *server.faults.delay.lock() = latency;
    for id in 1..=EACH {
        let ago = Duration::from_secs(7200 + id * 90);
        server.set(id, START.minus(ago), 1);
    }
    let tenant = world.tenant_of_many(n, &server, 10);
    let unread = Interval::unread(START.minus(10 * HOUR), START.minus(HOUR));
    let state = TenantState {
        start: START.minus(10 * HOUR),
        cursor: START,
        reconciled: START,
        backlog: [unread].into_iter().collect(),
        paused: None,
    };
    let states = &world.ledger.states;
    states.lock().insert(tenant.id, state);
    (tenant, server)
}

/// All tenants have a backlog. Returns the periods until none has one. Each tenant is polled live in each period.
async fn periods_until_all_is_read(tenants: u16, concurrent: usize, latency: Duration) -> u32 {
    let world = World::new(64 << 20);
    let (fleet, servers): (Vec<_>, Vec<_>) =
        (0..tenants).map(|n| behind(&world, n, latency)).unzip();
    let rig = Rig::start(&world, &fleet, concurrent);
    for period in 1..=100 {
        rig.fire(1).await;
        // The first turns of a large fleet take longer than a period.
        if period > 5 {
            let oldest = longest_unpolled(&world, &rig);
            assert!(
                oldest < PERIOD + LATE,
                "not polled for {oldest:?} in period {period}"
            );
        }
        if rig
            .board
            .tenants()
            .iter()
            .all(|tenant| tenant.backfill.is_none() && tenant.state == Health::Ok)
        {
            let published = world.topic.records.lock().len();
            assert_eq!(published, fleet.len() * EACH as usize);
            let asked: u32 = servers.iter().map(|server| asks(server)).sum();
            let missed = world.counts.missed.lock();
            eprintln!(
                "{tenants} tenants behind, {concurrent} permits, {latency:?}: {period} periods, {asked} requests, {missed} turns missed"
            );
            return period;
        }
    }
    panic!("{} published", world.topic.records.lock().len());
}

fn longest_unpolled(world: &World, rig: &Rig) -> Duration {
    let (now, tenants) = (world.sweeper.clock.now(), rig.board.tenants());
    let polled = tenants.iter().filter_map(|tenant| tenant.last_success);
    polled.map(|at| now.since(at)).max().expect("some")
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_is_behind_reads_all_of_it_beside_live_polling() {
    let periods = periods_until_all_is_read(60, 8, Duration::from_millis(1500)).await;
    assert!(periods <= 10, "{periods}");
}

#[tokio::test(start_paused = true)]
async fn so_does_a_large_one_at_a_slow_server() {
    let periods = periods_until_all_is_read(1000, 64, Duration::from_millis(2500)).await;
    assert!(periods <= 30, "{periods}");
}

#[tokio::test(start_paused = true)]
async fn tenants_that_were_reconciled_together_are_so_at_unlike_times_from_then_on() {
    let world = World::new(1 << 20);
    let (fleet, _servers): (Vec<_>, Vec<_>) =
        (0..200).map(|n| behind(&world, n, Duration::ZERO)).unzip();
    let rig = Rig::start(&world, &fleet, 8);
    let reconciled = || {
        let states = world.ledger.states.lock();
        let again = states.values().filter(|state| state.reconciled > START);
        again.count()
    };
    let mut begun = Vec::new();
    sleep(HOUR * 5).await;
    for _ in 0..=120 {
        let before = reconciled();
        rig.fire(1).await;
        begun.push(reconciled() - before);
    }
    let most = begun.iter().max().expect("some");
    assert!(*most <= 10, "{most} of 200 in one period");
    assert!(reconciled() > 195, "{}", reconciled());
}
