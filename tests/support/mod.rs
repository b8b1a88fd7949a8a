//! What integration tests share. Benches use a part of it.

#![allow(dead_code)]
// Real processes are waited for in real time.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod daemon;
pub mod kafka;
pub mod scripted;
pub mod search;
pub mod setup;
pub mod tally;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything that should happen soon may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until `met` holds, looking again every 50 ms. `what` says in the failure's message what did not come about.
pub async fn until(what: &str, limit: Duration, mut met: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !met().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Tells a measurement. Written past the test harness, which would swallow what a passing test prints: these numbers are
/// what the test was run for.
pub fn tell(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Nobody listening is no failure of what is tested.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs what blocks off the threads that the simulator answers on.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work ended")
}
