//! The long-lived tasks that only bind one part to another: what ends them, and what keeps their pulses beating.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::app::status::{Stall, Window};
use crate::core::ids::TenantId;
use crate::core::time::ticks::Ticks;
use crate::kafka::KafkaPublisher;
use crate::ledger::LocalLedger;
use crate::runtime::liveness::Pulse;

/// How often the ledger and Kafka's client are asked for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum PartEnded {
    #[error("Kafka's producer can't go on, and neither could those that took its place: {0}")]
    Producer(String),
    #[error("the ledger's writer is gone")]
    Ledger,
}

pub async fn forever(work: impl Future<Output = ()>) -> Result<(), PartEnded> {
    work.await;
    Ok(())
}

pub async fn probe(kafka: Arc<KafkaPublisher>, stop: CancellationToken) -> Result<(), PartEnded> {
    kafka.probe(stop).await;
    Ok(())
}

/// Ends with the last of many producers that died one after the other of what no operator can mend.
pub async fn watch_producer(
    kafka: Arc<KafkaPublisher>,
    stop: CancellationToken,
) -> Result<(), PartEnded> {
    match stop.run_until_cancelled(kafka.fatal()).await {
        Some(why) => Err(PartEnded::Producer(why)),
        None => Ok(()),
    }
}

/// Has all tenants tried again when Kafka accepts a producer again: they rest over its refusal.
pub async fn retry_after_revivals(
    kafka: Arc<KafkaPublisher>,
    nudge: Arc<Notify>,
    stop: CancellationToken,
) -> Result<(), PartEnded> {
    let mut revivals = kafka.revivals();
    while let Some(Ok(())) = stop.run_until_cancelled(revivals.changed()).await {
        nudge.notify_one();
    }
    Ok(())
}

/// Has the ledger forget who has long left, then waits for its end.
pub async fn watch_ledger(
    ledger: Arc<LocalLedger>,
    (configured, now): (HashSet<TenantId>, Ticks),
    stop: CancellationToken,
) -> Result<(), PartEnded> {
    let work = async {
        ledger.prune(configured, now).await;
        ledger.ended().await;
    };
    match stop.run_until_cancelled(work).await {
        Some(()) => Err(PartEnded::Ledger),
        None => Ok(()),
    }
}

/// Says when records begin to be taken without being acknowledged, and when that is over.
pub async fn tell_of_stalls(window: Arc<Window>, stop: CancellationToken) {
    let (mut look, mut told) = (interval(SIGN_OF_LIFE), false);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let stall = window.stall();
        match &stall {
            Some(Stall { error, remedy }) if !told => {
                tracing::warn!(
                    error,
                    remedy,
                    "records are not acknowledged; publications wait"
                );
            }
            None if told && !window.waits_long() => {
                tracing::info!("records are acknowledged again");
            }
            _ => {}
        }
        // Where Kafka goes away meanwhile, they wait on, and that is told elsewhere.
        told = stall.is_some() || (told && window.waits_long());
    }
}

/// Beats the pulses of those who can't beat them by themselves.
pub async fn signs_of_life(
    (ledger, ledger_pulse): (Arc<LocalLedger>, Pulse),
    (kafka, kafka_pulse): (Option<Arc<KafkaPublisher>>, Pulse),
    stop: CancellationToken,
) {
    let ledger_lives = async {
        let mut look = interval(SIGN_OF_LIFE);
        loop {
            look.tick().await;
            if ledger.answers().await {
                ledger_pulse.beat();
            }
        }
    };
    let kafka_lives = async {
        let (mut look, mut last) = (interval(SIGN_OF_LIFE), None);
        loop {
            look.tick().await;
            let progress = kafka.as_ref().map(|kafka| kafka.progress());
            if progress.is_none() || progress != last {
                kafka_pulse.beat();
            }
            last = progress;
        }
    };
    stop.run_until_cancelled(async { tokio::join!(ledger_lives, kafka_lives) })
        .await;
}
