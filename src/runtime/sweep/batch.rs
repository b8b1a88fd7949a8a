//! Compares the incidents of a page with the ledger, and commits what is new in batches.
//!
//! Invariants:
//! - Bytes are charged before they are worked on, and stay charged until Kafka has acknowledged them. What turns out to
//!   be known already is released at once. When the budget has no room, what is in the batch is committed first.
//! - A batch holds at most one version of an incident, so that "acknowledged or not" has one answer for each, and at most
//!   one dead letter of one content.
//! - An element that can't be read does not affect its neighbours: it becomes a dead letter
//!   ([`crate::core::incident::dead_letters`]).
//!
//! The batch knows nothing of the pager: the page reader tells the pager what a page shows, and gives the batch what is to
//! be published.

use std::time::Duration;

use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::incident::dead_letters::SweepLetters;
use crate::core::incident::version::{Decision, Reading, Seen, decide};
use crate::core::time::ticks::Ticks;
use crate::ports::{Event, Item};
use crate::runtime::limits::{Permit, Stretch};
use crate::runtime::sweep::element::{Element, ReadIncident};
use crate::runtime::sweep::{Halt, SweepScope};

mod account;
mod before_start;
mod commit;
mod held_bytes;
mod late;
mod letters;

use account::Account;
use before_start::BeforeStart;
use commit::{PendingBatch, PublishedBefore};
pub(super) use held_bytes::HeldBytes;
use late::LateFound;
pub(super) use late::LateRule;

/// Collects what one sweep publishes, in one batch after the other.
pub(super) struct BatchBuilder<'a> {
    pub(super) scope: SweepScope<'a>,
    /// Commits and room for bytes are waited for with it.
    pub(super) permit: &'a mut Permit,
    pub(super) bytes: HeldBytes,
    pending: PendingBatch,
    before_start: BeforeStart,
    stretch: Stretch,
    account: Account,
    late: LateFound,
    /// `None`: this sweep met no element that can't be read.
    letters: Option<SweepLetters>,
    /// Why a record was held back; the first of them.
    held_back: Option<Failure>,
}

/// What a sweep published.
pub(super) struct BatchReport {
    pub(super) published: u64,
    pub(super) late_found: u64,
    /// An error when the account does not balance, which is a defect of ours: nothing may then be taken for read.
    pub(super) account: Result<(), Failure>,
}

impl<'a> BatchBuilder<'a> {
    /// `start` is where the tenant's first range begins.
    pub(super) fn new(
        scope: SweepScope<'a>,
        permit: &'a mut Permit,
        late: LateRule,
        start: Ticks,
    ) -> Self {
        Self {
            bytes: HeldBytes::new(scope.sweeper.bytes.clone()),
            scope,
            permit,
            pending: PendingBatch::default(),
            before_start: BeforeStart::new(start),
            stretch: Stretch::default(),
            account: Account::default(),
            late: LateFound::new(late),
            letters: None,
            held_back: None,
        }
    }

    pub(super) fn begin_page(&mut self) {
        self.forget_page();
        self.pending.begin_page();
    }

    /// Forgets what a page that broke off has left.
    fn forget_page(&mut self) {
        self.bytes.release_all_aside();
        self.before_start.clear();
    }

    /// Gives back the bytes of a page that broke off. No page may be in progress.
    pub(super) fn release_page(&mut self) {
        self.forget_page();
        self.bytes.settle(self.pending.bytes());
    }

    /// How long the oldest page in the batch has been waiting.
    pub(super) fn waits(&self) -> Duration {
        self.pending.waits()
    }

    /// Why a record of this sweep was held back, if one was: the cursor must not pass it.
    pub(super) fn held_back(&self) -> Option<&Failure> {
        self.held_back.as_ref()
    }

    /// Whether everything that arrived is published, or is in the batch: only then may the cursor be recorded with it.
    pub(super) fn complete(&self) -> bool {
        self.held_back.is_none() && self.balances()
    }

    fn balances(&self) -> bool {
        self.account.balances(self.pending.versions())
    }

    /// Moves the start of the tenant's first range.
    pub(super) fn set_start(&mut self, start: Ticks) {
        self.before_start.start = start;
    }

    /// Whether this incident is from before the tenant's first range.
    pub(super) fn is_before_start(&self, reading: &Reading) -> bool {
        self.before_start.holds(reading)
    }

    /// Reports what was published, and logs what has no line of its own. `letters_full` says whether the last sweep met more
    /// unreadable elements than are remembered.
    pub(super) fn finish(&self, letters_full: &mut bool) -> BatchReport {
        let tenant = self.scope.tenant;
        self.late.log(tenant);
        self.log_letters(letters_full);
        tracing::debug!(tenant = %tenant.id, account = ?self.account, "sweep accounted for");
        let account = if self.balances() {
            Ok(())
        } else {
            Err(Failure::new(
                Health::Unreachable,
                Reaction::Backoff,
                format!(
                    "a defect in incidentd: what arrived does not add up: {:?}",
                    self.account
                ),
                "report this with the log lines before it; the cursor stays, and all of it is read again",
            ))
        };
        BatchReport {
            published: self.account.published,
            late_found: self.late.found,
            account,
        }
    }

    /// Charges `bytes` that have arrived. If there is no room for them, commits the batch and waits.
    pub(super) async fn make_room(&mut self, bytes: usize) -> Result<(), Halt> {
        if self.bytes.try_add(bytes) {
            return Ok(());
        }
        if !self.pending.is_empty() {
            self.commit(None).await?;
        }
        let room = self.permit.wait(self.bytes.add(bytes));
        let waited = self.scope.halt.run_until_cancelled(room).await;
        waited.ok_or(Halt::Stopped)
    }

    /// Takes the elements that a chunk completed. `held` bytes of an unfinished one stay charged. `unfiltered`: the server
    /// ignores `$filter`.
    pub(super) async fn take(
        &mut self,
        elements: Vec<Element>,
        unfiltered: bool,
        held: usize,
    ) -> Result<(), Halt> {
        if unfiltered {
            drop(self.before_start.take(&mut self.bytes));
        }
        let mut incidents = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Element::Incident(incident) if self.is_before_start(&incident.reading) => {
                    if !unfiltered {
                        self.before_start.keep(incident, &mut self.bytes);
                    }
                }
                Element::Incident(incident) => incidents.push(incident),
                Element::Unreadable { content, why, raw } => {
                    self.add_dead_letter(content, &why, raw).await?;
                }
            }
        }
        self.add(incidents).await?;
        self.settle(held).await
    }

    /// Takes a single element, or one whose alerts were joined.
    pub(super) async fn take_single(&mut self, element: Element) -> Result<(), Halt> {
        match element {
            Element::Incident(incident) => self.add(vec![incident]).await?,
            Element::Unreadable { content, why, raw } => {
                self.add_dead_letter(content, &why, raw).await?;
            }
        }
        self.settle(0).await
    }

    /// The page has ended: takes its incidents from before the first range, unless the server ignores `$filter`.
    pub(super) async fn end_page(&mut self, unfiltered: bool) -> Result<(), Halt> {
        let kept = self.before_start.take(&mut self.bytes);
        if kept.is_empty() || unfiltered {
            return Ok(());
        }
        self.add(kept).await?;
        self.settle(0).await
    }

    /// Commits a batch that is large enough, and brings the charge in line with what is held.
    async fn settle(&mut self, held: usize) -> Result<(), Halt> {
        if self.pending.is_full() {
            self.commit(None).await?;
        }
        self.bytes.settle(self.pending.bytes() + held);
        Ok(())
    }

    /// Puts what is news into the batch. Before a second version of an incident, the batch is committed.
    async fn add(&mut self, mut incidents: Vec<ReadIncident>) -> Result<(), Failure> {
        let arrived = incidents.len();
        self.account.received += arrived as u64;
        // Pages overlap: the last incident of a page comes again as the first of the next.
        incidents.retain(|incident| !self.pending.holds(&incident.reading));
        self.account.unchanged += (arrived - incidents.len()) as u64;
        while !incidents.is_empty() {
            let rest = incidents.split_off(self.pending.distinct(&incidents));
            self.add_distinct(incidents).await?;
            incidents = rest;
            if !incidents.is_empty() {
                self.commit(None).await?;
            }
        }
        Ok(())
    }

    async fn add_distinct(&mut self, incidents: Vec<ReadIncident>) -> Result<(), Failure> {
        let SweepScope {
            sweeper,
            tenant,
            lease,
            ..
        } = self.scope;
        let ids: Vec<_> = incidents.iter().map(|it| it.reading.id).collect();
        let known = lease.known(&ids).await?;
        let decide = |incident: &ReadIncident, seen: &Option<Seen>| {
            decide(&incident.reading, seen.as_ref(), tenant.rules.deduplicate)
        };
        // Most readings are no news: then no outline is read.
        let pairs = incidents.iter().zip(&known);
        let news = pairs.filter(|(incident, seen)| {
            seen.is_some() && matches!(decide(incident, seen), Decision::Publish(_))
        });
        let news: Vec<_> = news.map(|(incident, _)| incident.reading.id).collect();
        let outlines = match news.is_empty() {
            true => Vec::new(),
            false => lease.outlines(&news).await?,
        };
        let mut outlines = news.into_iter().zip(outlines).peekable();
        for (incident, seen) in incidents.into_iter().zip(known) {
            let outline = outlines.next_if(|(id, _)| *id == incident.reading.id);
            let outline = outline.and_then(|(_, outline)| outline);
            let decision = decide(&incident, &seen);
            let (reading, seen) = (incident.reading, seen.as_ref());
            match decision {
                Decision::Publish(change) => {
                    // If its alerts were missing, that was known: it is not late.
                    if seen.is_none_or(|seen| seen.whole) {
                        self.late.note(&reading, sweeper.clock.now(), tenant);
                    }
                    let outline = outline.as_ref();
                    let published = PublishedBefore { seen, outline };
                    self.publish(incident, change, published).await;
                }
                Decision::Unchanged => self.account.unchanged += 1,
                Decision::Adopt => {
                    self.account.unchanged += 1;
                    let (id, seen) = (reading.id, reading.seen(seen));
                    self.pending.push(Item::Adopted { id, seen }, 0);
                }
                Decision::Stale => {
                    self.account.stale += 1;
                    sweeper.observer.see(Event::Stale { count: 1 });
                }
            }
        }
        Ok(())
    }

    /// Whether `listed` was published whole, in the state in which it was listed.
    pub(super) async fn knows_whole(&self, listed: &Reading) -> Result<bool, Failure> {
        let ids = [listed.id];
        let known = self.scope.lease.known(&ids).await?;
        let mut known = known.iter().flatten();
        Ok(known.any(|seen| seen.whole && seen.updated == listed.updated))
    }
}
