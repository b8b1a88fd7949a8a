//! One alert of an incident.
//!
//! In memory an alert is a seed and the few fields that change. Its devices, evidence and prose are drawn from the seed
//! whenever it is written: the same revision always has the same text, at a tenth of the memory.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::attack::Attack;
use super::time::{self, SECOND};

/// An alert as the world knows it.
pub(super) struct Alert {
    pub seed: u64,
    pub attack: &'static Attack,
    pub created: i64,
    pub last_updated: i64,
    pub resolved: Option<i64>,
    pub status: &'static str,
    pub investigation: &'static str,
    pub assigned_to: Option<&'static str>,
    /// Bytes of prose added to the description.
    pub padding: usize,
}

impl Alert {
    pub fn new(attack: &'static Attack, seed: u64, now: i64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            seed,
            attack,
            created: now - rng.random_range(0..SECOND * 4),
            last_updated: time::sql_datetime(now),
            resolved: None,
            status: "New",
            investigation: ["UnsupportedAlertType", "UnsupportedOs", "Queued", "Running"]
                .choose(&mut rng)
                .unwrap_or(&"Queued"),
            assigned_to: rng.random_bool(0.2).then_some("Automation"),
            padding: 0,
        }
    }

    /// Moves on by one state, as automated investigation does without touching the incident.
    pub fn progress(&mut self, now: i64) {
        (self.status, self.investigation) = match self.status {
            "New" => ("InProgress", "Running"),
            "InProgress" => ("Resolved", "Benign"),
            _ => ("InProgress", "PendingApproval"),
        };
        self.touch(now);
    }

    pub fn set_status(&mut self, status: &'static str, now: i64) {
        self.status = status;
        self.touch(now);
    }

    /// Moves the alert's own time, and nothing else.
    pub fn touch(&mut self, now: i64) {
        self.last_updated = time::sql_datetime(now).max(time::next_sql_datetime(self.last_updated));
        self.resolved = (self.status == "Resolved").then_some(self.last_updated);
    }
}
