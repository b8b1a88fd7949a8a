//! Work between two yields.
//!
//! An async thread that is kept busy answers nothing else: `/livez` and all other tenants wait. So loops over what came
//! from outside yield after a few hundred KiB, and a single piece that is larger is worked on where blocking is allowed.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, yield_now};

/// Bytes that are read in less than a millisecond or two.
const STRETCH: usize = 256 << 10;
/// What an element costs beside its bytes.
const ELEMENT: usize = 256;
/// A piece from which on it is worked on apart.
const LARGE: usize = 512 << 10;
/// Large pieces at a time: what answers probes has to get a turn on a machine with two cores, too.
const AT_ONCE: usize = 2;

static LARGE_PIECES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Counts the work since the last yield.
#[derive(Debug, Default)]
pub struct Stretch(usize);

impl Stretch {
    /// An element of so many bytes was worked on; yields when it was enough.
    pub async fn worked(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes).saturating_add(ELEMENT);
        if self.0 >= STRETCH {
            self.0 = 0;
            yield_now().await;
        }
    }
}

/// Does `work`, which takes as long as `bytes` are many: much of it where it keeps nobody waiting.
pub async fn do_work<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    // On a runtime of one thread there is no other place; only tests have one.
    let elsewhere = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if bytes < LARGE || !elsewhere {
        return work();
    }
    // It is never closed; the permit goes when the work is done.
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

    /// How late a timer of 5 ms is at most while `work` goes on.
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
