//! Turns firings into sweeps.
//!
//! A firing of a schedule puts each of its tenants into a queue, at the tenant's own place in the period
//! ([`crate::core::time::spread`]). When its time comes a tenant is swept, unless it still is from the last time: a tenant never
//! overlaps itself. What could not be swept in its turn is counted as missed, never made up for: the next sweep reads
//! from the cursor and catches up by itself.
//!
//! A sweep that failed is tried again after a pause of its own ([`crate::core::pace::backoff`]); until then the tenant's turns
//! pass.
//!
//! Between sweeps a tenant's backlog is read, if it has one. When the tenant's turn comes it gives way, as soon as the page
//! under way is read, or a few seconds later. Tenants that wait to read theirs keep their place over the turn: who has been
//! without a page for longest is the next.
//!
//! After a reload ([`Dispatcher::run`] follows the fleet) untouched tenants keep their place and what is at work for them.
//! What is at work for a tenant with new settings comes to rest first, commits what it has, and the next sweep has the new
//! ones; a tenant never overlaps itself, not even with its former settings. One that has left the fleet comes to rest
//! likewise. See `fleet.rs`.
//!
//! On a stop no sweep begins any more, and those at work are given time to come to rest; see [`Dispatcher::run`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::fleet::{FleetWatch, distinct_schedules};
use super::limits::{Lane, Permits};
use super::scheduler::Firing;
use super::tenant::Tenant;
use crate::core::ids::TenantId;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::schedule::Schedule;
use crate::core::time::spread::offset;
use crate::core::time::ticks::Ticks;
use crate::ports::Event;
use crate::runtime::health::board::Board;
use crate::runtime::health::log::HealthLog;
use crate::runtime::health::topic::HealthTopic;
use crate::runtime::liveness::Heartbeat;
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::{SweepOutcome, Sweeper};

mod adoption;
mod endings;
mod retries;
mod turns;

/// Gaps between firings are counted up to this many: a suspended machine wakes to a gap of days.
const MOST_MISSED: u64 = 10_000;
/// How often the credentials of tenants that want a new one are looked at, and what waits to be told.
const LOOK: Duration = Duration::from_secs(2);
/// How fast tenants are begun with that are new.
const FIRST_PACE: Duration = Duration::from_millis(100);

pub struct Dispatcher {
    sweeper: Sweeper,
    slots: Permits,
    board: Arc<Board>,
    topic: HealthTopic,
    log: HealthLog,
    /// Somebody asks for all that rests to be tried again at once.
    nudge: Arc<Notify>,
    /// The loop gets on.
    heartbeat: Option<Heartbeat>,
    fleet: FleetWatch,
    groups: HashMap<Schedule, Group>,
    posts: HashMap<TenantId, Post>,
    queue: BinaryHeap<Reverse<Turnout>>,
    sweeps: JoinSet<Ended>,
    at_work: HashMap<Id, (Arc<Tenant>, Work)>,
    /// A look for credentials that have changed: whose have.
    looks: JoinSet<Vec<TenantId>>,
}

/// The tenants of one schedule.
#[derive(Default)]
struct Group {
    tenants: Vec<TenantId>,
    last: Option<Ticks>,
}

/// A tenant's place.
struct Post {
    /// As the fleet has it now; what is running may have begun with former settings.
    tenant: Arc<Tenant>,
    /// What its sweeps have learned; a sweep that is running has it.
    memory: Option<Memory>,
    running: Option<Work>,
    /// When its last sweep was begun.
    began: Option<Instant>,
    /// It has left the fleet, and what is running for it comes to rest.
    gone: bool,
    failures: u32,
    /// After a failure: no turn before this.
    resting_until: Option<Instant>,
    /// It rests for want of a good credential: a new one ends the rest.
    wants_credential: bool,
    /// Breaks off what is running.
    give_way: CancellationToken,
    /// A sweep is to follow once the backlog has given way.
    turn_waits: bool,
    fill_failures: u32,
    /// Since when its backlog has been without a turn among those of the others.
    fill_since: Instant,
    /// After a failure in the backlog: it is left alone until then.
    fill_resting_until: Option<Instant>,
}

impl Post {
    fn new(tenant: Arc<Tenant>, memory: Option<Memory>) -> Self {
        Self {
            tenant,
            memory,
            running: None,
            began: None,
            gone: false,
            failures: 0,
            resting_until: None,
            wants_credential: false,
            give_way: CancellationToken::new(),
            turn_waits: false,
            fill_failures: 0,
            fill_since: Instant::now(),
            fill_resting_until: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Sweep,
    Fill,
}

/// A tenant's turn in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turnout {
    at: Instant,
    tenant: TenantId,
    retry: bool,
}

struct Ended {
    began: Instant,
    swept: SweepOutcome,
    /// When it last had a turn in its lane, if it had one.
    last_turn: Option<Instant>,
}

impl Dispatcher {
    /// A dispatcher of `fleet`, which is on `board` already.
    pub fn new(
        fleet: FleetWatch,
        sweeper: Sweeper,
        slots: Permits,
        (board, topic): (Arc<Board>, HealthTopic),
    ) -> Self {
        Self {
            sweeper,
            slots,
            board,
            topic,
            log: HealthLog::default(),
            nudge: Arc::default(),
            heartbeat: None,
            fleet,
            groups: HashMap::new(),
            posts: HashMap::new(),
            queue: BinaryHeap::new(),
            sweeps: JoinSet::new(),
            at_work: HashMap::new(),
            looks: JoinSet::new(),
        }
    }

    /// Tenants that rest are tried again at once whenever `nudge` is notified.
    #[must_use]
    pub fn nudged_by(mut self, nudge: Arc<Notify>) -> Self {
        self.nudge = nudge;
        self
    }

    /// Beats `heartbeat` at least every two seconds.
    #[must_use]
    pub fn proved_by(mut self, heartbeat: Heartbeat) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Dispatches until `stop`; then waits for the sweeps at work, which see the same `stop`, for at most `drain`, and
    /// breaks off those that have not come to rest (their cursors have not moved; nothing is lost).
    pub async fn run(
        mut self,
        mut firings: mpsc::Receiver<Firing>,
        stop: CancellationToken,
        drain: Duration,
    ) {
        self.adopt();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(heartbeat) = &self.heartbeat {
                heartbeat.beat();
            }
            let next = self.queue.peek().map(|Reverse(turn)| turn.at);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.sweeps.join_next_with_id() => self.ended(ended),
                Some(firing) = firings.recv() => self.fired(firing),
                () = self.fleet.changed() => self.adopt(),
                () = self.nudge.notified() => self.retry_all(),
                Some(changed) = self.looks.join_next() => self.retry(changed.unwrap_or_default()),
                _ = look.tick() => {
                    self.look_at_credentials();
                    let uptime = self.sweeper.started.elapsed();
                    self.log.catch_up(uptime, || self.board.progress());
                }
                () = sleep_until(next.unwrap_or_else(far_away)), if next.is_some() => self.due(),
            }
        }
        let deadline = Instant::now() + drain;
        while let Ok(Some(ended)) = timeout_at(deadline, self.sweeps.join_next_with_id()).await {
            self.ended(ended);
        }
        if !self.sweeps.is_empty() {
            tracing::warn!(
                sweeps = self.sweeps.len(),
                "sweeps were still waiting when the time for stopping ran out; they are read again after the start"
            );
        }
        self.sweeps.shutdown().await;
    }

    fn fired(&mut self, Firing { schedule }: Firing) {
        let now = self.sweeper.clock.now();
        let Some(group) = self.groups.get_mut(&schedule) else {
            return;
        };
        // The scheduler looks twice a second and is late by up to about that; the firing is that of the whole second.
        let at = Ticks::from_unix_seconds(now.unix_seconds());
        if !schedule.is_due(at) && schedule.cron() == "* * * * * *" {
            return;
        }
        let missed = group.last.map_or(0, |last| {
            schedule
                .firings_between(last, at, MOST_MISSED)
                .saturating_sub(1)
        });
        group.last = Some(at);
        if missed > 0 {
            let count = missed.saturating_mul(group.tenants.len() as u64);
            self.sweeper.observer.see(Event::MissedFirings { count });
        }
        let (late, period) = (now.since(at), schedule.period_after(at));
        for tenant in group.tenants.clone() {
            let within = offset(tenant, period).saturating_sub(late);
            self.enqueue(tenant, within, false);
        }
    }

    fn enqueue(&mut self, tenant: TenantId, within: Duration, retry: bool) {
        let at = Instant::now() + within;
        // A turn that will pass is no plan.
        let resting_until = self.posts.get(&tenant).and_then(|post| post.resting_until);
        if retry || resting_until.is_none_or(|until| until <= at) {
            self.board.plan(tenant, within);
        }
        self.queue.push(Reverse(Turnout { at, tenant, retry }));
    }

    /// Starts the sweeps whose time has come.
    fn due(&mut self) {
        let (now, wall) = (Instant::now(), self.sweeper.clock.now());
        while let Some(Reverse(turn)) = self
            .queue
            .peek()
            .copied()
            .filter(|Reverse(turn)| turn.at <= now)
        {
            self.queue.pop();
            let Some(post) = self.posts.get_mut(&turn.tenant).filter(|post| !post.gone) else {
                continue;
            };
            let rested = post.resting_until.is_none_or(|until| until <= now);
            // A retry is void once a regular turn took its place.
            let void = turn.retry && post.resting_until.is_none();
            match post.running {
                Some(Work::Sweep) if !turn.retry => {
                    // Beside a first turn, or one after a rest, that has only begun, it is not missed: all it would read
                    // is being read.
                    let period = post.tenant.schedule.period_after(wall);
                    let just_begun = post.began.is_some_and(|began| now - began < period / 4);
                    let count = u64::from(!just_begun);
                    self.sweeper.observer.see(Event::MissedFirings { count });
                }
                Some(Work::Fill) if rested && !void => {
                    post.turn_waits = true;
                    post.give_way.cancel();
                }
                None if rested && !void => self.start(turn.tenant),
                _ => {}
            }
        }
    }

    fn start(&mut self, tenant: TenantId) {
        let Some(post) = self.posts.get_mut(&tenant) else {
            return;
        };
        (post.resting_until, post.turn_waits) = (None, false);
        post.began = Some(Instant::now());
        let lane = if post.failures > 0 {
            Lane::Failing
        } else {
            Lane::Main
        };
        self.spawn(tenant, Work::Sweep, lane);
    }

    /// Reads the tenant's backlog until its next turn, if there is anything to be read.
    fn start_fill(&mut self, tenant: TenantId, state: &TenantState) {
        let Some(post) = self.posts.get(&tenant) else {
            return;
        };
        let rests = post
            .fill_resting_until
            .is_some_and(|until| until > Instant::now());
        let awake = |memory: &Memory| !self.sweeper.awake(memory, state).is_empty();
        if !rests && post.memory.as_ref().is_some_and(awake) {
            self.spawn(tenant, Work::Fill, Lane::Backlog);
        }
    }

    fn spawn(&mut self, tenant: TenantId, work: Work, lane: Lane) {
        let Some(post) = self.posts.get_mut(&tenant) else {
            return;
        };
        post.running = Some(work);
        post.give_way = self.sweeper.stop.child_token();
        let of = post.tenant.clone();
        let uptime = self.sweeper.started.elapsed();
        let memory = post.memory.take();
        let memory = memory.unwrap_or_else(|| Memory::new(&of.rules, uptime));
        let since = match work {
            Work::Sweep => Instant::now(),
            Work::Fill => post.fill_since,
        };
        let (slots, give_way) = (self.slots.clone(), post.give_way.clone());
        let sweeper = self.sweeper.clone();
        let task = self.sweeps.spawn({
            let of = of.clone();
            async move {
                let slot = give_way
                    .run_until_cancelled(slots.take_since(lane, since))
                    .await;
                let began = Instant::now();
                let Some(mut slot) = slot else {
                    return Ended {
                        began,
                        swept: SweepOutcome::stopped(memory),
                        last_turn: None,
                    };
                };
                let swept = match work {
                    Work::Sweep => {
                        let stop = give_way;
                        Sweeper { stop, ..sweeper }
                            .sweep(&of, memory, &mut slot)
                            .await
                    }
                    Work::Fill => sweeper.fill(&of, memory, &mut slot, give_way).await,
                };
                Ended {
                    began,
                    swept,
                    last_turn: Some(slot.last_turn()),
                }
            }
        });
        self.at_work.insert(task.id(), (of, work));
    }
}

/// Over how long so many tenants are spread that are all to be read now.
fn crowd(tenants: usize) -> Duration {
    FIRST_PACE.saturating_mul(u32::try_from(tenants).unwrap_or(u32::MAX))
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[cfg(test)]
mod tests;
