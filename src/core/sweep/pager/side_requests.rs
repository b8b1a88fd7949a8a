//! Remembers incidents that need further requests besides their page, across attempts at the page that are broken off.
//!
//! A live sweep breaks off a page of the backlog, which then starts again. If a page needed more requests than fit
//! between two live sweeps, it would never end, and nothing behind it would be read. So an attempt does not request
//! again what an earlier attempt has read. An incident that is not complete after several attempts is published without
//! the rest of its alerts.

use std::collections::{HashMap, HashSet};

use super::Pager;
use super::recent::PlaceKey;
use crate::core::incident::version::Reading;
use crate::core::time::ticks::Ticks;

/// How often an incident may be broken off before it is given up. The first attempt may have started late; in later
/// attempts it is the first to be requested.
const MOST_TRIES: u32 = 3;

/// An incident in the state in which it was listed. `None`: an unreadable one.
type Listed = Option<(PlaceKey, Ticks)>;

/// The side requests of the current page.
#[derive(Debug, Default)]
pub(super) struct SideRequests {
    taken: HashSet<(PlaceKey, Ticks)>,
    broken_off: HashMap<Listed, u32>,
}

fn listed(reading: Option<&Reading>) -> Listed {
    reading.map(|reading| (PlaceKey::Incident(reading.id), reading.updated))
}

impl Pager {
    /// Records that an incident of the current page was read with its further alerts, or is published without them.
    pub fn took_beside(&mut self, reading: &Reading) {
        self.beside.taken.extend(listed(Some(reading)));
    }

    /// Whether an earlier attempt at this page has read the incident.
    pub fn has_taken(&self, reading: &Reading) -> bool {
        listed(Some(reading)).is_some_and(|listed| self.beside.taken.contains(&listed))
    }

    /// Records that a live sweep was due during requests for this incident.
    pub fn broken_off_beside(&mut self, reading: Option<&Reading>) {
        *self.beside.broken_off.entry(listed(reading)).or_default() += 1;
    }

    /// Whether to stop requesting more for this incident.
    pub fn gives_up(&self, reading: Option<&Reading>) -> bool {
        let tries = self.beside.broken_off.get(&listed(reading));
        tries.is_some_and(|tries| *tries >= MOST_TRIES)
    }
}
