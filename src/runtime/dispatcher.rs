//! Runs sweeps and back-fills as the [`Agenda`] decides, and reports how they end.
//!
//! One loop receives commands ([`DispatcherCommand`]), ends of work, and time. It asks the agenda what to do, and does
//! it. Each piece of work is a task that waits for a permit in its lane ([`super::limits`]), takes the tenant's
//! [`Memory`] by value and returns it with its outcome.
//!
//! A new fleet does not affect a tenant that is the same [`Arc`] as before. Work that began with a tenant's former
//! settings stops early and commits what it has; then the tenant is swept with its new settings. The work of a tenant
//! that was removed or released stops in the same way.
//!
//! After a stop nothing new begins, and running work has time to end; see [`Dispatcher::run`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use self::credentials::CredentialLook;
use self::operator::PendingCommand;
use self::releases::Releases;
use self::work::{Ended, Work};
use super::commands::DispatcherCommand;
use super::fleet::Fleet;
use super::limits::{Lane, Permits};
use super::tenant::Tenant;
use crate::core::agenda::{Action, Agenda, FleetMember, Input, WorkEnd};
use crate::core::ids::TenantId;
use crate::core::ownership::Ownership;
use crate::core::time::wallclock::Look;
use crate::ports::Event;
use crate::runtime::health::reports::HealthReports;
use crate::runtime::liveness::Heartbeat;
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::{Halt, SweepOutcome, Sweeper};

mod credentials;
mod operator;
mod releases;
mod work;

/// How often the loop checks for changed credentials and for log lines that are due.
const LOOK: Duration = Duration::from_secs(2);

pub struct Dispatcher {
    sweeper: Sweeper,
    permits: Permits,
    reports: HealthReports,
    /// Shows that the loop makes progress.
    heartbeat: Heartbeat,
    agenda: Agenda,
    tenants: HashMap<TenantId, TenantEntry>,
    work: JoinSet<Ended>,
    at_work: HashMap<Id, (Arc<Tenant>, Work)>,
    look: CredentialLook,
    releases: Releases,
}

/// A tenant of the fleet, or one that has left it and whose work, or a pause that Microsoft asked for, has not ended yet.
/// The pause holds when the tenant comes back, after a rebalance for example.
struct TenantEntry {
    /// The tenant with its present settings. Running work may have begun with former ones.
    tenant: Arc<Tenant>,
    /// What its sweeps have learned. `None`: running work has it.
    memory: Option<Memory>,
    /// Asks its work to stop early.
    give_way: CancellationToken,
    /// An operator's command that is not recorded yet.
    command: Option<PendingCommand>,
    gone: bool,
}

impl Dispatcher {
    /// A dispatcher without tenants; [`DispatcherCommand::Fleet`] adds them. It beats `heartbeat` at least every two
    /// seconds.
    pub fn new(
        sweeper: Sweeper,
        permits: Permits,
        reports: HealthReports,
        heartbeat: Heartbeat,
    ) -> Self {
        Self {
            sweeper,
            permits,
            reports,
            heartbeat,
            agenda: Agenda::default(),
            tenants: HashMap::new(),
            work: JoinSet::new(),
            at_work: HashMap::new(),
            look: CredentialLook::default(),
            releases: Releases::default(),
        }
    }

    /// Runs `fleet`, as changed by `commands`, until `stop`. Then waits at most `drain` for running work, which sees
    /// the same `stop`, and aborts the rest. The cursors of aborted sweeps have not moved, so nothing is lost.
    pub async fn run(
        mut self,
        fleet: Fleet,
        mut commands: mpsc::Receiver<DispatcherCommand>,
        stop: CancellationToken,
        drain: Duration,
    ) {
        self.set_fleet(&fleet, &Ownership::All);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.heartbeat.beat();
            let next = self.agenda.next().map(|next| self.sweeper.started + next);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.work.join_next_with_id() => self.ended(ended),
                Some(command) = commands.recv() => self.command(command),
                Some(changed) = self.look.changed() => self.act(Input::Retry(changed)),
                _ = look.tick() => {
                    self.look_at_credentials();
                    self.reports.log_late();
                    self.forget_departed();
                }
                () = sleep_until(next.unwrap_or_else(far_away)), if next.is_some() => self.act(Input::Due),
            }
        }
        drop(commands);
        self.act(Input::Stop);
        let deadline = Instant::now() + drain;
        while let Ok(Some(ended)) = timeout_at(deadline, self.work.join_next_with_id()).await {
            self.ended(ended);
        }
        if !self.work.is_empty() {
            tracing::warn!(
                sweeps = self.work.len(),
                "sweeps were still waiting when the time for stopping ran out; they are read again after the start"
            );
        }
        self.work.shutdown().await;
        self.releases.at_rest(|_| true);
    }

    fn command(&mut self, command: DispatcherCommand) {
        match command {
            DispatcherCommand::Fired(schedule) => self.act(Input::Fired(schedule)),
            DispatcherCommand::Fleet { fleet, ownership } => self.set_fleet(&fleet, &ownership),
            DispatcherCommand::RetryAll => self.act(Input::RetryAll),
            DispatcherCommand::Release { tenants, done } => self.release(tenants, done),
            DispatcherCommand::Operator {
                tenant,
                command,
                caller,
            } => self.take_command(tenant, PendingCommand { command, caller }),
        }
    }

    fn set_fleet(&mut self, fleet: &Fleet, ownership: &Ownership) {
        self.reports
            .set_fleet(fleet, |tenant| ownership.waits(tenant));
        let stays = |id| ownership.may_sweep(id) || ownership.waits(id);
        let stay = fleet.iter().filter(|tenant| stays(tenant.id));
        let present: HashSet<_> = stay.clone().map(|tenant| tenant.id).collect();
        self.leave(|tenant| !present.contains(tenant));
        let members = stay.map(|tenant| FleetMember {
            id: tenant.id,
            schedule: tenant.schedule.clone(),
            changed: self.enter(tenant),
            waits: ownership.waits(tenant.id),
        });
        let members = members.collect();
        self.act(Input::Fleet(members));
    }

    /// Adds a tenant of the fleet. Returns whether it is new or has new settings.
    fn enter(&mut self, tenant: &Arc<Tenant>) -> bool {
        let uptime = self.uptime();
        let Some(entry) = self.tenants.get_mut(&tenant.id) else {
            let entry = TenantEntry {
                tenant: tenant.clone(),
                memory: Some(Memory::new(&tenant.rules, uptime)),
                give_way: CancellationToken::new(),
                command: None,
                gone: false,
            };
            self.tenants.insert(tenant.id, entry);
            return true;
        };
        if Arc::ptr_eq(&entry.tenant, tenant) && !entry.gone {
            return false;
        }
        let memory = entry.memory.take();
        entry.memory = memory.map(|memory| match entry.gone {
            true => memory.come_back(&entry.tenant, tenant, uptime),
            false => memory.succeed(&entry.tenant, tenant, uptime),
        });
        entry.tenant = tenant.clone();
        entry.gone = false;
        true
    }

    /// Drops what is known of tenants that have left, and that nothing keeps.
    fn forget_departed(&mut self) {
        let uptime = self.uptime();
        let paused = |memory: &Memory| memory.pace.is_paused(uptime);
        let kept = |entry: &TenantEntry| entry.memory.as_ref().is_none_or(paused);
        self.tenants.retain(|_, entry| !entry.gone || kept(entry));
    }

    /// Nothing new begins for the tenants for which `leaves` is true.
    fn leave(&mut self, leaves: impl Fn(&TenantId) -> bool) {
        for (tenant, entry) in &mut self.tenants {
            if leaves(tenant) {
                entry.gone = true;
                entry.command = None;
            }
        }
    }

    fn release(&mut self, tenants: HashSet<TenantId>, done: oneshot::Sender<()>) {
        self.leave(|tenant| tenants.contains(tenant));
        let at_work = self.at_work.values().map(|(tenant, _)| tenant.id);
        let at_work = at_work.filter(|tenant| tenants.contains(tenant)).collect();
        self.act(Input::Release(tenants));
        self.releases.add(at_work, done);
    }

    /// Asks the agenda what to do about `input`, and does it.
    fn act(&mut self, input: Input) {
        for action in self.agenda.on(self.now(), input) {
            match action {
                Action::Sweep { tenant, failing } => {
                    let lane = match failing {
                        true => Lane::Failing,
                        false => Lane::Main,
                    };
                    self.start(tenant, Work::Sweep, lane, Instant::now());
                }
                Action::Fill { tenant, since } => {
                    let since = self.sweeper.started + since;
                    self.start(tenant, Work::Fill, Lane::Backlog, since);
                }
                Action::Record(tenant) => self.record(tenant),
                Action::GiveWay(tenant) => {
                    if let Some(entry) = self.tenants.get(&tenant) {
                        entry.give_way.cancel();
                    }
                }
                Action::Plan { tenant, within } => self.reports.board.plan(tenant, within),
                Action::Rest { tenant, pause } => {
                    tracing::debug!(%tenant, retry_seconds = pause.as_secs(), "rests after a failure");
                }
                Action::Missed(count) => {
                    self.sweeper.observer.see(Event::MissedFirings { count });
                }
                // `forget_departed` drops it.
                Action::Released(_) => {}
            }
        }
    }

    /// Starts `work`, which has been without a turn in its lane since `since`.
    fn start(&mut self, tenant: TenantId, work: Work, lane: Lane, since: Instant) {
        let Some((tenant, give_way, memory)) = self.take(tenant) else {
            return;
        };
        let (sweeper, permits) = (self.sweeper.clone(), self.permits.clone());
        let of = tenant.clone();
        let task = self.work.spawn(async move {
            let permit = permits.take_since(lane, since);
            let permit = give_way.run_until_cancelled(permit).await;
            let began = Instant::now();
            let Some(mut permit) = permit else {
                return Ended {
                    began,
                    outcome: SweepOutcome::stopped(memory),
                    last_turn: None,
                    answer: None,
                };
            };
            let outcome = match work {
                Work::Sweep => {
                    let stop = give_way;
                    let sweeper = Sweeper { stop, ..sweeper };
                    sweeper.sweep(&tenant, memory, &mut permit).await
                }
                Work::Fill | Work::Record => {
                    sweeper.fill(&tenant, memory, &mut permit, give_way).await
                }
            };
            Ended {
                began,
                outcome,
                last_turn: Some(permit.last_turn()),
                answer: None,
            }
        });
        self.at_work.insert(task.id(), (of, work));
    }

    /// The tenant for a piece of work, with what asks the work to stop early.
    fn take(&mut self, tenant: TenantId) -> Option<(Arc<Tenant>, CancellationToken, Memory)> {
        let uptime = self.uptime();
        let entry = self.tenants.get_mut(&tenant)?;
        entry.give_way = self.sweeper.stop.child_token();
        let (tenant, memory) = (entry.tenant.clone(), entry.memory.take());
        let memory = memory.unwrap_or_else(|| Memory::new(&tenant.rules, uptime));
        Some((tenant, entry.give_way.clone(), memory))
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((of, work)) = self.at_work.remove(&id) else {
            return;
        };
        let uptime = self.uptime();
        let mut ended = ended.map_or_else(|error| Ended::broken(&error), |(_, ended)| ended);
        let memory = ended.outcome.memory.take();
        let memory = memory.unwrap_or_else(|| Memory::new(&of.rules, uptime));
        let result = self.result(work, &ended.outcome, &memory);
        if let Some(entry) = self.tenants.get_mut(&of.id) {
            let tenant = entry.tenant.clone();
            let outdated = !Arc::ptr_eq(&tenant, &of);
            entry.memory = Some(match outdated {
                true => memory.succeed(&of, &tenant, uptime),
                false => memory,
            });
            match work {
                _ if outdated => self.reports.board.note_outdated(of.id, &ended.outcome),
                Work::Sweep => self
                    .reports
                    .sweep_ended(&tenant, ended.began, &ended.outcome),
                Work::Fill => self.reports.fill_ended(&tenant, &ended.outcome),
                Work::Record => self
                    .reports
                    .command_ended(&tenant, ended.began, &ended.outcome),
            }
        }
        if let Some(answer) = ended.answer {
            answer.send();
        }
        if let Some(Halt::Failed(error)) = &ended.outcome.halt {
            tracing::debug!(tenant = %of.id, ?work, %error, "failed");
        }
        let last_turn = ended.last_turn.map(|turn| turn - self.sweeper.started);
        self.act(Input::Ended(of.id, WorkEnd { result, last_turn }));
        self.releases.at_rest(|tenant| *tenant == of.id);
    }

    fn look_at_credentials(&mut self) {
        let refused = self.agenda.without_credential(self.now());
        let refused = refused.filter_map(|tenant| self.tenants.get(&tenant));
        self.look.begin(refused.map(|entry| &entry.tenant));
    }

    fn uptime(&self) -> Duration {
        self.sweeper.started.elapsed()
    }

    fn now(&self) -> Look {
        Look {
            wall: self.sweeper.clock.now(),
            steady: self.uptime(),
        }
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[cfg(test)]
mod tests;
