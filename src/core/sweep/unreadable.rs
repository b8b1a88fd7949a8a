//! What to do about pages that fail again and again.
//!
//! [`PageFailures`] decides when a failing page is to be searched for the incident that spoils it: not at the first failure,
//! which is a hiccup as a rule, and ever more seldom while the search shows that nothing works at all.
//!
//! [`RestingSpans`] knows which parts of the backlog are not to be tried for a while: those where a search has just ended.

use std::time::Duration;

use super::backlog::Span;
use crate::core::sweep::pager::UnreadableSpan;
use crate::core::time::ticks::Ticks;

/// Searches in vain after which no more failures are waited for between two of them.
const MOST_PATIENT: u32 = 4;

/// Failures in a row for which a page's content may be to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageFailures {
    failures: u32,
    in_vain: u32,
    /// Where it failed last.
    at: Option<Span>,
}

impl PageFailures {
    /// A page of `span` failed. Whether it is to be searched now.
    pub fn failed(&mut self, span: Span) -> bool {
        self.at = Some(span);
        self.failures = self.failures.saturating_add(1);
        self.failures > 1 << self.in_vain.min(MOST_PATIENT)
    }

    /// A search found that nothing works at all.
    pub fn in_vain(&mut self) {
        self.failures = 0;
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// `span` was read to its end. That others can be read says nothing of where it failed.
    pub fn settled(&mut self, span: Span) {
        if self.at.is_none_or(|at| at.overlaps(span)) {
            *self = Self::default();
        }
    }
}

/// The first pause before a troubled part is tried again.
const FIRST_REST: Duration = Duration::from_secs(5 * 60);
const LONGEST_REST: Duration = Duration::from_secs(6 * 3600);
/// Parts remembered. Beyond that the oldest are tried again earlier than they would be.
const REMEMBERED: usize = 1024;

/// Parts of the backlog that are not tried for a while. Kept in memory only: after a restart each is tried at once.
#[derive(Debug, Clone, Default)]
pub struct RestingSpans(Vec<Rest>);

#[derive(Debug, Clone, Copy)]
struct Rest {
    trouble: UnreadableSpan,
    tries: u32,
    until: Duration,
}

impl RestingSpans {
    /// `trouble` was met, at `now` on a clock that never goes back. Whether it was met for the first time.
    pub fn rest(&mut self, trouble: UnreadableSpan, now: Duration) -> bool {
        let within = |rest: &Rest| rest.trouble.from < trouble.to && trouble.from < rest.trouble.to;
        let tries = self
            .0
            .iter()
            .filter(|rest| within(rest))
            .map(|rest| rest.tries);
        let tries = tries.max().unwrap_or(0).saturating_add(1);
        self.0.retain(|rest| !within(rest));
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        let pause = FIRST_REST
            .saturating_mul(1 << (tries - 1).min(10))
            .min(LONGEST_REST);
        self.0.push(Rest {
            trouble,
            tries,
            until: now + pause,
        });
        tries == 1
    }

    /// What is not to be tried at `now`.
    pub fn spans(&self, now: Duration) -> impl Iterator<Item = Span> + '_ {
        self.0
            .iter()
            .filter(move |rest| rest.until > now)
            .map(|rest| Span::between(rest.trouble.from, rest.trouble.to))
    }

    /// What was tried in vain, whether it rests or not.
    pub fn tried(&self) -> impl Iterator<Item = Span> + '_ {
        let span = |rest: &Rest| Span::between(rest.trouble.from, rest.trouble.to);
        self.0.iter().map(span)
    }

    /// All may be tried at once; how often each was is kept.
    pub fn wake(&mut self) {
        for rest in &mut self.0 {
            rest.until = Duration::ZERO;
        }
    }

    /// `span` was read whole. What of a part lies outside it rests on: windows may well cut a part in two, and both have to
    /// be read before it is forgotten.
    pub fn recovered(&mut self, span: Span) {
        let end = span.to.unwrap_or(Ticks::MAX);
        let outside = |rest: Rest| {
            let UnreadableSpan { from, to, .. } = rest.trouble;
            [(from, to.min(span.from)), (from.max(end), to)]
                .into_iter()
                .filter(|(from, to)| from < to)
                .map(move |(from, to)| Rest {
                    trouble: UnreadableSpan {
                        from,
                        to,
                        ..rest.trouble
                    },
                    ..rest
                })
        };
        self.0 = std::mem::take(&mut self.0)
            .into_iter()
            .flat_map(outside)
            .collect();
        let beyond = self.0.len().saturating_sub(REMEMBERED);
        self.0.drain(..beyond);
    }

    /// A part that nothing could be read from, if there is one.
    pub fn unseen(&self) -> Option<UnreadableSpan> {
        let mut troubles = self.0.iter().map(|rest| rest.trouble);
        troubles.find(|trouble| trouble.unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SPAN: Span = Span {
        from: Ticks(10),
        to: Some(Ticks(20)),
    };

    fn trouble(from: i64, to: i64) -> UnreadableSpan {
        UnreadableSpan {
            from: Ticks(from),
            to: Ticks(to),
            unseen: true,
        }
    }

    #[test]
    fn the_second_failure_in_a_row_is_searched() {
        let mut doubts = PageFailures::default();
        assert!(!doubts.failed(SPAN));
        assert!(doubts.failed(SPAN));
        doubts.settled(SPAN);
        assert!(!doubts.failed(SPAN), "a success in between");
    }

    #[test]
    fn while_nothing_works_searches_become_rare() {
        let mut doubts = PageFailures::default();
        let mut searches = Vec::new();
        for failure in 1..100 {
            if doubts.failed(SPAN) {
                searches.push(failure);
                doubts.in_vain();
            }
        }
        assert_eq!(searches, [2, 5, 10, 19, 36, 53, 70, 87]);
    }

    #[test]
    fn a_part_is_met_for_the_first_time_once_however_it_is_cut_later() {
        let mut resting = RestingSpans::default();
        assert!(resting.rest(trouble(5, 9), MINUTE));
        for cut in [trouble(5, 9), trouble(7, 12), trouble(11, 13)] {
            assert!(!resting.rest(cut, MINUTE), "{cut:?}");
        }
        assert!(resting.rest(trouble(20, 21), MINUTE));
        resting.recovered(Span::between(Ticks(0), Ticks(30)));
        assert!(resting.rest(trouble(7, 8), MINUTE), "anew");
    }

    #[test]
    fn troubles_rest_longer_each_time_and_at_most_six_hours() {
        let (mut resting, mut now, mut pauses) =
            (RestingSpans::default(), Duration::ZERO, Vec::new());
        for _ in 0..10 {
            resting.rest(trouble(5, 6), now);
            let start = now;
            while resting.spans(now).count() > 0 {
                now += MINUTE;
            }
            pauses.push((now - start).as_secs() / 60);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 360, 360, 360]);
    }

    #[test]
    fn what_was_read_whole_is_forgotten_and_the_rest_stays() {
        let mut resting = RestingSpans::default();
        resting.rest(trouble(5, 6), MINUTE);
        resting.rest(trouble(50, 60), MINUTE);
        resting.recovered(Span::between(Ticks(0), Ticks(20)));
        assert_eq!(resting.unseen(), Some(trouble(50, 60)));
        resting.wake();
        assert_eq!(resting.spans(MINUTE).count(), 0);
        resting.recovered(Span::from(Ticks(0)));
        assert_eq!(resting.unseen(), None);
    }

    proptest! {
        #[test]
        fn what_is_read_in_pieces_is_forgotten_piece_by_piece(
            from in 0_i64..100, length in 1_i64..50, windows in prop::collection::vec((0_i64..150, 1_i64..60), 0..12),
        ) {
            let mut resting = RestingSpans::default();
            resting.rest(trouble(from, from + length), MINUTE);
            let read = |tick: i64| windows.iter().any(|(at, long)| (*at..at + long).contains(&tick));
            for (at, long) in &windows {
                resting.recovered(Span::between(Ticks(*at), Ticks(at + long)));
            }
            for tick in 0..220 {
                let rests = resting.0.iter().any(|rest| rest.trouble.from.0 <= tick && tick < rest.trouble.to.0);
                prop_assert_eq!(rests, (from..from + length).contains(&tick) && !read(tick), "tick {}", tick);
            }
        }
    }

    #[test]
    fn that_others_can_be_read_does_not_settle_what_failed() {
        let mut doubts = PageFailures::default();
        assert!(!doubts.failed(SPAN));
        doubts.settled(Span::between(Ticks(20), Ticks(30)));
        assert!(doubts.failed(SPAN), "taken for the first failure again");
        doubts.settled(Span::between(Ticks(19), Ticks(30)));
        assert!(!doubts.failed(SPAN), "it was read, and fails anew");
    }

    #[test]
    fn the_number_remembered_is_bounded() {
        let mut resting = RestingSpans::default();
        for at in 0..3000 {
            resting.rest(trouble(at, at + 1), MINUTE);
        }
        assert_eq!(resting.0.len(), REMEMBERED);
    }
}
