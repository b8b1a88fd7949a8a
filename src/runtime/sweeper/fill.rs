//! The backlog: read window by window, newest first, from what live polling leaves of the budget.
//!
//! A window that was read to its end is closed in the ledger, together with what was published from it; so a restart
//! reads at most one window again. A window that is broken off for a live sweep is walked on afterwards. What can't be
//! read rests for a while and is tried again.

use tokio_util::sync::CancellationToken;

use super::super::intake::{Intake, Late};
use super::super::limits::Slot;
use super::super::reader::{Reader, Way};
use super::super::tenant::{Memory, Tenant};
use super::{Halt, Sweeper, Swept};
use crate::core::backlog::{Backlog, Interval, Span};
use crate::core::budget::Purpose;
use crate::core::cursor::{TenantState, WindowLength};
use crate::core::walk::{Trouble, Walk};
use crate::ports::Event;

impl Sweeper {
    /// What of the tenant's backlog is to be tried now.
    pub fn awake(&self, tenant: &Tenant, state: &TenantState) -> Backlog {
        let memory = tenant.memory();
        state.backlog.except(memory.resting.spans(self.uptime()))
    }

    /// Reads the backlog of `tenant` until nothing of it is to be tried, or `halt`.
    pub async fn fill(&self, tenant: &Tenant, slot: &mut Slot, halt: CancellationToken) -> Swept {
        let mut swept = Swept::default();
        swept.halt = self.windows(tenant, slot, halt, &mut swept).await.err();
        self.observer.see(Event::LateFound {
            count: swept.late_found,
        });
        swept
    }

    async fn windows(
        &self,
        tenant: &Tenant,
        slot: &mut Slot,
        halt: CancellationToken,
        swept: &mut Swept,
    ) -> Result<(), Halt> {
        while let Some(mut state) = self.outlet.state(tenant.id)? {
            let awake = self.awake(tenant, &state);
            let Some(interval) = awake.intervals().last() else {
                swept.state = Some(state);
                return Ok(());
            };
            let late = if interval.again {
                Late::Everything
            } else {
                Late::Nothing
            };
            let mut walk = next_walk(&mut tenant.memory(), interval);
            let mut intake = Intake::new(self, tenant, late, halt.clone());
            let mut reader = Reader::new(self, tenant, slot, Purpose::Backlog, halt.clone());
            let read = reader
                .walk(&mut walk, &mut intake, WindowLength::TOO_DEEP)
                .await;
            let partial = reader.partial().cloned();
            let done = matches!(read, Ok(Way::Done));
            if done {
                self.close(tenant, &walk, &mut state);
            } else {
                leave(&mut tenant.memory(), walk, &read);
            }
            let whole = done && partial.is_none() && intake.held_back().is_none();
            let committed = intake.commit(slot, whole.then(|| state.clone())).await;
            let (published, late_found, account) = intake.finish();
            swept.published += published;
            swept.late_found += late_found;
            read?;
            committed?;
            account?;
            if let Some(why) = intake.held_back().cloned().or(partial) {
                return Err(Halt::HeldBack(why));
            }
            swept.state = Some(state);
        }
        Ok(())
    }

    /// The window was read to its end. What of it could not be trusted stays open.
    fn close(&self, tenant: &Tenant, walk: &Walk, state: &mut TenantState) {
        let (span, uptime) = (walk.span(), self.uptime());
        let mut memory = tenant.memory();
        memory.page_size = walk.page_size();
        memory.window = memory.window.after(walk.pages());
        let whole = walk.trusted() && walk.troubles().is_empty();
        if let (true, Some(to)) = (whole, span.to) {
            state.backlog.close(span.from, to);
            memory.resting.recovered(span);
        }
        for trouble in walk.troubles() {
            let Trouble { from, to, unseen } = *trouble;
            state.backlog.open(Interval {
                from,
                to,
                again: !unseen,
            });
            memory.resting.rest(*trouble, uptime);
        }
    }
}

/// The window to be read now: the one that was broken off, when it is still open, else the newest part of `interval`.
fn next_walk(memory: &mut Memory, interval: &Interval) -> Walk {
    let (from, to) = memory.window.window(interval);
    let unfinished = memory.unfinished.take().filter(|walk| {
        let Span { from, to } = walk.span();
        from >= interval.from && to == Some(interval.to)
    });
    unfinished.unwrap_or_else(|| Walk::new(Span::between(from, to), memory.page_size))
}

/// A window that did not come to its end: walked on later, or begun again shorter.
fn leave(memory: &mut Memory, walk: Walk, read: &Result<Way, Halt>) {
    let shrunk = memory.window.shrunk(walk.span(), walk.oldest_shown());
    match (read, shrunk) {
        (Ok(Way::Deep), Some(shorter)) => memory.window = shorter,
        (Ok(Way::Deep), None) | (Err(Halt::Stopped), _) => memory.unfinished = Some(walk),
        _ => {}
    }
}
