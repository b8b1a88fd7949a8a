//! The incidents that a pager has seen last, by which it finds out whether two pages join.

use std::collections::{HashMap, VecDeque};

use crate::core::ids::IncidentId;
use crate::core::incident::version::ContentHash;
use crate::core::time::ticks::Ticks;

/// The number of incidents remembered: enough to find the place again in a list that moved by twenty pages.
const REMEMBERED: usize = 2_000;

/// The element at one place of the list. Unreadable elements count too: at the edge of a page they prove that pages
/// join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PlaceKey {
    Incident(IncidentId),
    Malformed(ContentHash),
}

/// The incidents seen last, with the tick of each.
#[derive(Debug, Default)]
pub(super) struct Recent {
    order: VecDeque<(PlaceKey, Ticks)>,
    ticks: HashMap<PlaceKey, Ticks>,
}

impl Recent {
    pub(super) fn tick_of(&self, key: PlaceKey) -> Option<Ticks> {
        self.ticks.get(&key).copied()
    }

    pub(super) fn extend(&mut self, places: Vec<(PlaceKey, Ticks)>) {
        for (key, updated) in places {
            self.ticks.insert(key, updated);
            self.order.push_back((key, updated));
        }
        while self.order.len() > REMEMBERED {
            if let Some((key, updated)) = self.order.pop_front()
                && self.ticks.get(&key) == Some(&updated)
            {
                self.ticks.remove(&key);
            }
        }
    }
}
