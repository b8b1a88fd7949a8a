//! When each tenant is swept, and what else is done for it: the decisions of the dispatcher, without its tasks and
//! clocks.
//!
//! A firing of a schedule queues a turn for each of its tenants, at the tenant's own place in the period
//! ([`crate::core::time::spread`]). When its turn is due, a tenant is swept, unless its last sweep still runs: two
//! sweeps of a tenant never overlap. A turn that meets a running sweep counts as missed and is not repeated: the next
//! sweep reads from the cursor, so it catches up by itself.
//!
//! A tenant is in one of these states:
//!
//! | state | it leaves the state when |
//! |---|---|
//! | idle | its turn is due |
//! | resting, after a failed sweep | its pause is over ([`crate::core::pace::backoff`]), or a retry is requested |
//! | resting, because an operator has paused it | an operator's command, or a retry, which finds it paused |
//! | sweeping, or recording an operator's command | it ends; a back-fill follows a sweep if the tenant has a backlog |
//! | filling | the back-fill ends; a turn that is due meanwhile asks it to give way and follows at once |
//! | leaving | work with former settings, or of a removed or released tenant, has ended |
//!
//! A turn in the queue is not a state: a tenant's next turn may be queued while it is swept.
//!
//! A tenant may also have to wait: nothing starts until that is over. Its failures are remembered, and a rest goes on.
//!
//! Invariants: at most one piece of work runs for a tenant, also across reloads. Each removed or released tenant is
//! reported once ([`Action::Released`]), after its work has ended. Nothing starts after [`Input::Stop`]. Every input is
//! accepted in every state.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::mem;
use std::time::Duration;

use self::entry::{AgendaEntry, AgendaState, Group, QueuedTurn};
pub use self::messages::{Action, FleetMember, Input, WorkEnd, WorkResult};
use self::spacing::{crowd, pause_after};
use crate::core::ids::TenantId;
use crate::core::time::schedule::Schedule;
use crate::core::time::spread::offset;
use crate::core::time::ticks::Ticks;
use crate::core::time::wallclock::Look;

mod entry;
mod messages;
mod spacing;

/// The most missed firings that one gap counts: a suspended machine may wake after days.
const MOST_MISSED: u64 = 10_000;

#[derive(Debug, Default)]
pub struct Agenda {
    groups: HashMap<Schedule, Group>,
    entries: HashMap<TenantId, AgendaEntry>,
    queue: BinaryHeap<Reverse<QueuedTurn>>,
    stopping: bool,
    actions: Vec<Action>,
}

impl Agenda {
    /// The actions for `input`, in order. `now.steady` counts from the start of the daemon.
    pub fn on(&mut self, now: Look, input: Input) -> Vec<Action> {
        match input {
            Input::Fleet(fleet) => self.fleet(now, &fleet),
            Input::Fired(schedule) => self.fired(now, &schedule),
            Input::Due => self.due(now),
            Input::Ended(tenant, end) => self.ended(now, tenant, &end),
            Input::Retry(tenants) => self.retry(now, tenants),
            Input::RetryAll => self.retry(now, self.entries.keys().copied().collect()),
            Input::Command(tenant) => self.command(now, tenant),
            Input::Release(tenants) => {
                for group in self.groups.values_mut() {
                    group.tenants.retain(|tenant| !tenants.contains(tenant));
                }
                self.release(tenants);
            }
            Input::Stop => self.stopping = true,
        }
        mem::take(&mut self.actions)
    }

    /// When the next turn in the queue is due.
    pub fn next(&self) -> Option<Duration> {
        self.queue.peek().map(|Reverse(turn)| turn.at)
    }

    /// Tenants that rest because their credential was refused.
    pub fn without_credential(&self, now: Look) -> impl Iterator<Item = TenantId> {
        let waits = move |state: AgendaState| {
            state.rests(now)
                && matches!(state, AgendaState::Resting { credential, .. } if credential)
        };
        self.entries
            .iter()
            .filter(move |(_, entry)| waits(entry.state))
            .map(|(tenant, _)| *tenant)
    }

    fn fleet(&mut self, now: Look, fleet: &[FleetMember]) {
        let present: HashSet<_> = fleet.iter().map(|member| member.id).collect();
        let absent = |tenant: &&TenantId| !present.contains(*tenant);
        let gone: Vec<_> = self.entries.keys().filter(absent).copied().collect();
        self.release(gone);
        let fresh: Vec<_> = fleet.iter().filter(|it| self.enter(now, it)).collect();
        self.regroup(fleet);
        // First turns don't wait for a firing: an operator who starts the daemon or adds a tenant wants to see it work,
        // even with "every 6h". A few tenants start at once, many are spread.
        let crowd = crowd(fresh.len());
        for FleetMember { id, schedule, .. } in fresh {
            let window = schedule.period_after(now.wall).min(crowd);
            self.enqueue(now, *id, offset(*id, window), false);
        }
    }

    /// Adds a member of the fleet. Returns whether it gets a first turn now: it is new, has new settings, or its wait is
    /// over, and none of its work has to end first.
    fn enter(&mut self, now: Look, member: &FleetMember) -> bool {
        let entry = self.entries.get(&member.id);
        let known = entry.filter(|entry| !AgendaState::GONE.contains(&entry.state));
        if known.is_some() && !member.changed {
            return self.wait(now, member);
        }
        let left = entry.and_then(|entry| entry.state.left(true));
        if left.is_some() && known.is_some() {
            self.actions.push(Action::GiveWay(member.id));
        }
        let state = left.unwrap_or(AgendaState::Idle);
        let entry = AgendaEntry {
            waits: member.waits,
            command: known.is_some_and(|entry| entry.command),
            ..AgendaEntry::new(member.schedule.clone(), state, now)
        };
        self.entries.insert(member.id, entry);
        left.is_none() && !member.waits
    }

    /// Lets a known member wait, or ends its wait. Returns whether it gets a turn now.
    fn wait(&mut self, now: Look, member: &FleetMember) -> bool {
        let Some(entry) = self.entries.get_mut(&member.id) else {
            return false;
        };
        let waited = mem::replace(&mut entry.waits, member.waits);
        let left = entry.state.left(true);
        if let Some(left) = left.filter(|_| member.waits && !waited) {
            entry.state = left;
            self.actions.push(Action::GiveWay(member.id));
        }
        waited && !member.waits && left.is_none() && !entry.state.rests(now)
    }

    /// Schedules that stay keep their last firing, because gaps are counted from it.
    fn regroup(&mut self, fleet: &[FleetMember]) {
        let mut before = mem::take(&mut self.groups);
        for FleetMember { id, schedule, .. } in fleet {
            let group = self.groups.entry(schedule.clone());
            let group = group.or_insert_with(|| Group {
                tenants: Vec::new(),
                last_firing: before.remove(schedule).and_then(|group| group.last_firing),
            });
            group.tenants.push(*id);
        }
    }

    fn release(&mut self, tenants: impl IntoIterator<Item = TenantId>) {
        for tenant in tenants {
            let Some(entry) = self.entries.get_mut(&tenant) else {
                continue;
            };
            if AgendaState::GONE.contains(&entry.state) {
                continue;
            }
            match entry.state.left(false) {
                Some(left) => {
                    entry.state = left;
                    self.actions.push(Action::GiveWay(tenant));
                }
                None => self.forget(tenant),
            }
        }
    }

    fn forget(&mut self, tenant: TenantId) {
        self.entries.remove(&tenant);
        self.actions.push(Action::Released(tenant));
    }

    fn fired(&mut self, now: Look, schedule: &Schedule) {
        let Some(group) = self.groups.get_mut(schedule) else {
            return;
        };
        // The scheduler checks twice a second and may be that late; the firing belongs to the whole second.
        let at = Ticks::from_unix_seconds(now.wall.unix_seconds());
        if !schedule.is_due(at) && schedule.cron() == "* * * * * *" {
            return;
        }
        let missed = group.last_firing.map_or(0, |last| {
            let firings = schedule.firings_between(last, at, MOST_MISSED);
            firings.saturating_sub(1)
        });
        group.last_firing = Some(at);
        let idle = |it: &AgendaEntry| it.waits || it.state == AgendaState::PAUSED;
        let idle = |tenant: &TenantId| self.entries.get(tenant).is_some_and(idle);
        let tenants = group.tenants.iter().copied();
        let tenants: Vec<_> = tenants.filter(|tenant| !idle(tenant)).collect();
        if missed > 0 {
            let count = missed.saturating_mul(tenants.len() as u64);
            self.actions.push(Action::Missed(count));
        }
        let (late, period) = (now.wall.since(at), schedule.period_after(at));
        for tenant in tenants {
            let within = offset(tenant, period).saturating_sub(late);
            self.enqueue(now, tenant, within, false);
        }
    }

    fn enqueue(&mut self, now: Look, tenant: TenantId, within: Duration, retry: bool) {
        let at = now.steady.saturating_add(within);
        let state = self.entries.get(&tenant).map(|entry| entry.state);
        // A turn that will be skipped is not shown.
        let skipped = matches!(state, Some(AgendaState::Resting { until, .. }) if until > at);
        if retry || !skipped {
            self.actions.push(Action::Plan { tenant, within });
        }
        self.queue.push(Reverse(QueuedTurn { at, tenant, retry }));
    }

    /// Starts the sweeps that are due.
    fn due(&mut self, now: Look) {
        while let Some(Reverse(turn)) = self.queue.peek().copied()
            && turn.at <= now.steady
        {
            self.queue.pop();
            let Some(entry) = self.entries.get_mut(&turn.tenant) else {
                continue;
            };
            match &mut entry.state {
                AgendaState::Resting { until, .. } if *until <= now.steady => {
                    self.start(now, turn.tenant)
                }
                AgendaState::Resting { .. } => {}
                _ if turn.retry => {}
                AgendaState::Idle => self.start(now, turn.tenant),
                AgendaState::Sweeping { began } => {
                    // A first turn, or one after a rest, may have started just before. It reads everything that this
                    // turn would read.
                    let period = entry.schedule.period_after(now.wall);
                    if now.steady.saturating_sub(*began) >= period / 4 {
                        self.actions.push(Action::Missed(1));
                    }
                }
                AgendaState::Filling { turn_waits } => {
                    *turn_waits = true;
                    self.actions.push(Action::GiveWay(turn.tenant));
                }
                AgendaState::Leaving { sweeping, stays } => {
                    if *sweeping && *stays {
                        self.actions.push(Action::Missed(1));
                    }
                }
            }
        }
    }

    fn start(&mut self, now: Look, tenant: TenantId) {
        let entry = self.entries.get_mut(&tenant);
        let Some(entry) = entry.filter(|entry| !self.stopping && !entry.waits) else {
            return;
        };
        entry.state = AgendaState::Sweeping { began: now.steady };
        let failing = entry.failures > 0;
        self.actions.push(match mem::take(&mut entry.command) {
            true => Action::Record(tenant),
            false => Action::Sweep { tenant, failing },
        });
    }

    /// Lets work in progress end first, and not a rest: an operator waits for the answer.
    fn command(&mut self, now: Look, tenant: TenantId) {
        let Some(entry) = self.entries.get_mut(&tenant) else {
            return;
        };
        entry.command = true;
        match entry.state.left(true) {
            None => self.start(now, tenant),
            Some(_) if AgendaState::GONE.contains(&entry.state) => {}
            Some(left) => {
                entry.state = left;
                self.actions.push(Action::GiveWay(tenant));
            }
        }
    }

    fn ended(&mut self, now: Look, tenant: TenantId, end: &WorkEnd) {
        let Some(entry) = self.entries.get_mut(&tenant) else {
            return;
        };
        match mem::replace(&mut entry.state, AgendaState::Idle) {
            AgendaState::Sweeping { .. } => self.sweep_ended(now, tenant, &end.result),
            AgendaState::Filling { turn_waits } => {
                self.fill_ended(now, tenant, end);
                if turn_waits {
                    self.start(now, tenant);
                }
            }
            AgendaState::Leaving { stays: true, .. } => self.start(now, tenant),
            AgendaState::Leaving { stays: false, .. } => self.forget(tenant),
            // Nothing was running.
            state @ (AgendaState::Idle | AgendaState::Resting { .. }) => entry.state = state,
        }
    }

    fn sweep_ended(&mut self, now: Look, tenant: TenantId, result: &WorkResult) {
        let Some(entry) = self.entries.get_mut(&tenant) else {
            return;
        };
        match *result {
            WorkResult::Done { backlog } => {
                entry.failures = 0;
                if backlog && entry.fill_rests_until <= now.steady && !self.stopping {
                    entry.state = AgendaState::Filling { turn_waits: false };
                    let since = entry.fill_since;
                    self.actions.push(Action::Fill { tenant, since });
                }
                self.plan_next(now, tenant);
            }
            WorkResult::Failed {
                reaction,
                credential,
            } => {
                entry.failures = entry.failures.saturating_add(1);
                let pause = pause_after(reaction, tenant, entry.failures);
                let until = now.steady.saturating_add(pause);
                entry.state = AgendaState::Resting { until, credential };
                self.actions.push(Action::Rest { tenant, pause });
                self.enqueue(now, tenant, pause, true);
            }
            WorkResult::Stopped => {}
            WorkResult::Recorded => self.start(now, tenant),
            // A command ends the rest; a retry of all tenants does, too, and leads here again.
            WorkResult::Paused => {
                entry.failures = 0;
                entry.state = AgendaState::PAUSED;
            }
        }
    }

    fn fill_ended(&mut self, now: Look, tenant: TenantId, end: &WorkEnd) {
        let Some(entry) = self.entries.get_mut(&tenant) else {
            return;
        };
        entry.fill_since = end.last_turn.unwrap_or(entry.fill_since);
        let WorkResult::Failed { reaction, .. } = end.result else {
            // Otherwise the failures of a long backlog would add up.
            entry.fill_failures = 0;
            return;
        };
        entry.fill_failures = entry.fill_failures.saturating_add(1);
        let pause = pause_after(reaction, tenant, entry.fill_failures);
        entry.fill_rests_until = now.steady.saturating_add(pause);
        self.actions.push(Action::Rest { tenant, pause });
    }

    /// Shows the next regular turn. Its firing will queue it.
    fn plan_next(&mut self, now: Look, tenant: TenantId) {
        let Some(AgendaEntry { schedule, .. }) = self.entries.get(&tenant) else {
            return;
        };
        let turn = |firing: Ticks| firing.plus(offset(tenant, schedule.period_after(firing)));
        let fired = self.groups.get(schedule).and_then(|it| it.last_firing);
        let queued = fired.map(turn).filter(|turn| *turn > now.wall);
        if let Some(next) = queued.or_else(|| schedule.next_after(now.wall).map(turn)) {
            let within = next.since(now.wall);
            self.actions.push(Action::Plan { tenant, within });
        }
    }

    /// Tries the resting ones of `tenants` again. A large number of them is spread.
    fn retry(&mut self, now: Look, mut tenants: Vec<TenantId>) {
        let rests = |tenant: &TenantId| {
            self.entries
                .get(tenant)
                .is_some_and(|it| it.state.rests(now))
        };
        tenants.retain(rests);
        let crowd = crowd(tenants.len());
        for tenant in tenants {
            let within = offset(tenant, crowd);
            if let Some(entry) = self.entries.get_mut(&tenant) {
                let until = now.steady.saturating_add(within);
                let credential = false;
                entry.state = AgendaState::Resting { until, credential };
            }
            self.enqueue(now, tenant, within, true);
        }
    }
}

#[cfg(test)]
mod tests;
