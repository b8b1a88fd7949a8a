//! Spans of last updates: what a request asks for, and what a tenant still has to read.
//!
//! A long range (the first range, or the gap after a downtime) can't be read in one sweep beside live polling. Neither
//! can an incident that Microsoft answers with errors. Each becomes an **open interval**: live sweeps leave it out, the
//! cursor may pass it, and it is closed piece by piece as each piece is read to its end. The ledger keeps the open
//! intervals, so that a restart loses none.
//!
//! Invariant: intervals are disjoint, ascending, not empty, and at most [`MOST`]. If there were more, the two closest
//! intervals are joined: the gap between them is read again, which publishes nothing.

use crate::core::time::ticks::Ticks;

/// The most intervals that a tenant may have open.
pub const MOST: usize = 64;

/// Last updates from `from` (inclusive) to `to` (exclusive); without `to`, the span has no end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// Inclusive.
    pub from: Ticks,
    /// Exclusive. `None`: no end.
    pub to: Option<Ticks>,
}

impl Span {
    /// From this instant on, without an end.
    pub fn from(from: Ticks) -> Self {
        Self { from, to: None }
    }

    pub(crate) fn between(from: Ticks, to: Ticks) -> Self {
        Self { from, to: Some(to) }
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let begins_before_end_of = |one: Self, other: Self| other.to.is_none_or(|to| one.from < to);
        begins_before_end_of(self, other) && begins_before_end_of(other, self)
    }
}

/// Last updates still to be read, from `from` (inclusive) to `to` (exclusive).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Interval {
    /// Inclusive.
    pub from: Ticks,
    /// Exclusive, and later than `from`.
    pub to: Ticks,
    /// This interval was read before: an incident found in it now was indexed late, or changed without a new last
    /// update.
    pub again: bool,
}

impl Interval {
    pub(crate) fn unread(from: Ticks, to: Ticks) -> Self {
        Self {
            from,
            to,
            again: false,
        }
    }

    pub(crate) fn again(from: Ticks, to: Ticks) -> Self {
        Self {
            from,
            to,
            again: true,
        }
    }

    fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// What is left of this interval outside `from..to`.
    fn without(&self, from: Ticks, to: Ticks) -> [Interval; 2] {
        [
            Interval {
                to: self.to.min(from),
                ..*self
            },
            Interval {
                from: self.from.max(to),
                ..*self
            },
        ]
    }
}

/// The open intervals of a tenant; see the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Backlog(Vec<Interval>);

impl Backlog {
    /// The intervals, oldest first.
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens `interval`. Where it meets an open interval, the common part stays unread if either of them is unread.
    pub fn open(&mut self, interval: Interval) {
        let mut added = vec![interval];
        if interval.again {
            for open in &self.0 {
                added = cut(&added, open.from, open.to);
            }
        } else {
            self.0 = cut(&self.0, interval.from, interval.to);
        }
        self.0.append(&mut added);
        self.0.retain(|interval| !interval.is_empty());
        self.0.sort_unstable_by_key(|interval| interval.from);
        self.join_neighbours();
        while self.0.len() > MOST {
            self.join_closest();
        }
    }

    /// Records that `from..to` was read to its end.
    pub fn close(&mut self, from: Ticks, to: Ticks) {
        self.0 = cut(&self.0, from, to);
        while self.0.len() > MOST {
            self.join_closest();
        }
    }

    /// The parts of `span` outside all open intervals, newest first.
    pub fn outside(&self, span: Span) -> Vec<Span> {
        let (mut parts, mut from) = (Vec::new(), span.from);
        let end = span.to.unwrap_or(Ticks(i64::MAX));
        for open in self.0.iter().filter(|open| open.from < end) {
            if open.from > from {
                parts.push(Span::between(from, open.from));
            }
            from = from.max(open.to);
        }
        if from < end {
            parts.push(Span { from, to: span.to });
        }
        parts.reverse();
        parts
    }

    /// The parts of `span` inside open intervals, oldest first.
    pub fn inside(&self, span: Span) -> Vec<Span> {
        let end = span.to.unwrap_or(Ticks::MAX);
        let part = |open: &Interval| (open.from.max(span.from), open.to.min(end));
        let parts = self.0.iter().map(part);
        parts
            .filter(|(from, to)| from < to)
            .map(|(from, to)| Span::between(from, to))
            .collect()
    }

    /// This backlog without the `resting` spans.
    pub fn except(&self, resting: impl IntoIterator<Item = Span>) -> Backlog {
        let mut rest = self.0.clone();
        for span in resting {
            rest = cut(&rest, span.from, span.to.unwrap_or(Ticks(i64::MAX)));
        }
        Backlog(rest)
    }

    fn join_neighbours(&mut self) {
        self.0.dedup_by(|later, earlier| {
            let joined = earlier.to >= later.from && earlier.again == later.again;
            if joined {
                earlier.to = earlier.to.max(later.to);
            }
            joined
        });
    }

    fn join_closest(&mut self) {
        let distance = |at: &usize| self.0[at + 1].from.0 - self.0[*at].to.0;
        let Some(at) = (0..self.0.len().saturating_sub(1)).min_by_key(distance) else {
            return;
        };
        let later = self.0.remove(at + 1);
        let earlier = &mut self.0[at];
        earlier.to = later.to;
        earlier.again &= later.again;
    }
}

impl FromIterator<Interval> for Backlog {
    fn from_iter<T: IntoIterator<Item = Interval>>(intervals: T) -> Self {
        let mut backlog = Self::default();
        for interval in intervals {
            backlog.open(interval);
        }
        backlog
    }
}

fn cut(intervals: &[Interval], from: Ticks, to: Ticks) -> Vec<Interval> {
    if from >= to {
        return intervals.to_vec();
    }
    intervals
        .iter()
        .flat_map(|interval| {
            let outside = interval.to <= from || interval.from >= to;
            if outside {
                [*interval, Interval::unread(to, to)]
            } else {
                interval.without(from, to)
            }
        })
        .filter(|interval| !interval.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step {
        Open(i64, i64, bool),
        Close(i64, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ends = (0_i64..400, 0_i64..60).prop_map(|(from, len)| (from, from + len));
        prop_oneof![
            3 => (ends.clone(), any::<bool>()).prop_map(|((from, to), again)| Step::Open(from, to, again)),
            1 => ends.prop_map(|(from, to)| Step::Close(from, to)),
        ]
    }

    fn ticks_of(backlog: &Backlog) -> BTreeMap<i64, bool> {
        let ticks = |interval: &Interval| {
            (interval.from.0..interval.to.0).map({
                let again = interval.again;
                move |tick| (tick, again)
            })
        };
        backlog.intervals().iter().flat_map(ticks).collect()
    }

    proptest! {
        #[test]
        fn what_is_open_is_what_a_set_of_ticks_would_hold(steps in prop::collection::vec(step(), 0..30)) {
            let (mut backlog, mut model) = (Backlog::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Open(from, to, again) => {
                        backlog.open(if again { Interval::again(Ticks(from), Ticks(to)) } else { Interval::unread(Ticks(from), Ticks(to)) });
                        for tick in from..to {
                            model.entry(tick).and_modify(|known: &mut bool| *known &= again).or_insert(again);
                        }
                    }
                    Step::Close(from, to) => {
                        backlog.close(Ticks(from), Ticks(to));
                        model.retain(|tick, _| !(from..to).contains(tick));
                    }
                }
                let intervals = backlog.intervals();
                prop_assert!(intervals.windows(2).all(|pair| pair[0].to <= pair[1].from));
                prop_assert!(intervals.iter().all(|interval| interval.from < interval.to));
                prop_assert_eq!(ticks_of(&backlog), model.clone());
            }
        }

        #[test]
        fn outside_and_inside_make_the_whole(
            steps in prop::collection::vec((0_i64..400, 1_i64..60), 0..20), from in 0_i64..400, len in 0_i64..200,
        ) {
            let backlog: Backlog = steps.iter().map(|(from, len)| Interval::unread(Ticks(*from), Ticks(from + len))).collect();
            let parts = backlog.outside(Span::between(Ticks(from), Ticks(from + len)));
            prop_assert!(parts.windows(2).all(|pair| pair[0].from >= pair[1].to.unwrap_or(Ticks::MAX)), "newest first");
            let open = ticks_of(&backlog);
            for tick in from..from + len {
                let outside = parts.iter().any(|part| part.from.0 <= tick && part.to.is_none_or(|to| tick < to.0));
                prop_assert_eq!(outside, !open.contains_key(&tick), "tick {}", tick);
            }
        }

        #[test]
        fn there_are_never_more_than_the_limit_and_nothing_open_is_forgotten(starts in prop::collection::vec(0_i64..100_000, 60..200)) {
            let backlog: Backlog = starts.iter().map(|from| Interval::unread(Ticks(*from), Ticks(from + 1))).collect();
            prop_assert!(backlog.intervals().len() <= MOST);
            let open = ticks_of(&backlog);
            prop_assert!(starts.iter().all(|tick| open.contains_key(tick)));
        }
    }

    #[test]
    fn the_open_end_lies_outside_unless_something_is_open_there() {
        let backlog: Backlog = [Interval::unread(Ticks(10), Ticks(20))]
            .into_iter()
            .collect();
        assert_eq!(
            backlog.outside(Span::from(Ticks(5))),
            [Span::from(Ticks(20)), Span::between(Ticks(5), Ticks(10))]
        );
        assert_eq!(
            backlog.outside(Span::from(Ticks(12))),
            [Span::from(Ticks(20))]
        );
    }

    #[test]
    fn what_rests_is_left_out() {
        let backlog: Backlog = [Interval::unread(Ticks(10), Ticks(20))]
            .into_iter()
            .collect();
        let rest = backlog.except([Span::between(Ticks(12), Ticks(13))]);
        assert_eq!(
            rest.intervals(),
            [
                Interval::unread(Ticks(10), Ticks(12)),
                Interval::unread(Ticks(13), Ticks(20))
            ]
        );
    }
}
