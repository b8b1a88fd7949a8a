//! A trouble that is told when it begins and when it is over, and not each time in between.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub struct Edge(AtomicBool);

impl Edge {
    /// It is so now; whether it was not before.
    pub fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It is not so now; whether it was before.
    pub fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The same for each of several topics: that one works says nothing of another, and must not end its trouble.
#[derive(Debug, Default)]
pub struct Edges(Mutex<HashSet<Arc<str>>>);

impl Edges {
    /// It is so now of `topic`; whether it was not before.
    pub fn begins(&self, topic: &Arc<str>) -> bool {
        self.topics().insert(topic.clone())
    }

    /// It is not so now of `topic`; whether it was before.
    pub fn ends(&self, topic: &Arc<str>) -> bool {
        self.topics().remove(topic)
    }

    fn topics(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock()
    }
}

/// Observations in a row without a trouble, after which it is over.
const OVER: u32 = 20;

/// A trouble that each sweep meets anew: told when it is met first, and again only when it was over meanwhile. What comes
/// and goes from one answer to the next, because the other side has several servers, is one trouble.
#[derive(Debug, Default)]
pub struct Notice {
    told: bool,
    without: u32,
}

impl Notice {
    /// It was met; whether it is to be told.
    pub fn met(&mut self) -> bool {
        self.without = 0;
        !std::mem::replace(&mut self.told, true)
    }

    /// It could have been met, and was not.
    pub fn not_met(&mut self) {
        self.without = self.without.saturating_add(1);
        self.told &= self.without < OVER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_trouble_is_told_once_and_no_other_topic_ends_it() {
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
    fn a_trouble_is_told_once_however_often_it_comes_and_goes_and_again_when_it_was_over() {
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
