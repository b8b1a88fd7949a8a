//! The limit on work between two yields.
//!
//! A busy async thread answers nothing else: `/livez` and all other tenants wait. So loops over input from outside
//! yield after a few hundred KiB, and a single larger piece is worked on where blocking is allowed.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, yield_now};

/// Bytes that can be read in one or two milliseconds.
const STRETCH: usize = 256 << 10;
/// What an element costs besides its bytes.
const ELEMENT: usize = 256;
/// The size from which a piece is worked on where blocking is allowed.
const LARGE: usize = 512 << 10;
/// The number of large pieces at a time. On a machine with two cores, probes need a turn too.
const AT_ONCE: usize = 2;

static LARGE_PIECES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Counts the work since the last yield.
#[derive(Debug, Default)]
pub struct Stretch(usize);

impl Stretch {
    /// Counts an element of `bytes`, and yields after enough work.
    pub async fn worked(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes).saturating_add(ELEMENT);
        if self.0 >= STRETCH {
            self.0 = 0;
            yield_now().await;
        }
    }
}

/// Runs `work`, whose time grows with `bytes`. A large piece runs where it blocks no other task.
pub async fn do_work<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    // A runtime of one thread has no other place. Only tests use one.
    let elsewhere = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if bytes < LARGE || !elsewhere {
        return work();
    }
    // It is never closed. The permit is released when the work is done.
    let _turn = LARGE_PIECES.acquire().await;
    block_in_place(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    /// Keeps its thread busy.
    fn busy(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    /// The longest delay of a timer of 5 ms while `work` runs.
    async fn latest_while(work: impl Future<Output = ()> + Send + 'static) -> Duration {
        let work = tokio::spawn(work);
        let mut latest = Duration::ZERO;
        while !work.is_finished() {
            let began = Instant::now();
            sleep(Duration::from_millis(5)).await;
            latest = latest.max(began.elapsed());
        }
        work.await.expect("it ends");
        latest
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_long_piece_of_work_keeps_nobody_waiting() {
        let late = latest_while(do_work(LARGE, || busy(Duration::from_secs(1)))).await;
        assert!(late < Duration::from_millis(500), "{late:?}");
    }

    #[tokio::test]
    async fn many_small_pieces_keep_nobody_waiting() {
        let late = latest_while(async {
            let mut stretch = Stretch::default();
            for _ in 0..1_000 {
                busy(Duration::from_micros(500));
                stretch.worked(STRETCH / 100).await;
            }
        })
        .await;
        assert!(late < Duration::from_millis(300), "{late:?}");
    }
}
