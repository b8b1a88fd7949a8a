//! Operators' commands: pause, resume, backfill.

use super::*;
use crate::core::health::activity::EventKind;
use crate::core::ownership::PartitionStage;
use crate::core::sweep::command::{CommandRefused, TenantCommand};
use crate::core::sweep::pause::PauseReason;
use crate::runtime::commands::CommandCaller;
use crate::runtime::fakes::START;

const HOUR: Duration = Duration::from_secs(3600);

impl Rig {
    /// What the operator gets to read. `None`: the command was dropped.
    async fn order(
        &self,
        tenant: &Arc<Tenant>,
        command: TenantCommand,
    ) -> Option<Result<String, CommandRefused>> {
        self.order_of(tenant, command, true).await
    }

    /// Of a caller that still `waits` at the last moment, or does not.
    async fn order_of(
        &self,
        tenant: &Arc<Tenant>,
        command: TenantCommand,
        waits: bool,
    ) -> Option<Result<String, CommandRefused>> {
        let (answer, answered) = oneshot::channel();
        let begin = Box::new(move || waits);
        self.command(DispatcherCommand::Operator {
            tenant: tenant.id,
            command,
            caller: CommandCaller { begin, answer },
        });
        answered.await.ok()
    }

    async fn done(&self, tenant: &Arc<Tenant>, command: TenantCommand) -> String {
        let answer = self.order(tenant, command).await;
        answer.expect("an answer").expect("recorded")
    }

    async fn stop(self) {
        self.stop.cancel();
        self.dispatcher.await.expect("it ends");
    }
}

fn pause() -> TenantCommand {
    TenantCommand::Pause(PauseReason::new("a new owner"))
}

fn keys(world: &World) -> Vec<String> {
    let records = world.topic.records.lock();
    let id = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    records.iter().map(|record| id(&record.key)).collect()
}

fn appear(world: &World, server: &Server, id: u64) {
    let now = world.sweeper.clock.now();
    *server.now.lock() = now;
    server.set(id, now, 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_tenant_is_not_read_nor_overdue_until_it_is_resumed_after_a_restart_too() {
    let (mut world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    server.set(1, START, 1);
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(2).await;
    assert_eq!(keys(&world), ["1"]);

    let done = rig.done(&tenant, pause()).await;
    assert!(done.contains("incidentd resume"), "{done}");
    let asked = asks(&server);
    let since = world.sweeper.clock.now();
    appear(&world, &server, 2);
    rig.fire(100).await;
    let shown = rig.board.tenants().pop().expect("shown");
    assert_eq!((shown.state, shown.since), (Health::Paused, since));
    let error = "an operator has paused it: a new owner";
    assert_eq!(shown.error.as_deref(), Some(error));
    assert!(shown.remedy.expect("one").contains("incidentd resume"));
    assert_eq!((shown.overdue_seconds, shown.next_sweep), (0, None));
    assert!(rig.board.is_paused(tenant.id), "its token is not renewed");
    rig.command(DispatcherCommand::RetryAll);
    rig.reload(&[world.tenant(1, &server, 100)]);
    rig.fire(1).await;
    assert_eq!(asks(&server), asked, "Microsoft was asked");
    rig.stop().await;

    world.sweeper.stop = CancellationToken::new();
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(3).await;
    let shown = rig.board.tenants().pop().expect("shown");
    assert_eq!((shown.state, shown.since), (Health::Paused, since));
    assert_eq!(asks(&server), asked, "Microsoft was asked");

    appear(&world, &server, 3);
    rig.done(&tenant, TenantCommand::Resume).await;
    let resumed = rig.board.tenants().pop().expect("shown");
    assert_ne!(resumed.state, Health::Paused);
    assert!(!rig.board.is_paused(tenant.id));
    assert_eq!(resumed.overdue_seconds, 0, "nothing was due");
    rig.fire(3).await;
    assert_eq!(rig.board.states(), [Health::Ok]);
    let mut published = keys(&world);
    published.sort();
    assert_eq!(published, ["1", "2", "3"], "each once");
}

#[tokio::test(start_paused = true)]
async fn a_pause_and_its_end_are_one_event_each_whatever_is_ordered_meanwhile() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(2).await;
    rig.done(&tenant, pause()).await;
    for since in [START.minus(50 * HOUR), START.minus(300 * 24 * HOUR)] {
        let order = TenantCommand::Backfill(since);
        rig.order(&tenant, order).await.expect("an answer").ok();
        rig.command(DispatcherCommand::RetryAll);
        rig.fire(2).await;
        assert_eq!(rig.board.states(), [Health::Paused]);
    }
    rig.done(&tenant, TenantCommand::Resume).await;
    rig.fire(3).await;
    let details = rig.board.details(tenant.id).expect("shown");
    let kinds = details.events.iter().map(|event| (event.kind, event.times));
    let expected = [
        EventKind::Joined,
        EventKind::FirstSuccess,
        EventKind::Changed(Health::Paused),
        EventKind::Changed(Health::Starting),
        EventKind::Changed(Health::Ok),
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected.map(|kind| (kind, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_command_does_not_wait_for_an_answer_of_microsofts() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    *server.faults.delay.lock() = HOUR;
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(asks(&server), 1, "a sweep is at work");
    let before = Instant::now();
    rig.done(&tenant, pause()).await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(rig.board.states(), [Health::Paused]);
    rig.fire(2).await;
    assert_eq!(asks(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_caller_has_gone_is_not_written() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(1).await;
    let answer = rig.order_of(&tenant, pause(), false).await;
    assert_eq!(answer, Some(Err(CommandRefused::Abandoned)));
    rig.fire(1).await;
    assert_eq!(rig.board.states(), [Health::Ok]);
    rig.done(&tenant, pause()).await;
    assert_eq!(rig.board.states(), [Health::Paused]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waits_for_a_full_disk_has_begun_and_takes_effect_later() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(1).await;
    world.ledger.full.store(true, Ordering::SeqCst);
    let (answer, mut answered) = oneshot::channel();
    let (begun, begins) = oneshot::channel();
    let begin = Box::new(move || begun.send(()).is_ok());
    rig.command(DispatcherCommand::Operator {
        tenant: tenant.id,
        command: pause(),
        caller: CommandCaller { begin, answer },
    });
    begins.await.expect("the caller learns of it");
    sleep(HOUR).await;
    assert!(answered.try_recv().is_err(), "it is not recorded");
    world.ledger.full.store(false, Ordering::SeqCst);
    answered.await.expect("an answer").expect("recorded");
    assert_eq!(rig.board.states(), [Health::Paused]);
}

#[tokio::test(start_paused = true)]
async fn a_back_fill_publishes_what_the_ledger_does_not_know_and_nothing_else() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    for n in 0..200 {
        server.set(n, START.minus(HOUR / 2 * u32::try_from(n).unwrap()), 1);
    }
    let tenant = world.tenant_ruled(1, &server, |rules| rules.lookback = 10 * HOUR);
    let rig = Rig::start(&world, std::slice::from_ref(&tenant), 4);
    rig.fire(4).await;
    let first = keys(&world);
    assert_eq!(first.len(), 20);
    // A version that was lost from the ledger.
    (world.ledger.seen.lock()).retain(|(_, id), _| id.0 != 19);
    rig.done(&tenant, pause()).await;
    let since = TenantCommand::Backfill(START.minus(50 * HOUR));
    rig.done(&tenant, since).await;
    let shown = rig.board.tenants().pop().expect("shown");
    assert_eq!(shown.state, Health::Paused, "it stays so");
    let backfill = shown.backfill.expect("its progress");
    assert_eq!(backfill.from, START.minus(50 * HOUR));
    rig.fire(2).await;
    assert_eq!(keys(&world), first, "nothing is read meanwhile");
    rig.done(&tenant, TenantCommand::Resume).await;
    rig.fire(20).await;
    assert_eq!(rig.board.tenants()[0].backfill, None);
    let late = rig.board.tenants()[0].late_found;
    assert_eq!(late, 0, "an operator's back-fill has found all of it");
    let mut published = keys(&world);
    let mut expected = first;
    expected.extend((19..=100).map(|id| id.to_string()));
    published.sort();
    expected.sort();
    assert_eq!(published, expected);
}

#[tokio::test(start_paused = true)]
async fn who_can_not_record_a_command_says_so_at_once() {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let rig = Rig::start(&world, &[], 4);
    assert_eq!(
        rig.order(&tenant, pause()).await,
        Some(Err(CommandRefused::Leaving))
    );
    let stages = [(0, PartitionStage::Restoring)].into();
    rig.hand_over(
        std::slice::from_ref(&tenant),
        Ownership::Partitions { count: 1, stages },
    );
    rig.fire(1).await;
    world.ledger.hangs.store(true, Ordering::SeqCst);
    rig.reload(std::slice::from_ref(&tenant));
    rig.fire(1).await;
    let (answer, _waits) = oneshot::channel();
    let begin = Box::new(|| true);
    rig.command(DispatcherCommand::Operator {
        tenant: tenant.id,
        command: pause(),
        caller: CommandCaller { begin, answer },
    });
    assert_eq!(
        rig.order(&tenant, pause()).await,
        Some(Err(CommandRefused::Busy))
    );
    world.ledger.hangs.store(false, Ordering::SeqCst);
}
