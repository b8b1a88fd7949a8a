//! Turns firings into sweeps.
//!
//! A firing of a schedule puts each of its tenants into a queue, at the tenant's own place in the period
//! ([`crate::core::slots`]). When its time comes a tenant is swept, unless it still is from the last time: a tenant never
//! overlaps itself. What could not be swept in its turn is counted as missed, never made up for: the next sweep reads
//! from the cursor and catches up by itself.
//!
//! A sweep that failed is tried again after a pause of its own ([`crate::core::backoff`]); until then the tenant's turns
//! pass.
//!
//! Between sweeps a tenant's backlog is read, if it has one. It gives way at once when the tenant's turn comes.
//!
//! On a stop no sweep begins any more, and those at work are given time to come to rest; see [`Dispatcher::run`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::bulletin::Bulletin;
use super::herald::Herald;
use super::limits::{Lane, Slots};
use super::scheduler::Firing;
use super::sweeper::{Sweeper, Swept};
use super::tenant::Tenant;
use crate::core::cursor::TenantState;
use crate::core::schedule::Schedule;
use crate::core::slots::offset;
use crate::core::ticks::Ticks;
use crate::ports::Event;

mod endings;

/// Gaps between firings are counted up to this many: a suspended machine wakes to a gap of days.
const MOST_MISSED: u64 = 10_000;
/// How often the credentials of tenants that want a new one are looked at, and what waits to be told.
const LOOK: Duration = Duration::from_secs(2);
/// How fast tenants are begun with after the start.
const FIRST_PACE: Duration = Duration::from_millis(100);

pub struct Dispatcher {
    sweeper: Sweeper,
    slots: Slots,
    board: Arc<Board>,
    herald: Herald,
    bulletin: Bulletin,
    /// Somebody asks for all that rests to be tried again at once.
    nudge: Arc<Notify>,
    groups: Vec<Group>,
    posts: Vec<Post>,
    queue: BinaryHeap<Reverse<Turnout>>,
    sweeps: JoinSet<Ended>,
    at_work: HashMap<Id, (usize, Work)>,
}

/// The tenants of one schedule.
struct Group {
    schedule: Schedule,
    tenants: Vec<usize>,
    last: Option<Ticks>,
}

struct Post {
    tenant: Arc<Tenant>,
    running: Option<Work>,
    failures: u32,
    /// After a failure: no turn before this.
    resting_until: Option<Instant>,
    /// It rests for want of a good credential: a new one ends the rest.
    wants_credential: bool,
    /// Breaks off the reading of the backlog.
    give_way: CancellationToken,
    /// A sweep is to follow once the backlog has given way.
    turn_waits: bool,
    fill_failures: u32,
    /// After a failure in the backlog: it is left alone until then.
    fill_resting_until: Option<Instant>,
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
    tenant: usize,
    retry: bool,
}

struct Ended {
    began: Ticks,
    swept: Swept,
}

impl Dispatcher {
    /// A dispatcher of `tenants`, whose numbers are those of `board`. `schedules` are the distinct ones, numbered as the
    /// scheduler reports them.
    pub fn new(
        tenants: &[Arc<Tenant>],
        schedules: &[Schedule],
        sweeper: Sweeper,
        slots: Slots,
        (board, herald): (Arc<Board>, Herald),
    ) -> Self {
        let group = |schedule: &Schedule| Group {
            schedule: schedule.clone(),
            tenants: (0..tenants.len())
                .filter(|n| tenants[*n].schedule == *schedule)
                .collect(),
            last: None,
        };
        let post = |tenant: &Arc<Tenant>| Post {
            tenant: tenant.clone(),
            running: None,
            failures: 0,
            resting_until: None,
            wants_credential: false,
            give_way: CancellationToken::new(),
            turn_waits: false,
            fill_failures: 0,
            fill_resting_until: None,
        };
        Self {
            sweeper,
            slots,
            board,
            herald,
            bulletin: Bulletin::default(),
            nudge: Arc::default(),
            groups: schedules.iter().map(group).collect(),
            posts: tenants.iter().map(post).collect(),
            queue: BinaryHeap::new(),
            sweeps: JoinSet::new(),
            at_work: HashMap::new(),
        }
    }

    /// Tenants that rest are tried again at once whenever `nudge` is notified.
    #[must_use]
    pub fn nudged_by(mut self, nudge: Arc<Notify>) -> Self {
        self.nudge = nudge;
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
        self.first_turns();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = self.queue.peek().map(|Reverse(turn)| turn.at);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.sweeps.join_next_with_id() => self.ended(ended),
                Some(firing) = firings.recv() => self.fired(firing),
                () = self.nudge.notified() => self.retry(false),
                _ = look.tick() => {
                    self.retry(true);
                    self.bulletin.catch_up(self.sweeper.started.elapsed());
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

    /// The first turns don't wait for a firing: who starts the daemon wants to see it work, also at "every 6h". A small
    /// fleet is read at once; a large one is spread as ever.
    fn first_turns(&mut self) {
        let now = self.sweeper.clock.now();
        let crowd = FIRST_PACE.saturating_mul(u32::try_from(self.posts.len()).unwrap_or(u32::MAX));
        for group in 0..self.groups.len() {
            let window = self.groups[group].schedule.period_after(now).min(crowd);
            for n in 0..self.groups[group].tenants.len() {
                let tenant = self.groups[group].tenants[n];
                let within = offset(self.posts[tenant].tenant.id, window);
                self.enqueue(tenant, within, false);
            }
        }
    }

    /// Has the tenants that rest tried again at once, a large crowd spread: all of them (`changed` is false), or those whose
    /// credential has changed.
    fn retry(&mut self, changed: bool) {
        let now = Instant::now();
        let rests = |post: &Post| {
            post.running.is_none()
                && post.resting_until.is_some_and(|until| until > now)
                && (!changed || (post.wants_credential && post.tenant.tokens.credential_changed()))
        };
        let resting: Vec<_> = (0..self.posts.len())
            .filter(|n| rests(&self.posts[*n]))
            .collect();
        let crowd = FIRST_PACE.saturating_mul(u32::try_from(resting.len()).unwrap_or(u32::MAX));
        for tenant in resting {
            let within = offset(self.posts[tenant].tenant.id, crowd);
            self.posts[tenant].resting_until = Some(now + within);
            self.posts[tenant].wants_credential = false;
            self.enqueue(tenant, within, true);
        }
    }

    fn fired(&mut self, firing: Firing) {
        let now = self.sweeper.clock.now();
        let Some(group) = self.groups.get_mut(firing.schedule) else {
            return;
        };
        // The scheduler looks twice a second and is late by up to about that; the firing is that of the whole second.
        let at = Ticks::from_unix_seconds(now.unix_seconds());
        if !group.schedule.is_due(at) && group.schedule.cron() == "* * * * * *" {
            return;
        }
        let missed = group.last.map_or(0, |last| {
            group
                .schedule
                .firings_between(last, at, MOST_MISSED)
                .saturating_sub(1)
        });
        group.last = Some(at);
        if missed > 0 {
            let count = missed.saturating_mul(group.tenants.len() as u64);
            self.sweeper.observer.see(Event::MissedFirings { count });
        }
        let (late, period) = (now.since(at), group.schedule.period_after(at));
        let tenants = group.tenants.clone();
        for tenant in tenants {
            let within = offset(self.posts[tenant].tenant.id, period).saturating_sub(late);
            self.enqueue(tenant, within, false);
        }
    }

    fn enqueue(&mut self, tenant: usize, within: Duration, retry: bool) {
        let at = Instant::now() + within;
        // A turn that will pass is no plan.
        let rests = |until: Instant| until > at;
        if retry || !self.posts[tenant].resting_until.is_some_and(rests) {
            self.board.plan(tenant, within);
        }
        self.queue.push(Reverse(Turnout { at, tenant, retry }));
    }

    /// Starts the sweeps whose time has come.
    fn due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse(turn)) = self
            .queue
            .peek()
            .copied()
            .filter(|Reverse(turn)| turn.at <= now)
        {
            self.queue.pop();
            let post = &mut self.posts[turn.tenant];
            let rested = post.resting_until.is_none_or(|until| until <= now);
            // A retry is void once a regular turn took its place.
            let void = turn.retry && post.resting_until.is_none();
            match post.running {
                Some(Work::Sweep) if !turn.retry => {
                    self.sweeper.observer.see(Event::MissedFirings { count: 1 });
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

    fn start(&mut self, tenant: usize) {
        let post = &mut self.posts[tenant];
        (post.running, post.resting_until, post.turn_waits) = (Some(Work::Sweep), None, false);
        let (sweeper, slots, of) = (
            self.sweeper.clone(),
            self.slots.clone(),
            post.tenant.clone(),
        );
        let slots_of = if post.failures > 0 {
            Lane::Failing
        } else {
            Lane::Main
        };
        let task = self.sweeps.spawn(async move {
            let mut slot = slots.take(slots_of).await;
            let began = sweeper.clock.now();
            let swept = sweeper.sweep(&of, &mut slot).await;
            Ended { began, swept }
        });
        self.at_work.insert(task.id(), (tenant, Work::Sweep));
    }

    /// Reads the tenant's backlog until its next turn, if there is anything to be read.
    fn start_fill(&mut self, tenant: usize, state: &TenantState) {
        let post = &mut self.posts[tenant];
        let rests = post
            .fill_resting_until
            .is_some_and(|until| until > Instant::now());
        if rests || self.sweeper.awake(&post.tenant, state).is_empty() {
            return;
        }
        post.running = Some(Work::Fill);
        post.give_way = self.sweeper.stop.child_token();
        let (sweeper, slots, of) = (
            self.sweeper.clone(),
            self.slots.clone(),
            post.tenant.clone(),
        );
        let give_way = post.give_way.clone();
        let task = self.sweeps.spawn(async move {
            let began = sweeper.clock.now();
            let slot = give_way
                .run_until_cancelled(slots.take(Lane::Backlog))
                .await;
            let swept = match slot {
                Some(mut slot) => sweeper.fill(&of, &mut slot, give_way).await,
                None => Swept::default(),
            };
            Ended { began, swept }
        });
        self.at_work.insert(task.id(), (tenant, Work::Fill));
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[cfg(test)]
mod tests;
