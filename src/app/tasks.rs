//! The long-lived tasks that only bind one part to another: what ends them, and what keeps their heartbeats beating.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::app::status::{Stall, StatusView};
use crate::ports::Part;
use crate::runtime::liveness::Heartbeat;

/// How often a part is asked for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What no operator can mend in this process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PartEnded(String);

pub async fn forever(work: impl Future<Output = ()>) -> Result<(), PartEnded> {
    work.await;
    Ok(())
}

/// Ends with a part that only another process can mend.
pub async fn watch_part(part: Arc<dyn Part>, stop: CancellationToken) -> Result<(), PartEnded> {
    match stop.run_until_cancelled(part.fatal()).await {
        Some(why) => Err(PartEnded(why)),
        None => Ok(()),
    }
}

/// Beats the heartbeat of a part that can't beat it by itself.
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

/// Says when records begin to be taken without being acknowledged, and when that is over.
pub async fn tell_of_stalls(view: Arc<StatusView>, stop: CancellationToken) {
    let (mut look, mut told) = (interval(SIGN_OF_LIFE), false);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let stall = view.stall();
        match &stall {
            Some(Stall { error, remedy }) if !told => {
                tracing::warn!(
                    error,
                    remedy,
                    "records are not acknowledged; publications wait"
                );
            }
            None if told && !view.waits_long() => {
                tracing::info!("records are acknowledged again");
            }
            _ => {}
        }
        // Where Kafka goes away meanwhile, they wait on, and that is told elsewhere.
        told = stall.is_some() || (told && view.waits_long());
    }
}
