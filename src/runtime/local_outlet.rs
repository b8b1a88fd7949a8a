//! The outlet with a ledger of its own: publish, wait for the acknowledgement, then write the ledger.
//!
//! Between Kafka's acknowledgement and the ledger's commit lies the one gap in which a record can repeat: the process
//! dies there. To keep it as small as that, a ledger that can't be written (a full disk) is waited for, not failed on: a
//! failure would have the sweep repeated, and with it the records. And while one commit waits so, no other publishes:
//! what is not published can't be repeated.
//!
//! An incident that is too large for its topic is split, one incident after the other, and each of its parts published
//! when the one before was acknowledged. It counts as published when all of them are. When one is refused the incident
//! is held back, and its parts may be published again later.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::sleep;

use super::limits::do_work;
use crate::core::health::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::ports::{
    Committed, Event, Ledger, LedgerEntry, Mark, Observer, Outgoing, Outlet, Publisher, Record,
    Refused, Splitter,
};
use crate::runtime::edge::Edges;
use crate::runtime::oldest::OldestWait;

/// The pause between two tries to write the ledger.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

pub struct LocalOutlet {
    publisher: Arc<dyn Publisher>,
    splitter: Arc<dyn Splitter>,
    ledger: Arc<dyn Ledger>,
    observer: Arc<dyn Observer>,
    /// Commits that wait for the ledger to be writable again.
    stuck: watch::Sender<usize>,
    /// Topics that do not accept dead letters.
    undeliverable: Edges,
    /// What was handed over and is not yet acknowledged.
    unacknowledged: OldestWait,
}

impl LocalOutlet {
    pub fn new(
        publisher: Arc<dyn Publisher>,
        splitter: Arc<dyn Splitter>,
        ledger: Arc<dyn Ledger>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            publisher,
            splitter,
            ledger,
            observer,
            stuck: watch::Sender::new(0),
            undeliverable: Edges::default(),
            unacknowledged: OldestWait::default(),
        }
    }

    async fn hand_over(&self, records: Vec<Record>) -> Vec<Result<(), Refused>> {
        let _under_way = self.unacknowledged.begin();
        self.publisher.publish(records).await
    }

    async fn publish_and_record(
        &self,
        tenant: TenantId,
        outgoing: Vec<Outgoing>,
        state: Option<TenantState>,
    ) -> Committed {
        // Fails only when the sender is gone, which we are.
        let _ = self.stuck.subscribe().wait_for(|stuck| *stuck == 0).await;
        let (marks, failure) = self.publish(tenant, outgoing).await;
        let entry = entry(tenant, &marks, state.filter(|_| failure.is_none()));
        if !entry.is_empty() {
            self.record(entry).await;
        }
        for mark in &marks {
            match mark {
                Mark::Seen(_, _, change) => {
                    self.observer.see(Event::Published { change: *change });
                }
                Mark::Dead(..) | Mark::Adopted(..) => {}
            }
        }
        Committed {
            published: marks
                .iter()
                .filter(|mark| matches!(mark, Mark::Seen(..)))
                .count() as u64,
            result: failure.map_or(Ok(()), Err),
        }
    }

    /// The marks of what was acknowledged, and the first failure.
    async fn publish(
        &self,
        tenant: TenantId,
        outgoing: Vec<Outgoing>,
    ) -> (Vec<Mark>, Option<Failure>) {
        let (mut marks, mut sent, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for Outgoing { record, mark } in outgoing {
            match record {
                Some(record) => {
                    sent.push((mark, record.topic.clone()));
                    records.push(record);
                }
                None => marks.push(mark),
            }
        }
        if records.is_empty() {
            return (marks, None);
        }
        let (mut failure, mut oversize) = (None, Vec::new());
        for ((mark, topic), result) in sent.into_iter().zip(self.hand_over(records).await) {
            match (result, mark) {
                (result, Mark::Dead(..)) => {
                    if self.letter(&topic, result).await {
                        marks.push(mark);
                    }
                }
                (Ok(()), mark) => marks.push(mark),
                (Err(refused), Mark::Seen(id, ..) | Mark::Adopted(id, _)) => match refused.oversize
                {
                    Some(record) => oversize.push((mark, id, record, refused.failure)),
                    None => failure = failure.or(Some(refused.failure)),
                },
            }
        }
        for (mark, id, record, refusal) in oversize {
            match self.publish_parts(&record, refusal).await {
                Ok(parts) => {
                    self.observer.see(Event::Split);
                    tracing::info!(tenant = %tenant, incident = %id, parts, bytes = record.size(),
                        "an incident larger than its topic accepts was published in parts");
                    marks.push(mark);
                }
                Err(refused) => failure = failure.or(Some(refused)),
            }
        }
        (marks, failure)
    }

    /// Whether a dead letter has arrived, of which this was the first try. One that is too large is cut and tried again.
    ///
    /// The dead-letter topic is a convenience: that it is missing must not stop the tenant. The letter is tried again when
    /// the element is next read.
    async fn letter(&self, topic: &Arc<str>, first: Result<(), Refused>) -> bool {
        let result = match first {
            Err(Refused {
                failure,
                oversize: Some(letter),
            }) => self.cut(&letter).await.unwrap_or(Err(failure)),
            first => first.map_err(|refused| refused.failure),
        };
        match &result {
            Ok(()) => {
                if self.undeliverable.ends(topic) {
                    tracing::info!(%topic, "dead letters are accepted again");
                }
            }
            Err(failure) => {
                if self.undeliverable.begins(topic) {
                    tracing::warn!(%topic, error = %failure, remedy = failure.remedy,
                        "dead letters are not accepted; each is tried again when it is next read");
                }
            }
        }
        result.is_ok()
    }

    /// Publishes as much of a letter as its topic accepts. `None`: it accepts nothing of it, or tells no limit.
    async fn cut(&self, letter: &Record) -> Option<Result<(), Failure>> {
        let limit = self.publisher.limit(&letter.topic).await?;
        let cut = self.splitter.cut(letter, limit)?;
        let result = self.hand_over(vec![cut]).await.pop()?;
        Some(result.map_err(|refused| refused.failure))
    }

    /// Publishes a record that was refused for its size in parts; tells how many there were.
    async fn publish_parts(&self, record: &Record, refusal: Failure) -> Result<usize, Failure> {
        let Some(limit) = self.publisher.limit(&record.topic).await else {
            return Err(refusal);
        };
        let split = || self.splitter.split(record, limit);
        let Some(parts) = do_work(record.value.len(), split).await else {
            return Err(unsplittable(refusal, limit));
        };
        let count = parts.len();
        for part in parts {
            for result in self.hand_over(vec![part]).await {
                result.map_err(|refused| refused.failure)?;
            }
        }
        Ok(count)
    }

    async fn record(&self, entry: LedgerEntry) {
        let mut waiting = None;
        while let Err(failure) = self.ledger.write(entry.clone()).await {
            if waiting.is_none() {
                // One line for all that wait: of thousands of tenants each may have a commit here.
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

/// Counts itself among the stuck while it lives.
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

fn unsplittable(refusal: Failure, limit: usize) -> Failure {
    let what = format!(
        "{}, and has no parts of {limit} bytes or less: it can only be split between its alerts",
        refusal.what
    );
    Failure { what, ..refusal }
}

fn entry(tenant: TenantId, marks: &[Mark], state: Option<TenantState>) -> LedgerEntry {
    let mut entry = LedgerEntry {
        tenant,
        seen: Vec::new(),
        letters: Vec::new(),
        state,
        forget_before: None,
        forget_letters_before: None,
    };
    for mark in marks {
        match mark {
            Mark::Seen(id, seen, _) | Mark::Adopted(id, seen) => entry.seen.push((*id, *seen)),
            Mark::Dead(content, letter) => entry.letters.push((*content, *letter)),
        }
    }
    entry
}

impl Outlet for LocalOutlet {
    fn state(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<TenantState>, Failure>> {
        self.ledger.state(tenant)
    }

    fn known<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>> {
        self.ledger.known(tenant, ids)
    }

    fn letters(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>> {
        self.ledger.letters(tenant)
    }

    fn commit(
        &self,
        tenant: TenantId,
        outgoing: Vec<Outgoing>,
        state: Option<TenantState>,
    ) -> BoxFuture<'_, Committed> {
        self.publish_and_record(tenant, outgoing, state).boxed()
    }

    fn forget(
        &self,
        tenant: TenantId,
        versions: Option<Ticks>,
        letters: Ticks,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.ledger.write(LedgerEntry {
            forget_before: versions,
            forget_letters_before: Some(letters),
            ..entry(tenant, &[], None)
        })
    }

    fn waits_for(&self) -> Option<Duration> {
        self.unacknowledged.longest()
    }
}

#[cfg(test)]
mod tests;
