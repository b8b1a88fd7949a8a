use parking_lot::Mutex;
use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::*;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::time::schedule::Schedule;
use crate::runtime::fakes::{Entra, Fault, Order, Server, World};
use crate::runtime::health::board::Board;
use crate::runtime::health::topic::HealthTopic;
use crate::runtime::liveness::{Heartbeat, Liveness};

mod activity;
mod backfill;
mod clock;
mod command;
mod crowd;
mod disk;
mod memory;
mod overdue;
mod poison;
mod release;
mod reload;
mod restore;
mod throttled;

const PERIOD: Duration = Duration::from_secs(30);

/// A dispatcher for `tenants`. It gets a firing every 30 s, as from the scheduler.
struct Rig {
    board: Arc<Board>,
    stop: CancellationToken,
    dispatcher: tokio::task::JoinHandle<()>,
    commands: mpsc::Sender<DispatcherCommand>,
}

impl Rig {
    fn start(world: &World, tenants: &[Arc<Tenant>], concurrent: usize) -> Self {
        let sweeper = world.sweeper.clone();
        let board = Arc::new(Board::new(tenants, sweeper.clock.clone()));
        let stop = sweeper.stop.clone();
        let heartbeat = Liveness::default().part("dispatcher", PERIOD);
        let dispatcher = dispatcher(sweeper, concurrent, &board, heartbeat);
        let (commands, received) = mpsc::channel(1024);
        let drain = Duration::from_secs(20);
        let dispatcher = dispatcher.run(tenants.into(), received, stop.clone(), drain);
        Self {
            board,
            stop,
            dispatcher: tokio::spawn(dispatcher),
            commands,
        }
    }

    fn command(&self, command: DispatcherCommand) {
        let sent = self.commands.try_send(command);
        sent.expect("dispatcher is at work");
    }

    fn reload(&self, tenants: &[Arc<Tenant>]) {
        self.hand_over(tenants, Ownership::All);
    }

    fn hand_over(&self, tenants: &[Arc<Tenant>], ownership: Ownership) {
        let fleet = tenants.into();
        self.command(DispatcherCommand::Fleet { fleet, ownership });
    }

    async fn fire(&self, times: u32) {
        for _ in 0..times {
            self.command(firing());
            sleep(PERIOD).await;
        }
    }

    fn health(&self, name: &str) -> Health {
        let tenants = self.board.tenants();
        let found = tenants.iter().find(|tenant| &*tenant.name == name);
        found.expect("a tenant of that name").state
    }
}

fn dispatcher(
    sweeper: Sweeper,
    concurrent: usize,
    board: &Arc<Board>,
    heartbeat: Heartbeat,
) -> Dispatcher {
    let (topic, _) = HealthTopic::new();
    let reports = HealthReports::new(board.clone(), topic, sweeper.started);
    Dispatcher::new(sweeper, Permits::new(concurrent), reports, heartbeat)
}

/// This number of tenants, each with a server of its own.
fn many(world: &World, count: u8) -> (Vec<Arc<Server>>, Vec<Arc<Tenant>>) {
    let tenant = |n| {
        let server = Server::new(Order::NewestFirst, None);
        (server.clone(), world.tenant(n, &server, 100))
    };
    (1..=count).map(tenant).unzip()
}

fn firing() -> DispatcherCommand {
    DispatcherCommand::Fired("every 30s".parse().expect("schedule"))
}

fn asks(server: &Server) -> u32 {
    server.traffic.asks.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn every_tenant_is_swept_each_period_at_its_own_place() {
    let world = World::new(1 << 20);
    let (servers, tenants) = many(&world, 100);
    let rig = Rig::start(&world, &tenants, 4);
    sleep(PERIOD).await;
    let first: Vec<_> = servers.iter().map(|server| asks(server)).collect();
    assert!(
        first.iter().all(|asks| *asks == 1),
        "the first turns came not at once: {first:?}"
    );
    for period in 2..6 {
        rig.command(firing());
        sleep(PERIOD / 2).await;
        let asked = servers
            .iter()
            .filter(|server| asks(server) == period)
            .count();
        assert!(
            (25..75).contains(&asked),
            "{asked} of 100 in the first half of the period"
        );
        sleep(PERIOD / 2).await;
        assert!(servers.iter().all(|server| asks(server) == period));
    }
    assert_eq!(*world.counts.missed.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_never_overlaps_itself_and_the_turns_it_misses_are_counted() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    *server.faults.delay.lock() = Duration::from_secs(100);
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(20).await;
    assert_eq!(server.traffic.most_at_work.load(Ordering::SeqCst), 1);
    let missed = *world.counts.missed.lock();
    assert!(
        (12..=16).contains(&missed),
        "{missed} of 20 turns missed at 100 s each"
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_meets_a_first_turn_only_begun_is_not_missed() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    *server.faults.delay.lock() = Duration::from_secs(3);
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 8);
    // The firing follows the start at once: both turns have the same place in their windows.
    rig.fire(3).await;
    assert_eq!(*world.counts.missed.lock(), 0);
    assert!(server.traffic.asks.load(Ordering::SeqCst) >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_gap_between_firings_is_counted_as_missed() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    sleep(PERIOD).await;
    rig.fire(1).await;
    sleep(PERIOD * 9).await;
    rig.fire(1).await;
    assert_eq!(*world.counts.missed.lock(), 9);
}

#[tokio::test(start_paused = true)]
async fn hanging_tenants_do_not_delay_a_healthy_one() {
    let (world, silent, healthy) = (
        World::new(1 << 20),
        Server::new(Order::NewestFirst, None),
        Server::new(Order::NewestFirst, None),
    );
    *silent.faults.delay.lock() = Duration::from_secs(1_000_000);
    let mut tenants: Vec<_> = (1..=60).map(|n| world.tenant(n, &silent, 100)).collect();
    tenants.push(world.tenant(61, &healthy, 100));
    let rig = Rig::start(&world, &tenants, 8);
    rig.fire(10).await;
    assert!(
        (10..=12).contains(&asks(&healthy)),
        "{} sweeps in ten periods",
        asks(&healthy)
    );
    assert_eq!(rig.health("tenant-61"), Health::Ok);
    assert_eq!(rig.health("tenant-1"), Health::Starting);
}

#[tokio::test(start_paused = true)]
async fn a_failure_shows_at_once_and_is_tried_again_until_it_passes() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let outage = Failure::new(Health::Unreachable, Reaction::Backoff, "down", "wait");
    *server.faults.pages.lock() = vec![Fault::Refuse(outage); 5];
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    sleep(PERIOD).await;
    assert_eq!(rig.health("tenant-1"), Health::Unreachable);
    assert_eq!(rig.board.tenants()[0].remedy.as_deref(), Some("wait"));
    // The pauses are 2, 4, 8, 16 and 32 s, or down to half of that.
    sleep(Duration::from_secs(70)).await;
    assert_eq!(asks(&server), 6);
    assert_eq!(rig.health("tenant-1"), Health::Ok);
    assert_eq!(rig.board.tenants()[0].remedy, None);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_must_mend_is_tried_slowly_whatever_the_schedule() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let refused = Failure::new(Health::Consent, Reaction::Slow, "no role", "consent");
    *server.faults.pages.lock() = vec![Fault::Refuse(refused); 1000];
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(120).await;
    assert!(
        (9..=13).contains(&asks(&server)),
        "{} tries in an hour",
        asks(&server)
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_ends_the_rest_of_a_tenant_that_wants_one_at_once() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let entra = Arc::new(Entra::default());
    entra.wrong.store(true, Ordering::SeqCst);
    let rig = Rig::start(&world, &[world.tenant_with(1, &server, 100, &entra)], 4);
    rig.fire(2).await;
    assert_eq!(rig.health("tenant-1"), Health::Credential);
    assert_eq!(entra.requests.load(Ordering::SeqCst), 1);
    entra.wrong.store(false, Ordering::SeqCst);
    entra.stamp.store(1, Ordering::SeqCst);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_nudge_has_all_that_rests_tried_again_at_once() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let refused = Failure::new(Health::Consent, Reaction::Slow, "no role", "consent");
    *server.faults.pages.lock() = vec![Fault::Refuse(refused)];
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(1).await;
    assert_eq!(rig.health("tenant-1"), Health::Consent);
    rig.command(DispatcherCommand::RetryAll);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.health("tenant-1"), Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_all_tenants_share_fails_as_one_alarm() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let entra = Arc::new(Entra::default());
    entra.wrong.store(true, Ordering::SeqCst);
    let tenants: Vec<_> = (1..=20)
        .map(|n| world.tenant_with(n, &server, 100, &entra))
        .collect();
    let rig = Rig::start(&world, &tenants, 4);
    rig.fire(2).await;
    let alarms = rig.board.alarms();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(
        (alarms[0].tenants, alarms[0].state),
        (20, Health::Credential)
    );
    entra.wrong.store(false, Ordering::SeqCst);
    rig.command(DispatcherCommand::RetryAll);
    sleep(PERIOD).await;
    assert_eq!(rig.board.alarms(), []);
}

#[tokio::test(start_paused = true)]
async fn the_next_sweep_shown_is_the_one_to_come_not_a_turn_that_will_pass() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let refused = Failure::new(Health::Consent, Reaction::Slow, "no role", "consent");
    *server.faults.pages.lock() = vec![Fault::Refuse(refused); 1000];
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    sleep(PERIOD).await;
    let planned = rig.board.tenants()[0].next_sweep;
    rig.fire(5).await;
    assert_eq!(asks(&server), 1, "swept while it rested");
    assert_eq!(rig.board.tenants()[0].next_sweep, planned);
}

#[tokio::test(start_paused = true)]
async fn the_next_sweep_shown_lies_ahead_and_is_when_it_comes() {
    for (schedule, most) in [("every 1h", 2), ("0 0 3 * * *", 25)] {
        let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
        let schedule: Schedule = schedule.parse().expect("schedule");
        let on_schedule = schedule.clone();
        let tenant = world.tenant_made(1, &server, |parts| parts.schedule = on_schedule);
        let rig = Rig::start(&world, &[tenant], 4);
        sleep(PERIOD).await;
        for _ in 0..3 {
            let (now, asked) = (world.sweeper.clock.now(), asks(&server));
            let next = rig.board.tenants()[0].next_sweep.expect("planned");
            let wait = next.since(now);
            assert!(wait > Duration::ZERO, "{next} is over at {now}");
            assert!(wait < Duration::from_secs(most * 3600), "{next} at {now}");
            let firing = schedule.next_after(now).expect("a firing");
            sleep(firing.since(now)).await;
            let schedule = schedule.clone();
            rig.command(DispatcherCommand::Fired(schedule));
            sleep(next.since(firing) - Duration::from_secs(1)).await;
            assert_eq!(asks(&server), asked, "before its time");
            sleep(Duration::from_secs(2)).await;
            assert!(asks(&server) > asked, "not at {next}");
            sleep(PERIOD).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_proves_that_it_lives_also_when_there_is_nothing_to_do() {
    let world = World::new(1 << 20);
    let mut liveness = Liveness::default();
    let heartbeat = liveness.part("dispatcher", Duration::from_secs(10));
    let board = Arc::new(Board::new(&[], world.sweeper.clock.clone()));
    let (_commands, received) = mpsc::channel(1);
    let stop = world.sweeper.stop.clone();
    let dispatcher = dispatcher(world.sweeper.clone(), 1, &board, heartbeat);
    let fleet = Fleet::from([]);
    let running = tokio::spawn(dispatcher.run(fleet, received, stop.clone(), Duration::ZERO));
    for _ in 0..3600 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(liveness.check(), Ok(()));
    }
    stop.cancel();
    running.await.expect("ends");
    sleep(Duration::from_secs(11)).await;
    assert!(liveness.check().is_err(), "nobody is there to beat");
}

#[tokio::test(start_paused = true)]
async fn on_a_stop_hanging_sweeps_end_and_nothing_new_begins() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    *server.faults.delay.lock() = Duration::from_secs(1_000_000);
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(2).await;
    let stopping = Instant::now();
    rig.stop.cancel();
    rig.dispatcher.await.expect("ends");
    assert!(
        stopping.elapsed() < Duration::from_secs(1),
        "{:?}",
        stopping.elapsed()
    );
    assert_eq!(asks(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_commit_that_can_still_succeed() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    server.set(1, crate::runtime::fakes::START, 1);
    world.topic.away.send_replace(true);
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(2).await;
    rig.stop.cancel();
    sleep(Duration::from_secs(10)).await;
    world.topic.away.send_replace(false);
    rig.dispatcher.await.expect("ends");
    assert_eq!(world.topic.values("incidents").len(), 1);
    assert_eq!(
        world.ledger.seen.lock().len(),
        1,
        "acknowledged and not recorded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_kafka_beyond_its_time() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    server.set(1, crate::runtime::fakes::START, 1);
    world.topic.away.send_replace(true);
    let rig = Rig::start(&world, &[world.tenant(1, &server, 100)], 4);
    rig.fire(2).await;
    let stopping = Instant::now();
    rig.stop.cancel();
    rig.dispatcher.await.expect("ends");
    assert_eq!(stopping.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_panics_costs_only_its_own_tenant_a_pause() {
    let (world, broken, healthy) = (
        World::new(1 << 20),
        Server::new(Order::NewestFirst, None),
        Server::new(Order::NewestFirst, None),
    );
    let fuse = Mutex::new(true);
    *broken.before_page.lock() = Box::new(move |_| {
        let mut armed = fuse.lock();
        assert!(!std::mem::take(&mut *armed), "a planted panic");
    });
    let rig = Rig::start(
        &world,
        &[
            world.tenant(1, &broken, 100),
            world.tenant(2, &healthy, 100),
        ],
        4,
    );
    rig.fire(3).await;
    assert_eq!(rig.health("tenant-2"), Health::Ok);
    assert!(asks(&healthy) >= 3);
}
