//! One alert of an incident.
//!
//! In memory an alert is a seed and the few fields that change. Its devices, evidence and prose are drawn from the seed
//! whenever it is written: the same revision always has the same text, at a tenth of the memory.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use super::attack::Attack;
use super::time::{self, SECOND};

/// Prose without end, for incidents that must have a size.
const FILLER: &str = "The activity was seen again on the same host and by the same account. ";

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

/// What an alert's seed decides: the same in both APIs, and it never changes.
pub(super) struct Details {
    pub process: u32,
    /// Leaves out what does not apply, where another alert says null.
    pub sparse: bool,
    pub first_activity: i64,
    pub last_activity: i64,
    pub investigation: u32,
    /// Fills the holes of both APIs' templates, of alerts as of their devices, entities and evidence.
    pub values: Value,
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

    pub fn details(&self) -> Details {
        let rng = &mut StdRng::seed_from_u64(self.seed);
        let users = [
            "adele.vance",
            "alex.wilber",
            "jörg.müller",
            "svc-backup",
            "岡本",
        ];
        let domains = ["contoso.com", "europe.corp.contoso.com", "fabrikam.example"];
        // The order of the draws decides what a seed gives.
        let id = alert_id(&self.attack.service, rng);
        let user = *users.choose(rng).unwrap_or(&users[0]);
        let domain = *domains.choose(rng).unwrap_or(&domains[0]);
        let device = format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>());
        let guid = Uuid::from_u128(rng.random());
        let address = format!("203.0.113.{}", rng.random_range(1..255));
        let hash = format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>());
        let process = rng.random_range(4..60_000);
        let sparse = rng.random_bool(0.2);
        let first_activity = self.created - rng.random_range(SECOND..SECOND * 3600);
        let last_activity = first_activity + rng.random_range(0..SECOND * 600);
        let investigation = rng.random_range(1..100_000);
        let (attack, principal) = (self.attack, format!("{user}@{domain}"));
        let values = json!({
            "id": id, "detector": Uuid::from_u64_pair(self.seed, !self.seed), "user": user, "domain": domain,
            "principal": principal, "device": device, "host": format!("host{process}.{domain}"), "guid": guid,
            "address": address, "hash": hash, "process": process, "sid": format!("S-1-5-21-1721254763-{process}"),
            "url": format!("https://{process}.example/a?b=c&d=%20"), "vault": format!("/subscriptions/{guid}/vaults/v"),
            // A user entity without an account name has an empty one, not null (section 1.4, item 3).
            "account": if sparse { "" } else { user }, "title": attack.title, "category": attack.category,
            "description": self.description(&principal), "family": attack.family, "techniques": attack.techniques,
            "assigned": self.assigned_to,
        });
        Details {
            process,
            sparse,
            first_activity,
            last_activity,
            investigation,
            values,
        }
    }

    fn description(&self, principal: &str) -> String {
        let mut text = format!("The user {principal} {}", self.attack.story);
        let whole = text.len() + self.padding;
        while text.len() < whole {
            let missing = (whole - text.len()).min(FILLER.len());
            text.push_str(&FILLER[..missing]);
        }
        text
    }
}

/// Each product numbers its alerts in its own way (section 1.3).
fn alert_id(service: &str, rng: &mut StdRng) -> String {
    let guid = Uuid::from_u128(rng.random());
    match service {
        "MicrosoftDefenderATP" => {
            let number = rng.random_range(600_000_000_000_000_000..u64::MAX / 8);
            format!("da{number}_{}", rng.random::<i32>())
        }
        "MicrosoftCloudAppSecurity" => format!("ca{}", guid.to_string().to_uppercase()),
        "OfficeATP" => format!("fa{guid}"),
        "AzureATP" => format!("aa{guid}"),
        _ => format!("ad{}", guid.simple()),
    }
}
