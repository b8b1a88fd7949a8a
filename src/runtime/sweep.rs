//! One sweep of one tenant: read pages, publish what is new, then move the cursor.
//!
//! The order is what makes the promise hold. Records go out while pages arrive, and the ledger records each version
//! only after Kafka has acknowledged it, or in the same transaction. The cursor moves last, when every page was read to
//! its end and all of it is acknowledged. Whatever fails in between, the cursor stays. The next sweep reads the same
//! again, and finds in the ledger what is published already.
//!
//! There are two kinds of sweep, never both at once for one tenant. [`Sweeper::sweep`] reads live. [`Sweeper::fill`]
//! reads the backlog window by window, newest first, and is broken off when a live sweep is due.
//!
//! `pages` reads a list page by page: [`crate::core::sweep::pager`] decides which page comes next, and the page
//! reader reports to it what each page shows. `batch` takes the incidents and commits what is new. [`memory`] is what
//! one sweep of a tenant leaves to the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::{ByteBudget, Permit};
use super::tenant::Tenant;
use crate::core::health::failure::{Failure, Reaction};
use crate::core::pace::budget::Purpose;
use crate::core::sweep::backlog::Span;
use crate::core::sweep::cursor::TenantState;
use crate::core::sweep::pause::Pause;
use crate::core::time::ticks::Ticks;
use crate::ports::{Clock, Event, Lease, Observer, Outlet};

mod backfill;
mod batch;
mod command;
mod element;
mod live;
pub mod memory;
mod pages;

use live::LiveSweep;
use memory::Memory;

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

/// The tenant of a sweep, its lease, and what halts it.
#[derive(Clone)]
struct SweepScope<'a> {
    sweeper: &'a Sweeper,
    tenant: &'a Tenant,
    /// The right to read the tenant, and the way to publish what is read.
    lease: &'a dyn Lease,
    halt: CancellationToken,
}

/// How a sweep ended, and what it did.
#[derive(Debug, Default)]
pub struct SweepOutcome {
    pub published: u64,
    pub late_found: u64,
    /// The tenant's state after the sweep, if it is known.
    pub state: Option<TenantState>,
    /// Whether everything that the API had at the start of the sweep is published, except for the backlog.
    pub caught_up: bool,
    /// Why the sweep ended early. `None`: it did not.
    pub halt: Option<Halt>,
    /// An incident that can't be read, although all others can.
    pub unreadable: Option<Failure>,
    /// What the tenant's next sweep needs to know. `None`: it was lost.
    pub memory: Option<Memory>,
}

impl SweepOutcome {
    /// A sweep that was broken off before it read anything.
    pub fn stopped(memory: Memory) -> Self {
        Self::halted(Halt::Stopped).with(memory)
    }

    /// Nothing was done.
    pub fn idle(memory: Memory) -> Self {
        Self::default().with(memory)
    }

    /// The tenant has this state, and nothing was read.
    fn unread(state: TenantState) -> Self {
        Self {
            halt: state.paused.clone().map(Halt::Paused),
            state: Some(state),
            ..Self::default()
        }
    }

    fn halted(halt: Halt) -> Self {
        Self {
            halt: Some(halt),
            ..Self::default()
        }
    }

    fn with(self, memory: Memory) -> Self {
        Self {
            unreadable: memory.unreadable.failure(),
            memory: Some(memory),
            ..self
        }
    }
}

/// Why a sweep ended early.
#[derive(Debug)]
pub enum Halt {
    Failed(Failure),
    /// Everything was read, but a few records were refused, or something is missing in Microsoft's answers. The cursor
    /// waits for it.
    HeldBack(Failure),
    /// The daemon is stopping, or a live sweep is due.
    Stopped,
    /// Nothing was read: an operator has paused the tenant.
    Paused(Pause),
}

impl From<Failure> for Halt {
    /// A lost lease is no fault of the tenant: another process reads it now.
    fn from(failure: Failure) -> Self {
        match failure.reaction {
            Reaction::Fenced => Self::Stopped,
            _ => Self::Failed(failure),
        }
    }
}

impl Sweeper {
    /// Sweeps `tenant` once.
    pub async fn sweep(
        &self,
        tenant: &Tenant,
        mut memory: Memory,
        permit: &mut Permit,
    ) -> SweepOutcome {
        let before = Instant::now();
        let sweep = async {
            let lease = self.lease(tenant)?;
            let recorded = match lease.state().await? {
                Some(state) if state.paused.is_some() => return Ok(SweepOutcome::unread(state)),
                recorded => recorded,
            };
            let scope = SweepScope {
                sweeper: self,
                tenant,
                lease: &*lease,
                halt: self.stop.clone(),
            };
            let sweep = LiveSweep::new(scope, recorded, &mut memory, permit);
            Ok(sweep.run().await)
        };
        let outcome = sweep
            .await
            .unwrap_or_else(|failure: Failure| SweepOutcome::halted(failure.into()));
        self.observer.see(Event::LateFound {
            count: outcome.late_found,
        });
        if outcome.halt.is_none() {
            memory
                .failures(Purpose::Live)
                .settled(Span::from(Ticks::MIN));
            self.observer.see(Event::Swept {
                source: tenant.source.name(),
                took: before.elapsed(),
            });
        }
        outcome.with(memory)
    }

    fn lease(&self, tenant: &Tenant) -> Result<Box<dyn Lease>, Failure> {
        self.outlet.lease(tenant.id, tenant.encoder.clone())
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests;
