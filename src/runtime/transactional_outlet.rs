//! The outlet with a ledger that is written in the same transaction as the records: a version is published and recorded,
//! or neither.
//!
//! A record that Kafka refuses would abort everything else in its transaction. So the outlet looks at topics and sizes
//! first: an incident that its topic may not accept is split before the transaction begins, and an item whose topic is
//! missing is left out, held back with the reason, while all others go on. A dead letter waits for its topic alone.
//!
//! After a transaction that fails, only the ledger knows what was committed. The lease is then lost, the sweep ends, and
//! the next one reads again from the cursor.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::limits::{Stretch, do_work};
use super::oldest::OldestWait;
use super::outlet_items::{
    LetterTopics, record_items, restore, see_changes, settle_without_record, unsplittable,
    version_of,
};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::ownership::Ownership;
use crate::core::sweep::cursor::TenantState;
use crate::ports::{
    Batch, Committed, Encoder, Event, Item, Lease, LedgerEntry, Observer, Outlet, Record,
    TenantLedger, TransactionalLedger,
};

/// How much larger than the incident all its parts may be together, and so all records of its alerts. Each part repeats what
/// is around the alerts, and a transaction holds all of them at once.
const PARTS_MOST: usize = 4;
/// Besides, records of alerts may have this many bytes: the headers of some ten thousand.
const ALERTS_LEAST: usize = 16 << 20;

pub struct TransactionalOutlet(Arc<TransactionalShared>);

/// What all leases share.
struct TransactionalShared {
    ledger: Arc<dyn TransactionalLedger>,
    observer: Arc<dyn Observer>,
    letters: LetterTopics,
    /// Transactions that are not yet committed.
    uncommitted: OldestWait,
}

impl TransactionalOutlet {
    pub fn new(ledger: Arc<dyn TransactionalLedger>, observer: Arc<dyn Observer>) -> Self {
        Self(Arc::new(TransactionalShared {
            ledger,
            observer,
            letters: LetterTopics::default(),
            uncommitted: OldestWait::default(),
        }))
    }
}

impl Outlet for TransactionalOutlet {
    fn lease(
        &self,
        tenant: TenantId,
        encoder: Arc<dyn Encoder>,
    ) -> Result<Box<dyn Lease>, Failure> {
        Ok(Box::new(TransactionalLease {
            ledger: self.0.ledger.open(tenant)?,
            outlet: self.0.clone(),
            tenant,
            encoder,
        }))
    }

    fn waits_for(&self) -> Option<Duration> {
        self.0.uncommitted.longest()
    }

    fn ownership(&self) -> watch::Receiver<Ownership> {
        self.0.ledger.ownership()
    }

    fn at_rest(&self, partition: u16) {
        self.0.ledger.at_rest(partition);
    }
}

struct TransactionalLease {
    outlet: Arc<TransactionalShared>,
    tenant: TenantId,
    encoder: Arc<dyn Encoder>,
    ledger: Box<dyn TenantLedger>,
}

/// What a transaction will write.
#[derive(Default)]
struct Prepared {
    records: Vec<Record>,
    /// Items that are recorded when it is committed.
    done: Vec<Item>,
    /// The failure of the first item that is left out.
    failure: Option<Failure>,
    /// Topics of dead letters in it.
    letters: Vec<Arc<str>>,
    /// Incidents in parts: id, number of parts, bytes of the whole record.
    split: Vec<(IncidentId, usize, usize)>,
}

impl TransactionalLease {
    async fn publish_and_record(&self, batch: Batch) -> Committed {
        let mut prepared = Prepared::default();
        let mut stretch = Stretch::default();
        for item in batch.items {
            stretch.worked(item.raw().len()).await;
            self.prepare(item, &mut prepared).await;
        }
        let Prepared {
            records,
            done,
            failure,
            letters,
            split,
        } = prepared;
        let mut entry = LedgerEntry {
            state: batch.state.filter(|_| failure.is_none()),
            forget_before: batch.forget_before,
            forget_letters_before: batch.forget_letters_before,
            ..LedgerEntry::of(self.tenant)
        };
        let changes = record_items(&mut entry, done);
        if !(records.is_empty() && entry.is_empty()) {
            let _under_way = self.outlet.uncommitted.begin();
            if let Err(failure) = self.ledger.commit(records, entry).await {
                return Committed {
                    published: 0,
                    result: Err(self.settle_letters(&letters, failure).await),
                };
            }
        }
        self.report(&letters, &split);
        see_changes(&*self.outlet.observer, &changes);
        Committed {
            published: changes.len() as u64,
            result: failure.map_or(Ok(()), Err),
        }
    }

    /// After a transaction that failed: a dead letter that Kafka refused is no failure of the tenant. The next sweep reads the
    /// same again, and leaves out what its topic does not accept.
    async fn settle_letters(&self, letters: &[Arc<str>], failure: Failure) -> Failure {
        if failure.reaction == Reaction::Fenced {
            return failure;
        }
        for topic in letters {
            let accepts = self.outlet.ledger.accepts(topic).await;
            if accepts.as_ref() == Err(&failure) {
                self.outlet.letters.note(topic, &accepts);
                return Failure {
                    reaction: Reaction::Fenced,
                    ..failure
                };
            }
        }
        failure
    }

    /// After the commit.
    fn report(&self, letters: &[Arc<str>], split: &[(IncidentId, usize, usize)]) {
        for topic in letters {
            self.outlet.letters.note(topic, &Ok(()));
        }
        for (incident, parts, bytes) in split {
            self.outlet.observer.see(Event::Split);
            tracing::info!(tenant = %self.tenant, %incident, parts, bytes,
                "an incident larger than its topic accepts was published in parts");
        }
    }

    /// Adds an item to the transaction, or leaves it out with its failure.
    async fn prepare(&self, mut item: Item, prepared: &mut Prepared) {
        let alerts = match self.alerts(&item).await {
            Ok(alerts) => alerts,
            Err(failure) => {
                prepared.failure.get_or_insert(failure);
                return;
            }
        };
        let encode = || self.encoder.encode(&item);
        let Some(record) = do_work(item.raw().len(), encode).await else {
            settle_without_record(item, &mut prepared.done, &mut prepared.failure);
            return;
        };
        let topic = record.topic.clone();
        match self.fit(&mut item, record).await {
            Ok(records) => {
                match &item {
                    Item::DeadLetter { .. } => prepared.letters.push(topic),
                    Item::Version { reading, .. } if records.len() > 1 => {
                        let bytes = records.iter().map(Record::size).sum();
                        prepared.split.push((reading.id, records.len(), bytes));
                    }
                    _ => {}
                }
                prepared.records.extend(alerts);
                prepared.records.extend(records);
                item.set_raw(Bytes::new());
                prepared.done.push(item);
            }
            // A missing dead-letter topic must not stop the tenant. The letter is tried again when the element is read
            // again.
            Err(failure) if matches!(item, Item::DeadLetter { .. }) => {
                self.outlet.letters.note(&topic, &Err(failure));
            }
            Err(failure) => {
                prepared.failure.get_or_insert(failure);
            }
        }
    }

    /// The records of an item's alerts, each of which their topic accepts.
    async fn alerts(&self, item: &Item) -> Result<Vec<Record>, Failure> {
        let (ledger, bytes) = (&self.outlet.ledger, item.raw().len());
        let room = bytes.saturating_mul(PARTS_MOST) + ALERTS_LEAST;
        let alerts = do_work(bytes, || {
            within(self.encoder.alerts(item).into_iter().flatten(), room)
        });
        let alerts = alerts.await.ok_or_else(|| too_many_alerts(item, room))?;
        let Some(topic) = alerts.first().map(|alert| &alert.topic) else {
            return Ok(alerts);
        };
        ledger.accepts(topic).await?;
        let (limit, largest) = (
            ledger.limit(topic).await,
            alerts.iter().map(Record::size).max(),
        );
        match largest.filter(|largest| *largest > limit) {
            Some(largest) => Err(too_large(topic, largest, limit)),
            None => Ok(alerts),
        }
    }

    /// The records of an item, each of which its topic accepts.
    async fn fit(&self, item: &mut Item, record: Record) -> Result<Vec<Record>, Failure> {
        let ledger = &self.outlet.ledger;
        let (topic, bytes) = (record.topic.clone(), record.size());
        ledger.accepts(&topic).await?;
        let limit = ledger.limit(&topic).await;
        if bytes <= limit {
            return Ok(vec![record]);
        }
        // Memory has one copy of a large incident, here too.
        if !record.raw.is_empty() {
            item.set_raw(Bytes::new());
            restore(item, record);
        }
        let parts = do_work(bytes, || {
            let mut parts = Vec::new();
            let mut room = bytes.saturating_mul(PARTS_MOST);
            for part in self.encoder.encode_within(item, limit)? {
                room = room.checked_sub(part.size())?;
                parts.push(part);
            }
            Some(parts)
        });
        parts
            .await
            .ok_or_else(|| unsplittable(&too_large(&topic, bytes, limit), limit))
    }
}

/// The refusal that Kafka would give.
fn too_large(topic: &str, bytes: usize, limit: usize) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::HoldBack,
        format!(
            "a record of {bytes} bytes is larger than the topic {topic} accepts for certain ({limit} bytes)"
        ),
        format!(
            "raise max.message.bytes of the topic {topic} to {bytes} or more, and socket.request.max.bytes of the brokers \
             likewise where it is smaller"
        ),
    )
}

/// Records, each version once. `None`: they have more bytes than this together.
fn within(records: impl Iterator<Item = Record>, mut room: usize) -> Option<Vec<Record>> {
    let mut versions = HashSet::new();
    let records = records.filter(|record| versions.insert(version_of(record)));
    let counted = records.map(|record| {
        room = room.checked_sub(record.size())?;
        Some(record)
    });
    counted.collect()
}

fn too_many_alerts(item: &Item, room: usize) -> Failure {
    let incident = match item {
        Item::Version { reading, .. } => reading.id.to_string(),
        _ => String::new(),
    };
    Failure::new(
        Health::Misconfigured,
        Reaction::HoldBack,
        format!(
            "the alerts of incident {incident} make records of more than {room} bytes, which no transaction holds"
        ),
        "unset kafka.alerts_topic for this tenant until the incident is published",
    )
}

impl Lease for TransactionalLease {
    fn state(&self) -> BoxFuture<'_, Result<Option<TenantState>, Failure>> {
        std::future::ready(self.ledger.state()).boxed()
    }

    fn known<'a>(
        &'a self,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>> {
        std::future::ready(self.ledger.known(ids)).boxed()
    }

    fn outlines<'a>(
        &'a self,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<PackedOutline>>, Failure>> {
        std::future::ready(self.ledger.outlines(ids)).boxed()
    }

    fn letters(&self) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>> {
        std::future::ready(self.ledger.letters()).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Committed> {
        self.publish_and_record(batch).boxed()
    }
}

#[cfg(test)]
mod tests;
