//! Publishes changes of tenants' health to the status topic, in order, behind the incidents.
//!
//! A courtesy, not a promise: what does not fit into the queue while Kafka is away is dropped with a line in the log.
//! The state itself stays on the status page.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ports::{Publisher, Record, Refused};

const QUEUE: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Herald(mpsc::Sender<Record>);

impl Herald {
    /// A herald, and the queue that [`run`] empties.
    pub fn new() -> (Self, mpsc::Receiver<Record>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    pub fn announce(&self, record: Record) {
        if self.0.try_send(record).is_err() {
            tracing::warn!("a change of health is not published: Kafka is too far behind");
        }
    }
}

/// Publishes what is announced until `stop`.
pub async fn run(
    mut queue: mpsc::Receiver<Record>,
    publisher: Arc<dyn Publisher>,
    stop: CancellationToken,
) {
    while let Some(Some(record)) = stop.run_until_cancelled(queue.recv()).await {
        let publication = publisher.publish(vec![record]);
        let Some(results) = stop.run_until_cancelled(publication).await else {
            return;
        };
        for Refused { failure, .. } in results.into_iter().filter_map(Result::err) {
            tracing::warn!(error = %failure, remedy = failure.remedy, "a change of health was not published");
        }
    }
}
