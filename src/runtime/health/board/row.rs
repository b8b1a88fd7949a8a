//! What the board knows about one tenant.

use std::mem;
use std::sync::Arc;

use crate::core::health::activity::{EventKind, TenantActivity};
use crate::core::health::failure::{Failure, Health};
use crate::core::health::fleet_view::{LastSweep, TenantDetails, TenantKey, TenantView};
use crate::core::health::status::{BackfillStatus, TenantStatus};
use crate::core::sweep::backlog::Interval;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::core::time::wallclock::Look;
use crate::runtime::sweep::{Halt, SweepOutcome};
use crate::runtime::tenant::Tenant;

const STARTING: &str = "nothing to do yet: the first sweep has not ended, and may already be publishing; if this lasts, see the state of \
     Kafka and of the ledger";

/// Why a tenant is not swept whose partition of the ledger is being fenced or read.
pub const WAITS_FOR_LEDGER: &str = "it is not swept until its partition of the ledger is read";
const WAIT: &str = "nothing to do yet; if this lasts, see the state of the ledger";

pub(super) struct BoardRow {
    pub(super) tenant: Arc<Tenant>,
    pub(super) health: Health,
    since: Ticks,
    failure: Option<Failure>,
    /// Since when its sweeps wait for the ledger.
    waiting: Option<Ticks>,
    pub(super) times: SweepTimes,
    /// As the last sweep, back-fill or command left it.
    state: Option<TenantState>,
    /// Why the last back-fill ended early.
    fill_error: Option<String>,
    published: u64,
    late_found: u64,
    pub(super) activity: TenantActivity,
}

pub(super) struct SweepTimes {
    pub(super) last: Option<LastSweep>,
    /// When the last successful sweep ended.
    last_success: Option<Ticks>,
    /// When the last sweep began that saw everything. A list that keeps moving must show as a growing lag.
    caught_up: Option<Look>,
    /// When the sweep after that one is due. Before the first such sweep: when the tenant joined the fleet.
    due: Look,
    pub(super) next: Option<Look>,
}

impl BoardRow {
    pub(super) fn new(tenant: Arc<Tenant>, now: Look) -> Self {
        let mut activity = TenantActivity::default();
        activity.events.note(now.wall, EventKind::Joined, None);
        Self {
            tenant,
            health: Health::Starting,
            since: now.wall,
            failure: None,
            waiting: None,
            times: SweepTimes {
                last: None,
                last_success: None,
                caught_up: None,
                due: now,
                next: None,
            },
            state: None,
            fill_error: None,
            published: 0,
            late_found: 0,
            activity,
        }
    }

    pub(super) fn set_tenant(&mut self, tenant: Arc<Tenant>, now: Ticks) {
        if !Arc::ptr_eq(&self.tenant, &tenant) {
            self.tenant = tenant;
            self.update_due();
            self.activity.events.note(now, EventKind::NewSettings, None);
        }
    }

    pub(super) fn wait(&mut self, waits: bool, now: Ticks) {
        self.waiting = waits.then(|| self.waiting.unwrap_or(now));
    }

    /// The state to show.
    pub(super) fn state(&self) -> Health {
        match self.waiting {
            Some(_) => Health::Starting,
            None => self.health,
        }
    }

    /// Records a successful sweep that ended at `now`. `caught_up`: when it began, if it saw everything.
    pub(super) fn succeeded(&mut self, now: Ticks, caught_up: Option<Look>) {
        if self.times.last_success.replace(now).is_none() {
            self.activity
                .events
                .note(now, EventKind::FirstSuccess, None);
        }
        if caught_up.is_some() {
            self.times.caught_up = caught_up;
            self.update_due();
        }
    }

    /// Called only at changes: evaluating a cron expression takes too long for each status request.
    fn update_due(&mut self) {
        if let Some(began) = self.times.caught_up {
            self.times.due = self.tenant.schedule.due_after(began);
        }
    }

    pub(super) fn count(&mut self, outcome: &SweepOutcome, now: Ticks) {
        self.published += outcome.published;
        self.activity.hours.add(outcome.published, now);
        self.late_found += outcome.late_found;
        if let Some(state) = &outcome.state {
            self.state = Some(state.clone());
        }
    }

    pub(super) fn note_fill(&mut self, halt: Option<&Halt>) {
        match halt {
            Some(Halt::Failed(failure) | Halt::HeldBack(failure)) => {
                self.fill_error = Some(failure.what.clone());
            }
            Some(Halt::Stopped | Halt::Paused(_)) => {}
            None => self.fill_error = None,
        }
    }

    /// Sets the tenant's failure since `now`, if any. Returns the state before if the state or the remedy has changed.
    /// `again` is the event to note if the state stays.
    pub(super) fn set_failure(
        &mut self,
        failure: Option<Failure>,
        now: Ticks,
        again: EventKind,
    ) -> Option<Health> {
        let remedy = |failure: &Option<Failure>| {
            let failure = failure.as_ref();
            failure.map(|it| (it.remedy.clone(), it.cause.clone()))
        };
        let health = failure.as_ref().map_or(Health::Ok, |it| it.health);
        let former = mem::replace(&mut self.failure, failure);
        let other_remedy = remedy(&former) != remedy(&self.failure);
        let before = mem::replace(&mut self.health, health);
        if before != health {
            self.since = now;
        }
        let latest = self.activity.events.events().next_back();
        let first = latest.is_some_and(|it| it.kind == EventKind::FirstSuccess && it.last == now);
        let kind = match (before == health, health) {
            // A pause goes on: that is no event.
            (true, Health::Paused) if former == self.failure => None,
            (true, Health::Paused) => Some(EventKind::Changed(health)),
            (true, _) => self.failure.is_some().then_some(again),
            // A first success is noted already.
            (false, Health::Ok) if first && self.failure.is_none() => None,
            (false, _) => Some(EventKind::Changed(health)),
        };
        if let Some(kind) = kind {
            self.activity.events.note(now, kind, self.failure.as_ref());
        }
        (before != health || other_remedy).then_some(before)
    }

    /// The tenant is read again if it was paused. What is due counts from now, because nothing was due before.
    pub(super) fn resume(&mut self, now: Look) {
        if self.health == Health::Paused {
            (self.health, self.failure, self.since) = (Health::Starting, None, now.wall);
            self.times.due = now;
            let kind = EventKind::Changed(self.health);
            self.activity.events.note(now.wall, kind, None);
        }
    }

    /// Since when the tenant is in the state to show. A pause is older than the process that shows it.
    fn since(&self) -> Ticks {
        let paused = self.state.as_ref().and_then(|state| state.paused.as_ref());
        let paused = paused.filter(|_| self.health == Health::Paused);
        let paused = paused.map(|pause| pause.since);
        self.waiting.or(paused).unwrap_or(self.since)
    }

    pub(super) fn was_read(&self) -> bool {
        self.times.last_success.is_some()
    }

    pub(super) fn status(&self, now: Look) -> TenantStatus {
        let (tenant, times) = (&self.tenant, &self.times);
        let failure = self.failure.as_ref();
        let (remedy, error) = match (self.waiting, failure) {
            (Some(_), _) => (Some(WAIT), Some(WAITS_FOR_LEDGER)),
            (None, Some(failure)) => (Some(&*failure.remedy), Some(&*failure.what)),
            (None, None) => ((self.health == Health::Starting).then_some(STARTING), None),
        };
        let paused = self.health == Health::Paused;
        let next = times.next.filter(|_| self.waiting.is_none() && !paused);
        let overdue = times.due.age(now).as_secs();
        TenantStatus {
            id: tenant.id,
            name: tenant.name.clone(),
            source: tenant.source.name(),
            state: self.state(),
            since: self.since(),
            remedy: remedy.map(str::to_owned),
            error: error.map(str::to_owned),
            alarm: None,
            cursor: self.state.as_ref().map(|state| state.cursor),
            lag_seconds: times.caught_up.map(|began| began.age(now).as_secs()),
            overdue_seconds: if paused { 0 } else { overdue },
            last_success: times.last_success,
            next_sweep: next.map(|next| next.seen_from(now)),
            token_expires: tenant.tokens.expires(),
            credential_expires: None,
            published: self.published,
            backfill: self.backfill(),
            late_found: self.late_found,
        }
    }

    pub(super) fn key(&self) -> TenantKey {
        TenantKey {
            id: self.tenant.id,
            name: self.tenant.name.clone(),
            state: self.state(),
            since: self.since(),
        }
    }

    pub(super) fn view(&self, now: Look) -> TenantView {
        TenantView {
            status: self.status(now),
            last_sweep: self.times.last,
            hours: self.activity.hours.until(now.wall),
            consent_link: (self.state() == Health::Consent)
                .then(|| self.tenant.tokens.consent_link())
                .flatten(),
        }
    }

    pub(super) fn details(&self, now: Look) -> TenantDetails {
        TenantDetails {
            view: self.view(now),
            open: self.open().to_vec(),
            roles: self.tenant.tokens.roles(),
            events: self.activity.events.events().cloned().collect(),
        }
    }

    fn open(&self) -> &[Interval] {
        let backlog = self.state.as_ref().map(|state| &state.backlog);
        backlog.map_or(&[], |backlog| backlog.intervals())
    }

    fn backfill(&self) -> Option<BackfillStatus> {
        let open = self.open();
        let (first, last) = (open.first()?, open.last()?);
        let seconds = open.iter().map(|part| part.to.since(part.from).as_secs());
        Some(BackfillStatus {
            from: first.from,
            to: last.to,
            open_seconds: seconds.sum(),
            error: self.fill_error.clone(),
        })
    }
}
