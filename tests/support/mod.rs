//! Shared by the integration tests. Benches use a part of it.

#![allow(dead_code)]
// Real processes need real time.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod browser;
pub mod certificates;
pub mod daemon;
pub mod identity_provider;
pub mod kafka;
pub mod scripted;
pub mod search;
pub mod setup;
pub mod tally;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The time limit for anything that should happen soon, on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until `met` holds, checking every 50 ms. The failure's message says that `what` did not happen.
pub async fn until(what: &str, limit: Duration, mut met: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !met().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Prints a measurement. The test harness would hide the output of a passing test, so this writes past it.
pub fn tell(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // A closed output is not a failure of what is tested.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs blocking work outside the threads on which the simulator answers.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work ended")
}
