//! Hands records to one client and waits for the results.

use std::pin::pin;
use std::sync::Arc;

use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message;
use rdkafka::producer::future_producer::DeliveryFuture;

use super::client::KafkaClient;
use super::queue::{enqueue, of_record, size};
use crate::core::health::failure::Failure;
use crate::kafka::statistics::StatisticsSample;
use crate::ports::{Record, Refused};

/// Connections that came up and were closed while one record waited, before its batch is suspected. More than a restart
/// of brokers causes; it takes a few seconds.
const CLOSINGS: u64 = 5;

/// A record that librdkafka holds.
pub(super) struct PendingRecord {
    index: usize,
    /// Without its value, which librdkafka holds: the memory budget allows one copy.
    record: Record,
    size: usize,
    delivery: DeliveryFuture,
}

/// A record that was not acknowledged: its index, the record, its size, and the error.
pub(super) type FailedRecord = (usize, Record, usize, ClientError);

/// The records that were not acknowledged.
#[derive(Default)]
pub(super) struct SendOutcome {
    pub(super) refused: Vec<(usize, Refused)>,
    /// Refused because the record or its batch is too large.
    pub(super) oversize: Vec<(usize, Record, ClientError)>,
    /// To be sent again by another client.
    pub(super) again: Vec<(usize, Record)>,
}

impl SendOutcome {
    pub(super) fn refuse(records: Vec<(usize, Record)>, failure: &Failure) -> Self {
        let all = records.into_iter();
        Self {
            refused: all
                .map(|(index, _)| (index, failure.clone().into()))
                .collect(),
            ..Self::default()
        }
    }
}

/// Hands a record to librdkafka.
pub(super) async fn send(
    client: &KafkaClient,
    index: usize,
    mut record: Record,
) -> Result<PendingRecord, FailedRecord> {
    let size = size(&record);
    let Some(producer) = client.producer() else {
        return Err((index, record, size, ClientError::Canceled));
    };
    match enqueue(producer, of_record(&record)).await {
        Ok(delivery) => {
            record.value = Vec::new();
            Ok(PendingRecord {
                index,
                record,
                size,
                delivery,
            })
        }
        Err(error) => Err((index, record, size, error)),
    }
}

/// Waits until each record is acknowledged or refused. Returns whether any was acknowledged, and the others with their
/// values. Calls `suspected` when the broker closes connections again and again in the meantime.
pub(super) async fn settle<F: Future<Output = ()>>(
    client: &KafkaClient,
    before: &Arc<StatisticsSample>,
    pending: Vec<PendingRecord>,
    suspected: impl Fn() -> F,
) -> (bool, Vec<FailedRecord>) {
    let (mut acknowledged, mut failed) = (false, Vec::new());
    let mut suspicion = pin!(client.statistics.closes(before, CLOSINGS));
    let mut is_suspected = false;
    for PendingRecord {
        index,
        mut record,
        size,
        mut delivery,
    } in pending
    {
        let result = tokio::select! {
            biased;
            result = &mut delivery => result,
            () = &mut suspicion, if !is_suspected => {
                is_suspected = true;
                suspected().await;
                delivery.await
            }
        };
        match result {
            Ok(Ok(_)) => acknowledged = true,
            Ok(Err((error, message))) => {
                record.value = message.payload().unwrap_or_default().to_vec();
                failed.push((index, record, size, error));
            }
            Err(_) => failed.push((index, record, size, ClientError::Canceled)),
        }
    }
    (acknowledged, failed)
}
