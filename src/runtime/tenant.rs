//! A tenant as the runtime sees it: its ports, its rules, and what is remembered of it between sweeps.

use parking_lot::{Mutex, MutexGuard};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::tokens::TokenKeeper;
use crate::core::health::failure::{Failure, Reaction};
use crate::core::ids::TenantId;
use crate::core::incident::version::Deduplicate;
use crate::core::pace::budget::{Budget, Purpose};
use crate::core::pace::throttle::Throttle;
use crate::core::sweep::cursor::{LastFull, Reach, ServerTime, WindowLength};
use crate::core::sweep::pager::{History, PageSize, Pager, UnreadableSpan};
use crate::core::sweep::unreadable::{PageFailures, RestingSpans};
use crate::core::time::schedule::Schedule;
use crate::ports::{Encoder, IncidentSource};
use crate::runtime::edge::Notice;

pub struct Tenant {
    parts: Parts,
    memory: Mutex<Memory>,
}

impl Deref for Tenant {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// The tenant's settings for reading it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How far back the first sweep ever reads.
    pub lookback: Duration,
    pub reach: Reach,
    pub deduplicate: Deduplicate,
    /// Incidents a page.
    pub page_size: u32,
}

/// What a restart may forget. `uptime` is the clock of all times in it.
#[derive(Debug)]
pub struct Memory {
    pub budget: Budget,
    pub last_full: LastFull,
    pub page_size: PageSize,
    doubts: PageFailures,
    /// Of their own: live sweeps that go well say nothing of old pages.
    backlog_doubts: PageFailures,
    /// Parts of the backlog that are not tried for a while.
    pub resting: RestingSpans,
    pub window: WindowLength,
    /// The last sweep met more elements that can't be read than are remembered.
    pub letters_full: bool,
    /// A window of the backlog that was broken off for a live sweep.
    pub unfinished: Option<Pager>,
    /// Microsoft asked for a pause: until when, and in which words.
    paused: Option<(Duration, Failure)>,
    /// Requests refused for being too many.
    pub throttle: Throttle,
    /// Requests that failed with a pause asked for: a gateway's 503.
    pub stumbles: Throttle,
    /// Why a place was passed unseen last. It may turn out that nothing can be read: then no incident is to blame.
    pub suspected: Option<Failure>,
    /// Why the incident that was passed unseen last can't be read.
    pub unseen: Option<Failure>,
    /// Live sweeps in a row that a list led in circles.
    pub circles: u32,
    /// nextLinks of the list, and of an incident's alerts, that are not followed.
    pub refused_links: Notice,
    pub refused_alert_links: Notice,
    /// The server ignores `$filter`.
    pub unfiltered: Notice,
    /// How its whole list is sorted then.
    pub history: History,
    /// `Date`s keep being far from our clock.
    pub far_dates: Notice,
    /// A `Date` that was told some time ago, or the first.
    pub told: Option<ServerTime>,
}

/// What is left of a pause and is simply waited for.
const SHORT_PAUSE: Duration = Duration::from_secs(5);

impl Memory {
    /// Too many requests were made, says `failure`: none before `until`.
    pub fn pause(&mut self, until: Duration, failure: &Failure) {
        if self.paused.as_ref().is_none_or(|(other, _)| *other < until) {
            self.paused = Some((until, failure.clone()));
        }
    }

    /// Why nothing is to be asked for at `uptime`: waited out in silence, a long pause would look like health.
    pub fn paused_for(&self, uptime: Duration) -> Option<Failure> {
        let (until, failure) = self.paused.as_ref()?;
        let left = until.saturating_sub(uptime);
        (left > SHORT_PAUSE).then(|| Failure {
            reaction: Reaction::Wait(left),
            ..failure.clone()
        })
    }

    pub fn doubts(&mut self, purpose: Purpose) -> &mut PageFailures {
        match purpose {
            Purpose::Live => &mut self.doubts,
            Purpose::Backlog => &mut self.backlog_doubts,
        }
    }
}

/// The parts of a [`Tenant`] that the composition root brings.
pub struct Parts {
    pub id: TenantId,
    pub name: Arc<str>,
    pub schedule: Schedule,
    pub rules: Rules,
    pub source: Arc<dyn IncidentSource>,
    pub tokens: Arc<TokenKeeper>,
    pub encoder: Arc<dyn Encoder>,
}

impl Tenant {
    pub fn new(parts: Parts) -> Self {
        let Rules {
            reach, page_size, ..
        } = parts.rules;
        Self {
            parts,
            memory: Mutex::new(Memory {
                budget: Budget::new(reach.requests_per_minute, Duration::ZERO),
                last_full: LastFull::default(),
                page_size: PageSize::of(page_size),
                doubts: PageFailures::default(),
                backlog_doubts: PageFailures::default(),
                resting: RestingSpans::default(),
                window: WindowLength::default(),
                letters_full: false,
                unfinished: None,
                paused: None,
                throttle: Throttle::default(),
                stumbles: Throttle::default(),
                suspected: None,
                unseen: None,
                circles: 0,
                refused_links: Notice::default(),
                refused_alert_links: Notice::default(),
                unfiltered: Notice::default(),
                history: History::default(),
                far_dates: Notice::default(),
                told: None,
            }),
        }
    }

    /// `trouble` stands: all around it was read. An incident that can't be read is told of when it is met first, and not at
    /// each of the tries to come.
    pub fn rest(&self, memory: &mut Memory, trouble: UnreadableSpan, uptime: Duration) {
        let first = memory.resting.rest(trouble, uptime);
        if !trouble.unseen {
            return;
        }
        if let Some(why) = memory.suspected.take() {
            memory.unseen = Some(why);
        }
        if let (true, Some(error)) = (first, &memory.unseen) {
            let (from, to) = (trouble.from, trouble.to);
            tracing::warn!(tenant = %self.id, name = %self.name, %error, %from, %to,
                "an incident can't be read; all others are, and it is tried again later");
        }
    }

    /// Begins at `uptime`, and takes over what outlives the settings that `former` had: what was spent on the same API, and a
    /// pause that it asked for. What was spent on another API, or by one that is gone, is not known: the budget begins empty.
    pub fn begin(&self, former: Option<&Tenant>, uptime: Duration) {
        match former {
            Some(former) if former.source.name() == self.source.name() => self.succeed(former),
            _ => self.memory().budget.empty(uptime),
        }
    }

    /// What `former`, which is still at work, has spent on the same API meanwhile, and a pause that it was asked for.
    pub fn succeed(&self, former: &Tenant) {
        if self.source.name() == former.source.name() {
            let budget = former.memory().budget.clone();
            let (paused, throttle) = {
                let memory = former.memory();
                (memory.paused.clone(), memory.throttle)
            };
            let mut memory = self.memory();
            memory.budget.succeed(&budget);
            (memory.paused, memory.throttle) = (paused, throttle);
        }
    }

    /// Whether walks that begin at `uptime` read a list that is not filtered to its end.
    pub fn reads_whole(&self, uptime: Duration) -> bool {
        let every = self.rules.reach.reconcile_every;
        self.memory().history.is_read_whole(uptime, every)
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }
}
