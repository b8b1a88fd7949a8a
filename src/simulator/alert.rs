//! One alert of an incident: the attack that it reports, a seed, and the few fields that change. Its devices, evidence and
//! prose are drawn from the seed whenever it is written, which takes a tenth of the memory.

use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::time::{self, SECOND};

/// One kind of attack. Section 9 has Graph's service source only for Sentinel and Security for AI; their words at the
/// Defender API are assumed to be the same.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Attack {
    pub title: String,
    /// What the user did; follows "The user NAME".
    pub story: String,
    pub category: String,
    pub service: String,
    pub detection: String,
    /// The same two in Graph's words.
    pub graph_service: String,
    pub graph_detection: String,
    /// `productName`, which only Graph has.
    pub graph_product: String,
    /// The incident's; its alerts may have another, as in Microsoft's own sample.
    pub severity: String,
    pub alert_severity: String,
    pub family: Option<String>,
    pub techniques: Vec<String>,
    pub on_device: bool,
    pub entities: Vec<String>,
    /// Evidence that only Graph shows.
    pub graph_evidence: Vec<String>,
}

pub(super) static ATTACKS: LazyLock<Vec<Attack>> = LazyLock::new(|| {
    let attacks = serde_json::from_str(include_str!("attacks.json"));
    // Never empty, so that one can always be chosen. A test reads the file.
    attacks.unwrap_or_else(|_| vec![Attack::default()])
});

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_attacks_can_be_read() {
        assert_eq!(ATTACKS.len(), 9);
        assert!(ATTACKS.iter().all(|attack| !attack.title.is_empty()));
    }
}
