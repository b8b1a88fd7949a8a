//! The batch and its commit.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::BatchBuilder;
use crate::core::health::failure::{Failure, Reaction};
use crate::core::ids::IncidentId;
use crate::core::incident::outline::{self, Comparison, PackedOutline};
use crate::core::incident::version::{Change, Deduplicate, Reading, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::ports::{Batch, Event, Item};
use crate::runtime::limits::do_work;
use crate::runtime::sweep::element::{ReadIncident, detached};

/// A batch is committed at this many bytes or records: large enough that acknowledgement and ledger commit cost little
/// per record, and small enough that 64 sweeps that wait for Kafka hold little memory.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_RECORDS: usize = 1_000;
/// What an item costs in memory besides its bytes and their envelope.
const ITEM_OVERHEAD: usize = 512;

/// What the next commit writes.
#[derive(Default)]
pub(super) struct PendingBatch {
    items: Vec<Item>,
    readings: HashMap<IncidentId, Reading>,
    bytes: usize,
    /// Versions of incidents among `items`.
    versions: u64,
    /// When the oldest page in it began to arrive.
    arrived: Option<Instant>,
}

impl PendingBatch {
    pub(super) fn begin_page(&mut self) {
        self.arrived.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.items.len() >= BATCH_RECORDS
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Versions of incidents that wait for the commit.
    pub(super) fn versions(&self) -> u64 {
        self.versions
    }

    pub(super) fn waits(&self) -> Duration {
        let arrived = self.arrived.filter(|_| !self.is_empty());
        arrived.map_or(Duration::ZERO, |arrived| arrived.elapsed())
    }

    /// Whether it holds this version.
    pub(super) fn holds(&self, reading: &Reading) -> bool {
        self.readings.get(&reading.id) == Some(reading)
    }

    /// How many of `incidents` come before one with a second version, which has to wait for the commit of the first.
    pub(super) fn distinct(&self, incidents: &[ReadIncident]) -> usize {
        let mut ids = HashSet::with_capacity(incidents.len());
        let first = |incident: &&ReadIncident| {
            let id = incident.reading.id;
            !self.readings.contains_key(&id) && ids.insert(id)
        };
        incidents.iter().take_while(first).count()
    }

    /// Adds an item. `envelope` is what a record of the item has around its bytes; 0: there is no record.
    pub(super) fn push(&mut self, item: Item, envelope: usize) {
        self.bytes += item.raw().len() + envelope + ITEM_OVERHEAD;
        self.versions += u64::from(matches!(item, Item::Version { .. }));
        self.items.push(item);
    }
}

/// What the ledger has of an incident.
#[derive(Clone, Copy)]
pub(super) struct PublishedBefore<'a> {
    pub(super) seen: Option<&'a Seen>,
    pub(super) outline: Option<&'a PackedOutline>,
}

impl BatchBuilder<'_> {
    /// Adds a version to be published.
    pub(super) async fn publish(
        &mut self,
        incident: ReadIncident,
        change: Change,
        published: PublishedBefore<'_>,
    ) {
        let ReadIncident { reading, raw } = incident;
        self.pending.readings.insert(reading.id, reading);
        self.stretch.worked(raw.len()).await;
        let compared = self.compare(&reading, &raw, published).await;
        let envelope = self.scope.tenant.encoder.envelope(raw.len()) + compared.size();
        let item = Item::Version {
            reading,
            change,
            seen: reading.seen(published.seen),
            compared,
            raw: detached(raw),
        };
        self.pending.push(item, envelope);
    }

    /// What is new in an incident. Of a tenant whose incidents are published once, no next version is compared.
    async fn compare(
        &mut self,
        reading: &Reading,
        raw: &[u8],
        published: PublishedBefore<'_>,
    ) -> Comparison {
        let tenant = self.scope.tenant;
        if tenant.rules.deduplicate == Deduplicate::Id {
            return Comparison::default();
        }
        let shape = tenant.source.shape();
        let before = published.seen.zip(published.outline);
        let compared = do_work(raw.len(), || outline::compare(raw, reading, shape, before)).await;
        self.stretch.worked(raw.len()).await;
        compared
    }

    /// Publishes and records the batch, together with `state`. The commit of the outlet must run to its end.
    pub(in crate::runtime::sweep) async fn commit(
        &mut self,
        state: Option<TenantState>,
    ) -> Result<(), Failure> {
        if self.pending.is_empty() && state.is_none() {
            return Ok(());
        }
        let batch = mem::take(&mut self.pending);
        let any = !batch.is_empty();
        let commit = self.scope.lease.commit(Batch {
            items: batch.items,
            state,
            ..Batch::default()
        });
        let committed = self.permit.wait(commit).await;
        self.bytes.release(batch.bytes);
        self.account.published += committed.published;
        if committed.result.is_err() {
            self.account.refused += batch.versions.saturating_sub(committed.published);
        }
        match committed.result {
            Err(refused) if refused.reaction == Reaction::HoldBack => {
                self.held_back.get_or_insert(refused);
            }
            result => result?,
        }
        if let Some(arrived) = batch.arrived.filter(|_| any) {
            self.scope.sweeper.observer.see(Event::Acknowledged {
                took: arrived.elapsed(),
            });
        }
        Ok(())
    }
}
