//! Firings: tokio-cron-scheduler with one job for each *distinct* schedule, whose body only reports that it fired.
//!
//! One job per tenant would lose firings: the crate hands due jobs through a broadcast channel and forgets those that
//! lag, and additions at the same time break it for good. So jobs are added and removed one after another from one task,
//! and its channel is far larger than the number of jobs. A firing that is lost all the same shows as a gap to the
//! dispatcher, which counts it.
//!
//! After a reload only the difference is added and removed: the jobs of schedules that stay don't notice.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fleet::{FleetWatch, distinct_schedules};
use super::pulse::Pulse;
use crate::core::schedule::Schedule;

/// Firings that may wait within the crate: four times the distinct schedules that a fleet of a thousand tenants could
/// have, each its own.
const CHANNEL: usize = 4096;
/// A job that only proves that jobs fire, however seldom the tenants' schedules do.
const HEARTBEAT: &str = "*/10 * * * * *";

/// `schedule` fired, just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    pub schedule: Schedule,
}

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

/// Reports the firings of the fleet's schedules to `firings` until `stop`, and beats `pulse` by a job of its own.
///
/// # Errors
/// [`SchedulerError`] when the scheduler can't be set up.
pub async fn run(
    mut fleet: FleetWatch,
    firings: mpsc::Sender<Firing>,
    pulse: Pulse,
    stop: CancellationToken,
) -> Result<(), SchedulerError> {
    let scheduler = JobScheduler::new_with_channel_size(CHANNEL)
        .await
        .map_err(SchedulerError::Start)?;
    let heartbeat = Job::new(HEARTBEAT, move |_, _| pulse.beat());
    add(&scheduler, heartbeat, HEARTBEAT).await?;
    let mut jobs = Jobs {
        scheduler,
        firings,
        of: HashMap::new(),
    };
    jobs.follow(&distinct_schedules(&fleet.now())).await?;
    jobs.scheduler
        .start()
        .await
        .map_err(SchedulerError::Start)?;
    while stop.run_until_cancelled(fleet.changed()).await.is_some() {
        jobs.follow(&distinct_schedules(&fleet.now())).await?;
    }
    // It only marks itself as stopped; its jobs report to a channel that is closed by then.
    let _ = jobs.scheduler.shutdown().await;
    Ok(())
}

struct Jobs {
    scheduler: JobScheduler,
    firings: mpsc::Sender<Firing>,
    of: HashMap<Schedule, Uuid>,
}

impl Jobs {
    /// Has a job for each of `schedules`, and none else.
    async fn follow(&mut self, schedules: &[Schedule]) -> Result<(), SchedulerError> {
        for schedule in schedules {
            if !self.of.contains_key(schedule) {
                let job = job(schedule, self.firings.clone());
                let id = add(&self.scheduler, job, &schedule.to_string()).await?;
                self.of.insert(schedule.clone(), id);
            }
        }
        let gone = |schedule: &Schedule| !schedules.contains(schedule);
        let gone: Vec<_> = self.of.extract_if(|schedule, _| gone(schedule)).collect();
        for (schedule, id) in gone {
            if let Err(error) = self.scheduler.remove(&id).await {
                // Its firings find no tenants.
                tracing::debug!(%schedule, %error, "a schedule that no tenant has any more could not be removed");
            }
        }
        Ok(())
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

fn job(schedule: &Schedule, firings: mpsc::Sender<Firing>) -> Result<Job, JobSchedulerError> {
    let schedule = schedule.clone();
    Job::new(schedule.cron().as_str(), move |_, _| {
        // A full channel means that the dispatcher is many firings behind; it will find the gap and count it.
        let _ = firings.try_send(Firing {
            schedule: schedule.clone(),
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fakes::{Order, Server, World};
    use crate::runtime::fleet::Fleet;
    use crate::runtime::pulse::Vitals;
    use std::time::Duration;
    use tokio::time::timeout;

    fn fleet(schedules: &[&str]) -> Fleet {
        let (world, server) = (World::new(1 << 20), Server::new(Order::NewestFirst, None));
        let tenant = |(n, schedule): (u8, &&str)| {
            let schedule = schedule.parse().expect("schedule");
            world.tenant_made(n, &server, |parts| parts.schedule = schedule)
        };
        (1..).zip(schedules).map(tenant).collect()
    }

    /// The next firing; the crate asks the machine's clock itself, so these tests run in real time.
    async fn next(fired: &mut mpsc::Receiver<Firing>) -> String {
        let next = timeout(Duration::from_secs(10), fired.recv()).await;
        let firing = next.expect("a firing within 10 s");
        firing.expect("scheduler is at work").schedule.to_string()
    }

    #[tokio::test]
    async fn each_schedule_reports_its_firings_until_the_stop() {
        let (_fleet, watch) = FleetWatch::new(fleet(&["every 1s", "* * * * * *", "0 0 0 1 1 *"]));
        let (firings, mut fired) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let pulse = Vitals::default().part("scheduler", Duration::from_secs(60));
        let scheduler = tokio::spawn(run(watch, firings, pulse, stop.clone()));
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
        let (firings, mut fired) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let pulse = Vitals::default().part("scheduler", Duration::from_secs(60));
        let scheduler = tokio::spawn(run(watch, firings, pulse, stop.clone()));
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
}
