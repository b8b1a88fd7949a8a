//! Hands records to librdkafka's queue.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::sleep;

use super::events::ClientEvents;
use crate::ports::Record;

/// First and longest pause when the queue is full.
const QUEUE_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

pub(super) type Client = FutureProducer<ClientEvents>;

/// Hands a record to librdkafka. Waits while its queue is full.
pub(super) async fn enqueue(
    producer: &Client,
    record: FutureRecord<'_, [u8], [u8]>,
) -> Result<DeliveryFuture, ClientError> {
    let (mut pause, longest) = QUEUE_PAUSE;
    let mut next = record;
    loop {
        match producer.send_result(next) {
            Ok(delivery) => return Ok(delivery),
            Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => next = back,
            Err((error, _)) => return Err(error),
        }
        sleep(pause).await;
        pause = longest.min(pause * 2);
    }
}

/// The size of a record as messages name it.
pub(super) fn size(record: &Record) -> usize {
    record.key.len() + record.value.len()
}

pub(super) fn of_record(record: &Record) -> FutureRecord<'_, [u8], [u8]> {
    FutureRecord::to(&record.topic)
        .key(record.key.as_bytes())
        .payload(record.value.as_slice())
        .headers(headers_of(record))
}

pub(super) fn headers_of(record: &Record) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    headers
}

/// Splits records into rounds in which no key occurs twice. Sent one after the other, they keep each key's order.
pub(super) fn rounds(records: Vec<Record>) -> Vec<Vec<(usize, Record)>> {
    let earlier: Vec<usize> = {
        let mut occurred = HashMap::with_capacity(records.len());
        let count = |record| {
            let Record { topic, key, .. }: &Record = record;
            let times = occurred.entry((topic, key)).or_insert(0_usize);
            *times += 1;
            *times - 1
        };
        records.iter().map(count).collect()
    };
    let mut rounds: Vec<Vec<(usize, Record)>> = Vec::new();
    for (index, (earlier, record)) in earlier.into_iter().zip(records).enumerate() {
        match rounds.get_mut(earlier) {
            Some(round) => round.push((index, record)),
            None => rounds.push(vec![(index, record)]),
        }
    }
    rounds
}
