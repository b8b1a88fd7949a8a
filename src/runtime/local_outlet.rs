//! The outlet with a local ledger: it publishes, waits for the acknowledgement, and then writes the ledger.
//!
//! A record can repeat in one case only: the process dies between Kafka's acknowledgement and the ledger's commit. To keep
//! it to that case, a commit waits for a ledger that can't be written (a full disk) and does not fail: after a failure the
//! sweep would publish the same records again. While one commit waits, no other publishes, because what is not published
//! can't repeat.
//!
//! Alerts with records of their own come first ([`alerts`]).
//!
//! An incident that is too large for its topic is split, one incident after the other. Each part is published after the one
//! before it is acknowledged. The incident counts as published when all parts are. If a part is refused, the incident is
//! held back, and its parts may be published again later.

mod alerts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::sleep;

use super::limits::{Stretch, do_work};
use crate::core::health::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::ownership::Ownership;
use crate::core::sweep::cursor::TenantState;
use crate::ports::{
    Batch, Committed, Encoder, Event, Item, Lease, Ledger, LedgerEntry, Observer, Outlet,
    Publisher, Record, Refused,
};
use crate::runtime::oldest::OldestWait;
use crate::runtime::outlet_items::{
    LetterTopics, record_items, restore, see_changes, settle_without_record, unsplittable,
};

use alerts::{AcknowledgedAlerts, BatchAlerts};

/// The pause between two tries to write the ledger.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

/// The outlet of one process: publishes, waits for the acknowledgement, and then writes a ledger of its own.
pub struct LocalOutlet(Arc<Shared>);

/// What all leases share.
struct Shared {
    publisher: Arc<dyn Publisher>,
    ledger: Arc<dyn Ledger>,
    observer: Arc<dyn Observer>,
    /// The number of commits that wait until the ledger can be written again.
    stuck: watch::Sender<usize>,
    letters: LetterTopics,
    alerts: AcknowledgedAlerts,
    /// Publications that are not yet acknowledged.
    unacknowledged: OldestWait,
}

impl LocalOutlet {
    /// `observer` counts what is published, and what is held up.
    pub fn new(
        publisher: Arc<dyn Publisher>,
        ledger: Arc<dyn Ledger>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self(Arc::new(Shared {
            publisher,
            ledger,
            observer,
            stuck: watch::Sender::new(0),
            letters: LetterTopics::default(),
            alerts: AcknowledgedAlerts::default(),
            unacknowledged: OldestWait::default(),
        }))
    }
}

impl Outlet for LocalOutlet {
    /// One process has all tenants: the ledger's lock ensures it.
    fn lease(
        &self,
        tenant: TenantId,
        encoder: Arc<dyn Encoder>,
    ) -> Result<Box<dyn Lease>, Failure> {
        Ok(Box::new(LocalLease {
            outlet: self.0.clone(),
            tenant,
            encoder,
        }))
    }

    fn waits_for(&self) -> Option<Duration> {
        self.0.unacknowledged.longest()
    }

    /// All of them, for ever: the ledger's lock ensures it.
    fn ownership(&self) -> watch::Receiver<Ownership> {
        watch::Sender::new(Ownership::All).subscribe()
    }

    fn at_rest(&self, _: u16) {}
}

impl Shared {
    /// Publishes, but not while a commit waits for the ledger: records published then would repeat after a crash.
    async fn hand_over(&self, records: Vec<Record>) -> Vec<Result<(), Refused>> {
        // Fails only when the sender is dropped, and `self` keeps it.
        let _ = self.stuck.subscribe().wait_for(|stuck| *stuck == 0).await;
        let _under_way = self.unacknowledged.begin();
        self.publisher.publish(records).await
    }

    async fn hand_over_one(&self, record: Record) -> Result<(), Failure> {
        let results = self.hand_over(vec![record]).await;
        let refused = results.into_iter().find_map(Result::err);
        refused.map_or(Ok(()), |refused| Err(refused.failure))
    }

    async fn record(&self, entry: LedgerEntry) {
        let mut waiting = None;
        while let Err(failure) = self.ledger.write(entry.clone()).await {
            if waiting.is_none() {
                // One line for all waiting commits: each of thousands of tenants may have one.
                if *self.stuck.borrow() == 0 {
                    tracing::error!(error = %failure, remedy = failure.remedy, "the ledger can't be written; publishing stops until it can");
                }
                waiting = Some(Stuck::new(&self.stuck));
            }
            sleep(LEDGER_RETRY).await;
        }
        if waiting.take().is_some() && *self.stuck.borrow() == 0 {
            tracing::info!("the ledger can be written again; publishing goes on");
        }
    }
}

struct LocalLease {
    outlet: Arc<Shared>,
    tenant: TenantId,
    encoder: Arc<dyn Encoder>,
}

/// The outcome of a batch's items.
#[derive(Default)]
struct Outcome {
    /// Items to be recorded: acknowledged, or without anything to publish.
    done: Vec<Item>,
    /// The failure of the first item that is not done.
    failure: Option<Failure>,
}

/// An item whose record is larger than its topic accepts.
struct Oversize {
    item: Item,
    topic: Arc<str>,
    /// The size of the record.
    bytes: usize,
    refusal: Failure,
}

impl LocalLease {
    async fn publish_and_record(&self, batch: Batch) -> Committed {
        let forgets_only = batch.items.is_empty() && batch.state.is_none();
        let mut alerts = self.publish_alerts(&batch.items).await;
        let Outcome { done, failure } = self.publish(batch.items, &mut alerts).await;
        self.keep_alerts(alerts, &done);
        let mut entry = LedgerEntry {
            state: batch.state.filter(|_| failure.is_none()),
            forget_before: batch.forget_before,
            forget_letters_before: batch.forget_letters_before,
            ..LedgerEntry::of(self.tenant)
        };
        let changes = record_items(&mut entry, done);
        if forgets_only && !entry.is_empty() {
            // Nothing was published, so nothing repeats: the sweep fails, and no other tenant waits for it.
            let result = self.outlet.ledger.write(entry).await;
            return Committed {
                published: 0,
                result,
            };
        }
        if !entry.is_empty() {
            self.outlet.record(entry).await;
        }
        see_changes(&*self.outlet.observer, &changes);
        Committed {
            published: changes.len() as u64,
            result: failure.map_or(Ok(()), Err),
        }
    }

    /// Publishes the items whose alerts are published.
    async fn publish(&self, items: Vec<Item>, alerts: &mut BatchAlerts) -> Outcome {
        let (mut outcome, mut sent, mut records) = (Outcome::default(), Vec::new(), Vec::new());
        let mut stretch = Stretch::default();
        for mut item in items {
            stretch.worked(item.raw().len()).await;
            if let Some(refusal) = alerts.refusal(&item) {
                outcome.failure.get_or_insert(refusal);
                continue;
            }
            match self.encode(&mut item).await {
                Some(record) => {
                    sent.push((item, record.topic.clone()));
                    records.push(record);
                }
                None => settle_without_record(item, &mut outcome.done, &mut outcome.failure),
            }
        }
        if records.is_empty() {
            return outcome;
        }
        let mut oversize = Vec::new();
        for ((mut item, topic), result) in
            sent.into_iter().zip(self.outlet.hand_over(records).await)
        {
            let is_letter = matches!(item, Item::DeadLetter { .. });
            match result {
                Ok(()) => {
                    if is_letter {
                        self.outlet.letters.note(&topic, &Ok(()));
                    }
                    outcome.done.push(item);
                }
                Err(Refused {
                    failure: refusal,
                    oversize: Some(record),
                }) => {
                    let bytes = record.size();
                    restore(&mut item, *record);
                    oversize.push(Oversize {
                        item,
                        topic,
                        bytes,
                        refusal,
                    });
                }
                Err(refused) if is_letter => {
                    self.outlet.letters.note(&topic, &Err(refused.failure));
                }
                Err(refused) => outcome.failure = outcome.failure.or(Some(refused.failure)),
            }
        }
        for one in oversize {
            self.publish_within(one, &mut outcome).await;
        }
        outcome
    }

    /// The item's record. It replaces the item's bytes, so that memory has one copy of what is in flight.
    async fn encode(&self, item: &mut Item) -> Option<Record> {
        let record = do_work(item.raw().len(), || self.encoder.encode(item)).await?;
        if !record.raw.is_empty() {
            item.set_raw(Bytes::new());
        }
        Some(record)
    }

    /// Publishes a large incident in parts, or a large dead letter cut to what its topic accepts.
    async fn publish_within(&self, large: Oversize, outcome: &mut Outcome) {
        let result = self.publish_parts(&large).await;
        match (&large.item, result) {
            // A missing dead-letter topic must not stop the tenant. The letter is tried again when the element is read
            // again.
            (Item::DeadLetter { .. }, result) => {
                let result = result.map(|_| ());
                self.outlet.letters.note(&large.topic, &result);
                if result.is_ok() {
                    outcome.done.push(large.item);
                }
            }
            (_, Err(failure)) => {
                outcome.failure.get_or_insert(failure);
            }
            (item, Ok(parts)) => {
                self.outlet.observer.see(Event::Split);
                if let Item::Version { reading, .. } = item {
                    tracing::info!(tenant = %self.tenant, incident = %reading.id, parts, bytes = large.bytes,
                        "an incident larger than its topic accepts was published in parts");
                }
                outcome.done.push(large.item);
            }
        }
    }

    /// Publishes an item in parts, and returns their number.
    async fn publish_parts(&self, large: &Oversize) -> Result<usize, Failure> {
        let Some(limit) = self.outlet.publisher.limit(&large.topic).await else {
            return Err(large.refusal.clone());
        };
        let split = || self.encoder.encode_within(&large.item, limit);
        let Some(parts) = do_work(large.bytes, split).await else {
            return Err(match large.item {
                Item::DeadLetter { .. } => large.refusal.clone(),
                _ => unsplittable(&large.refusal, limit),
            });
        };
        let count = parts.len();
        // A part is one copy of bytes, and the await after it yields.
        for part in parts {
            self.outlet.hand_over_one(part).await?;
        }
        Ok(count)
    }
}

impl Lease for LocalLease {
    fn state(&self) -> BoxFuture<'_, Result<Option<TenantState>, Failure>> {
        self.outlet.ledger.state(self.tenant)
    }

    fn known<'a>(
        &'a self,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>> {
        self.outlet.ledger.known(self.tenant, ids)
    }

    fn outlines<'a>(
        &'a self,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<PackedOutline>>, Failure>> {
        self.outlet.ledger.outlines(self.tenant, ids)
    }

    fn letters(&self) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>> {
        self.outlet.ledger.letters(self.tenant)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Committed> {
        self.publish_and_record(batch).boxed()
    }
}

/// Counts as one commit that waits for the ledger, until dropped.
struct Stuck<'a>(&'a watch::Sender<usize>);

impl<'a> Stuck<'a> {
    fn new(stuck: &'a watch::Sender<usize>) -> Self {
        stuck.send_modify(|stuck| *stuck += 1);
        Self(stuck)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|stuck| *stuck -= 1);
    }
}

#[cfg(test)]
mod tests;
