//! How to treat pages that fail again and again.
//!
//! [`PageFailures`] decides when to search a failing page for the incident that makes it fail: not after the first
//! failure, which usually passes, and less often the more searches show that nothing works at all.
//!
//! [`RestingSpans`] knows which parts of the backlog to leave alone for a while, because a search there has just ended.

use std::time::Duration;

use super::backlog::Span;
use crate::core::sweep::pager::UnreadableSpan;
use crate::core::time::ticks::Ticks;

/// From this many unsuccessful searches on, the number of failures between two searches no longer grows.
const MOST_PATIENT: u32 = 4;

/// Failures in a row that a page's content may have caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageFailures {
    failures: u32,
    in_vain: u32,
    /// The span that failed last.
    at: Option<Span>,
}

impl PageFailures {
    /// Counts a failed page of `span`. Returns whether to search it now.
    pub fn failed(&mut self, span: Span) -> bool {
        self.at = Some(span);
        self.failures = self.failures.saturating_add(1);
        self.failures > 1 << self.in_vain.min(MOST_PATIENT)
    }

    /// Records that a search found nothing that works.
    pub fn in_vain(&mut self) {
        self.failures = 0;
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Records that `span` was read to its end. This says nothing about a failure in another span.
    pub fn settled(&mut self, span: Span) {
        if self.at.is_none_or(|at| at.overlaps(span)) {
            *self = Self::default();
        }
    }
}

/// The first pause before an unreadable part is tried again.
const FIRST_REST: Duration = Duration::from_secs(5 * 60);
const LONGEST_REST: Duration = Duration::from_secs(6 * 3600);
/// The number of parts remembered. If there are more, the oldest are forgotten and tried again early.
const REMEMBERED: usize = 1024;

/// Parts of the backlog that rest for a while. Kept only in memory: after a restart each part is tried at once.
#[derive(Debug, Clone, Default)]
pub struct RestingSpans(Vec<Rest>);

#[derive(Debug, Clone, Copy)]
struct Rest {
    trouble: UnreadableSpan,
    tries: u32,
    until: Duration,
}

impl RestingSpans {
    /// Lets `trouble` rest from `now` (on a clock that never goes back). Returns whether it is new.
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

    /// The spans that rest at `now`.
    pub fn spans(&self, now: Duration) -> impl Iterator<Item = Span> + '_ {
        self.0
            .iter()
            .filter(move |rest| rest.until > now)
            .map(|rest| Span::between(rest.trouble.from, rest.trouble.to))
    }

    /// The spans that could not be read when they were tried, resting or not.
    pub fn tried(&self) -> impl Iterator<Item = Span> + '_ {
        let span = |rest: &Rest| Span::between(rest.trouble.from, rest.trouble.to);
        self.0.iter().map(span)
    }

    /// Lets all parts be tried at once; the number of tries is kept.
    pub fn wake(&mut self) {
        for rest in &mut self.0 {
            rest.until = Duration::ZERO;
        }
    }

    /// Records that `span` was read completely. The part of a resting span outside it goes on resting: windows may cut
    /// it in two, and both have to be read before it is forgotten.
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

    /// A part of which nothing could be read, if there is one.
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
