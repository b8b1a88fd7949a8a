use super::*;
use crate::runtime::fakes::{Order, Server, TestClock, World};
use crate::runtime::fleet::Fleet;
use crate::runtime::liveness::Liveness;
use chrono::DateTime;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn fleet(schedules: &[&str]) -> Fleet {
    let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
    let tenant = |(n, schedule): (u8, &&str)| {
        let schedule = schedule.parse().expect("schedule");
        world.tenant_made(n, &server, |parts| parts.schedule = schedule)
    };
    (1..).zip(schedules).map(tenant).collect()
}

fn heartbeat() -> Heartbeat {
    Liveness::default().part("scheduler", Duration::from_secs(60))
}

/// The next firing. The crate reads the machine's clock, so these tests run in real time.
async fn next(fired: &mut mpsc::Receiver<DispatcherCommand>) -> String {
    let next = timeout(Duration::from_secs(10), fired.recv()).await;
    let firing = next.expect("a firing within 10 s");
    match firing.expect("scheduler is at work") {
        DispatcherCommand::Fired(schedule) => schedule.to_string(),
        _ => panic!("no firing"),
    }
}

#[tokio::test]
async fn each_schedule_reports_its_firings_until_the_stop() {
    let (_fleet, watch) = FleetWatch::new(fleet(&["every 1s", "* * * * * *", "0 0 0 1 1 *"]));
    let (commands, mut fired) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let clock = Arc::<TestClock>::default();
    let scheduler = tokio::spawn(run(watch, commands, clock, heartbeat(), stop.clone()));
    let mut counts = HashMap::from([("every 1s", 0), ("* * * * * *", 0)]);
    while counts.values().any(|count| *count < 3) {
        let schedule = next(&mut fired).await;
        *counts
            .get_mut(&*schedule)
            .expect("one that is due, not the yearly one") += 1;
    }
    stop.cancel();
    scheduler.await.expect("ends").expect("without an error");
}

#[tokio::test]
async fn after_a_reload_new_schedules_fire_old_ones_do_not_and_those_that_stay_miss_nothing() {
    let (tenants, watch) = FleetWatch::new(fleet(&["every 1s", "* * * * * *"]));
    let (commands, mut fired) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let clock = Arc::<TestClock>::default();
    let scheduler = tokio::spawn(run(watch, commands, clock, heartbeat(), stop.clone()));
    while next(&mut fired).await != "* * * * * *" {}
    tenants.send_replace(fleet(&["every 1s", "*/2 * * * * *"]));
    let (mut every_second, mut late) = (0, 0);
    loop {
        match &*next(&mut fired).await {
            "every 1s" => every_second += 1,
            "*/2 * * * * *" if every_second > 3 => break,
            "*/2 * * * * *" => {}
            _ => late += 1,
        }
    }
    assert!(late <= 1, "{late} firings of a schedule that is gone");
    stop.cancel();
    scheduler.await.expect("ends").expect("without an error");
}

/// A running scheduler on a clock that can be set.
struct Rig {
    clock: Arc<TestClock>,
    scheduler: JobScheduler,
    fired: mpsc::Receiver<DispatcherCommand>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), SchedulerError>>,
    _fleet: tokio::sync::watch::Sender<Fleet>,
}

impl Rig {
    async fn start(schedules: &[&str]) -> Self {
        let (fleet, watch) = FleetWatch::new(fleet(schedules));
        let (commands, fired) = mpsc::channel(64);
        let (clock, stop) = (Arc::<TestClock>::default(), CancellationToken::new());
        let scheduler = JobScheduler::new_with_channel_size(CHANNEL).await;
        let scheduler = scheduler.expect("scheduler");
        let jobs = Jobs {
            scheduler: scheduler.clone(),
            commands,
            heartbeat: heartbeat(),
            heartbeat_job: None,
            of: HashMap::new(),
        };
        let task = tokio::spawn(jobs.run(watch, ClockWatch::new(clock.clone()), stop.clone()));
        Self {
            clock,
            scheduler,
            fired,
            stop,
            task,
            _fleet: fleet,
        }
    }

    /// Each job of the crate, and its next firing.
    async fn jobs(&self) -> HashMap<Uuid, u64> {
        let mut store = self.scheduler.context.metadata_storage.write().await;
        let jobs = store.list_next_ticks().await.expect("jobs");
        let jobs = jobs.into_iter();
        jobs.filter_map(|job| Some((job.id.as_ref()?.into(), job.next_tick)))
            .collect()
    }

    /// Sets the clock back by an hour. The crate reads the machine's clock, so its jobs are changed as if they had seen
    /// this: they wait for an instant an hour away.
    async fn set_back(&self) {
        let jobs = self.jobs().await;
        let mut store = self.scheduler.context.metadata_storage.write().await;
        for (id, next) in jobs {
            let next = i64::try_from(next).expect("an instant") + 3600;
            let (next, last) = (next, next - 30);
            let [next, last] = [next, last].map(|at| DateTime::from_timestamp(at, 0));
            let stranded = store.set_next_and_last_tick(id, next, last).await;
            stranded.expect("a job that is there");
        }
        self.clock.set(-3600);
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("ends").expect("without an error");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_neither_schedules_nor_the_heartbeat_nor_does_one_fire_twice()
 {
    let schedules = ["every 1s", "* * * * * *"];
    let mut rig = Rig::start(&schedules).await;
    for _ in 0..2 {
        next(&mut rig.fired).await;
        rig.set_back().await;
        while rig.fired.try_recv().is_ok() {}
        let (mut fired, began) = (HashMap::<_, u64>::new(), Instant::now());
        while fired.len() < 2 || fired.values().any(|count| *count < 3) {
            *fired.entry(next(&mut rig.fired).await).or_default() += 1;
        }
        let most = began.elapsed().as_secs() + 2;
        assert!(fired.values().all(|count| *count <= most), "{fired:?}");
        let jobs = rig.jobs().await;
        let soonest = jobs.values().min().expect("jobs");
        assert_eq!(jobs.len(), 3, "the heartbeat and two schedules");
        assert!(
            jobs.values().all(|next| next - soonest <= 11),
            "one waits for the old time: {jobs:?}"
        );
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_or_corrected_by_a_second_leaves_the_jobs_alone() {
    let mut rig = Rig::start(&["every 1s"]).await;
    next(&mut rig.fired).await;
    let before: HashSet<_> = rig.jobs().await.into_keys().collect();
    rig.clock.set(3600);
    sleep(LOOK * 2).await;
    rig.clock.set(-1);
    sleep(LOOK * 2).await;
    let after: HashSet<_> = rig.jobs().await.into_keys().collect();
    assert_eq!(before, after);
    rig.stop().await;
}
