//! Long-lived tasks that watch the parts of the delivery.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::ports::Part;
use crate::runtime::liveness::Heartbeat;

/// How often a part is asked for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// A part failed in a way that only a restart mends.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PartEnded(String);

pub async fn forever(work: impl Future<Output = ()>) -> Result<(), PartEnded> {
    work.await;
    Ok(())
}

/// Ends when only a restart can mend the part.
pub async fn watch_part(part: Arc<dyn Part>, stop: CancellationToken) -> Result<(), PartEnded> {
    match stop.run_until_cancelled(part.fatal()).await {
        Some(why) => Err(PartEnded(why)),
        None => Ok(()),
    }
}

/// Keeps the heartbeat of a part that can't do so itself.
pub async fn signs_of_life(part: Arc<dyn Part>, heartbeat: Heartbeat, stop: CancellationToken) {
    let signs = async {
        let mut look = interval(SIGN_OF_LIFE);
        loop {
            look.tick().await;
            if part.alive().await {
                heartbeat.beat();
            }
        }
    };
    stop.run_until_cancelled(signs).await;
}
