//! Firings: tokio-cron-scheduler with one job for each *distinct* schedule, whose body only reports that it fired.
//!
//! One job per tenant would lose firings: the crate hands due jobs through a broadcast channel and forgets those that
//! lag, and additions at the same time break it for good. So jobs are added and removed one after another from one task,
//! and its channel is far larger than the number of jobs. A firing that is lost all the same shows as a gap to the
//! dispatcher, which counts it.
//!
//! After a reload only the difference is added and removed: the jobs of schedules that stay don't notice.
//!
//! The crate keeps for each job the instant of its next firing, on the wall clock. A clock that is set back would have all
//! of them wait until it has caught up, the heartbeat too. So the clock is watched ([`crate::core::time::wallclock`]), and after
//! that each job is made anew. A clock that is set ahead does no harm: what has become due fires, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::commands::Command;
use super::fleet::{FleetWatch, distinct_schedules};
use crate::core::log_throttle::LogThrottle;
use crate::core::time::schedule::Schedule;
use crate::core::time::wallclock::{Leap, Look};
use crate::ports::Clock;
use crate::runtime::liveness::Heartbeat;

/// Firings that may wait within the crate: four times the distinct schedules that a fleet of a thousand tenants could
/// have, each its own.
const CHANNEL: usize = 4096;
/// A job that only proves that jobs fire, however seldom the tenants' schedules do.
const HEARTBEAT: &str = "*/10 * * * * *";
/// How often the wall clock is looked at. What fires every second misses about this much when it is set back.
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

/// Sends the firings of the fleet's schedules as `commands` until `stop`, and beats `heartbeat` by a job of its own.
///
/// # Errors
/// [`SchedulerError`] when the scheduler can't be set up.
pub async fn run(
    fleet: FleetWatch,
    commands: mpsc::Sender<Command>,
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
    commands: mpsc::Sender<Command>,
    heartbeat: Heartbeat,
    heartbeat_job: Option<Uuid>,
    of: HashMap<Schedule, Uuid>,
}

impl Jobs {
    /// `watch` began before any job was made: none is to be older than what the clock is compared with.
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
        // It only marks itself as stopped; its jobs report to a channel that is closed by then.
        let _ = self.scheduler.shutdown().await;
        Ok(())
    }

    /// Makes all jobs anew, as of now.
    async fn renew(&mut self) -> Result<(), SchedulerError> {
        let schedules: Vec<_> = self.of.keys().cloned().collect();
        // The old ones go first, or those that are not stranded would fire beside the new ones.
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

    /// Has a job for each of `schedules`, and none else.
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
            // Its firings find no tenants, or come twice: a turn too many.
            tracing::debug!(schedule, %error, "a job could not be removed from the scheduler");
        }
    }
}

/// Watches the wall clock.
struct ClockWatch {
    clock: Arc<dyn Clock>,
    origin: Instant,
    last: Look,
    /// A clock that is set again and again is not to fill the log.
    told: LogThrottle,
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
            told: LogThrottle::default(),
        }
    }

    /// Whether the clock was set back since the last look.
    fn was_set_back(&mut self) -> bool {
        let now = Look {
            wall: self.clock.now(),
            steady: self.origin.elapsed(),
        };
        let before = std::mem::replace(&mut self.last, now);
        let Some(leap) = before.leap(now) else {
            return false;
        };
        let tell = self.told.take(now.steady);
        match leap {
            Leap::Back(by) if tell => tracing::warn!(
                seconds = by.as_secs(),
                "this machine's clock was set back; schedules go by the new time"
            ),
            Leap::Ahead(by) if tell => tracing::warn!(
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

fn job(schedule: &Schedule, commands: mpsc::Sender<Command>) -> Result<Job, JobSchedulerError> {
    let schedule = schedule.clone();
    Job::new(schedule.cron().as_str(), move |_, _| {
        // A full channel means that the dispatcher is many firings behind; it will find the gap and count it.
        let _ = commands.try_send(Command::Fired(schedule.clone()));
    })
}

#[cfg(test)]
mod tests;
