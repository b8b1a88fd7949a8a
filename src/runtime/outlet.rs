//! The outlet with a ledger of its own: publish, wait for the acknowledgement, then write the ledger.
//!
//! Between Kafka's acknowledgement and the ledger's commit lies the one gap in which a record can repeat: the process
//! dies there. To keep it as small as that, a ledger that can't be written (a full disk) is waited for, not failed on: a
//! failure would have the sweep repeated, and with it the records. And while one commit waits so, no other publishes:
//! what is not published can't be repeated.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::core::cursor::TenantState;
use crate::core::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::version::{ContentHash, Seen};
use crate::ports::{
    Committed, Event, Ledger, LedgerEntry, Mark, Observer, Outgoing, Outlet, Publisher,
};

/// The pause between two tries to write the ledger.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

pub struct LocalOutlet {
    publisher: Arc<dyn Publisher>,
    ledger: Arc<dyn Ledger>,
    observer: Arc<dyn Observer>,
    /// Commits that wait for the ledger to be writable again.
    stuck: watch::Sender<usize>,
}

impl LocalOutlet {
    pub fn new(
        publisher: Arc<dyn Publisher>,
        ledger: Arc<dyn Ledger>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            publisher,
            ledger,
            observer,
            stuck: watch::Sender::new(0),
        }
    }

    async fn publish_and_record(
        &self,
        tenant: TenantId,
        outgoing: Vec<Outgoing>,
        state: Option<TenantState>,
    ) -> Committed {
        // Fails only when the sender is gone, which we are.
        let _ = self.stuck.subscribe().wait_for(|stuck| *stuck == 0).await;
        let (marks, failure) = self.publish(outgoing).await;
        let entry = entry(tenant, &marks, state.filter(|_| failure.is_none()));
        if !entry.is_empty() {
            self.record(entry).await;
        }
        for mark in &marks {
            match mark {
                Mark::Seen(_, _, change) => {
                    self.observer.see(Event::Published { change: *change });
                }
                Mark::Dead(_) => self.observer.see(Event::DeadLetter),
                Mark::Adopted(..) => {}
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
    async fn publish(&self, outgoing: Vec<Outgoing>) -> (Vec<Mark>, Option<Failure>) {
        let (mut marks, mut sent, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for Outgoing { record, mark } in outgoing {
            match record {
                Some(record) => {
                    records.push(record);
                    sent.push(mark);
                }
                None => marks.push(mark),
            }
        }
        if records.is_empty() {
            return (marks, None);
        }
        let mut failure = None;
        for (mark, result) in sent.into_iter().zip(self.publisher.publish(records).await) {
            match (result, mark) {
                (Ok(()), mark) => marks.push(mark),
                // The dead-letter topic is a convenience; that it is missing must not stop the tenant. The letter is
                // tried again when the incident is next read.
                (Err(refused), Mark::Dead(_)) => {
                    tracing::warn!(error = %refused, remedy = refused.remedy, "a dead letter was not accepted");
                }
                (Err(refused), Mark::Seen(..) | Mark::Adopted(..)) => {
                    failure = failure.or(Some(refused))
                }
            }
        }
        (marks, failure)
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

fn entry(tenant: TenantId, marks: &[Mark], state: Option<TenantState>) -> LedgerEntry {
    let mut entry = LedgerEntry {
        tenant,
        seen: Vec::new(),
        dead: Vec::new(),
        state,
    };
    for mark in marks {
        match mark {
            Mark::Seen(id, seen, _) | Mark::Adopted(id, seen) => entry.seen.push((*id, *seen)),
            Mark::Dead(content) => entry.dead.push(*content),
        }
    }
    entry
}

impl Outlet for LocalOutlet {
    fn state(&self, tenant: TenantId) -> Result<Option<TenantState>, Failure> {
        self.ledger.state(tenant)
    }

    fn known(&self, tenant: TenantId, ids: &[IncidentId]) -> Result<Vec<Option<Seen>>, Failure> {
        self.ledger.known(tenant, ids)
    }

    fn is_dead(&self, tenant: TenantId, content: ContentHash) -> Result<bool, Failure> {
        self.ledger.is_dead(tenant, content)
    }

    fn commit(
        &self,
        tenant: TenantId,
        outgoing: Vec<Outgoing>,
        state: Option<TenantState>,
    ) -> BoxFuture<'_, Committed> {
        self.publish_and_record(tenant, outgoing, state).boxed()
    }
}
