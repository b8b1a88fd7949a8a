//! One sweep of one tenant: read pages, publish what is news, then move the cursor.
//!
//! The order is the promise. Records go out as pages stream in, and the ledger learns of each only after Kafka's
//! acknowledgement; the cursor moves last, once every page was read to its end and everything in them is acknowledged.
//! Whatever breaks in between, what was read is still published, and the cursor stays: the next sweep reads it again and
//! finds it known.
//!
//! Two kinds of work, never both at once for one tenant: [`Sweeper::sweep`] reads live, [`Sweeper::fill`] reads the backlog
//! window by window, newest first, and is broken off when it is time for a live sweep.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::{ByteBudget, Permit};
use super::tenant::Tenant;
use crate::core::health::failure::Failure;
use crate::core::incident::dead_letters;
use crate::core::incident::version::Deduplicate;
use crate::core::pace::backoff::fraction;
use crate::core::pace::budget::Purpose;
use crate::core::sweep::backlog::{Interval, Span};
use crate::core::sweep::cursor::{
    DEEP, Plan, Reach, TenantState, cut, forgettable, plan, reconcile,
};
use crate::core::sweep::pager::{Pager, SweepProgress, unsorted_history};
use crate::core::time::spread::{Use, jitter};
use crate::core::time::ticks::Ticks;
use crate::ports::{Clock, Event, Observer, Outlet};
use crate::runtime::sweep::batch::{BatchBuilder, Late};
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::pages::{AnswerDates, PageReader, ReadEnd};

mod backfill;
mod batch;
mod learned;
pub mod memory;
mod pages;

/// Parts between open intervals that a live sweep reads itself.
const PARTS: usize = 4;

/// Sweeps in a row that were led in circles, from which on it is no list that only moved a lot.
const MANY_CIRCLES: u32 = 3;

/// What all sweeps share.
#[derive(Clone)]
pub struct Sweeper {
    pub outlet: Arc<dyn Outlet>,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
    pub bytes: Arc<ByteBudget>,
    /// When the daemon started: the origin of `uptime`.
    pub started: Instant,
    pub stop: CancellationToken,
}

/// How a sweep ended, and what it did before that.
#[derive(Debug, Default)]
pub struct SweepOutcome {
    pub published: u64,
    pub late_found: u64,
    /// The tenant's state now, when it is known.
    pub state: Option<TenantState>,
    /// Whether all that the API had at the sweep's start is published, the backlog apart.
    pub caught_up: bool,
    /// Why the sweep did not come to its end; `None`: it did.
    pub halt: Option<Halt>,
    /// An incident that can't be read, though all others are.
    pub unreadable: Option<Failure>,
    /// What the tenant's next sweep needs to know. `None`: it was lost.
    pub memory: Option<Memory>,
}

impl SweepOutcome {
    /// Broken off before anything was read.
    pub fn stopped(memory: Memory) -> Self {
        Self {
            halt: Some(Halt::Stopped),
            unreadable: memory.unreadable(),
            memory: Some(memory),
            ..Self::default()
        }
    }

    fn remember(self, subject: Subject<'_>) -> Self {
        let memory = subject.memory.into_inner();
        Self {
            unreadable: memory.unreadable(),
            memory: Some(memory),
            ..self
        }
    }
}

/// Why a sweep did not come to its end.
#[derive(Debug)]
pub enum Halt {
    Failed(Failure),
    /// Everything was read, and all but single records was published, or something is missing in Microsoft's answers; the
    /// cursor waits for that.
    HeldBack(Failure),
    /// The daemon is stopping, or it is time for a live sweep.
    Stopped,
}

/// The tenant that a sweep reads, and what is remembered of it.
struct Subject<'a> {
    tenant: &'a Tenant,
    memory: Mutex<Memory>,
}

impl Deref for Subject<'_> {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        self.tenant
    }
}

impl<'a> Subject<'a> {
    fn new(tenant: &'a Tenant, memory: Memory) -> Self {
        let memory = Mutex::new(memory);
        Self { tenant, memory }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Sweeper {
    /// Sweeps `tenant` once.
    pub async fn sweep(
        &self,
        tenant: &Tenant,
        memory: Memory,
        permit: &mut Permit,
    ) -> SweepOutcome {
        let subject = Subject::new(tenant, memory);
        let tenant = &subject;
        let before = Instant::now();
        let mut swept = SweepOutcome::default();
        swept.halt = self.run(tenant, permit, &mut swept).await.err();
        self.observer.see(Event::LateFound {
            count: swept.late_found,
        });
        if swept.halt.is_none() {
            tenant
                .memory()
                .doubts(Purpose::Live)
                .settled(Span::from(Ticks::MIN));
            let source = tenant.source.name();
            self.observer.see(Event::Swept {
                source,
                took: before.elapsed(),
            });
        }
        swept.remember(subject)
    }

    async fn run(
        &self,
        tenant: &Subject<'_>,
        permit: &mut Permit,
        swept: &mut SweepOutcome,
    ) -> Result<(), Halt> {
        let began = self.clock.now();
        let known = self.outlet.state(tenant.id).await?;
        let mut live = LiveSweep {
            tenant,
            sweeper: self,
            began,
            fresh: known
                .as_ref()
                .is_none_or(|state| state.is_first(tenant.rules.lookback)),
            asked_again: false,
            waits: false,
            told: AnswerDates::default(),
            recorded: known.clone(),
            state: known.unwrap_or_else(|| TenantState::first(began, tenant.rules.lookback)),
            reached: SweepProgress::default(),
        };
        swept.state = Some(live.state.clone());
        let reconciles = live.open_reconcile();
        // What was never read can't be late, wherever its range turns out to begin.
        let late = if live.fresh {
            Late::Nothing
        } else {
            Late::Before(live.state.cursor)
        };
        let start = live.state.start;
        let mut intake = BatchBuilder::new(self, tenant, late, start, self.stop.clone());
        // The start of the first range is a fixed instant from the first attempt on, whatever becomes of it.
        live.record(&mut intake, permit).await?;
        if reconciles {
            let (state, reach) = (&live.state, &tenant.rules.reach);
            let versions = (tenant.rules.deduplicate == Deduplicate::Version)
                .then(|| forgettable(state, reach, began));
            let letters = dead_letters::forgettable(state, reach, began);
            self.outlet.forget(tenant.id, versions, letters).await?;
        }
        let mut reader = PageReader::new(self, tenant, permit, Purpose::Live, self.stop.clone());
        let read = live.read(&mut reader, &mut intake).await;
        let partial = reader.partial().cloned();
        let committed = match &read {
            Ok(_) if partial.is_none() && intake.complete() => {
                live.advance(&mut intake, permit).await
            }
            // The cursor stays. What turned out to be backlog is known from now on, or each sweep would find it out anew.
            _ => live.record(&mut intake, permit).await,
        };
        let (published, late_found, account) = intake.finish();
        (swept.published, swept.late_found) = (published, late_found);
        let plan = read?;
        committed?;
        account?;
        swept.state = live.recorded.clone();
        let why = intake.held_back().cloned().or(partial);
        if let Some(why) = why.or_else(|| live.in_circles()) {
            return Err(Halt::HeldBack(why));
        }
        swept.caught_up = live.reached.trusted;
        live.remember(plan);
        if live.reached.unsorted {
            // All is published. It fails so that the tenant rests: its next sweep would read the whole history again.
            return Err(unsorted_history().into());
        }
        if swept.caught_up {
            live.note_filtered();
        }
        Ok(())
    }

    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A live sweep at work.
struct LiveSweep<'a> {
    tenant: &'a Subject<'a>,
    sweeper: &'a Sweeper,
    began: Ticks,
    /// The cursor is still where first contact put it.
    fresh: bool,
    /// For want of a second answer that shows the same time, all was asked for once more.
    asked_again: bool,
    /// The first range may begin elsewhere, which the next sweep can tell: the cursor stays.
    waits: bool,
    /// The time that the answers of this sweep bear.
    told: AnswerDates,
    /// What the ledger holds.
    recorded: Option<TenantState>,
    /// What it is to hold.
    state: TenantState,
    reached: SweepProgress,
}

impl LiveSweep<'_> {
    /// Puts the reconcile window into the backlog when that is due.
    fn open_reconcile(&mut self) -> bool {
        let mut memory = self.tenant.memory();
        let reach = spread(self.tenant, &self.state);
        let Some(begun) = reconcile(&self.state, &reach, memory.last_full, self.began) else {
            return false;
        };
        self.state = begun;
        memory.resting.wake();
        memory.page_size = memory.page_size.anew();
        true
    }

    /// Commits the batch, then the state if it has changed. One after the other: with a batch of which a record is refused
    /// the outlet takes no state, and one such record must not keep what is older from becoming backlog.
    async fn record(
        &mut self,
        intake: &mut BatchBuilder<'_>,
        permit: &mut Permit,
    ) -> Result<(), Halt> {
        intake.commit(permit, None).await?;
        if self.recorded.as_ref() != Some(&self.state) {
            intake.commit(permit, Some(self.state.clone())).await?;
            self.recorded = Some(self.state.clone());
        }
        Ok(())
    }

    /// Commits the last batch, and with it the cursor's move: it is recorded only if all of the batch is acknowledged.
    async fn advance(
        &mut self,
        intake: &mut BatchBuilder<'_>,
        permit: &mut Permit,
    ) -> Result<(), Halt> {
        if self.waits {
            return self.record(intake, permit).await;
        }
        let moved = TenantState {
            cursor: self.reached.cursor_after(
                self.state.cursor,
                self.began,
                self.told.confirmed.is_some(),
            ),
            ..self.state.clone()
        };
        let news = (self.recorded.as_ref() != Some(&moved)).then(|| moved.clone());
        intake.commit(permit, news).await?;
        if !intake.complete() {
            return self.record(intake, permit).await;
        }
        self.state = moved;
        self.recorded = Some(self.state.clone());
        Ok(())
    }

    async fn read(
        &mut self,
        reader: &mut PageReader<'_>,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<Plan, Halt> {
        loop {
            let plan = {
                let memory = self.tenant.memory();
                let reach = &self.tenant.rules.reach;
                plan(&self.state, reach, memory.last_full, self.sweeper.uptime())
            };
            let parts = self.state.backlog.outside(Span::from(plan.from));
            for part in parts.iter().take(PARTS) {
                self.span(*part, reader, intake).await?;
            }
            self.leave_parts(parts.get(PARTS..).unwrap_or_default());
            self.told = reader.times();
            if !self.corrected_first_range() {
                return Ok(plan);
            }
            intake.set_start(self.state.start);
        }
    }

    /// Reads one span. Of a long one the old part is left to the backlog, and the newest read at once.
    async fn span(
        &mut self,
        mut span: Span,
        reader: &mut PageReader<'_>,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<(), Halt> {
        let reach = self.tenant.rules.reach;
        loop {
            let whole = self
                .tenant
                .memory()
                .reads_whole(&self.tenant.rules, self.sweeper.uptime());
            let mut walk = Pager::new(span, self.tenant.memory().page_size).to_the_end(whole);
            let mut way = reader.walk(&mut walk, intake, DEEP).await?;
            let now = walk.date().map_or(self.began, |date| date.min(self.began));
            // What is neither filtered nor sorted has no old part that could be left.
            let cut = cut(span, &reach, now).filter(|_| !walk.unsorted());
            if let (ReadEnd::AtLimit, Some(cut)) = (way, cut) {
                self.leave_behind(span.from, cut);
                self.record(intake, reader.permit).await?;
                if span.to.is_some() {
                    return Ok(());
                }
                span = Span::from(cut);
                continue;
            }
            if way == ReadEnd::AtLimit {
                way = reader.walk(&mut walk, intake, u32::MAX).await?;
            }
            debug_assert_eq!(way, ReadEnd::OfList);
            self.note(&walk);
            self.reached.pages = self.reached.pages.saturating_add(reader.take_beside());
            return Ok(());
        }
    }

    /// What has many gaps, because much in between can't be read, is left to the backlog: new incidents must not wait for a
    /// request to each.
    fn leave_parts(&mut self, parts: &[Span]) {
        let newest = parts.first().and_then(|part| part.to);
        if let (Some(to), Some(oldest)) = (newest, parts.last()) {
            self.leave_behind(oldest.from, to);
            // They cost as much there.
            let pages = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            self.reached.pages = self.reached.pages.saturating_add(pages);
        }
    }

    fn leave_behind(&mut self, from: Ticks, to: Ticks) {
        // The overlap with what was read already may be as full, sweep after sweep: that is no news.
        let again = !self.fresh && to <= self.state.cursor;
        self.state.backlog.open(Interval { from, to, again });
        self.reached.leave(to);
        let tenant = self.tenant;
        if again {
            tracing::debug!(tenant = %tenant.id, name = %tenant.name, %from, %to,
                "the overlap is long: what of it is older is read again beside live polling");
        } else {
            // Not at info: the first start of a fleet, or its first after a long pause, would have a line for each tenant.
            tracing::debug!(tenant = %tenant.id, name = %tenant.name, %from, %to,
                "there is much to read: what is older is filled in beside live polling");
        }
    }

    fn note(&mut self, walk: &Pager) {
        self.reached.add(walk);
        let mut memory = self.tenant.memory();
        memory.page_size = walk.page_size();
        if walk.whole() {
            // A sweep that met trouble here may have failed later on, and left it out of the backlog.
            memory.resting.recovered(walk.span());
        }
        for trouble in walk.troubles() {
            self.state.backlog.open(Interval {
                from: trouble.from,
                to: trouble.to,
                again: !trouble.unseen,
            });
            memory.rest(self.tenant, *trouble, self.sweeper.uptime());
        }
    }
}

/// With reconciles up to an eighth earlier: tenants that met first at the same time must not read all again at the same time
/// for ever.
fn spread(tenant: &Tenant, state: &TenantState) -> Reach {
    let reach = tenant.rules.reach;
    let last = state.reconciled.unix_seconds().cast_unsigned();
    let earlier = fraction(
        reach.reconcile_every / 8,
        jitter(tenant.id, Use::Reconcile, last),
    );
    Reach {
        reconcile_every: reach.reconcile_every - earlier,
        ..reach
    }
}

#[cfg(test)]
mod tests;
