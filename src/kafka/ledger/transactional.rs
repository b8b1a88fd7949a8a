//! One partition of the ledger's topic in Apache Kafka.
//!
//! Each fence also writes a row of its own, with a key that no other row has ([`OWNER_KEY`]). It proves that the topic can
//! be written, and it is the last row that a restore has to see ([`super::restore`]).

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use uuid::Uuid;

use super::epoch::EpochProducer;
use super::log::{Entry, PartitionLog, PartitionLogError, Row};
use super::log_error::passing;
use super::restore::{RowReader, end};
use super::rows::OUTLINE;
use super::setup::WorkerSetup;
use crate::kafka::queue::headers_of;

/// The row that says who owns the partition. All other keys are longer.
pub(super) const OWNER_KEY: &[u8] = b"owner";

pub(super) struct TransactionalLog {
    setup: WorkerSetup,
    /// Of the last fence.
    epoch: Option<EpochProducer>,
    owner: Row,
    reader: Option<RowReader>,
    /// All rows were read since the last fence.
    is_restored: bool,
}

impl TransactionalLog {
    pub(super) fn new(setup: WorkerSetup) -> Self {
        Self {
            setup,
            epoch: None,
            owner: Row {
                key: OWNER_KEY.to_vec(),
                ..Row::default()
            },
            reader: None,
            is_restored: false,
        }
    }

    /// Serves librdkafka's events while there is nothing to write.
    pub(super) fn idle(&self) -> Result<(), PartitionLogError> {
        match &self.epoch {
            Some(epoch) => epoch.poll(),
            None => Ok(()),
        }
    }

    /// Commits without waiting for deliveries first, to measure what that costs.
    #[cfg(test)]
    pub(super) fn commit_at_once(&mut self) -> Result<(), PartitionLogError> {
        self.epoch()?.commit_sent()
    }

    /// One for the whole restore: each is a client with threads of its own.
    fn reader(&mut self) -> Result<&mut RowReader, PartitionLogError> {
        // librdkafka holds every statistics event until somebody takes it.
        self.idle()?;
        match &mut self.reader {
            Some(reader) => Ok(reader),
            none => Ok(none.insert(RowReader::open(&self.setup, self.owner.clone())?)),
        }
    }

    fn epoch(&mut self) -> Result<&mut EpochProducer, PartitionLogError> {
        // The protocol fences first.
        self.epoch
            .as_mut()
            .ok_or_else(|| passing("the partition is not fenced"))
    }

    fn send(&mut self, entry: &Entry) -> Result<(), PartitionLogError> {
        let (topic, partition) = (self.setup.topic.clone(), self.setup.number());
        let epoch = self.epoch()?;
        match entry {
            // Without a partition: by key, as every publisher of incidentd does it.
            Entry::Record(record) => epoch.send(
                BaseRecord::with_opaque_to(&record.topic, 0)
                    .key(record.key.as_bytes())
                    .payload(record.value.as_slice())
                    .headers(headers_of(record)),
            ),
            Entry::Row(row) => {
                let mut new = BaseRecord::with_opaque_to(&topic, 0)
                    .partition(partition)
                    .key(row.key.as_slice());
                if let Some(outline) = &row.outline {
                    new = new.headers(OwnedHeaders::new_with_capacity(1).insert(Header {
                        key: OUTLINE,
                        value: Some(outline.as_bytes()),
                    }));
                }
                match &row.value {
                    Some(value) => epoch.send(new.payload(value.as_slice())),
                    None => epoch.send(new),
                }
            }
        }
    }
}

impl PartitionLog for TransactionalLog {
    fn fence(&mut self) -> Result<(), PartitionLogError> {
        self.reader = None;
        self.is_restored = false;
        self.epoch = None;
        self.epoch = Some(EpochProducer::fence(&self.setup)?);
        self.owner.value = Some(Uuid::new_v4().to_string().into_bytes());
        let written = self.send(&Entry::Row(self.owner.clone()));
        let committed = written.and_then(|()| self.epoch()?.commit());
        committed.map_err(|error| match error {
            // No record is the reason.
            PartitionLogError::Refused { failure, .. } => PartitionLogError::Failed(failure),
            other => other,
        })
    }

    fn end(&mut self) -> Result<i64, PartitionLogError> {
        end(&self.setup)
    }

    fn stable_end(&mut self) -> Result<i64, PartitionLogError> {
        self.reader()?.stable_end()
    }

    fn read(&mut self) -> Result<Option<Vec<Row>>, PartitionLogError> {
        if self.is_restored {
            return Ok(None);
        }
        let rows = self.reader()?.read()?;
        if rows.is_none() {
            // The consumer holds threads and memory.
            self.reader = None;
            self.is_restored = true;
        }
        Ok(rows)
    }

    fn begin(&mut self) -> Result<(), PartitionLogError> {
        // The transaction begins with its first entry.
        self.epoch().map(drop)
    }

    fn add(&mut self, entry: Entry) -> Result<(), PartitionLogError> {
        self.send(&entry)
    }

    fn commit(&mut self) -> Result<(), PartitionLogError> {
        self.epoch()?.commit()
    }
}
