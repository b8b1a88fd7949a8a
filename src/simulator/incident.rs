//! One incident, in the words of the Defender API (section 1.3); each API writes it out in its own.
//!
//! In memory an alert is a seed and the few fields that change; its devices, evidence and prose are drawn from the seed
//! whenever it is written out. The same revision therefore always has the same text, at a tenth of the memory.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::cast::Cast;
use super::scene::{SCENES, Scene};
use super::time::{self, SECOND};

/// An incident as the world knows it.
pub(super) struct Incident {
    pub id: u64,
    pub redirect: Option<u64>,
    pub name: String,
    pub created: i64,
    pub last_update: i64,
    pub assigned_to: Option<String>,
    pub classification: &'static str,
    pub determination: &'static str,
    pub status: &'static str,
    pub severity: String,
    /// Graph's `priorityScore`, 0 to 100; `None` while its calculation is pending.
    pub score: Option<u8>,
    /// Who changed it last, and what was said when it was closed: only Graph tells.
    pub modified_by: Option<&'static str>,
    pub resolving_comment: Option<&'static str>,
    pub tags: Vec<String>,
    pub comments: Vec<Comment>,
    pub alerts: Vec<Alert>,
    /// Bumped by every change, those included that `lastUpdateTime` does not tell of, but not by a new score that leaves
    /// it alone: that is the same version with another text.
    pub revision: u32,
    /// Written with the fields that newer answers of the Defender API have and its documentation does not.
    pub newer: bool,
}

pub(super) struct Comment {
    pub text: String,
    pub by: &'static str,
    pub at: i64,
}

/// Who does what people do in this world.
pub(super) const ANALYST: &str = "analyst@contoso.com";

/// Classification and determination of closed incidents. The determinations are those of which Graph has other words.
pub(super) const VERDICTS: [(&str, &str); 6] = [
    ("TruePositive", "Malware"),
    ("TruePositive", "CompromisedAccount"),
    ("FalsePositive", "Clean"),
    ("FalsePositive", "InsufficientData"),
    ("InformationalExpectedActivity", "ConfirmedActivity"),
    ("InformationalExpectedActivity", "SecurityTesting"),
];

impl Comment {
    pub fn new(text: &str, at: i64) -> Self {
        Self {
            text: text.to_owned(),
            by: ANALYST,
            at,
        }
    }
}

/// An alert as the world knows it.
pub(super) struct Alert {
    pub seed: u64,
    pub scene: &'static Scene,
    pub created: i64,
    pub last_updated: i64,
    pub resolved: Option<i64>,
    pub status: &'static str,
    pub investigation: &'static str,
    pub assigned_to: Option<&'static str>,
    /// Bytes of prose added to the description.
    pub padding: usize,
}

/// What an alert's seed tells of it, for ever.
pub(super) struct Drawn {
    pub id: String,
    pub detector: Uuid,
    pub cast: Cast,
    pub first_activity: i64,
    pub last_activity: i64,
    pub investigation: u32,
}

impl Alert {
    pub fn new(scene: &'static Scene, seed: u64, now: i64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            seed,
            scene,
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
        self.stamp(now);
    }

    pub fn close(&mut self, now: i64) {
        self.status = "Resolved";
        self.stamp(now);
    }

    pub fn open(&mut self, now: i64) {
        self.status = "InProgress";
        self.stamp(now);
    }

    /// Goes to another incident as it is, which only its own time tells of.
    pub fn leave(&mut self, now: i64) {
        self.stamp(now);
    }

    pub fn draw(&self) -> Drawn {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let id = self.scene.alert_id(&mut rng);
        let cast = Cast::draw(&mut rng);
        let first_activity = self.created - rng.random_range(SECOND..SECOND * 3600);
        Drawn {
            id,
            detector: Uuid::from_u64_pair(self.seed, !self.seed),
            cast,
            first_activity,
            last_activity: first_activity + rng.random_range(0..SECOND * 600),
            investigation: rng.random_range(1..100_000),
        }
    }

    fn stamp(&mut self, now: i64) {
        self.last_updated = time::sql_datetime(now).max(time::next_sql_datetime(self.last_updated));
        self.resolved = (self.status == "Resolved").then_some(self.last_updated);
    }
}

impl Incident {
    /// Gets another score than it had. Which one is no model's work: it is only told apart from the one before.
    pub fn rescore(&mut self) {
        let before = self.score.map_or(self.id, |score| u64::from(score) + 37);
        // Below 101, so that it fits.
        self.score = u8::try_from(before % 101).ok();
    }

    /// A new incident of `alerts` alerts, as it first appears.
    pub fn new(id: u64, alerts: usize, now: i64, rng: &mut StdRng) -> Self {
        let scene = SCENES.choose(rng).unwrap_or(&SCENES[0]);
        let last_update = time::sql_datetime(now);
        Self {
            id,
            redirect: None,
            // Some are named by nothing but their number.
            name: if rng.random_bool(0.05) {
                id.to_string()
            } else {
                scene.title.to_owned()
            },
            created: time::sql_datetime(now - rng.random_range(0..SECOND / 2)),
            last_update,
            assigned_to: None,
            classification: "Unknown",
            determination: "NotAvailable",
            status: "Active",
            severity: scene.severity.to_owned(),
            score: None,
            modified_by: None,
            resolving_comment: None,
            tags: Vec::new(),
            comments: Vec::new(),
            alerts: (0..alerts)
                .map(|_| Alert::new(scene, rng.random(), now))
                .collect(),
            revision: 1,
            newer: rng.random_bool(0.6),
        }
    }
}
