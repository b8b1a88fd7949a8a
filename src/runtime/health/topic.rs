//! Publishes changes of tenants' health to the status topic, in order, after the incidents.
//!
//! Delivery is not guaranteed: while Kafka is unavailable, a record that does not fit into the queue is dropped and
//! logged. The status page still shows the state.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ports::{Publisher, Record, Refused};
use crate::runtime::edge::{Edge, Edges};

const QUEUE: usize = 10_000;

#[derive(Debug, Clone)]
pub struct HealthTopic {
    queue: mpsc::Sender<Record>,
    full: Arc<Edge>,
}

impl HealthTopic {
    /// The sender, and the queue that [`run`] empties.
    pub fn new() -> (Self, mpsc::Receiver<Record>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let full = Arc::default();
        let queue = sender;
        (Self { queue, full }, receiver)
    }

    pub fn publish(&self, record: Record) {
        if self.queue.try_send(record).is_ok() {
            self.full.ends();
        } else if self.full.begins() {
            tracing::warn!("changes of health are not published: Kafka is too far behind");
        }
    }
}

/// Publishes the records in `queue` until `stop`.
pub async fn run(
    mut queue: mpsc::Receiver<Record>,
    publisher: Arc<dyn Publisher>,
    stop: CancellationToken,
) {
    let refused = Edges::default();
    while let Some(Some(record)) = stop.run_until_cancelled(queue.recv()).await {
        let topic = record.topic.clone();
        let publication = publisher.publish(vec![record]);
        let Some(results) = stop.run_until_cancelled(publication).await else {
            return;
        };
        for result in results {
            match result {
                Ok(()) if refused.ends(&topic) => {
                    tracing::info!(%topic, "changes of health are published again");
                }
                Err(Refused { failure, .. }) if refused.begins(&topic) => {
                    tracing::warn!(%topic, error = %failure, remedy = failure.remedy, "changes of health are not published");
                }
                _ => {}
            }
        }
    }
}
