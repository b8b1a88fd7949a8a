//! Firings: tokio-cron-scheduler with one job for each *distinct* schedule, whose body only reports that it fired.
//!
//! One job per tenant would lose firings: the crate hands due jobs through a broadcast channel and forgets those that
//! lag. Jobs are added one after another from one task, before it starts, and its channel is far larger than the number
//! of jobs. A firing that is lost all the same shows as a gap to the dispatcher, which counts it.

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::core::schedule::Schedule;

/// The crate's own default for its second channel parameter, the notifications, is 200 as well.
const LEAST_CHANNEL: usize = 200;

/// Schedule number `schedule` fired, just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    pub schedule: usize,
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

/// Reports the firings of `schedules` to `firings` until `stop`.
///
/// # Errors
/// [`SchedulerError`] when the scheduler can't be set up.
pub async fn run(
    schedules: Vec<Schedule>,
    firings: mpsc::Sender<Firing>,
    stop: CancellationToken,
) -> Result<(), SchedulerError> {
    let channel = LEAST_CHANNEL.max(8 * schedules.len());
    let mut scheduler = JobScheduler::new_with_channel_size(channel)
        .await
        .map_err(SchedulerError::Start)?;
    for (number, schedule) in schedules.iter().enumerate() {
        let failed = |source| SchedulerError::Add {
            schedule: schedule.to_string(),
            source,
        };
        let job = job(number, schedule, firings.clone()).map_err(failed)?;
        scheduler.add(job).await.map_err(failed)?;
    }
    scheduler.start().await.map_err(SchedulerError::Start)?;
    stop.cancelled().await;
    // It only marks itself as stopped; its jobs report to a channel that is closed by then.
    let _ = scheduler.shutdown().await;
    Ok(())
}

fn job(
    number: usize,
    schedule: &Schedule,
    firings: mpsc::Sender<Firing>,
) -> Result<Job, JobSchedulerError> {
    Job::new(schedule.cron().as_str(), move |_, _| {
        // A full channel means that the dispatcher is many firings behind; it will find the gap and count it.
        let _ = firings.try_send(Firing { schedule: number });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    /// The crate asks the machine's clock itself, so this test runs in real time.
    #[tokio::test]
    async fn each_schedule_reports_its_firings_until_the_stop() {
        let schedules =
            ["every 1s", "* * * * * *", "0 0 0 1 1 *"].map(|text| text.parse().expect("schedule"));
        let (firings, mut fired) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let scheduler = tokio::spawn(run(schedules.to_vec(), firings, stop.clone()));
        let mut counts = [0, 0, 0];
        while counts[0] < 3 || counts[1] < 3 {
            let next = timeout(Duration::from_secs(10), fired.recv()).await;
            let firing = next
                .expect("a firing within 10 s")
                .expect("scheduler is at work");
            counts[firing.schedule] += 1;
        }
        assert_eq!(counts[2], 0, "a yearly schedule fired");
        stop.cancel();
        scheduler.await.expect("ends").expect("without an error");
    }
}
