//! A few threads for calls that may block for minutes: name look-ups, and files on a disk that hangs.
//!
//! They are not threads of the async runtime, whose pool is shared: 2,000 look-ups that waited for a slow resolver took
//! all 512 of its threads, so that no secret could be read and `/metrics` did not answer. A thread here ends after some
//! idle time, and no thread delays the end of the process.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A thread without work ends after this.
const IDLE: Duration = Duration::from_secs(10);

type Call = Box<dyn FnOnce() + Send>;

/// At most `threads` threads, and a queue of at most `queue` calls before them.
pub(super) struct Workers {
    shared: Arc<WorkQueue>,
    name: &'static str,
    threads: usize,
    queue: usize,
}

#[derive(Default)]
struct WorkQueue {
    state: Mutex<QueueState>,
    work: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Call>,
    /// Running threads.
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
}

impl Workers {
    pub(super) fn new(name: &'static str, threads: usize, queue: usize) -> Self {
        Self {
            shared: Arc::default(),
            name,
            threads,
            queue,
        }
    }

    /// Calls `job` as soon as a thread is free.
    ///
    /// # Errors
    /// The queue is full, or no thread can be started.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.shared.state();
        if state.jobs.len() >= self.queue {
            return Err(io::Error::other("too many wait already"));
        }
        if state.idle <= state.jobs.len() && state.threads < self.threads {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new()
                .name(self.name.to_owned())
                .spawn(move || shared.work());
            match started {
                Ok(_) => state.threads += 1,
                // One of the running threads will take the job.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }
}

impl WorkQueue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock()
    }

    /// What each thread does.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A panicking job must not end the thread.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.state();
                continue;
            }
            state.idle += 1;
            let waited = self.work.wait_for(&mut state, IDLE);
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                // The lock is held, so a job that is queued next starts a new thread.
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::mpsc::sync_channel;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn no_more_threads_run_than_allowed_and_every_job_has_its_turn() {
        let workers = Workers::new("test", 3, 100);
        let (done, jobs) = sync_channel(64);
        let busy = Arc::new(Mutex::new((0, 0)));
        for job in 0..50 {
            let (done, busy) = (done.clone(), Arc::clone(&busy));
            workers
                .run(move || {
                    let now = {
                        let mut busy = busy.lock();
                        busy.0 += 1;
                        busy.1 = busy.0.max(busy.1);
                        busy.0
                    };
                    assert!(now <= 3, "{now} at once");
                    thread::yield_now();
                    busy.lock().0 -= 1;
                    done.send(job).unwrap();
                })
                .unwrap();
        }
        let mut seen: Vec<i32> = (0..50).map(|_| jobs.recv_timeout(SOON).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_queue_is_refused_at_once() {
        let workers = Workers::new("test", 1, 2);
        let (gate, begun) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let hang = (Arc::clone(&gate), Arc::clone(&begun));
        workers
            .run(move || {
                hang.1.wait();
                hang.0.wait();
            })
            .unwrap();
        begun.wait();
        assert!(workers.run(|| {}).is_ok() && workers.run(|| {}).is_ok());
        assert!(workers.run(|| {}).is_err(), "a third one waits");
        gate.wait();
    }

    #[test]
    fn a_job_that_panics_takes_no_thread_away() {
        let workers = Workers::new("test", 1, 10);
        let (done, jobs) = sync_channel(64);
        workers.run(|| panic!("on purpose")).unwrap();
        workers.run(move || done.send(()).unwrap()).unwrap();
        assert_eq!(jobs.recv_timeout(SOON), Ok(()), "the thread is lost");
    }
}
