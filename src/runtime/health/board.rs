//! What is known of each tenant's health: the source of `/api/status` and of the one log line per change of state.
//!
//! A tenant is shown as failing from its first failed request on, with what to do; and as healthy again from its first
//! sweep that came to its end.

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::health::alarms::{Alarm, AlarmEffect, Alarms};
use crate::core::health::failure::{Failure, Health};
use crate::core::health::status::{Backfill, TenantStatus, worst_first};
use crate::core::ids::TenantId;
use crate::core::sweep::backlog::Backlog;
use crate::core::time::ticks::Ticks;
use crate::core::time::wallclock::Look;
use crate::ports::Clock;
use crate::runtime::health::log::FirstSweepProgress;
use crate::runtime::sweep::{Halt, SweepOutcome};
use crate::runtime::tenant::Tenant;

const STARTING: &str = "Nothing to do yet: the first sweep has not ended, and may already be publishing. If this lasts, look at \
     \"kafka\" and \"ledger\" in this report.";

pub struct Board {
    clock: Arc<dyn Clock>,
    /// The origin of its looks at the clocks.
    origin: Instant,
    rows: RwLock<BoardRows>,
    alarms: Mutex<Alarms>,
}

type BoardRows = HashMap<TenantId, Arc<Mutex<BoardRow>>>;

struct BoardRow {
    tenant: Arc<Tenant>,
    health: Health,
    since: Ticks,
    failure: Option<Failure>,
    cursor: Option<Ticks>,
    /// When the last sweep ended well.
    last_success: Option<Ticks>,
    /// When the last sweep began that saw all there was: a list that never holds still must show as a growing lag.
    caught_up: Option<Look>,
    /// When the sweep was or is due that follows that one; at first, when the tenant came to the fleet.
    due: Look,
    next: Option<Look>,
    backlog: Backlog,
    /// Why the last reading of the backlog broke off.
    fill_error: Option<String>,
    published: u64,
    late_found: u64,
}

/// A tenant that changed its state, or for which there is something else to do now: for the log and the status topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChange {
    pub at: Ticks,
    pub before: Health,
    pub after: Health,
    pub failure: Option<Failure>,
    /// Whether it is this tenant's alone.
    pub notice: AlarmEffect,
}

impl Board {
    pub fn new(tenants: &[Arc<Tenant>], clock: Arc<dyn Clock>) -> Self {
        let board = Self {
            clock,
            origin: Instant::now(),
            rows: RwLock::default(),
            alarms: Mutex::default(),
        };
        for tenant in tenants {
            board.enter(tenant);
        }
        board
    }

    /// `tenant` belongs to the fleet from now on. One that is known by its id goes on with new settings: what is known of
    /// its health holds until its next sweep has ended.
    pub fn enter(&self, tenant: &Arc<Tenant>) {
        let known = self.with(tenant.id, |row| {
            row.tenant = tenant.clone();
            row.reckon();
        });
        if known.is_none() {
            let row = BoardRow::new(tenant.clone(), self.look());
            let mut rows = self.rows.write();
            rows.insert(tenant.id, Arc::new(Mutex::new(row)));
        }
    }

    /// `tenant` belongs to the fleet no more. The alarm that is over with it, if one is.
    pub fn leave(&self, tenant: TenantId) -> Option<Alarm> {
        let mut rows = self.rows.write();
        rows.remove(&tenant);
        drop(rows);
        self.lock_alarms().forget(tenant)
    }

    /// Notes when `tenant` is swept next.
    pub fn plan(&self, tenant: TenantId, within: Duration) {
        let now = self.look();
        let at = Look {
            wall: now.wall.plus(within),
            steady: now.steady + within,
        };
        self.with(tenant, |row| row.next = Some(at));
    }

    /// Notes how a sweep that began at `began` ended. `Some` when that changed the tenant's state or its remedy.
    pub fn note(
        &self,
        tenant: TenantId,
        began: Instant,
        swept: &SweepOutcome,
    ) -> Option<HealthChange> {
        let now = self.clock.now();
        let tenants = self.size();
        self.with(tenant, |row| {
            row.know(swept);
            let failure = match &swept.halt {
                None => {
                    row.last_success = Some(now);
                    if swept.caught_up {
                        row.caught_up = Some(Look {
                            wall: now.minus(began.elapsed()),
                            steady: began.saturating_duration_since(self.origin),
                        });
                        row.reckon();
                    }
                    None
                }
                Some(Halt::Failed(failure) | Halt::HeldBack(failure)) => Some(failure.clone()),
                Some(Halt::Stopped) => return None,
            };
            let failure = failure.or_else(|| swept.unreadable.clone());
            self.turn(row, tenants, failure, now)
        })
        .flatten()
    }

    /// The row's tenant fails so now, or no more. `Some` when that is news.
    fn turn(
        &self,
        row: &mut BoardRow,
        tenants: usize,
        failure: Option<Failure>,
        now: Ticks,
    ) -> Option<HealthChange> {
        let before = row.health;
        let remedy = |failure: &Option<Failure>| {
            failure
                .as_ref()
                .map(|it| (it.remedy.clone(), it.cause.clone()))
        };
        let news = remedy(&row.failure) != remedy(&failure);
        row.health = failure
            .as_ref()
            .map_or(Health::Ok, |failure| failure.health);
        row.failure = failure.clone();
        if row.health != before {
            row.since = now;
        } else if !news {
            return None;
        }
        let tenant = row.tenant.id;
        let notice = self
            .lock_alarms()
            .note(tenant, tenants, failure.as_ref(), now);
        Some(HealthChange {
            at: now,
            before,
            after: row.health,
            failure,
            notice,
        })
    }

    /// Causes that many tenants share, the widest first.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.lock_alarms().raised()
    }

    fn lock_alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock()
    }

    /// Notes what was read with settings that hold no more: it counts, and says nothing of the tenant's health.
    pub fn note_outdated(&self, tenant: TenantId, swept: &SweepOutcome) {
        self.with(tenant, |row| row.know(swept));
    }

    /// Notes how the reading of a backlog ended. `Some` when it failed for what concerns the tenant as a whole, and that is
    /// news: the next live sweep may be an hour away.
    pub fn note_fill(&self, tenant: TenantId, swept: &SweepOutcome) -> Option<HealthChange> {
        let now = self.clock.now();
        let tenants = self.size();
        self.with(tenant, |row| {
            row.know(swept);
            row.fill_error = match &swept.halt {
                Some(Halt::Failed(failure) | Halt::HeldBack(failure)) => Some(failure.what.clone()),
                Some(Halt::Stopped) => row.fill_error.take(),
                None => None,
            };
            match &swept.halt {
                Some(Halt::Failed(failure)) if concerns_all(failure.health) => {
                    self.turn(row, tenants, Some(failure.clone()), now)
                }
                _ => None,
            }
        })
        .flatten()
    }

    /// The state of each tenant, worst first. Reads nothing.
    pub fn states(&self) -> Vec<Health> {
        let state = |row: &Arc<Mutex<BoardRow>>| {
            let row = row.lock();
            row.health
        };
        let mut states: Vec<_> = self.rows().values().map(state).collect();
        states.sort_by_key(|state| Reverse(state.severity()));
        states
    }

    /// How many tenants were read to the end at least once.
    pub fn progress(&self) -> FirstSweepProgress {
        let was_read = |row: &&Arc<Mutex<BoardRow>>| {
            let row = row.lock();
            row.last_success.is_some()
        };
        let rows = self.rows();
        FirstSweepProgress {
            read: rows.values().filter(was_read).count(),
            tenants: rows.len(),
        }
    }

    /// All tenants, worst first. Not for a thread that must not block: credentials may have to be read.
    pub fn tenants(&self) -> Vec<TenantStatus> {
        let now = self.look();
        let rows: Vec<_> = self.rows().values().cloned().collect();
        let status = |row: Arc<Mutex<BoardRow>>| {
            let (mut status, tenant) = {
                let row = row.lock();
                (row.status(now), row.tenant.clone())
            };
            status.alarm = self.lock_alarms().of(tenant.id);
            // A disk that hangs must not hold up who notes how a sweep ended.
            status.credential_expires = tenant.tokens.credential_expires();
            status
        };
        let mut tenants: Vec<_> = rows.into_iter().map(status).collect();
        worst_first(&mut tenants);
        tenants
    }

    fn look(&self) -> Look {
        Look {
            wall: self.clock.now(),
            steady: self.origin.elapsed(),
        }
    }

    fn rows(&self) -> RwLockReadGuard<'_, BoardRows> {
        self.rows.read()
    }

    fn size(&self) -> usize {
        self.rows().len()
    }

    fn with<T>(&self, tenant: TenantId, change: impl FnOnce(&mut BoardRow) -> T) -> Option<T> {
        let row = self.rows().get(&tenant).cloned()?;
        let mut row = row.lock();
        Some(change(&mut row))
    }
}

/// Whether a failure in the backlog is one of the live sweeps, too.
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

impl BoardRow {
    fn new(tenant: Arc<Tenant>, now: Look) -> Self {
        Self {
            tenant,
            health: Health::Starting,
            since: now.wall,
            failure: None,
            cursor: None,
            last_success: None,
            caught_up: None,
            due: now,
            next: None,
            backlog: Backlog::default(),
            fill_error: None,
            published: 0,
            late_found: 0,
        }
    }

    /// Puts down when the next sweep is due. Not at each look: a cron expression takes its time.
    fn reckon(&mut self) {
        if let Some(began) = self.caught_up {
            self.due = self.tenant.schedule.due_after(began);
        }
    }

    fn know(&mut self, swept: &SweepOutcome) {
        self.published += swept.published;
        self.late_found += swept.late_found;
        if let Some(state) = &swept.state {
            self.cursor = Some(state.cursor);
            self.backlog = state.backlog.clone();
        }
    }

    fn status(&self, now: Look) -> TenantStatus {
        TenantStatus {
            id: self.tenant.id,
            name: self.tenant.name.clone(),
            source: self.tenant.source.name(),
            state: self.health,
            since: self.since,
            remedy: match (&self.failure, self.health) {
                (Some(failure), _) => Some(failure.remedy.clone()),
                (None, Health::Starting) => Some(STARTING.to_owned()),
                (None, _) => None,
            },
            error: self.failure.as_ref().map(|failure| failure.what.clone()),
            alarm: None,
            cursor: self.cursor,
            lag_seconds: self.caught_up.map(|began| began.age(now).as_secs()),
            overdue_seconds: self.due.age(now).as_secs(),
            last_success: self.last_success,
            next_sweep: self.next.map(|next| next.seen_from(now)),
            token_expires: self.tenant.tokens.expires(),
            credential_expires: None,
            published: self.published,
            backfill: self.backfill(),
            late_found: self.late_found,
        }
    }

    fn backfill(&self) -> Option<Backfill> {
        let open = self.backlog.intervals();
        let (first, last) = (open.first()?, open.last()?);
        Some(Backfill {
            from: first.from,
            to: last.to,
            open_seconds: open
                .iter()
                .map(|part| part.to.since(part.from).as_secs())
                .sum(),
            error: self.fill_error.clone(),
        })
    }
}
