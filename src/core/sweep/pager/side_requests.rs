//! Incidents that take requests beside the page: what of them an attempt at a page has done before it was broken off.
//!
//! A page of the backlog that is broken off for a live sweep begins anew after it. One with more requests beside it than
//! fit between two live sweeps would never come to its end, and nothing behind it would be read. So what an attempt took
//! in is not asked for again by the next; and an incident that did not come whole though it had all the time there is,
//! is done without the rest of its alerts.

use std::collections::{HashMap, HashSet};

use super::Pager;
use super::recent::PlaceKey;
use crate::core::incident::version::Reading;
use crate::core::time::ticks::Ticks;

/// So often an incident is broken off before it is given up. The first time it may have been begun late; from then on it
/// is the first that is asked for.
const MOST_TRIES: u32 = 3;

/// An incident in the state in which it was listed; `None`: one that can't be read.
type Listed = Option<(PlaceKey, Ticks)>;

/// Of the page being read.
#[derive(Debug, Default)]
pub(super) struct SideRequests {
    taken: HashSet<(PlaceKey, Ticks)>,
    broken_off: HashMap<Listed, u32>,
}

fn listed(reading: Option<&Reading>) -> Listed {
    reading.map(|reading| (PlaceKey::Incident(reading.id), reading.updated))
}

impl Pager {
    /// An incident of the page being read was taken in with the alerts that it has elsewhere, or is done without them.
    pub fn took_beside(&mut self, reading: &Reading) {
        self.beside.taken.extend(listed(Some(reading)));
    }

    /// Whether an earlier attempt at this page has taken it in.
    pub fn has_taken(&self, reading: &Reading) -> bool {
        listed(Some(reading)).is_some_and(|listed| self.beside.taken.contains(&listed))
    }

    /// It was time for a live sweep while requests for this incident were under way.
    pub fn broken_off_beside(&mut self, reading: Option<&Reading>) {
        *self.beside.broken_off.entry(listed(reading)).or_default() += 1;
    }

    /// Whether no more requests are to be made for this incident.
    pub fn gives_up(&self, reading: Option<&Reading>) -> bool {
        let tries = self.beside.broken_off.get(&listed(reading));
        tries.is_some_and(|tries| *tries >= MOST_TRIES)
    }
}
