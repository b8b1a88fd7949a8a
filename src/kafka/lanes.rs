//! Large records, each in a request of its own and over connections that no other record uses.
//!
//! When a record makes a request larger than the brokers accept, they close the connection. librdkafka then sends it
//! again for ever, before anything else for that broker. So records that may be that large travel apart from all
//! others: in a few clients ([`LANES`]), one record in each at a time. When connections come up and are closed again
//! and again while it waits, the record is taken back and reported as too large.
//!
//! Invariant: only that evidence takes a record back, never a time limit. While no connection comes up, it waits like
//! all others.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::Xxh3;

use super::client::{ClientList, KafkaClient};
use super::events::ClientEvents;
use super::queue::{enqueue, of_record};
use crate::kafka::connection::Connection;
use crate::ports::Record;
use crate::settings::KafkaConnection;

/// Large records on their way at once.
const LANES: usize = 4;
/// Connections that come up and are closed before the record counts as the reason.
const CLOSINGS: u64 = 3;
/// Time for librdkafka to return a record that is taken back. No network is involved.
const COMES_BACK: Duration = Duration::from_secs(10);
/// A record that was too large is tried again after this time: a setting may have changed.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Records remembered.
const MEMORY: usize = 4096;

/// The result of sending a record.
pub(super) enum LargeOutcome {
    Arrived,
    /// Kafka or librdkafka refused it.
    Refused(Record, ClientError),
    /// The broker closed connections over it, again and again.
    Closed(Record),
    /// The producer had this fatal error.
    Died(Code, String),
}

pub(super) struct Lanes {
    free: Mutex<Vec<Arc<KafkaClient>>>,
    turns: Semaphore,
    refused: Mutex<HashMap<u64, (LargeVerdict, Instant)>>,
}

/// Why a record counts as too large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LargeVerdict {
    /// It was not sent, because one of its size had been refused. Parts of it may fit.
    Skipped,
    /// The broker closed the connection over it.
    Closed,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            free: Mutex::default(),
            turns: Semaphore::new(LANES),
            refused: Mutex::default(),
        }
    }
}

impl Lanes {
    /// Whether the record counts as too large without being sent. `suspect`: one of its size was refused recently.
    ///
    /// A suspected record is skipped once, so that the caller splits it. If it comes again, it could not be split; then
    /// it is sent, because it may fit when compressed.
    pub(super) fn skips(&self, record: &Record, suspect: bool) -> bool {
        let name = name(record);
        let mut refused = lock(&self.refused);
        let known = refused.get(&name).copied();
        match known.filter(|(_, since)| since.elapsed() < REMEMBERED) {
            Some((LargeVerdict::Closed, _)) => true,
            Some((LargeVerdict::Skipped, _)) => false,
            None if suspect => {
                note(&mut refused, name, LargeVerdict::Skipped);
                true
            }
            None => false,
        }
    }

    /// Sends one record in a lane of its own. Waits for a free one.
    pub(super) async fn send(
        &self,
        record: Record,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
        register: &ClientList,
    ) -> LargeOutcome {
        let turn = self.turns.acquire().await;
        let lane = match self.take(options, connection, register) {
            Ok(lane) => lane,
            Err(error) => return LargeOutcome::Refused(record, error),
        };
        let name = name(&record);
        let outcome = pass(&lane, record).await;
        match &outcome {
            LargeOutcome::Closed(_) => note(&mut lock(&self.refused), name, LargeVerdict::Closed),
            LargeOutcome::Arrived | LargeOutcome::Refused(..) if !lane.is_retired() => {
                self.give_back(lane, turn.ok());
            }
            LargeOutcome::Arrived | LargeOutcome::Refused(..) | LargeOutcome::Died(..) => {}
        }
        outcome
    }

    fn take(
        &self,
        options: &KafkaConnection,
        connection: &Arc<Connection>,
        register: &ClientList,
    ) -> Result<Arc<KafkaClient>, ClientError> {
        if let Some(lane) = lock(&self.free).pop() {
            return Ok(lane);
        }
        let lane = KafkaClient::make(
            &options.producer_of_large_records(),
            ClientEvents::aside(connection),
        )?;
        register.enter(&lane);
        Ok(lane)
    }

    /// Keeps one for the next large record. More would be unused threads and connections.
    fn give_back(&self, lane: Arc<KafkaClient>, _turn: Option<SemaphorePermit<'_>>) {
        let mut free = lock(&self.free);
        if free.is_empty() {
            free.push(lane);
        }
    }
}

async fn pass(lane: &KafkaClient, mut record: Record) -> LargeOutcome {
    let before = lane.statistics.now();
    let Some(producer) = lane.producer() else {
        return LargeOutcome::Refused(record, ClientError::Canceled);
    };
    let mut delivery = match enqueue(producer, of_record(&record)).await {
        Ok(delivery) => delivery,
        Err(error) => return fatal_or(lane, record, error),
    };
    // librdkafka holds the value now: the memory budget allows one copy.
    record.value = Vec::new();
    let result = tokio::select! {
        result = &mut delivery => Some(result),
        () = lane.statistics.closes(&before, CLOSINGS) => {
            lane.retire();
            timeout(COMES_BACK, &mut delivery).await.ok()
        }
    };
    match result {
        Some(Ok(Ok(_))) => LargeOutcome::Arrived,
        Some(Ok(Err((error, message)))) => {
            record.value = message.payload().unwrap_or_default().to_vec();
            match lane.is_retired() {
                true => LargeOutcome::Closed(record),
                false => fatal_or(lane, record, error),
            }
        }
        Some(Err(_)) | None => LargeOutcome::Refused(record, ClientError::Canceled),
    }
}

fn fatal_or(lane: &KafkaClient, record: Record, error: ClientError) -> LargeOutcome {
    match lane.fatal() {
        Some((code, why)) => LargeOutcome::Died(code, why),
        None => LargeOutcome::Refused(record, error),
    }
}

/// A hash of what makes the record.
fn name(record: &Record) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(record.topic.as_bytes());
    hash.update(&[0]);
    hash.update(record.key.as_bytes());
    hash.update(&[0]);
    hash.update(&record.value);
    hash.digest()
}

fn note(refused: &mut HashMap<u64, (LargeVerdict, Instant)>, name: u64, verdict: LargeVerdict) {
    if refused.len() >= MEMORY {
        refused.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
    }
    if refused.len() < MEMORY {
        refused.insert(name, (verdict, Instant::now()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &str) -> Record {
        Record {
            raw: 0..0,
            topic: "t".into(),
            key: "k".to_owned(),
            headers: Vec::new(),
            value: value.as_bytes().to_vec(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_is_spared_once_and_one_that_closed_a_connection_for_minutes() {
        let lanes = Lanes::default();
        let (suspect, other) = (record("a"), record("b"));
        assert!(!lanes.skips(&suspect, false), "nothing speaks against it");
        assert!(lanes.skips(&suspect, true));
        assert!(!lanes.skips(&suspect, true), "it could not be split");
        assert!(lanes.skips(&other, true), "it is another one");
        note(
            &mut lock(&lanes.refused),
            name(&suspect),
            LargeVerdict::Closed,
        );
        assert!(lanes.skips(&suspect, false));
        tokio::time::advance(REMEMBERED).await;
        assert!(!lanes.skips(&suspect, false), "a setting may have changed");
    }

    #[test]
    fn the_memory_has_an_end() {
        let mut refused = HashMap::new();
        for name in 0..2 * MEMORY as u64 {
            note(&mut refused, name, LargeVerdict::Closed);
        }
        assert_eq!(refused.len(), MEMORY);
    }
}
