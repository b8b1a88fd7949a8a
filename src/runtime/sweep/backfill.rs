//! The backlog: read window by window, newest first, from what live polling leaves of the budget.
//!
//! A window that was read to its end is closed in the ledger, together with what was published from it; so a restart
//! reads at most one window again. A window that is broken off for a live sweep is walked on afterwards, unless something
//! of it could not be published. What can't be read rests for a while and is tried again; so does a window of which
//! something was held back, or is missing: those behind it must not wait for it.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::limits::Permit;
use super::super::tenant::Tenant;
use super::Subject;
use super::memory::Memory;
use super::{Halt, SweepOutcome, Sweeper};
use crate::core::pace::budget::Purpose;
use crate::core::sweep::backlog::{Backlog, Interval, Span};
use crate::core::sweep::cursor::{TenantState, WindowLength};
use crate::core::sweep::pager::{Pager, UnreadableSpan};
use crate::core::time::ticks::Ticks;
use crate::ports::Event;
use crate::runtime::sweep::batch::{BatchBuilder, Late};
use crate::runtime::sweep::pages::{PageReader, ReadEnd};

/// How long a page under way may hold up the live sweep that is due; of short periods a quarter.
const GRACE: Duration = Duration::from_secs(5);

impl Sweeper {
    /// What of the tenant's backlog is to be tried now.
    pub fn awake(&self, memory: &Memory, state: &TenantState) -> Backlog {
        state.backlog.except(memory.resting.spans(self.uptime()))
    }

    /// Reads the backlog of `tenant` until nothing of it is to be tried, or it is to give way. A page under way may then
    /// come to its end: whoever had to wait for its turn in the lane would else never read one.
    pub async fn fill(
        &self,
        tenant: &Tenant,
        memory: Memory,
        permit: &mut Permit,
        give_way: CancellationToken,
    ) -> SweepOutcome {
        let subject = Subject::new(tenant, memory);
        let tenant = &subject;
        let mut swept = SweepOutcome::default();
        let halt = self.stop.child_token();
        let grace = GRACE.min(tenant.schedule.period_after(self.clock.now()) / 4);
        let too_long = async {
            give_way.cancelled().await;
            sleep(grace).await;
            halt.cancel();
            pending::<Infallible>().await
        };
        let windows = self.windows(tenant, permit, [&give_way, &halt], &mut swept);
        swept.halt = tokio::select! {
            read = windows => read.err(),
            never = too_long => match never {},
        };
        self.observer.see(Event::LateFound {
            count: swept.late_found,
        });
        swept.remember(subject)
    }

    async fn windows(
        &self,
        tenant: &Subject<'_>,
        permit: &mut Permit,
        [give_way, halt]: [&CancellationToken; 2],
        swept: &mut SweepOutcome,
    ) -> Result<(), Halt> {
        while let Some(mut state) = self.outlet.state(tenant.id).await? {
            let awake = self.awake(&tenant.memory(), &state);
            let whole = tenant.memory().reads_whole(&tenant.rules, self.uptime());
            let Some((interval, mut walk)) = next_walk(&mut tenant.memory(), &awake, whole) else {
                swept.state = Some(state);
                return Ok(());
            };
            let late = if interval.again {
                Late::Everything
            } else {
                Late::Nothing
            };
            let mut intake = BatchBuilder::new(self, tenant, late, state.start, halt.clone());
            let mut reader = PageReader::new(self, tenant, permit, Purpose::Backlog, halt.clone())
                .giving_way(give_way.clone());
            let read = reader
                .walk(&mut walk, &mut intake, WindowLength::TOO_DEEP)
                .await;
            let partial = reader.partial().cloned();
            let done = matches!(read, Ok(ReadEnd::OfList));
            let whole = done && partial.is_none() && intake.complete();
            let committed = if whole {
                close(&walk, &mut state);
                intake.commit(permit, Some(state.clone())).await
            } else {
                intake.commit(permit, None).await
            };
            let (published, late_found, account) = intake.finish();
            swept.published += published;
            swept.late_found += late_found;
            if committed.is_err() || !intake.complete() {
                // However far it is walked on, it must not be closed.
                walk.distrust();
            }
            if done {
                self.learn(tenant, &walk, &state.backlog);
            } else {
                leave(tenant, walk, &read, self.uptime());
            }
            committed?;
            account?;
            read?;
            if let Some(why) = intake.held_back().cloned().or(partial).filter(|_| done) {
                return Err(Halt::HeldBack(why));
            }
            swept.state = Some(state);
        }
        Ok(())
    }

    /// What the next windows have to know of one that was read to its end, with which `backlog` is still open.
    fn learn(&self, tenant: &Subject<'_>, walk: &Pager, backlog: &Backlog) {
        let (span, uptime) = (walk.span(), self.uptime());
        let mut memory = tenant.memory();
        let smaller_pages = memory.page_size != walk.page_size();
        memory.page_size = walk.page_size();
        if !walk.unfiltered() {
            memory.window = memory.window.after(walk.pages());
        }
        memory.doubts(Purpose::Backlog).settled(span);
        if walk.whole() {
            memory.resting.recovered(span);
        }
        for trouble in walk.troubles() {
            memory.rest(tenant, *trouble, uptime);
        }
        if smaller_pages || !walk.troubles().is_empty() {
            return;
        }
        // What of it is open still, because the list did not hold still or because there are too many gaps to be kept, would
        // only come to the same end again.
        let open = if walk.trusted() {
            backlog.except(memory.resting.tried()).inside(span)
        } else {
            vec![span]
        };
        for part in open {
            let part = UnreadableSpan {
                from: part.from,
                to: part.to.unwrap_or(Ticks::MAX),
                unseen: false,
            };
            memory.resting.rest(part, uptime);
        }
    }
}

/// The window was read to its end. What of it could not be trusted stays open.
fn close(walk: &Pager, state: &mut TenantState) {
    let Span { from, to } = walk.span();
    if let (true, Some(to)) = (walk.whole(), to) {
        state.backlog.close(from, to);
    }
    for UnreadableSpan { from, to, unseen } in walk.troubles().iter().copied() {
        state.backlog.open(Interval {
            from,
            to,
            again: !unseen,
        });
    }
}

/// The window to be read now, and the part of the backlog that it belongs to: the one that was broken off, when it is still
/// to be read; else the newest of what nobody has seen, then of what is read again. What was tried in vain comes last:
/// however much there is that can't be read, all else is. There the search need not begin with whole pages again.
fn next_walk(memory: &mut Memory, awake: &Backlog, whole: bool) -> Option<(Interval, Pager)> {
    if let Some(walk) = memory.unfinished.take() {
        let Span { from, to } = walk.span();
        let holds = |open: &&Interval| open.from <= from && to.is_some_and(|to| to <= open.to);
        if let Some(interval) = awake.intervals().iter().find(holds) {
            return Some((*interval, walk));
        }
    }
    let untried = awake.except(memory.resting.tried());
    let interval = first(&untried).or(first(awake))?;
    let (from, to) = memory.window.window(interval);
    let walk = Pager::new(Span::between(from, to), memory.page_size).to_the_end(whole);
    let walk = match untried.is_empty() {
        true => walk.cautious(),
        false => walk,
    };
    Some((*interval, walk))
}

fn first(backlog: &Backlog) -> Option<&Interval> {
    let unread = backlog.intervals().iter().rfind(|open| !open.again);
    unread.or(backlog.intervals().last())
}

/// A window that did not come to its end: walked on later, or begun again shorter.
fn leave(tenant: &Subject<'_>, walk: Pager, read: &Result<ReadEnd, Halt>, uptime: Duration) {
    let mut memory = tenant.memory();
    if let Ok(ReadEnd::AtLimit) = read {
        // Where the search has led to need not be searched again.
        for trouble in walk.troubles() {
            memory.rest(tenant, *trouble, uptime);
        }
    }
    // A shorter window of a list that is not filtered is as many pages.
    let shrunk = memory.window.shrunk(walk.span(), walk.oldest_shown());
    let shrunk = shrunk.filter(|_| !walk.unfiltered());
    match (read, shrunk) {
        (Ok(ReadEnd::AtLimit), Some(shorter)) => memory.window = shorter,
        (Ok(ReadEnd::AtLimit), None) | (Err(Halt::Stopped), _) => memory.unfinished = Some(walk),
        _ => {}
    }
}
