//! Reads the backlog window by window, newest first, with what live polling leaves of the budget.
//!
//! A window that was read to its end is closed in the ledger, together with what was published from it, so that a
//! restart reads at most one window again. A window that is broken off for a live sweep is continued later, unless some
//! of it could not be published. A part that can't be read rests for a while and is tried again. So does a window of
//! which something was held back or is missing, so that the windows behind it don't have to wait for it.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::batch::{BatchBuilder, LateRule};
use super::memory::Memory;
use super::pages::{PageFindings, PageReader, ReadEnd, SweepRequests};
use super::{Halt, SweepOutcome, SweepScope, Sweeper};
use crate::core::pace::budget::Purpose;
use crate::core::sweep::backlog::{Backlog, Interval, Span};
use crate::core::sweep::cursor::{TenantState, WindowLength};
use crate::core::sweep::pager::{Pager, UnreadableSpan};
use crate::core::time::ticks::Ticks;
use crate::ports::Event;
use crate::runtime::limits::Permit;
use crate::runtime::tenant::Tenant;

/// How long a page in progress may delay the live sweep that is due. With short periods it is a quarter of the period.
const GRACE: Duration = Duration::from_secs(5);

impl Sweeper {
    /// The part of the tenant's backlog that is not resting now.
    pub fn awake(&self, memory: &Memory, state: &TenantState) -> Backlog {
        let resting = memory.unreadable.resting.spans(self.uptime());
        state.backlog.except(resting)
    }

    /// Reads the backlog of `tenant` until there is nothing left to try, or until `give_way`. A page in progress may
    /// finish first; otherwise a tenant that queued for its lane would never read a page.
    pub async fn fill(
        &self,
        tenant: &Tenant,
        mut memory: Memory,
        permit: &mut Permit,
        give_way: CancellationToken,
    ) -> SweepOutcome {
        let halt = self.stop.child_token();
        let grace = GRACE.min(tenant.schedule.period_after(self.clock.now()) / 4);
        let too_long = async {
            give_way.cancelled().await;
            sleep(grace).await;
            halt.cancel();
            pending::<Infallible>().await
        };
        let lease = match self.lease(tenant) {
            Ok(lease) => lease,
            Err(failure) => return SweepOutcome::halted(failure.into()).with(memory),
        };
        let mut backfill = BacklogSweep {
            scope: SweepScope {
                sweeper: self,
                tenant,
                lease: &*lease,
                halt: halt.clone(),
            },
            memory: &mut memory,
            permit,
            give_way: give_way.clone(),
            outcome: SweepOutcome::default(),
        };
        let halt = tokio::select! {
            read = backfill.run() => read.err(),
            never = too_long => match never {},
        };
        let outcome = SweepOutcome {
            halt,
            ..backfill.outcome
        };
        self.observer.see(Event::LateFound {
            count: outcome.late_found,
        });
        outcome.with(memory)
    }
}

/// A back-fill in progress.
struct BacklogSweep<'a> {
    scope: SweepScope<'a>,
    memory: &'a mut Memory,
    permit: &'a mut Permit,
    give_way: CancellationToken,
    outcome: SweepOutcome,
}

impl BacklogSweep<'_> {
    async fn run(&mut self) -> Result<(), Halt> {
        let SweepScope { sweeper, lease, .. } = self.scope;
        while let Some(state) = lease.state().await? {
            let awake = sweeper.awake(self.memory, &state);
            match self.next_window(&awake) {
                Some((interval, pager)) => self.window(interval, pager, state).await?,
                None => {
                    if state.backlog.is_empty() {
                        self.memory.list.ordered = None;
                    }
                    self.outcome.state = Some(state);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn window(
        &mut self,
        interval: Interval,
        mut pager: Pager,
        mut state: TenantState,
    ) -> Result<(), Halt> {
        // What an operator has read again is not late: mostly the ledger has lost it.
        let ordered = self.memory.list.ordered;
        let ordered = ordered.is_some_and(|since| since < interval.to);
        let late = match interval.again && !ordered {
            true => LateRule::Everything,
            false => LateRule::Nothing,
        };
        let batch = BatchBuilder::new(self.scope.clone(), self.permit, late, state.start);
        let give_way = self.give_way.clone();
        let mut requests = SweepRequests::new(batch, self.memory, Purpose::Backlog, give_way);
        let mut findings = PageFindings::default();
        let mut reader = PageReader::new(&mut pager, &mut requests, &mut findings);
        let read = reader.read(WindowLength::TOO_DEEP).await;
        let done = matches!(read, Ok(ReadEnd::OfList));
        let partial = findings.partial;
        let committed = if done && partial.is_none() && requests.batch.complete() {
            close(&pager, &mut state);
            requests.batch.commit(Some(state.clone())).await
        } else {
            requests.batch.commit(None).await
        };
        let report = requests.finish();
        let (complete, held_back) = (
            requests.batch.complete(),
            requests.batch.held_back().cloned(),
        );
        drop(requests);
        self.outcome.published += report.published;
        self.outcome.late_found += report.late_found;
        if committed.is_err() || !complete {
            // However far it is read on, this window must not be closed.
            pager.distrust();
        }
        if done {
            self.learn(&pager, &state.backlog);
        } else {
            self.leave(pager, &read);
        }
        committed?;
        report.account?;
        read?;
        if let Some(why) = held_back.or(partial).filter(|_| done) {
            return Err(Halt::HeldBack(why));
        }
        self.outcome.state = Some(state);
        Ok(())
    }

    /// The window to read now, and the open interval that it belongs to. A window that was broken off comes first, if
    /// it is still open. Then come the newest of the unread intervals, and then those to be read again. Spans that were
    /// tried without success come last, so that the others don't wait for them. For them the search starts with small pages
    /// at once.
    fn next_window(&mut self, awake: &Backlog) -> Option<(Interval, Pager)> {
        let memory = &mut *self.memory;
        if let Some(pager) = memory.list.unfinished.take() {
            let Span { from, to } = pager.span();
            let holds = |open: &&Interval| open.from <= from && to.is_some_and(|to| to <= open.to);
            if let Some(interval) = awake.intervals().iter().find(holds) {
                return Some((*interval, pager));
            }
        }
        let untried = awake.except(memory.unreadable.resting.tried());
        let interval = first(&untried).or(first(awake))?;
        let (from, to) = memory.list.window.window(interval);
        let (rules, uptime) = (&self.scope.tenant.rules, self.scope.sweeper.uptime());
        let pager = memory.list.pager(Span::between(from, to), rules, uptime);
        let pager = match untried.is_empty() {
            true => pager.cautious(),
            false => pager,
        };
        Some((*interval, pager))
    }

    /// Keeps what the next windows need to know about a window that was read to its end. `backlog` is what is still
    /// open.
    fn learn(&mut self, pager: &Pager, backlog: &Backlog) {
        let (span, uptime) = (pager.span(), self.scope.sweeper.uptime());
        let memory = &mut *self.memory;
        let smaller_pages = memory.list.page_size != pager.page_size();
        memory.list.page_size = pager.page_size();
        if !pager.unfiltered() {
            memory.list.window = memory.list.window.after(pager.pages());
        }
        memory.failures(Purpose::Backlog).settled(span);
        let unreadable = &mut memory.unreadable;
        if pager.whole() {
            unreadable.resting.recovered(span);
        }
        for unread in pager.unreadable() {
            unreadable.rest(self.scope.tenant, *unread, uptime);
        }
        if smaller_pages || !pager.unreadable().is_empty() {
            return;
        }
        // A part may still be open, because the list moved or because there are too many gaps to keep. If it were read
        // again at once, it would end the same way.
        let open = if pager.trusted() {
            backlog.except(unreadable.resting.tried()).inside(span)
        } else {
            vec![span]
        };
        for part in open {
            let part = UnreadableSpan {
                from: part.from,
                to: part.to.unwrap_or(Ticks::MAX),
                unseen: false,
            };
            unreadable.resting.rest(part, uptime);
        }
    }

    /// Keeps an unfinished window to continue it later, or lets it start again with a shorter one.
    fn leave(&mut self, pager: Pager, read: &Result<ReadEnd, Halt>) {
        let (uptime, memory) = (self.scope.sweeper.uptime(), &mut *self.memory);
        if let Ok(ReadEnd::AtLimit) = read {
            // The search need not be repeated where it has ended.
            for unread in pager.unreadable() {
                memory.unreadable.rest(self.scope.tenant, *unread, uptime);
            }
        }
        // In an unfiltered list, a shorter window has as many pages.
        let list = &mut memory.list;
        let shorter = list.window.shrunk(pager.span(), pager.oldest_shown());
        let shorter = shorter.filter(|_| !pager.unfiltered());
        match (read, shorter) {
            (Ok(ReadEnd::AtLimit), Some(shorter)) => list.window = shorter,
            (Ok(ReadEnd::AtLimit), None) | (Err(Halt::Stopped), _) => list.unfinished = Some(pager),
            _ => {}
        }
    }
}

/// Closes a window that was read to its end. Untrusted and unreadable parts stay open.
fn close(pager: &Pager, state: &mut TenantState) {
    let Span { from, to } = pager.span();
    if let (true, Some(to)) = (pager.whole(), to) {
        state.backlog.close(from, to);
    }
    for unread in pager.unreadable() {
        state.backlog.open(unread.interval());
    }
}

fn first(backlog: &Backlog) -> Option<&Interval> {
    let unread = backlog.intervals().iter().rfind(|open| !open.again);
    unread.or(backlog.intervals().last())
}
