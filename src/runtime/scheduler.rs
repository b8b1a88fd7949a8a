//! Firings: tokio-cron-scheduler with one job for each *distinct* schedule. A job only sends that it fired.
//!
//! One job per tenant would lose firings: the crate passes due jobs through a broadcast channel and drops them when it
//! lags, and parallel additions break it permanently. So one task adds and removes jobs one after another, and the
//! channel is much larger than the number of jobs. The dispatcher sees a lost firing as a gap, and counts it.
//!
//! After a reload only the difference is added and removed.
//!
//! The crate stores the next firing of each job as an instant on the wall clock. If that clock is set back, all jobs,
//! including the heartbeat, would wait until it has caught up. So this module watches the clock
//! ([`crate::core::time::wallclock`]) and creates all jobs again. A clock that is set ahead does no harm: each due job
//! fires once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::commands::DispatcherCommand;
use super::fleet::{FleetWatch, distinct_schedules};
use crate::core::log_throttle::LogThrottle;
use crate::core::time::schedule::Schedule;
use crate::core::time::wallclock::{Leap, Look};
use crate::ports::Clock;
use crate::runtime::liveness::Heartbeat;

/// The firings that may wait within the crate: four times those of a thousand tenants with different schedules.
const CHANNEL: usize = 4096;
/// The schedule of a job that proves that jobs fire, even if the tenants' schedules rarely do.
const HEARTBEAT: &str = "*/10 * * * * *";
/// How often the wall clock is checked. A schedule that fires every second misses about this time when it is set back.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    #[error("could not start the scheduler")]
    Start(#[source] JobSchedulerError),
    #[error("could not add the schedule {schedule} to the scheduler")]
    Add {
        schedule: String,
        #[source]
        source: JobSchedulerError,
    },
}

/// Sends the firings of the fleet's schedules as `commands` until `stop`, and beats `heartbeat` from its own job.
///
/// # Errors
/// [`SchedulerError`] if the scheduler can't be set up.
pub async fn run(
    fleet: FleetWatch,
    commands: mpsc::Sender<DispatcherCommand>,
    clock: Arc<dyn Clock>,
    heartbeat: Heartbeat,
    stop: CancellationToken,
) -> Result<(), SchedulerError> {
    let scheduler = JobScheduler::new_with_channel_size(CHANNEL)
        .await
        .map_err(SchedulerError::Start)?;
    let jobs = Jobs {
        scheduler,
        commands,
        heartbeat,
        heartbeat_job: None,
        of: HashMap::new(),
    };
    jobs.run(fleet, ClockWatch::new(clock), stop).await
}

struct Jobs {
    scheduler: JobScheduler,
    commands: mpsc::Sender<DispatcherCommand>,
    heartbeat: Heartbeat,
    heartbeat_job: Option<Uuid>,
    of: HashMap<Schedule, Uuid>,
}

impl Jobs {
    /// `watch` must begin before the first job is created, so that it sees every later change of the clock.
    async fn run(
        mut self,
        mut fleet: FleetWatch,
        mut watch: ClockWatch,
        stop: CancellationToken,
    ) -> Result<(), SchedulerError> {
        self.renew_heartbeat().await?;
        self.follow(&distinct_schedules(&fleet.now())).await?;
        self.scheduler
            .start()
            .await
            .map_err(SchedulerError::Start)?;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = fleet.changed() => self.follow(&distinct_schedules(&fleet.now())).await?,
                _ = look.tick() => if watch.was_set_back() {
                    self.renew().await?;
                },
            }
        }
        // This only marks the crate as stopped. Its jobs send to a channel that is closed by then.
        let _ = self.scheduler.shutdown().await;
        Ok(())
    }

    /// Creates all jobs again.
    async fn renew(&mut self) -> Result<(), SchedulerError> {
        let schedules: Vec<_> = self.of.keys().cloned().collect();
        // Remove the old jobs first; otherwise those that still fire would fire in addition to the new ones.
        self.follow(&[]).await?;
        self.follow(&schedules).await?;
        self.renew_heartbeat().await
    }

    async fn renew_heartbeat(&mut self) -> Result<(), SchedulerError> {
        if let Some(id) = self.heartbeat_job.take() {
            self.remove(id, HEARTBEAT).await;
        }
        let heartbeat = self.heartbeat.clone();
        let heartbeat_job = Job::new(HEARTBEAT, move |_, _| heartbeat.beat());
        self.heartbeat_job = Some(add(&self.scheduler, heartbeat_job, HEARTBEAT).await?);
        Ok(())
    }

    /// Adds and removes jobs, so that exactly `schedules` have a job each.
    async fn follow(&mut self, schedules: &[Schedule]) -> Result<(), SchedulerError> {
        for schedule in schedules {
            if !self.of.contains_key(schedule) {
                let job = job(schedule, self.commands.clone());
                let id = add(&self.scheduler, job, &schedule.to_string()).await?;
                self.of.insert(schedule.clone(), id);
            }
        }
        let gone = |schedule: &Schedule| !schedules.contains(schedule);
        let gone: Vec<_> = self.of.extract_if(|schedule, _| gone(schedule)).collect();
        for (schedule, id) in gone {
            self.remove(id, &schedule.to_string()).await;
        }
        Ok(())
    }

    async fn remove(&self, id: Uuid, schedule: &str) {
        if let Err(error) = self.scheduler.remove(&id).await {
            // Harmless: its firings find no tenants, or sweep a tenant once more.
            tracing::debug!(schedule, %error, "a job could not be removed from the scheduler");
        }
    }
}

/// Watches the wall clock.
struct ClockWatch {
    clock: Arc<dyn Clock>,
    origin: Instant,
    last: Look,
    /// Limits the log lines if the clock is set again and again.
    throttle: LogThrottle,
}

impl ClockWatch {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Look {
            wall: clock.now(),
            steady: Duration::ZERO,
        };
        Self {
            clock,
            origin: Instant::now(),
            last,
            throttle: LogThrottle::default(),
        }
    }

    /// Whether the clock was set back since the last call.
    fn was_set_back(&mut self) -> bool {
        let now = Look {
            wall: self.clock.now(),
            steady: self.origin.elapsed(),
        };
        let before = std::mem::replace(&mut self.last, now);
        let Some(leap) = before.leap(now) else {
            return false;
        };
        let log = self.throttle.take(now.steady);
        match leap {
            Leap::Back(by) if log => tracing::warn!(
                seconds = by.as_secs(),
                "this machine's clock was set back; schedules go by the new time"
            ),
            Leap::Ahead(by) if log => tracing::warn!(
                seconds = by.as_secs(),
                "this machine's clock was set ahead, or the machine slept; schedules go by the new time"
            ),
            Leap::Back(_) | Leap::Ahead(_) => {}
        }
        matches!(leap, Leap::Back(_))
    }
}

async fn add(
    scheduler: &JobScheduler,
    job: Result<Job, JobSchedulerError>,
    schedule: &str,
) -> Result<Uuid, SchedulerError> {
    let failed = |source| SchedulerError::Add {
        schedule: schedule.to_owned(),
        source,
    };
    scheduler.add(job.map_err(failed)?).await.map_err(failed)
}

fn job(
    schedule: &Schedule,
    commands: mpsc::Sender<DispatcherCommand>,
) -> Result<Job, JobSchedulerError> {
    let schedule = schedule.clone();
    Job::new(schedule.cron().as_str(), move |_, _| {
        // If the channel is full, the dispatcher is many firings behind. It finds the gap later and counts it.
        let _ = commands.try_send(DispatcherCommand::Fired(schedule.clone()));
    })
}

#[cfg(test)]
mod tests;
