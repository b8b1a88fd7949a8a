//! Conditions that are reported when they begin and when they end, and not each time in between.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One condition.
#[derive(Debug, Default)]
pub struct Edge(AtomicBool);

impl Edge {
    /// Records that the condition holds. Returns whether it is new.
    pub fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Records that the condition does not hold. Returns whether it held before.
    pub fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The same condition for several topics, independent of one another.
#[derive(Debug, Default)]
pub struct Edges(Mutex<HashSet<Arc<str>>>);

impl Edges {
    /// Records that the condition holds for `topic`. Returns whether it is new.
    pub fn begins(&self, topic: &Arc<str>) -> bool {
        self.0.lock().insert(topic.clone())
    }

    /// Records that the condition does not hold for `topic`. Returns whether it held before.
    pub fn ends(&self, topic: &Arc<str>) -> bool {
        self.0.lock().remove(topic)
    }
}

/// A condition is over after this many observations in a row without it.
const OVER: u32 = 20;

/// A condition that each sweep may meet again. It is reported when it is first met, and again only after it was over. A
/// condition that comes and goes from one answer to the next, because the API has several servers, counts as one.
#[derive(Debug, Default)]
pub struct Notice {
    reported: bool,
    /// Observations in a row without it.
    without: u32,
}

impl Notice {
    /// Records that the condition was met. Returns whether to report it.
    pub fn met(&mut self) -> bool {
        self.without = 0;
        !std::mem::replace(&mut self.reported, true)
    }

    /// Records that the condition was not met although it could have been.
    pub fn not_met(&mut self) {
        self.without = self.without.saturating_add(1);
        self.reported &= self.without < OVER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_condition_is_reported_once_and_no_other_topic_ends_it() {
        let (edges, [bad, good]) = (Edges::default(), ["bad".into(), "good".into()]);
        assert!(edges.begins(&bad));
        for _ in 0..3 {
            assert!(!edges.begins(&bad));
            assert!(!edges.ends(&good));
        }
        assert!(edges.ends(&bad));
        assert!(edges.begins(&bad));
    }

    #[test]
    fn a_condition_is_reported_once_however_often_it_comes_and_goes_and_again_when_it_was_over() {
        let mut notice = Notice::default();
        assert!(notice.met());
        for _ in 0..100 {
            notice.not_met();
            assert!(!notice.met());
        }
        for _ in 0..OVER {
            notice.not_met();
        }
        assert!(notice.met());
    }
}
