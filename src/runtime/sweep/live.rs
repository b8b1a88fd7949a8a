//! A live sweep: reads from the cursor on, publishes what is new, then moves the cursor.

use super::batch::{BatchBuilder, LateRule};
use super::memory::Memory;
use super::pages::{AnswerDates, PageFindings, PageReader, ReadEnd, SweepRequests};
use super::{Halt, SweepOutcome, SweepScope};
use crate::core::health::failure::Failure;
use crate::core::incident::dead_letters;
use crate::core::incident::version::Deduplicate;
use crate::core::pace::backoff::fraction;
use crate::core::pace::budget::Purpose;
use crate::core::sweep::backlog::{Interval, Span};
use crate::core::sweep::cursor::{
    DEEP, LastFull, Plan, Reach, SweepKind, TenantState, cut, forgettable, plan, reconcile,
};
use crate::core::sweep::pager::{Pager, SweepProgress, circles, unsorted_history};
use crate::core::time::spread::{Use, jitter};
use crate::core::time::ticks::Ticks;
use crate::ports::Batch;
use crate::runtime::limits::Permit;
use crate::runtime::tenant::Tenant;

/// The most parts between open intervals that a live sweep reads itself.
const PARTS: usize = 4;

/// After this many sweeps in a row with a circle, the list has not merely moved a lot.
const MANY_CIRCLES: u32 = 3;

/// A live sweep in progress.
pub(super) struct LiveSweep<'a> {
    requests: SweepRequests<'a>,
    findings: PageFindings,
    began: Ticks,
    /// Whether the cursor is still where first contact put it.
    fresh: bool,
    /// Whether everything was requested a second time, because no second answer confirmed the time.
    asked_again: bool,
    /// Whether the cursor stays because the first range may begin elsewhere, which only the next sweep can decide.
    waits: bool,
    /// The state in the ledger.
    recorded: Option<TenantState>,
    /// The state to record.
    state: TenantState,
    progress: SweepProgress,
    outcome: SweepOutcome,
}

impl<'a> LiveSweep<'a> {
    /// `recorded` is the tenant's state in the ledger.
    pub(super) fn new(
        scope: SweepScope<'a>,
        recorded: Option<TenantState>,
        memory: &'a mut Memory,
        permit: &'a mut Permit,
    ) -> Self {
        let SweepScope {
            sweeper, tenant, ..
        } = scope;
        let (began, lookback) = (sweeper.clock.now(), tenant.rules.lookback);
        let is_first = |state: &TenantState| state.is_first(lookback);
        let fresh = recorded.as_ref().is_none_or(is_first);
        let state = recorded
            .clone()
            .unwrap_or_else(|| TenantState::first(began, lookback));
        // Incidents that were never read can't be late, wherever the range turns out to begin.
        let late = match fresh {
            true => LateRule::Nothing,
            false => LateRule::Before(state.cursor),
        };
        let give_way = scope.halt.clone();
        let batch = BatchBuilder::new(scope, permit, late, state.start);
        Self {
            requests: SweepRequests::new(batch, memory, Purpose::Live, give_way),
            findings: PageFindings::default(),
            began,
            fresh,
            asked_again: false,
            waits: false,
            recorded,
            outcome: SweepOutcome {
                state: Some(state.clone()),
                ..SweepOutcome::default()
            },
            state,
            progress: SweepProgress::default(),
        }
    }

    pub(super) async fn run(mut self) -> SweepOutcome {
        let halt = self.read_and_commit().await.err();
        SweepOutcome {
            halt,
            ..self.outcome
        }
    }

    async fn read_and_commit(&mut self) -> Result<(), Halt> {
        let reconciles = self.open_reconcile();
        // Record the start of the first range before reading, so that it stays the same even if the sweep fails.
        self.record().await?;
        if reconciles {
            self.forget().await?;
        }
        let read = self.read().await;
        let committed = match &read {
            Ok(_) if self.findings.partial.is_none() && self.requests.batch.complete() => {
                self.advance().await
            }
            // The cursor stays. Record the new backlog now, or each sweep would find it again.
            _ => self.record().await,
        };
        let report = self.requests.finish();
        (self.outcome.published, self.outcome.late_found) = (report.published, report.late_found);
        let plan = read?;
        committed?;
        report.account?;
        self.outcome.state = self.recorded.clone();
        let held_back = self.requests.batch.held_back().cloned();
        let why = held_back.or(self.findings.partial.clone());
        if let Some(why) = why.or_else(|| self.in_circles()) {
            return Err(Halt::HeldBack(why));
        }
        self.outcome.caught_up = self.progress.trusted;
        self.remember(plan);
        if self.progress.unsorted {
            // Everything is published. The sweep fails so that the tenant rests, because its next sweep would read the
            // whole history again.
            return Err(unsorted_history().into());
        }
        if self.outcome.caught_up {
            self.requests.memory.notices.unfiltered.not_met();
        }
        Ok(())
    }

    /// Adds the reconcile window to the backlog if a reconcile is due.
    fn open_reconcile(&mut self) -> bool {
        let reach = spread(self.requests.tenant(), &self.state);
        let memory = &mut *self.requests.memory;
        let Some(begun) = reconcile(&self.state, &reach, memory.last_full, self.began) else {
            return false;
        };
        self.state = begun;
        memory.unreadable.resting.wake();
        memory.list.page_size = memory.list.page_size.anew();
        true
    }

    /// Lets the outlet forget versions and letters that can't be shown again.
    async fn forget(&self) -> Result<(), Failure> {
        let (rules, state) = (&self.requests.tenant().rules, &self.state);
        let versions = (rules.deduplicate == Deduplicate::Version)
            .then(|| forgettable(state, &rules.reach, self.began));
        let letters = dead_letters::forgettable(state, &rules.reach, self.began);
        let batch = Batch {
            forget_before: versions,
            forget_letters_before: Some(letters),
            ..Batch::default()
        };
        self.requests.batch.scope.lease.commit(batch).await.result
    }

    /// Commits the batch, then the state if it has changed. They are two commits: the outlet rejects the state with a
    /// batch of which a record is refused, and one refused record must not keep older parts from becoming backlog.
    async fn record(&mut self) -> Result<(), Halt> {
        self.requests.batch.commit(None).await?;
        if self.recorded.as_ref() != Some(&self.state) {
            let state = self.state.clone();
            self.requests.batch.commit(Some(state)).await?;
            self.recorded = Some(self.state.clone());
        }
        Ok(())
    }

    /// Commits the last batch together with the new cursor. The cursor is recorded only if the whole batch is
    /// acknowledged.
    async fn advance(&mut self) -> Result<(), Halt> {
        if self.waits {
            return self.record().await;
        }
        let confirmed = self.findings.dates.confirmed.is_some();
        let moved = TenantState {
            cursor: self
                .progress
                .cursor_after(self.state.cursor, self.began, confirmed),
            ..self.state.clone()
        };
        let changed = self.recorded.as_ref() != Some(&moved);
        let state = changed.then(|| moved.clone());
        self.requests.batch.commit(state).await?;
        if !self.requests.batch.complete() {
            return self.record().await;
        }
        self.state = moved;
        self.recorded = Some(self.state.clone());
        Ok(())
    }

    async fn read(&mut self) -> Result<Plan, Halt> {
        loop {
            let reach = &self.requests.tenant().rules.reach;
            let last_full = self.requests.memory.last_full;
            let plan = plan(&self.state, reach, last_full, self.requests.uptime());
            let parts = self.state.backlog.outside(Span::from(plan.from));
            for part in parts.iter().take(PARTS) {
                self.span(*part).await?;
            }
            self.leave_parts(parts.get(PARTS..).unwrap_or_default());
            if !self.corrected_first_range() {
                return Ok(plan);
            }
            self.requests.batch.set_start(self.state.start);
        }
    }

    /// Reads one span. If it is long, leaves its old part to the backlog and reads the newest part at once.
    async fn span(&mut self, mut span: Span) -> Result<(), Halt> {
        let rules = &self.requests.tenant().rules;
        loop {
            let uptime = self.requests.uptime();
            let mut pager = self.requests.memory.list.pager(span, rules, uptime);
            let mut end = self.read_pages(&mut pager, DEEP).await?;
            let now = pager.date().map_or(self.began, |date| date.min(self.began));
            // A list that is neither filtered nor sorted has no old part to leave.
            let cut = cut(span, &rules.reach, now).filter(|_| !pager.unsorted());
            if let (ReadEnd::AtLimit, Some(cut)) = (end, cut) {
                self.leave_behind(span.from, cut);
                self.record().await?;
                if span.to.is_some() {
                    return Ok(());
                }
                span = Span::from(cut);
                continue;
            }
            if end == ReadEnd::AtLimit {
                end = self.read_pages(&mut pager, u32::MAX).await?;
            }
            debug_assert_eq!(end, ReadEnd::OfList);
            self.note(&pager);
            let beside = self.requests.take_side_requests();
            self.progress.pages = self.progress.pages.saturating_add(beside);
            return Ok(());
        }
    }

    async fn read_pages(&mut self, pager: &mut Pager, limit: u32) -> Result<ReadEnd, Halt> {
        let mut reader = PageReader::new(pager, &mut self.requests, &mut self.findings);
        reader.read(limit).await
    }

    /// Leaves the rest of a range with many gaps to the backlog: new incidents must not wait for one request per part.
    fn leave_parts(&mut self, parts: &[Span]) {
        let newest = parts.first().and_then(|part| part.to);
        if let (Some(to), Some(oldest)) = (newest, parts.last()) {
            self.leave_behind(oldest.from, to);
            // They cost as much in the backlog.
            let pages = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            self.progress.pages = self.progress.pages.saturating_add(pages);
        }
    }

    fn leave_behind(&mut self, from: Ticks, to: Ticks) {
        // The overlap with what was read already may be as long at each sweep. That is not news.
        let again = !self.fresh && to <= self.state.cursor;
        self.state.backlog.open(Interval { from, to, again });
        self.progress.leave(to);
        let tenant = self.requests.tenant();
        if again {
            tracing::debug!(tenant = %tenant.id, name = %tenant.name, %from, %to,
                "the overlap is long: what of it is older is read again beside live polling");
        } else {
            // Not at info: at the first start of a fleet, or after a long pause, each tenant would log a line.
            tracing::debug!(tenant = %tenant.id, name = %tenant.name, %from, %to,
                "there is much to read: what is older is filled in beside live polling");
        }
    }

    /// Notes what a pager has read, and puts what it could not read into the backlog.
    fn note(&mut self, pager: &Pager) {
        self.progress.add(pager);
        let (tenant, uptime) = (self.requests.tenant(), self.requests.uptime());
        let Memory {
            list, unreadable, ..
        } = &mut *self.requests.memory;
        list.page_size = pager.page_size();
        if pager.whole() {
            // An earlier sweep may have found something unreadable here, and failed before it became backlog.
            unreadable.resting.recovered(pager.span());
        }
        for unread in pager.unreadable() {
            self.state.backlog.open(unread.interval());
            unreadable.rest(tenant, *unread, uptime);
        }
    }

    /// Corrects a first range that began too late. `false`: the right range was read.
    fn corrected_first_range(&mut self) -> bool {
        let AnswerDates {
            last,
            confirmed,
            too_early,
        } = self.findings.dates;
        self.waits = false;
        let Some(date) = confirmed.or(last) else {
            return false;
        };
        let SweepScope {
            sweeper, tenant, ..
        } = self.requests.batch.scope;
        let (now, lookback) = (sweeper.clock.now(), tenant.rules.lookback);
        let Some(corrected) = self.state.corrected(date, now, lookback, self.fresh) else {
            self.fresh = false;
            return false;
        };
        if confirmed.is_none() {
            // One answer is not enough. A second one may differ; and if it shows the same time, the server's clock may
            // have stopped. The next sweep can decide, if this one leaves the cursor where it is.
            self.waits = too_early;
            return !std::mem::replace(&mut self.asked_again, true);
        }
        self.fresh = false;
        self.state = corrected;
        true
    }

    /// The reason to hold the cursor if the list had no end in several sweeps in a row. Nothing else would report it.
    fn in_circles(&mut self) -> Option<Failure> {
        let list = &mut self.requests.memory.list;
        list.circles = match self.progress.circles {
            true => list.circles.saturating_add(1),
            false => 0,
        };
        (list.circles >= MANY_CIRCLES).then(circles)
    }

    /// Keeps what the next plan needs to know about this sweep.
    fn remember(&mut self, plan: Plan) {
        if plan.kind == SweepKind::Full {
            self.requests.memory.last_full = LastFull {
                ended: Some(self.requests.uptime()),
                pages: self.progress.pages,
                cursor: Some(self.state.cursor),
                date: self.findings.dates.confirmed,
            };
        }
    }
}

/// The tenant's reach, with reconciles up to an eighth earlier, so that tenants that started together don't all read
/// everything again at the same time.
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
