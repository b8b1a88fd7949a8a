//! The workers of the partitions that this process has: when each starts, and whether it still moves.
//!
//! A call of librdkafka that does not return can't be ended. Its thread is left alone, and another worker takes its place: the
//! fence of the new producer shuts the old one out. The number of threads has a limit.

use std::collections::HashMap;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::epoch::COMMIT_LIMIT;
use super::log_error::{no_thread, too_many_hang};
use super::restart_pauses::RestartPauses;
use super::worker::{Worker, WorkerEvent, WorkerSetup};
use crate::core::health::failure::Failure;

/// How long a worker may make no step. It makes one after each call of librdkafka, and each of these ends within two seconds,
/// also while Kafka is away. Even a whole transaction ends within [`COMMIT_LIMIT`].
pub(super) const STILL: Duration = COMMIT_LIMIT.saturating_mul(3);
/// Looks within that time. The time of a process that is suspended counts as one look.
const LOOKS: u32 = 12;
/// The pauses between a failed worker and the next: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// A worker that is at work, or that is started when its pause is over.
enum PartitionWork {
    Running(Worker),
    Paused { epoch: u64, until: Instant },
}

pub(super) struct Workers {
    work: HashMap<u16, PartitionWork>,
    pauses: RestartPauses,
    /// All that have not ended.
    threads: Vec<Weak<AtomicU64>>,
    most_threads: usize,
}

impl Workers {
    /// For a ledger of this number of `partitions`. All its workers may end while all start again.
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            work: HashMap::new(),
            pauses: RestartPauses::new(PAUSE.0, PAUSE.1),
            threads: Vec::new(),
            most_threads: 2 * usize::from(partitions),
        }
    }

    /// Plans a start, in place of what works on the partition.
    pub(super) fn plan(&mut self, partition: u16, epoch: u64) {
        self.end(partition);
        let until = Instant::now() + self.pauses.of(partition);
        let paused = PartitionWork::Paused { epoch, until };
        self.work.insert(partition, paused);
    }

    pub(super) fn end(&mut self, partition: u16) {
        self.work.remove(&partition);
    }

    pub(super) fn count_failure(&mut self, partition: u16) {
        self.pauses.count(partition);
    }

    pub(super) fn running(&self, partition: u16) -> Option<&Worker> {
        match self.work.get(&partition)? {
            PartitionWork::Running(worker) => Some(worker),
            PartitionWork::Paused { .. } => None,
        }
    }

    /// When the next one may start.
    pub(super) fn next_start(&self) -> Option<Instant> {
        let paused = self.work.values().filter_map(|work| match work {
            PartitionWork::Paused { until, .. } => Some(*until),
            PartitionWork::Running(_) => None,
        });
        paused.min()
    }

    /// No planned one starts before.
    pub(super) fn not_before(&mut self, at: Instant) {
        for work in self.work.values_mut() {
            if let PartitionWork::Paused { until, .. } = work {
                *until = at.max(*until);
            }
        }
    }

    /// The partitions that may start now, and the epochs of their starts.
    pub(super) fn due(&self) -> Vec<(u16, u64)> {
        let now = Instant::now();
        let due = self.work.iter().filter_map(|(partition, work)| match work {
            PartitionWork::Paused { epoch, until } if *until <= now => Some((*partition, *epoch)),
            _ => None,
        });
        due.collect()
    }

    /// Starts what is planned. After a failure it is planned again.
    pub(super) fn start(
        &mut self,
        setup: WorkerSetup,
        events: mpsc::Sender<WorkerEvent>,
    ) -> Result<(), Failure> {
        let (partition, epoch) = (setup.partition, setup.epoch);
        self.threads.retain(|thread| thread.strong_count() > 0);
        let threads = self.threads.len();
        let started = match threads < self.most_threads {
            true => Worker::start(setup, events).map_err(|error| no_thread(&error)),
            false => Err(too_many_hang(threads)),
        };
        let worker = started.inspect_err(|_| {
            self.count_failure(partition);
            self.plan(partition, epoch);
        })?;
        self.threads.push(worker.thread());
        self.work.insert(partition, PartitionWork::Running(worker));
        Ok(())
    }

    /// The partitions whose workers do not move any more, when this is asked [`LOOKS`] times in [`STILL`].
    pub(super) fn hanging(&mut self) -> Vec<u16> {
        let work = self.work.iter_mut();
        let hanging = work.filter_map(|(partition, work)| match work {
            PartitionWork::Running(worker) => (worker.look() >= LOOKS).then_some(*partition),
            PartitionWork::Paused { .. } => None,
        });
        hanging.collect()
    }
}

/// Between two looks at workers that may be `still` for this long.
pub(super) fn between_looks(still: Duration) -> Duration {
    still / LOOKS
}
