//! What a tenant did lately, for its page: records per hour, and its last events. In memory only: both begin anew with the
//! process.
//!
//! Bounded for each tenant, whatever arrives: 24 counters, and at most [`MOST_EVENTS`] events with at most [`MOST_TEXT`] bytes of
//! text in all.

use std::array;
use std::collections::VecDeque;

use super::failure::{Failure, Health, one_line};
use crate::core::time::ticks::Ticks;

/// Hours that are counted, the present one included.
pub const HOURS: usize = 24;

/// The most events of a tenant.
pub const MOST_EVENTS: usize = 50;

/// The most bytes of text in all of a tenant's events. Older events go first.
pub const MOST_TEXT: usize = 4096;

/// The most characters of one event's text.
const MOST_LINE: usize = 300;

/// What a tenant did lately.
#[derive(Debug, Clone, Default)]
pub struct TenantActivity {
    pub hours: HourlyCounts,
    pub events: EventLog,
}

/// Records that were published in each of the last hours of the wall clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourlyCounts {
    /// The hour of the last count, counted from 1970.
    last: i64,
    /// Oldest first; the last one belongs to `last`.
    counts: [u32; HOURS],
}

impl HourlyCounts {
    /// Counts `records` at `now`. If the clock was set back, what was counted after `now` is dropped.
    pub fn add(&mut self, records: u64, now: Ticks) {
        if records == 0 {
            return;
        }
        self.counts = self.until(now);
        self.last = hour(now);
        if let Some(count) = self.counts.last_mut() {
            *count = count.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
        }
    }

    /// The counts of the hours up to that of `now`, oldest first.
    pub fn until(&self, now: Ticks) -> [u32; HOURS] {
        let passed = hour(now) - self.last;
        array::from_fn(|n| {
            let at = usize::try_from(n as i64 + passed).ok();
            let count = at.and_then(|at| self.counts.get(at));
            count.copied().unwrap_or(0)
        })
    }
}

/// How many of the hours up to that of `now` belong to the present day (UTC).
pub fn hours_today(now: Ticks) -> usize {
    let today = hour(now).rem_euclid(HOURS as i64) + 1;
    usize::try_from(today).unwrap_or(HOURS)
}

fn hour(at: Ticks) -> i64 {
    at.unix_seconds().div_euclid(3600)
}

/// What happened to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// This process began to read it.
    Joined,
    /// A reload gave it other settings.
    NewSettings,
    FirstSuccess,
    /// Its state changed to this one.
    Changed(Health),
    /// A sweep failed, and the state stayed.
    SweepFailed,
    BackfillFailed,
}

/// An event, or several in a row with one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantEvent {
    pub first: Ticks,
    pub last: Ticks,
    pub times: u32,
    pub kind: EventKind,
    /// What happened the last time, in one line; may be empty.
    pub text: Box<str>,
    /// [`Failure::cause`].
    cause: Option<Box<str>>,
}

/// The last events of a tenant, oldest first.
#[derive(Debug, Clone, Default)]
pub struct EventLog(VecDeque<TenantEvent>);

impl EventLog {
    pub fn note(&mut self, at: Ticks, kind: EventKind, failure: Option<&Failure>) {
        let text = failure.map(|failure| one_line(&failure.what, MOST_LINE));
        let text = text.unwrap_or_default().into_boxed_str();
        let cause = failure.and_then(|failure| failure.cause.as_deref());
        let cause = cause.map(|cause| one_line(cause, MOST_LINE).into_boxed_str());
        match self.0.back_mut() {
            // Texts with one cause differ: Entra's has an id of each answer.
            Some(same)
                if same.kind == kind
                    && same.cause == cause
                    && (cause.is_some() || same.text == text) =>
            {
                same.last = at;
                same.text = text;
                same.times = same.times.saturating_add(1);
            }
            _ => self.0.push_back(TenantEvent {
                first: at,
                last: at,
                times: 1,
                kind,
                text,
                cause,
            }),
        }
        while self.0.len() > MOST_EVENTS || self.text_bytes() > MOST_TEXT {
            self.0.pop_front();
        }
    }

    /// The events, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &TenantEvent> {
        self.0.iter()
    }

    fn text_bytes(&self) -> usize {
        let cause = |event: &TenantEvent| event.cause.as_ref().map_or(0, |cause| cause.len());
        let bytes = self.0.iter().map(|event| event.text.len() + cause(event));
        bytes.sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::super::failure::Reaction;
    use super::*;

    /// Midnight of a day.
    const MIDNIGHT: i64 = 20_000 * 86_400;

    fn at(seconds: i64) -> Ticks {
        Ticks::from_unix_seconds(MIDNIGHT + seconds)
    }

    #[test]
    fn an_hour_later_each_count_is_one_place_older_and_a_day_later_it_is_gone() {
        let mut hours = HourlyCounts::default();
        hours.add(3, at(10));
        hours.add(4, at(3599));
        hours.add(5, at(3600));
        assert_eq!(hours.until(at(3600))[22..], [7, 5]);
        assert_eq!(hours.until(at(7200))[21..], [7, 5, 0]);
        assert_eq!(hours.until(at(23 * 3600))[..2], [7, 5]);
        assert_eq!(hours.until(at(25 * 3600)), [0; HOURS]);
        assert_eq!(hours.until(at(0))[22..], [0, 7], "before the last count");
    }

    #[test]
    fn today_begins_at_midnight() {
        for (seconds, hours) in [
            (0, 1),
            (3599, 1),
            (3600, 2),
            (86_399, 24),
            (86_400, 1),
            (-1, 24),
        ] {
            assert_eq!(hours_today(at(seconds)), hours, "{seconds}");
        }
    }

    #[test]
    fn a_tenant_takes_what_the_documents_say() {
        assert_eq!(size_of::<HourlyCounts>(), 104);
        let events = MOST_EVENTS.next_power_of_two() * size_of::<TenantEvent>();
        assert!(events + MOST_TEXT <= 8 << 10, "{events}");
    }

    fn failure(what: String) -> Failure {
        Failure::new(Health::Unreachable, Reaction::Backoff, what, "wait")
    }

    #[test]
    fn failures_of_one_cause_in_a_row_are_one_event_with_the_last_text() {
        let mut log = EventLog::default();
        for n in 0..1000 {
            let failure = failure(format!("refused, trace {n}")).caused_by("entra 1");
            log.note(at(n), EventKind::SweepFailed, Some(&failure));
        }
        let no_cause = |what: &str| failure(what.to_owned());
        for what in ["one", "one", "two"] {
            log.note(at(1000), EventKind::SweepFailed, Some(&no_cause(what)));
        }
        log.note(at(1001), EventKind::Changed(Health::Ok), None);
        let events: Vec<_> = log
            .events()
            .map(|event| (&*event.text, event.times))
            .collect();
        assert_eq!(
            events,
            [
                ("refused, trace 999", 1000),
                ("one", 2),
                ("two", 1),
                ("", 1)
            ]
        );
        let refused = log.events().next().expect("it is kept");
        assert_eq!((refused.first, refused.last), (at(0), at(999)));
    }

    proptest! {
        #[test]
        fn the_counts_are_those_of_a_map_by_hour(steps in prop::collection::vec((0..200_i64, 1..9_u64), 0..60)) {
            let (mut hours, mut model) = (HourlyCounts::default(), BTreeMap::<i64, u64>::new());
            let mut last = 0;
            for (hour, records) in steps {
                hours.add(records, at(hour * 3600));
                model.retain(|known, _| *known <= hour && *known > hour - HOURS as i64);
                *model.entry(hour).or_default() += records;
                last = hour;
            }
            let seen = hours.until(at(last * 3600));
            for (n, count) in seen.into_iter().enumerate() {
                let hour = last - (HOURS - 1 - n) as i64;
                prop_assert_eq!(u64::from(count), model.get(&hour).copied().unwrap_or(0));
            }
        }

        #[test]
        fn whatever_arrives_the_last_event_is_there_and_the_limits_hold(texts in prop::collection::vec("\\PC{0,600}", 1..120)) {
            let mut log = EventLog::default();
            for (second, text) in texts.iter().enumerate() {
                let failure = failure(text.clone());
                log.note(at(second as i64), EventKind::SweepFailed, Some(&failure));
                prop_assert!(log.events().count() <= MOST_EVENTS);
                prop_assert!(log.text_bytes() <= MOST_TEXT);
                prop_assert_eq!(log.events().next_back().map(|event| event.last), Some(at(second as i64)));
            }
        }
    }
}
