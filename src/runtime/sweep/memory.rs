//! What is remembered of a tenant between its sweeps.

use std::time::Duration;

use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::core::pace::budget::{Budget, Purpose};
use crate::core::pace::throttle::Throttle;
use crate::core::sweep::cursor::{LastFull, ServerTime, WindowLength};
use crate::core::sweep::pager::{History, PageSize, Pager, UnreadableSpan};
use crate::core::sweep::unreadable::{PageFailures, RestingSpans};
use crate::runtime::edge::Notice;
use crate::runtime::tenant::{Rules, Tenant};

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
    /// Nothing is known yet. The budget begins empty at `uptime`: what was spent before is not known.
    pub fn new(rules: &Rules, uptime: Duration) -> Self {
        Self {
            budget: Budget::new(rules.reach.requests_per_minute, uptime),
            last_full: LastFull::default(),
            page_size: PageSize::of(rules.page_size),
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
        }
    }

    /// What outlives the settings that `from` had, once `to` takes over at `uptime`: what was spent on the same API, and a
    /// pause that it asked for.
    #[must_use]
    pub fn succeed(self, from: &Tenant, to: &Tenant, uptime: Duration) -> Self {
        let mut memory = Self::new(&to.rules, uptime);
        if from.source.name() == to.source.name() {
            memory.budget = Budget::new(to.rules.reach.requests_per_minute, Duration::ZERO);
            memory.budget.succeed(&self.budget);
            (memory.paused, memory.throttle) = (self.paused, self.throttle);
        }
        memory
    }

    /// Whether pagers that begin at `uptime` read a list that is not filtered to its end.
    pub fn reads_whole(&self, rules: &Rules, uptime: Duration) -> bool {
        let every = rules.reach.reconcile_every;
        self.history.is_read_whole(uptime, every)
    }

    /// A span that could not be read, all around it was. An incident that can't be read is logged when it is met first, and
    /// not at each of the tries to come.
    pub fn rest(&mut self, tenant: &Tenant, span: UnreadableSpan, uptime: Duration) {
        let first = self.resting.rest(span, uptime);
        if !span.unseen {
            return;
        }
        if let Some(why) = self.suspected.take() {
            self.unseen = Some(why);
        }
        if let (true, Some(error)) = (first, &self.unseen) {
            let (from, to) = (span.from, span.to);
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, %error, %from, %to,
                "an incident can't be read; all others are, and it is tried again later");
        }
    }

    /// A span that nothing could be read from, if there is one.
    pub fn unreadable(&self) -> Option<Failure> {
        let span = self.resting.unseen()?;
        let why = self.unseen.as_ref();
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
