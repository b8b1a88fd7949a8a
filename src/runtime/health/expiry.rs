//! Looks at the ends of the credentials from time to time, and logs those that come close.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::core::health::failure::Health;

/// How often.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until `stop`. A disk that hangs delays the next look, and nothing else.
pub async fn watch(board: Arc<Board>, stop: CancellationToken) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let board = board.clone();
        let looking = spawn_blocking(move || board.look_at_credentials());
        let Some(Ok(begun)) = stop.run_until_cancelled(looking).await else {
            continue;
        };
        for alarm in begun {
            let (error, remedy, tenants) = (alarm.error, alarm.remedy, alarm.tenants);
            match alarm.state {
                Health::Ok => tracing::warn!(error, remedy, tenants, "a credential ends soon"),
                _ => tracing::error!(error, remedy, tenants, "a credential has ended"),
            }
        }
    }
}
