//! Back-fill beside live polling, within Microsoft's quotas.

use std::collections::VecDeque;

use super::*;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Interval;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::runtime::fakes::START;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

/// An API that enforces its quotas, with `daily` incidents a day for `days` before the start.
fn history(days: u32, daily: u32) -> Arc<Server> {
    history_at(SourceKind::Defender, days, daily)
}

fn history_at(api: SourceKind, days: u32, daily: u32) -> Arc<Server> {
    let server = Server::of(api, Order::NewestFirst, None);
    *server.faults.delay.lock() = Duration::from_millis(300);
    let count = days * daily;
    for n in 1..=count {
        server.set(u64::from(n), START.minus(DAY / daily * n), 1);
    }
    *server.faults.quota.lock() = Some(VecDeque::new());
    server
}

/// Adds an incident that is updated now.
fn appear(world: &World, server: &Server, id: u64) -> Ticks {
    let now = world.sweeper.clock.now();
    *server.now.lock() = now;
    server.set(id, now, 1);
    now
}

fn published(world: &World) -> usize {
    world.topic.records.lock().len()
}

fn throttled(servers: &[Arc<Server>]) -> u32 {
    servers
        .iter()
        .map(|server| server.traffic.throttled.load(Ordering::SeqCst))
        .sum()
}

#[tokio::test(start_paused = true)]
async fn thirty_days_of_two_hundred_a_day_arrive_without_a_429_and_live_changes_within_two_periods()
{
    let (world, server) = (World::new(1 << 20), history(30, 200));
    let tenant = world.tenant_ruled(1, &server, |rules| {
        rules.lookback = 30 * DAY + HOUR;
        rules.reach.requests_per_minute = 25;
    });
    let rig = Rig::start(&world, &[tenant], 8);
    let mut late = Vec::new();
    let mut periods = 0_u32;
    while periods < 4 || rig.board.tenants()[0].backfill.is_some() {
        let id = 1_000_000 + u64::from(periods);
        appear(&world, &server, id);
        let before = Instant::now();
        rig.fire(1).await;
        let key = format!("/{id}");
        let arrived = || {
            world
                .topic
                .records
                .lock()
                .iter()
                .any(|record| record.key.ends_with(&key))
        };
        while !arrived() {
            sleep(Duration::from_millis(100)).await;
            assert!(before.elapsed() < 3 * PERIOD, "{id} never arrived");
        }
        late.push(before.elapsed());
        periods += 1;
        assert!(periods < 200, "the back-fill never ends");
    }
    let latest = late.iter().max().expect("some");
    assert!(*latest <= 2 * PERIOD, "{latest:?}");
    assert_eq!(published(&world), 6000 + periods as usize);
    assert_eq!(throttled(std::slice::from_ref(&server)), 0);
    eprintln!(
        "30 days x 200: {periods} periods of 30 s, {} requests, 0 x 429; live changes after {:.1} s at most",
        asks(&server),
        latest.as_secs_f64()
    );
}

#[tokio::test(start_paused = true)]
async fn a_day_of_twenty_tenants_with_restarts_sees_no_429() {
    a_day_within_the_quotas(SourceKind::Defender, 25).await;
}

#[tokio::test(start_paused = true)]
async fn nor_does_a_day_of_twenty_tenants_at_graph() {
    a_day_within_the_quotas(SourceKind::Graph, 75).await;
}

async fn a_day_within_the_quotas(api: SourceKind, requests_per_minute: u32) {
    let mut world = World::new(1 << 20);
    let servers: Vec<_> = (0..20)
        .map(|n| history_at(api, if n < 2 { 30 } else { 1 }, 40))
        .collect();
    let start = |world: &World| {
        let tenants: Vec<_> = (1..)
            .zip(&servers)
            .map(|(n, server)| {
                world.tenant_ruled(n, server, |rules| {
                    rules.lookback = 30 * DAY + HOUR;
                    rules.reach.requests_per_minute = requests_per_minute;
                })
            })
            .collect();
        Rig::start(world, &tenants, 8)
    };
    let began = Instant::now();
    let (mut created, mut restarts) = (0_u64, 0_u64);
    while began.elapsed() < DAY {
        let rig = start(&world);
        // The daemon dies in the middle of its work, sometimes many times in a row.
        let lives = if restarts % 8 < 4 {
            Duration::from_secs(45)
        } else {
            6 * HOUR
        };
        let born = Instant::now();
        while born.elapsed() < lives {
            let server = &servers[(created % 20) as usize];
            created += 1;
            appear(&world, server, 1_000_000 + created);
            rig.fire(1).await;
        }
        world.restart();
        let _ = rig.dispatcher.await;
        restarts += 1;
    }
    let rig = start(&world);
    rig.fire(4).await;
    let asked: u32 = servers.iter().map(|server| asks(server)).sum();
    assert_eq!(throttled(&servers), 0, "of {asked} requests");
    let expected = 2 * 1200 + 18 * 40 + created as usize;
    assert_eq!(published(&world), expected, "of {restarts} lives");
    eprintln!("a day of {api:?}, 20 tenants, {restarts} restarts: {asked} requests, 0 x 429");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_backlog_is_asked_for_shows_before_the_next_live_sweep() {
    let (world, server) = (World::new(1 << 20), history(30, 200));
    let tenant = world.tenant_ruled(1, &server, |rules| rules.lookback = 30 * DAY);
    let rig = Rig::start(&world, &[tenant], 8);
    rig.command(firing());
    while rig.board.tenants()[0].backfill.is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    let refusal = Failure::new(Health::Throttled, Reaction::Wait(HOUR), "429", "wait");
    let refusal = refusal.with_status(429);
    server.faults.pages.lock().push(Fault::Refuse(refusal));
    let before = Instant::now();
    while rig.health("tenant-1") != Health::Throttled {
        sleep(Duration::from_millis(100)).await;
        assert!(before.elapsed() < PERIOD, "nothing is reported");
    }
    let asked = asks(&server);
    rig.fire(20).await;
    assert_eq!(rig.health("tenant-1"), Health::Throttled);
    assert_eq!(asks(&server), asked, "asked within the pause");
    sleep(HOUR).await;
    rig.fire(10).await;
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_taken_out_and_put_back_does_not_spend_its_quota_twice() {
    let (world, server) = (World::new(1 << 20), history(30, 200));
    let make = || {
        world.tenant_ruled(1, &server, |rules| {
            rules.lookback = 30 * DAY;
            rules.page_size = 4;
            rules.reach.requests_per_minute = 25;
        })
    };
    let rig = Rig::start(&world, &[make()], 8);
    rig.fire(125).await;
    for _ in 0..6 {
        rig.reload(&[]);
        sleep(Duration::from_secs(5)).await;
        rig.reload(&[make()]);
        rig.fire(2).await;
    }
    let asked = server.traffic.asks.load(Ordering::SeqCst);
    assert!(asked > 1_500, "the quota was not near: {asked}");
    assert_eq!(throttled(std::slice::from_ref(&server)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_hangs_until_each_live_sweep_is_found_out_and_all_others_are_read() {
    let (world, server) = (World::new(1 << 20), history(1, 200));
    server.unreadable.hang.lock().insert(100);
    let tenant = world.tenant_of_budget(&server, 20, 25);
    let mut state = TenantState::first(START, Duration::ZERO);
    let unread = Interval::unread(START.minus(2 * DAY), START);
    state.backlog.open(unread);
    let states = &world.ledger.states;
    states.lock().insert(tenant.id, state);
    Rig::start(&world, &[tenant], 8).fire(40).await;
    assert_eq!(published(&world), 199);
}
