use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use tokio::time::sleep;
use tracing::subscriber::NoSubscriber;

use super::*;
use crate::core::health::failure::{Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::pace::budget::Budget;
use crate::core::sources::SourceKind;
use crate::core::sweep::pager::PageAsk;
use crate::core::time::ticks::Ticks;
use crate::ports::IncidentSource;
use crate::runtime::fakes::{Entra, Fault, Order, START, Scripted, Server, World};
use crate::runtime::limits::{Lane, Permits};

mod alone;
mod backlog;
mod beside;
mod circles;
mod dates;
mod filter;
mod floor;
mod letters;
mod links;
mod model;
mod moving;
mod shapes;
mod standstill;
mod troubles;
mod versions;

const ROOM: usize = 1 << 20;

fn at(seconds_ago: i64) -> Ticks {
    Ticks(START.0 - seconds_ago * 10_000_000)
}

async fn sweep(world: &World, tenant: &Tenant) -> SweepOutcome {
    let mut permit = Permits::new(1).take(Lane::Main).await;
    world.sweep(tenant, &mut permit).await
}

/// Reads the backlog for at most `within`, as between two sweeps.
async fn fill(world: &World, tenant: &Tenant, within: Duration) -> SweepOutcome {
    let mut permit = Permits::new(1).take(Lane::Backlog).await;
    let halt = world.sweeper.stop.child_token();
    let turn = halt.clone();
    let mut filling = std::pin::pin!(world.fill(tenant, &mut permit, halt));
    tokio::select! {
        outcome = &mut filling => return outcome,
        () = sleep(within) => turn.cancel(),
    }
    filling.await
}

fn failed(outcome: &SweepOutcome) -> &Failure {
    match &outcome.halt {
        Some(Halt::Failed(failure) | Halt::HeldBack(failure)) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// A tenant of a server that answers with `answer`.
fn scripted(
    world: &World,
    answer: impl Fn(&PageAsk) -> String + Send + Sync + 'static,
) -> Arc<Tenant> {
    let server = Server::of(SourceKind::Graph, Order::NewestFirst, None);
    world.tenant_made(1, &server, |parts| {
        parts.rules.page_size = 50;
        parts.source = Arc::new(Scripted {
            shape: server.shape(),
            delay: Duration::ZERO,
            answer: Box::new(answer),
        });
    })
}

/// The lines at warning level and above that were logged since this was made.
struct Warnings {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Warnings {
    fn new() -> Self {
        // With a single subscriber, a log line that another test's thread reaches first would be disabled for all.
        static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing::Dispatch::new(NoSubscriber::default()));
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || Lines(writer.clone()))
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn of(&self, what: &str) -> usize {
        let lines = self.lines.lock();
        String::from_utf8_lossy(&lines).matches(what).count()
    }
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn cursor(world: &World, tenant: &Tenant) -> Option<Ticks> {
    world
        .ledger
        .states
        .lock()
        .get(&tenant.id)
        .map(|state| state.cursor)
}

/// How often each version is on the topic.
fn published(world: &World) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for value in world.topic.values("incidents") {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn the_first_sweep_reads_the_lookback_and_the_second_publishes_nothing() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(3000), 1);
    server.set(2, at(100), 1);
    server.set(3, at(3601), 1);
    let outcome = sweep(&world, &tenant).await;
    assert_eq!(
        (outcome.published, outcome.late_found),
        (2, 0),
        "the one before the lookback is left"
    );
    assert_eq!(cursor(&world, &tenant), Some(at(100)));
    assert_eq!(sweep(&world, &tenant).await.published, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_shows_nothing_keeps_the_start_of_its_first_range() {
    let (world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    sweep(&world, &tenant).await;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    sweep(&world, &tenant).await;
    assert_eq!(cursor(&world, &tenant), Some(at(3600)));
    server.set(1, at(3000), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_halfway_is_published_and_the_cursor_stays() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    for id in 1..=40 {
        server.set(id, at(1000 - id as i64), 1);
    }
    server.faults.pages.lock().push(Fault::Cut(900));
    let outcome = sweep(&world, &tenant).await;
    assert_eq!(failed(&outcome).health, Health::Unreachable);
    assert!(
        outcome.published > 5 && outcome.published < 40,
        "{}",
        outcome.published
    );
    assert_eq!(cursor(&world, &tenant), Some(at(3600)));
    let rest = sweep(&world, &tenant).await;
    assert_eq!(outcome.published + rest.published, 40);
    assert!(published(&world).values().all(|count| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_answer_is_published_and_the_cursor_stays() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    server.set(2, at(40), 1);
    server.faults.pages.lock().push(Fault::Partial);
    let outcome = sweep(&world, &tenant).await;
    assert_eq!(
        (outcome.published, failed(&outcome).health),
        (1, Health::Unreachable)
    );
    assert_eq!(cursor(&world, &tenant), Some(at(3600)));
}

/// A tenant, and the Entra that grants its tokens.
fn with_entra() -> (World, Arc<Server>, Arc<Entra>, Arc<Tenant>) {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let entra = Arc::new(Entra::default());
    let tenant = world.tenant_with(1, &server, 100, &entra);
    (world, server, entra, tenant)
}

#[tokio::test(start_paused = true)]
async fn keys_that_the_api_does_not_know_cost_one_renewal_and_pass_by_themselves() {
    let (world, server, entra, tenant) = with_entra();
    server.set(1, at(50), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    let refusal = Failure::new(Health::Unreachable, Reaction::RenewToken, "401", "wait");
    *server.faults.pages.lock() = vec![Fault::Refuse(refusal.with_status(401)); 20];
    for _ in 0..10 {
        let outcome = sweep(&world, &tenant).await;
        let failure = failed(&outcome);
        assert_eq!(
            (failure.health, failure.reaction),
            (Health::Unreachable, Reaction::Backoff)
        );
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    assert_eq!(
        entra.requests.load(Ordering::SeqCst),
        2,
        "one token at first, and one renewal"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_and_the_same_page_read() {
    let (world, server, entra, tenant) = with_entra();
    server.set(1, at(50), 1);
    let refusal = Failure::new(
        Health::Misconfigured,
        Reaction::RenewToken,
        "401",
        "check the audience",
    )
    .with_status(401);
    server
        .faults
        .pages
        .lock()
        .push(Fault::Refuse(refusal.clone()));
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    assert_eq!(entra.requests.load(Ordering::SeqCst), 2);
    *server.faults.pages.lock() = vec![Fault::Refuse(refusal.clone()), Fault::Refuse(refusal)];
    assert_eq!(
        failed(&sweep(&world, &tenant).await).health,
        Health::Misconfigured
    );
    assert_eq!(
        entra.requests.load(Ordering::SeqCst),
        3,
        "renewed more than once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_without_the_permission_is_not_used_again() {
    let (world, server, entra, tenant) = with_entra();
    let refusal =
        Failure::new(Health::Consent, Reaction::Slow, "403", "grant the role").with_status(403);
    server.faults.pages.lock().push(Fault::Refuse(refusal));
    assert_eq!(
        failed(&sweep(&world, &tenant).await).health,
        Health::Consent
    );
    assert!(sweep(&world, &tenant).await.halt.is_none());
    assert_eq!(entra.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_incident_is_a_dead_letter_once_and_its_neighbours_pass() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    for _ in 0..3 {
        server
            .faults
            .pages
            .lock()
            .push(Fault::Garbage(r#"{"id":"seven"}"#));
        assert!(sweep(&world, &tenant).await.halt.is_none());
    }
    assert_eq!(world.topic.values("incidents").len(), 1);
    assert_eq!(world.topic.values("dead"), [r#"{"id":"seven"}"#]);
    assert_eq!(cursor(&world, &tenant), Some(at(50)));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_incident_that_one_sweep_reads_twice_is_one_dead_letter() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server
        .faults
        .pages
        .lock()
        .push(Fault::Garbage(r#"{"id":"seven"},{"id":"seven"}"#));
    assert!(sweep(&world, &tenant).await.halt.is_none());
    assert_eq!(world.topic.values("dead"), [r#"{"id":"seven"}"#]);
}

#[tokio::test(start_paused = true)]
async fn neither_ledger_nor_cursor_moves_before_kafka_acknowledges() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    world.topic.away.send_replace(true);
    let mut waiting = Box::pin(sweep(&world, &tenant));
    tokio::select! {
        _ = &mut waiting => panic!("did not wait for Kafka"),
        () = sleep(Duration::from_secs(3600)) => {}
    }
    assert_eq!(cursor(&world, &tenant), Some(at(3600)));
    assert!(world.ledger.seen.lock().is_empty());
    world.topic.away.send_replace(false);
    assert_eq!(waiting.await.published, 1);
    assert_eq!(cursor(&world, &tenant), Some(at(50)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_holds_the_cursor_and_repeats_none_of_its_neighbours() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    for id in 1..=250 {
        server.set(id, at(50), id as u32);
    }
    *world.topic.refused.lock() = Some("\"content\":7}");
    for pass in 0..3 {
        let outcome = sweep(&world, &tenant).await;
        assert_eq!(failed(&outcome).health, Health::Misconfigured);
        assert_eq!(outcome.published, if pass == 0 { 249 } else { 0 });
        assert_eq!(cursor(&world, &tenant), Some(at(3600)));
    }
    *world.topic.refused.lock() = None;
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    assert!(published(&world).values().all(|count| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_publishing_and_repeats_nothing() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let (first, second) = (world.tenant(1, &server, 100), world.tenant(2, &server, 100));
    sweep(&world, &first).await;
    sweep(&world, &second).await;
    server.set(1, at(50), 1);
    world.ledger.full.store(true, Ordering::SeqCst);
    let sweeps = async {
        tokio::join!(sweep(&world, &first), async {
            sleep(Duration::from_secs(1)).await;
            sweep(&world, &second).await
        })
    };
    let mut sweeps = Box::pin(sweeps);
    tokio::select! {
        _ = &mut sweeps => panic!("did not wait for the disk"),
        () = sleep(Duration::from_secs(600)) => {}
    }
    assert_eq!(
        world.topic.values("incidents").len(),
        1,
        "published what could not be recorded"
    );
    world.ledger.full.store(false, Ordering::SeqCst);
    let (a, b) = sweeps.await;
    assert_eq!((a.published, b.published), (1, 1));
    assert_eq!(world.topic.values("incidents").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_kafka_is_away_bytes_stay_within_the_budget() {
    let world = World::new(20_000);
    let server = Server::new(Order::OldestFirst, None);
    for id in 1..=500 {
        server.set(id, at(50), 1);
    }
    world.topic.away.send_replace(true);
    let permits = Permits::new(3);
    let tenants: Vec<_> = (1..=30).map(|n| world.tenant(n, &server, 100)).collect();
    let sweeps = tenants.iter().map(|tenant| async {
        let mut permit = permits.take(Lane::Main).await;
        world.sweep(tenant, &mut permit).await
    });
    let all = futures_util::future::join_all(sweeps);
    let mut all = Box::pin(all);
    for _ in 0..600 {
        tokio::select! {
            _ = &mut all => panic!("did not wait for Kafka"),
            () = sleep(Duration::from_secs(1)) => {}
        }
        // One sweep may exceed the limit by a page. A page is about 6 KB here, and 51 KB with the cost of its records.
        assert!(
            world.sweeper.bytes.used() < 20_000 + 80_000,
            "{}",
            world.sweeper.bytes.used()
        );
    }
    world.topic.away.send_replace(false);
    let outcome = all.await;
    assert!(
        outcome
            .iter()
            .all(|outcome| outcome.published == 500 && outcome.halt.is_none())
    );
    assert_eq!(world.sweeper.bytes.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_hanging_sweep_at_once_and_moves_nothing() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    *server.faults.delay.lock() = Duration::from_secs(1_000_000);
    let hanging = sweep(&world, &tenant);
    let stop = async {
        sleep(Duration::from_secs(5)).await;
        world.sweeper.stop.cancel();
    };
    let before = Instant::now();
    let (outcome, ()) = tokio::join!(hanging, stop);
    assert!(
        matches!(outcome.halt, Some(Halt::Stopped)),
        "{:?}",
        outcome.halt
    );
    assert_eq!(before.elapsed().as_secs(), 5);
    assert_eq!(cursor(&world, &tenant), Some(at(3600)));
}

#[tokio::test(start_paused = true)]
async fn an_older_reading_is_dropped_and_counted() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 2);
    sweep(&world, &tenant).await;
    server.set(1, at(60), 1);
    assert_eq!(sweep(&world, &tenant).await.published, 0);
    assert_eq!(*world.counts.stale.lock(), 1);
}

#[tokio::test(start_paused = true)]
async fn sweeps_never_spend_more_than_the_budget() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    world.memory(&tenant, |memory| {
        memory.pace.budget = Budget::new(25, Duration::ZERO)
    });
    let sweeps = async {
        loop {
            sweep(&world, &tenant).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(3600), sweeps).await;
    let asks = server.traffic.asks.load(Ordering::SeqCst);
    assert!((1400..=1500).contains(&asks), "{asks} requests in an hour");
}
