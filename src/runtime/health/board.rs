//! The health of each tenant: the source of `/api/status`, of the status page and of the one log line per change of state.
//!
//! A tenant is shown as failing from its first failed request on, with a remedy. It is shown as healthy again after its
//! first successful sweep.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use self::row::BoardRow;
pub use self::row::WAITS_FOR_LEDGER;
use crate::core::health::activity::{EventKind, HOURS};
use crate::core::health::alarms::{Alarm, AlarmEffect, AlarmTenant, Alarms};
use crate::core::health::expiry::{Expiries, TenantCredential};
use crate::core::health::failure::{Failure, Health};
use crate::core::health::fleet_view::{
    FleetQuery, FleetView, LastSweep, TenantDetails, TenantView,
};
use crate::core::health::status::{StatusReport, TenantStatus, worst_first};
use crate::core::ids::TenantId;
use crate::core::naming::tenant_word;
use crate::core::time::ticks::Ticks;
use crate::core::time::wallclock::Look;
use crate::ports::Clock;
use crate::runtime::sweep::{Halt, SweepOutcome};
use crate::runtime::tenant::Tenant;

mod row;

pub struct Board {
    clock: Arc<dyn Clock>,
    /// The origin of the board's steady clock.
    origin: Instant,
    rows: RwLock<HashMap<TenantId, Arc<Mutex<BoardRow>>>>,
    alarms: Mutex<Alarms>,
    expiries: Mutex<Expiries>,
}

/// A change of a tenant's state or remedy, for the log and the status topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthTransition {
    pub at: Ticks,
    pub before: Health,
    pub after: Health,
    /// Whether it is the first success since the process began to read the tenant, and nothing failed before.
    pub first: bool,
    pub failure: Option<Failure>,
    pub alarm: AlarmEffect,
}

/// How many tenants of the fleet have had a successful sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetProgress {
    pub read: usize,
    pub tenants: usize,
}

impl Board {
    pub fn new(tenants: &[Arc<Tenant>], clock: Arc<dyn Clock>) -> Self {
        let board = Self {
            clock,
            origin: Instant::now(),
            rows: RwLock::default(),
            alarms: Mutex::default(),
            expiries: Mutex::default(),
        };
        for tenant in tenants {
            board.enter(tenant);
        }
        board
    }

    /// Adds `tenant` to the fleet. A known id means new settings: its health stays until its next sweep ends.
    pub fn enter(&self, tenant: &Arc<Tenant>) {
        let now = self.clock.now();
        let known = self.with(tenant.id, |row| row.set_tenant(tenant.clone(), now));
        if known.is_none() {
            let row = BoardRow::new(tenant.clone(), self.look());
            self.rows
                .write()
                .insert(tenant.id, Arc::new(Mutex::new(row)));
        }
    }

    /// Notes whether the sweeps of `tenant` wait until its partition of the ledger is restored. Its health stays, and is shown
    /// again afterwards.
    pub fn wait(&self, tenant: TenantId, waits: bool) {
        let now = self.clock.now();
        self.with(tenant, |row| row.wait(waits, now));
    }

    /// The tenants of the fleet.
    pub fn ids(&self) -> HashSet<TenantId> {
        self.rows.read().keys().copied().collect()
    }

    /// Removes `tenant` from the fleet. Returns the alarm that ends with it.
    pub fn leave(&self, tenant: TenantId) -> Option<Alarm> {
        self.rows.write().remove(&tenant);
        self.alarms.lock().forget(tenant)
    }

    /// Notes when `tenant` is swept next.
    pub fn plan(&self, tenant: TenantId, within: Duration) {
        let now = self.look();
        let at = Look {
            wall: now.wall.plus(within),
            steady: now.steady + within,
        };
        self.with(tenant, |row| row.times.next = Some(at));
    }

    /// Records how a sweep that began at `began` ended. Returns a change of the tenant's state or remedy.
    pub fn note(
        &self,
        tenant: TenantId,
        began: Instant,
        outcome: &SweepOutcome,
    ) -> Option<HealthTransition> {
        let (now, took) = (self.clock.now(), began.elapsed());
        let began = Look {
            wall: now.minus(took),
            steady: began.saturating_duration_since(self.origin),
        };
        self.noted(tenant, EventKind::SweepFailed, |row| {
            row.count(outcome, now);
            if let Some(Halt::Paused(pause)) = &outcome.halt {
                return Some(Some(
                    pause.failure(&tenant_word(&row.tenant.name, row.tenant.id)),
                ));
            }
            if !matches!(outcome.halt, Some(Halt::Stopped)) {
                row.times.last = Some(LastSweep {
                    ended: now,
                    took,
                    failed: outcome.halt.is_some(),
                });
            }
            let failure = match &outcome.halt {
                None => {
                    row.succeeded(now, outcome.caught_up.then_some(began));
                    None
                }
                Some(Halt::Failed(failure) | Halt::HeldBack(failure)) => Some(failure.clone()),
                Some(Halt::Stopped | Halt::Paused(_)) => return None,
            };
            Some(failure.or_else(|| outcome.unreadable.clone()))
        })
    }

    /// Counts what a sweep with former settings read. It says nothing about the tenant's health.
    pub fn note_outdated(&self, tenant: TenantId, outcome: &SweepOutcome) {
        let now = self.clock.now();
        self.with(tenant, |row| row.count(outcome, now));
    }

    /// Records how a back-fill ended. Returns a change of health if the failure concerns the whole tenant: the next
    /// live sweep may be an hour away.
    pub fn note_fill(&self, tenant: TenantId, outcome: &SweepOutcome) -> Option<HealthTransition> {
        let now = self.clock.now();
        self.noted(tenant, EventKind::BackfillFailed, |row| {
            row.count(outcome, now);
            row.note_fill(outcome.halt.as_ref());
            match &outcome.halt {
                Some(Halt::Failed(failure)) if concerns_all(failure.health) => {
                    Some(Some(failure.clone()))
                }
                Some(Halt::Failed(failure) | Halt::HeldBack(failure)) => {
                    row.activity
                        .events
                        .note(now, EventKind::BackfillFailed, Some(failure));
                    None
                }
                Some(Halt::Stopped | Halt::Paused(_)) | None => None,
            }
        })
    }

    /// Records how an operator's command ended. Returns a change of health if the tenant is paused now. A command that was not
    /// recorded has no state, and changes nothing.
    pub fn note_command(
        &self,
        tenant: TenantId,
        began: Instant,
        outcome: &SweepOutcome,
    ) -> Option<HealthTransition> {
        if outcome.halt.is_some() {
            return self.note(tenant, began, outcome);
        }
        if outcome.state.is_some() {
            let now = self.look();
            self.with(tenant, |row| {
                row.count(outcome, now.wall);
                row.resume(now);
            });
        }
        None
    }

    /// Changes the row of `tenant`. If `note` returns the tenant's present failure (`Some(None)`: it has none), updates
    /// the row and the alarms. Returns the change if there is one. `again` is the event to note of a failure that goes on.
    fn noted(
        &self,
        tenant: TenantId,
        again: EventKind,
        note: impl FnOnce(&mut BoardRow) -> Option<Option<Failure>>,
    ) -> Option<HealthTransition> {
        let (at, tenants) = (self.clock.now(), self.rows.read().len());
        self.with(tenant, |row| {
            let unread = !row.was_read();
            let failure = note(row)?;
            let before = row.set_failure(failure.clone(), at, again)?;
            let alarm = self
                .alarms
                .lock()
                .note(tenant, tenants, failure.as_ref(), at);
            Some(HealthTransition {
                at,
                before,
                after: row.health,
                first: unread && before == Health::Starting && failure.is_none(),
                failure,
                alarm,
            })
        })
        .flatten()
    }

    /// Causes that many tenants share, the one with the most tenants first; then the credentials that end.
    pub fn alarms(&self) -> Vec<Alarm> {
        let mut alarms = self.alarms.lock().raised();
        alarms.extend(self.expiries.lock().alarms().cloned());
        alarms
    }

    /// Looks at the end of every credential. A paused tenant needs none: its own raises an alarm when it is resumed. Returns the
    /// alarms that are to be logged now. Reads credential files: never call it on a thread that must not block.
    pub fn look_at_credentials(&self) -> Vec<Alarm> {
        let rows: Vec<_> = self.rows.read().values().cloned().collect();
        let in_use = |row: Arc<Mutex<BoardRow>>| {
            let row = row.lock();
            (row.health != Health::Paused).then(|| row.tenant.clone())
        };
        let tenants = rows.into_iter().filter_map(in_use);
        let ends: Vec<_> = tenants
            .filter_map(|tenant| {
                let end = tenant.tokens.credential_end()?;
                let (id, name) = (tenant.id, tenant.name.clone());
                let tenant = AlarmTenant { id, name };
                Some(TenantCredential { tenant, end })
            })
            .collect();
        self.expiries.lock().look(ends, self.clock.now())
    }

    /// The state of each tenant, worst first. Reads no files.
    pub fn states(&self) -> Vec<Health> {
        let rows = self.rows.read();
        let mut states: Vec<_> = rows.values().map(|row| row.lock().state()).collect();
        states.sort_by_key(|state| Reverse(state.severity()));
        states
    }

    /// Whether an operator has paused `tenant`: then it needs no token.
    pub fn is_paused(&self, tenant: TenantId) -> bool {
        let paused = self.with(tenant, |row| row.health == Health::Paused);
        paused.unwrap_or(false)
    }

    pub fn progress(&self) -> FleetProgress {
        let rows = self.rows.read();
        let read = rows.values().filter(|row| row.lock().was_read()).count();
        let tenants = rows.len();
        FleetProgress { read, tenants }
    }

    /// All tenants, worst first. May read credential files: never call it on a thread that must not block.
    pub fn tenants(&self) -> Vec<TenantStatus> {
        let now = self.look();
        let rows: Vec<_> = self.rows.read().values().cloned().collect();
        let status = |row: Arc<Mutex<BoardRow>>| {
            let (mut status, tenant) = {
                let row = row.lock();
                (row.status(now), row.tenant.clone())
            };
            self.complete(&mut status, &tenant);
            status
        };
        let mut tenants: Vec<_> = rows.into_iter().map(status).collect();
        worst_first(&mut tenants);
        tenants
    }

    /// The page of the fleet that `query` asks for. `report` is of the rest of the daemon. Locks one row at a time, and reads
    /// credential files of the tenants on the page only: never call it on a thread that must not block.
    pub fn view(&self, report: StatusReport, query: &FleetQuery) -> FleetView {
        let now = self.look();
        let rows: Vec<_> = self.rows.read().values().cloned().collect();
        let mut hours = [0; HOURS];
        let keys = rows.iter().map(|row| {
            let row = row.lock();
            for (all, one) in hours.iter_mut().zip(row.activity.hours.until(now.wall)) {
                *all += u64::from(one);
            }
            row.key()
        });
        let selection = query.select(keys.collect());
        let shown = selection.shown.iter();
        let view = |id: &TenantId| {
            let (view, tenant) = self.with(*id, |row| (row.view(now), row.tenant.clone()))?;
            Some(self.completed(view, &tenant))
        };
        FleetView {
            tenants: shown.filter_map(view).collect(),
            report,
            selection,
            hours,
        }
    }

    /// All about one tenant. May read a credential file.
    pub fn details(&self, tenant: TenantId) -> Option<TenantDetails> {
        let now = self.look();
        let (details, tenant) = self.with(tenant, |row| (row.details(now), row.tenant.clone()))?;
        Some(TenantDetails {
            view: self.completed(details.view, &tenant),
            ..details
        })
    }

    fn completed(&self, mut view: TenantView, tenant: &Tenant) -> TenantView {
        self.complete(&mut view.status, tenant);
        view
    }

    /// Adds what is not in the row. Without the lock on the row: a disk that hangs must not block the dispatcher, which
    /// records how sweeps end.
    fn complete(&self, status: &mut TenantStatus, tenant: &Tenant) {
        status.alarm = self.alarms.lock().of(tenant.id);
        let end = tenant.tokens.credential_end();
        status.credential_expires = end.map(|end| end.validity.until);
    }

    fn look(&self) -> Look {
        Look {
            wall: self.clock.now(),
            steady: self.origin.elapsed(),
        }
    }

    fn with<T>(&self, tenant: TenantId, change: impl FnOnce(&mut BoardRow) -> T) -> Option<T> {
        let row = self.rows.read().get(&tenant).cloned()?;
        let mut row = row.lock();
        Some(change(&mut row))
    }
}

/// Whether live sweeps would fail for the same reason as this back-fill.
fn concerns_all(health: Health) -> bool {
    matches!(
        health,
        Health::Throttled
            | Health::Credential
            | Health::Consent
            | Health::Forbidden
            | Health::Misconfigured
    )
}
