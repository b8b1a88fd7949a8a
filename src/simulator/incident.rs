//! One incident, in the words of the Defender API (section 1.3).

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::alert::{ATTACKS, Alert};
use super::change::Update;
use super::time::{self, SECOND};

#[derive(Default)]
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
    /// Who changed it last; only Graph shows it.
    pub modified_by: Option<&'static str>,
    /// The comment on its end; only Graph shows it.
    pub resolving_comment: Option<&'static str>,
    pub tags: Vec<String>,
    pub comments: Vec<Comment>,
    pub alerts: Vec<Alert>,
    /// Each change adds one, also where `lastUpdateTime` stays. Only a new score adds none.
    pub revision: u32,
    /// Written with the fields that newer answers of the Defender API have and its documentation does not.
    pub newer: bool,
}

pub(super) struct Comment {
    pub text: String,
    pub at: i64,
}

/// The author of all changes that people make.
pub(super) const ANALYST: &str = "analyst@contoso.com";

/// Classification and determination of closed incidents: the determinations for which Graph has other words.
pub(super) const VERDICTS: [(&str, &str); 6] = [
    ("TruePositive", "Malware"),
    ("TruePositive", "CompromisedAccount"),
    ("FalsePositive", "Clean"),
    ("FalsePositive", "InsufficientData"),
    ("InformationalExpectedActivity", "ConfirmedActivity"),
    ("InformationalExpectedActivity", "SecurityTesting"),
];

impl Incident {
    /// A new incident of `alerts` alerts, as it first appears.
    pub fn new(id: u64, alerts: usize, now: i64, rng: &mut StdRng) -> Self {
        let attack = ATTACKS.choose(rng).unwrap_or(&ATTACKS[0]);
        // The name of some is only their number.
        let name = match rng.random_bool(0.05) {
            true => id.to_string(),
            false => attack.title.clone(),
        };
        Self {
            id,
            name,
            created: time::sql_datetime(now - rng.random_range(0..SECOND / 2)),
            last_update: time::sql_datetime(now),
            classification: "Unknown",
            determination: "NotAvailable",
            status: "Active",
            severity: attack.severity.clone(),
            alerts: (0..alerts)
                .map(|_| Alert::new(attack, rng.random(), now))
                .collect(),
            revision: 1,
            newer: rng.random_bool(0.6),
            ..Self::default()
        }
    }

    pub fn is_redirected(&self) -> bool {
        self.status == "Redirected"
    }

    /// Whether it is open and can be worked on.
    pub fn is_open(&self) -> bool {
        matches!(self.status, "Active" | "InProgress")
    }

    /// Gives the incident a different score. How Microsoft computes scores does not matter here.
    pub fn rescore(&mut self) {
        let before = self.score.map_or(self.id, |score| u64::from(score) + 37);
        // Always fits: it is below 101.
        self.score = u8::try_from(before % 101).ok();
    }

    pub fn comment(&mut self, text: &str, at: i64) {
        let text = text.to_owned();
        self.comments.push(Comment { text, at });
    }

    pub fn apply(&mut self, update: Update, now: i64, rng: &mut StdRng) {
        self.modified_by = Some(ANALYST);
        match update {
            Update::Status(status) => self.status = status,
            Update::Severity(severity) => self.severity = severity,
            Update::AssignedTo(assignee) => self.assigned_to = assignee,
            Update::Tag(tag) => self.tags.push(tag),
            Update::Comment(text) => self.comment(&text, now),
            Update::NewAlerts(count) => {
                let start = rng.random_range(0..ATTACKS.len());
                let chosen = ATTACKS.iter().cycle().skip(start).take(count);
                let new = chosen.map(|attack| Alert::new(attack, rng.random(), now));
                self.alerts.extend(new);
            }
            Update::Resolve(classification, determination) => {
                self.status = "Resolved";
                (self.classification, self.determination) = (classification, determination);
                self.resolving_comment = Some("Looked into and closed.");
                self.set_alerts("Resolved", now);
            }
            Update::Reopen => {
                self.status = "Active";
                self.set_alerts("InProgress", now);
            }
        }
    }

    fn set_alerts(&mut self, status: &'static str, now: i64) {
        for alert in &mut self.alerts {
            alert.set_status(status, now);
        }
    }
}
