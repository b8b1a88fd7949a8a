//! What is remembered of a tenant between its sweeps. A restart may lose it. All its times are uptimes.

use std::time::Duration;

use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::core::pace::budget::{Budget, Purpose};
use crate::core::pace::throttle::Throttle;
use crate::core::sweep::backlog::Span;
use crate::core::sweep::cursor::{LastFull, ServerTime, WindowLength};
use crate::core::sweep::pager::{History, PageSize, Pager, UnreadableSpan};
use crate::core::sweep::unreadable::{PageFailures, RestingSpans};
use crate::core::time::ticks::Ticks;
use crate::runtime::edge::Notice;
use crate::runtime::tenant::{Rules, Tenant};

#[derive(Debug)]
pub struct Memory {
    pub pace: RequestPace,
    pub list: ListMemory,
    pub last_full: LastFull,
    /// An earlier `Date`, far enough back to compare with, or the first one.
    pub server_time: Option<ServerTime>,
    live_failures: PageFailures,
    /// Counted separately: live sweeps that succeed say nothing about old pages.
    backlog_failures: PageFailures,
    pub unreadable: UnreadableMemory,
    pub notices: Notices,
}

/// When the tenant's next request may go out.
#[derive(Debug)]
pub struct RequestPace {
    pub budget: Budget,
    /// Until when Microsoft asked to pause, and the failure that said so.
    paused: Option<(Duration, Failure)>,
    /// Requests that Microsoft refused because there were too many.
    pub throttle: Throttle,
    /// Requests that failed and asked for a pause, for example with a gateway's 503.
    pub gateway: Throttle,
}

/// What is known about the tenant's list.
#[derive(Debug)]
pub struct ListMemory {
    pub page_size: PageSize,
    /// How long the next window of the backlog is.
    pub window: WindowLength,
    /// From where on an operator has ordered a back-fill, until the backlog is read. A restart forgets it.
    pub ordered: Option<Ticks>,
    /// A window of the backlog that was broken off for a live sweep.
    pub unfinished: Option<Pager>,
    /// How the whole list is sorted, if the server ignores `$filter`.
    pub history: History,
    /// Live sweeps in a row in which the server led in circles.
    pub circles: u32,
}

/// Incidents that can't be read.
#[derive(Debug, Default)]
pub struct UnreadableMemory {
    /// Spans of the backlog that rest for a while.
    pub resting: RestingSpans,
    /// Why the last place could not be read. If no place can be read, no incident is the cause.
    pub suspected: Option<Failure>,
    /// Why the last unreadable incident can't be read.
    pub why: Option<Failure>,
}

/// Conditions that are logged when they begin.
#[derive(Debug, Default)]
pub struct Notices {
    /// A nextLink of the list is not followed.
    pub refused_links: Notice,
    /// A nextLink of an incident's alerts is not followed.
    pub refused_alert_links: Notice,
    /// The server ignores `$filter`.
    pub unfiltered: Notice,
    /// `Date`s are far from our clock.
    pub far_dates: Notice,
    /// The last sweep met more unreadable elements than are remembered.
    pub letters_full: bool,
}

/// A sweep waits for the rest of a pause if it is no longer than this.
const SHORT_PAUSE: Duration = Duration::from_secs(5);

impl Memory {
    /// A memory without any knowledge. The budget is empty at `uptime`, because nobody knows what was spent before.
    pub fn new(rules: &Rules, uptime: Duration) -> Self {
        Self {
            pace: RequestPace {
                budget: Budget::new(rules.reach.requests_per_minute, uptime),
                paused: None,
                throttle: Throttle::default(),
                gateway: Throttle::default(),
            },
            list: ListMemory {
                page_size: PageSize::of(rules.page_size),
                window: WindowLength::default(),
                ordered: None,
                unfinished: None,
                history: History::default(),
                circles: 0,
            },
            last_full: LastFull::default(),
            server_time: None,
            live_failures: PageFailures::default(),
            backlog_failures: PageFailures::default(),
            unreadable: UnreadableMemory::default(),
            notices: Notices::default(),
        }
    }

    /// The memory of `to`, which replaces `from` at `uptime`. On the same API it keeps the spent budget and a requested
    /// pause, and always what an operator has ordered; everything else starts from the beginning.
    #[must_use]
    pub fn succeed(self, from: &Tenant, to: &Tenant, uptime: Duration) -> Self {
        let mut memory = Self::new(&to.rules, uptime);
        memory.list.ordered = self.list.ordered;
        if from.source.name() == to.source.name() {
            let mut budget = Budget::new(to.rules.reach.requests_per_minute, Duration::ZERO);
            budget.succeed(&self.pace.budget);
            memory.pace = RequestPace {
                budget,
                gateway: Throttle::default(),
                ..self.pace
            };
        }
        memory
    }

    /// The memory of a tenant that was away until `uptime`. Another process may have spent its requests meanwhile.
    #[must_use]
    pub fn come_back(self, from: &Tenant, to: &Tenant, uptime: Duration) -> Self {
        let mut memory = self.succeed(from, to, uptime);
        let mut budget = Budget::new(to.rules.reach.requests_per_minute, uptime);
        budget.succeed(&memory.pace.budget);
        memory.pace.budget = budget;
        memory
    }

    pub fn failures(&mut self, purpose: Purpose) -> &mut PageFailures {
        match purpose {
            Purpose::Live => &mut self.live_failures,
            Purpose::Backlog => &mut self.backlog_failures,
        }
    }
}

impl RequestPace {
    /// Records that there were too many requests: `failure` says so, and the next request may go out at `until`.
    pub fn pause(&mut self, until: Duration, failure: &Failure) {
        if self.paused.as_ref().is_none_or(|(other, _)| *other < until) {
            self.paused = Some((until, failure.clone()));
        }
    }

    /// Whether Microsoft asked for a pause that is not over at `uptime`.
    pub fn is_paused(&self, uptime: Duration) -> bool {
        let paused = self.paused.as_ref();
        paused.is_some_and(|(until, _)| *until > uptime)
    }

    /// Why no request may go out at `uptime`. A sweep must report a long pause: if it waited silently, the tenant would
    /// look healthy.
    pub fn paused_for(&self, uptime: Duration) -> Option<Failure> {
        let (until, failure) = self.paused.as_ref()?;
        let left = until.saturating_sub(uptime);
        (left > SHORT_PAUSE).then(|| Failure {
            reaction: Reaction::Wait(left),
            ..failure.clone()
        })
    }
}

impl ListMemory {
    /// A pager of `span` that begins at `uptime`. If the server ignores the filter, it reads to the end of the list
    /// when that is due.
    pub fn pager(&self, span: Span, rules: &Rules, uptime: Duration) -> Pager {
        let every = rules.reach.reconcile_every;
        let whole = self.history.is_read_whole(uptime, every);
        Pager::new(span, self.page_size).reading_to_the_end(whole)
    }
}

impl UnreadableMemory {
    /// Lets `span` rest, which could not be read although everything around it was. Only the first time is logged.
    pub fn rest(&mut self, tenant: &Tenant, span: UnreadableSpan, uptime: Duration) {
        let first = self.resting.rest(span, uptime);
        if !span.unseen {
            return;
        }
        if let Some(why) = self.suspected.take() {
            self.why = Some(why);
        }
        if let (true, Some(error)) = (first, &self.why) {
            let (from, to) = (span.from, span.to);
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, %error, %from, %to,
                "an incident can't be read; all others are, and it is tried again later");
        }
    }

    /// The failure of the tenant if there is an incident that can't be read.
    pub fn failure(&self) -> Option<Failure> {
        let span = self.resting.unseen()?;
        let why = self.why.as_ref();
        let remedy = match why.filter(|why| why.suspect == Suspect::Size) {
            Some(too_large) => too_large.remedy.clone(),
            None => "If it lasts, look for the incident in the Defender portal, and report it to Microsoft.".to_owned(),
        };
        let why = why.map(|why| format!(" ({})", why.what));
        Some(Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!(
                "an incident last updated between {} and {} can't be read{}; no other waits for it",
                span.from,
                span.to,
                why.unwrap_or_default()
            ),
            format!(
                "Nothing is lost: it is tried again, from every 5 minutes to every 6 hours. {remedy}"
            ),
        ))
    }
}
