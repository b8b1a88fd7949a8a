//! One sweep of one tenant: ask for pages, publish what is news, then move the cursor.
//!
//! The order is the promise. Records go out as pages stream in, and the ledger learns of each only after Kafka's
//! acknowledgement; the cursor moves last, once every page was read to its end and everything in them is acknowledged.
//! Whatever breaks in between, what was read is still published, and the cursor stays: the next sweep reads it again and
//! finds it known.
//!
//! A stop is honoured between any two pieces of a page, never during a commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::limits::{ByteBudget, Slot};
use super::tenant::Tenant;
use crate::core::backoff::pause;
use crate::core::cursor::{Kind, LastFull, TenantState, plan};
use crate::core::failure::{Failure, Health, Reaction};
use crate::core::page::{Envelope, PageError, Splitter};
use crate::core::slots::{Use, jitter};
use crate::core::sweep::{Step, Sweep};
use crate::core::ticks::Ticks;
use crate::ports::{AccessToken, Clock, Event, Observer, Outlet, PageBody};

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
#[derive(Debug)]
pub struct Swept {
    pub published: u64,
    pub late_found: u64,
    /// The tenant's cursor now, when it is known.
    pub state: Option<TenantState>,
    /// Whether all that the API had at the sweep's start is published.
    pub caught_up: bool,
    pub result: Result<(), Halt>,
}

/// Why a sweep did not come to its end.
#[derive(Debug)]
pub enum Halt {
    Failed(Failure),
    /// Everything was read, and all but single records was published; the cursor waits for those.
    HeldBack(Failure),
    /// The daemon is stopping.
    Stopped,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Sweeper {
    /// Sweeps `tenant` once.
    pub async fn sweep(&self, tenant: &Tenant, slot: &mut Slot) -> Swept {
        let before = Instant::now();
        let mut swept = Swept {
            published: 0,
            late_found: 0,
            state: None,
            caught_up: false,
            result: Ok(()),
        };
        swept.result = self.run(tenant, slot, &mut swept).await;
        self.observer.see(Event::LateFound {
            count: swept.late_found,
        });
        if swept.result.is_ok() {
            let source = tenant.source.name();
            self.observer.see(Event::Swept {
                source,
                took: before.elapsed(),
            });
        }
        swept
    }

    async fn run(&self, tenant: &Tenant, slot: &mut Slot, swept: &mut Swept) -> Result<(), Halt> {
        let state = self.state(tenant).await?;
        swept.state = Some(state);
        let began = self.clock.now();
        let (last_full, page_size) = {
            let memory = tenant.memory();
            (memory.last_full, memory.page_size)
        };
        let reach = &tenant.rules.reach;
        let plan = plan(&state, reach, last_full, began, self.uptime());
        let mut sweep = Sweep::new(plan, page_size);
        let mut intake = Intake::new(self, tenant, state.cursor);
        let read = self.pages(&mut sweep, &mut intake, slot).await;
        let after = match &read {
            Ok(()) => sweep.state_after(&state, began),
            Err(_) => None,
        };
        let moved = after.filter(|after| *after != state && intake.held_back().is_none());
        let committed = intake.commit(slot, moved).await;
        (swept.published, swept.late_found) = intake.counts();
        read?;
        committed?;
        if let Some(refused) = intake.held_back() {
            return Err(Halt::HeldBack(refused.clone()));
        }
        let state = moved.unwrap_or(state);
        swept.state = Some(state);
        swept.caught_up = sweep.trusted();
        self.remember(tenant, &sweep, state.cursor);
        if !sweep.trusted() {
            tracing::debug!(tenant = %tenant.id, pages = sweep.pages(), "the list moved while it was read; the cursor stays for one more sweep");
        }
        Ok(())
    }

    /// What the next plan has to know of a sweep that left the cursor at `cursor`.
    fn remember(&self, tenant: &Tenant, sweep: &Sweep, cursor: Ticks) {
        let mut memory = tenant.memory();
        memory.page_size = sweep.page_size();
        let pages = match sweep.plan().kind {
            Kind::Full => sweep.pages(),
            // A reconcile sweep says nothing of what a full one costs.
            Kind::Reconcile => memory.last_full.pages,
            Kind::Tip => return,
        };
        memory.last_full = LastFull {
            ended: Some(self.uptime()),
            pages,
            cursor: Some(cursor),
        };
    }

    /// The tenant's state; at first contact one is made and recorded, because the start of its first range is a fixed
    /// instant from then on.
    async fn state(&self, tenant: &Tenant) -> Result<TenantState, Failure> {
        if let Some(state) = self.outlet.state(tenant.id)? {
            return Ok(state);
        }
        let first = TenantState::first(self.clock.now(), tenant.rules.lookback);
        self.outlet
            .commit(tenant.id, Vec::new(), Some(first))
            .await
            .result?;
        Ok(first)
    }

    async fn pages(
        &self,
        sweep: &mut Sweep,
        intake: &mut Intake<'_>,
        slot: &mut Slot,
    ) -> Result<(), Halt> {
        loop {
            sweep.begin_page();
            let (envelope, date) = self.page(sweep, intake, slot).await?;
            if sweep.end_page(envelope.next_link, date) == Step::Done {
                return Ok(());
            }
        }
    }

    async fn page(
        &self,
        sweep: &mut Sweep,
        intake: &mut Intake<'_>,
        slot: &mut Slot,
    ) -> Result<(Envelope, Option<Ticks>), Halt> {
        let mut body = self.open(sweep, intake.tenant, slot).await?;
        intake.begin_page();
        let mut splitter = Splitter::default();
        while let Some(chunk) = self.unless_stopped(slot.wait(body.chunk())).await?? {
            intake.make_room(chunk.len(), slot).await?;
            let mut elements = Vec::new();
            let cut = splitter.feed(&chunk, &mut elements);
            intake.take(elements, sweep, splitter.held(), slot).await?;
            cut.map_err(unreadable)?;
        }
        let envelope = splitter.finish().map_err(unreadable)?;
        if let Some(why) = body.partial() {
            return Err(Halt::Failed(Failure::new(
                Health::Unreachable,
                Reaction::Backoff,
                format!("Microsoft's answer says that something is missing in it: {why}"),
                "Nothing to do unless it lasts: what came is published, the rest is read again.",
            )));
        }
        Ok((envelope, body.date()))
    }

    /// Asks for the page that `sweep` names. A refused token is renewed once and the same page asked for again.
    async fn open(
        &self,
        sweep: &Sweep,
        tenant: &Tenant,
        slot: &mut Slot,
    ) -> Result<Box<dyn PageBody>, Halt> {
        let token = self
            .unless_stopped(slot.wait(tenant.tokens.token()))
            .await??;
        match self.ask(sweep, tenant, &token, slot).await {
            Err(Halt::Failed(failure)) if failure.reaction == Reaction::RenewToken => {
                let token = self
                    .unless_stopped(slot.wait(tenant.tokens.renew(&token)))
                    .await??;
                self.ask(sweep, tenant, &token, slot).await
            }
            answer => answer,
        }
    }

    async fn ask(
        &self,
        sweep: &Sweep,
        tenant: &Tenant,
        token: &AccessToken,
        slot: &mut Slot,
    ) -> Result<Box<dyn PageBody>, Halt> {
        self.unless_stopped(slot.wait(self.spend_request(tenant)))
            .await?;
        let source = tenant.source.name();
        let asked = Instant::now();
        let answer = self
            .unless_stopped(slot.wait(tenant.source.open(sweep.ask(), token)))
            .await?;
        let status = match &answer {
            Ok(_) => 200,
            Err(failure) => failure.status.unwrap_or(0),
        };
        self.observer.see(Event::ApiRequest {
            source,
            status,
            took: asked.elapsed(),
        });
        answer.map_err(|failure| {
            if failure.status == Some(403) {
                tenant.tokens.forget(token);
            }
            if let Reaction::Wait(_) = failure.reaction {
                self.observer.see(Event::Throttled { source });
                let chance = jitter(tenant.id, Use::Backoff, self.uptime().as_secs());
                let until = self.uptime() + pause(failure.reaction, 1, chance);
                tenant.memory().budget.close_until(until);
            }
            Halt::Failed(failure)
        })
    }

    /// Waits until the tenant's budget has a request left, and takes it.
    async fn spend_request(&self, tenant: &Tenant) {
        loop {
            let taken = tenant.memory().budget.take(self.uptime());
            match taken {
                Ok(()) => return,
                // Never less than a millisecond: the timer's resolution.
                Err(wait) => sleep(wait.max(Duration::from_millis(1))).await,
            }
        }
    }

    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        self.stop
            .run_until_cancelled(work)
            .await
            .ok_or(Halt::Stopped)
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

fn unreadable(error: PageError) -> Halt {
    Halt::Failed(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("a page could not be read: {error}"),
        "Nothing to do unless it lasts: the page is read again. If it lasts, a proxy may be changing or cutting answers.",
    ))
}

#[cfg(test)]
mod tests;
