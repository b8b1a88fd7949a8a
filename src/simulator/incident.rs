//! One incident, and its text as `api-list-incidents` shows it.
//!
//! In memory an alert is a seed and the few fields that change; its devices, entities and prose are drawn from the seed
//! whenever it is written out. The same revision therefore always has the same text, at a tenth of the memory.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use uuid::Uuid;

use super::entity::{Cast, Device, Entity};
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
    pub tags: Vec<String>,
    pub comments: Vec<Comment>,
    pub alerts: Vec<Alert>,
    /// Bumped by every change, those included that `lastUpdateTime` does not tell of.
    pub revision: u32,
    /// Written with the fields that newer answers have and the documentation does not.
    pub newer: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comment {
    comment: String,
    created_by: String,
    created_time: String,
}

impl Comment {
    pub fn new(comment: &str, at: i64) -> Self {
        Self {
            comment: comment.to_owned(),
            created_by: "analyst@contoso.com".to_owned(),
            created_time: time::format(at),
        }
    }
}

/// An alert as the world knows it.
pub(super) struct Alert {
    seed: u64,
    scene: &'static Scene,
    created: i64,
    last_updated: i64,
    resolved: Option<i64>,
    status: &'static str,
    investigation: &'static str,
    assigned_to: Option<&'static str>,
    /// Bytes of prose added to the description.
    pub padding: usize,
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

    fn stamp(&mut self, now: i64) {
        self.last_updated = time::sql_datetime(now).max(time::next_sql_datetime(self.last_updated));
        self.resolved = (self.status == "Resolved").then_some(self.last_updated);
    }
}

impl Incident {
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
            tags: Vec::new(),
            comments: Vec::new(),
            alerts: (0..alerts)
                .map(|_| Alert::new(scene, rng.random(), now))
                .collect(),
            revision: 1,
            newer: rng.random_bool(0.6),
        }
    }

    /// The incident's text. `order` 0 is the natural order of alerts, devices and entities; any other number is some
    /// other order, always the same one.
    pub fn render(&self, tenant: Uuid, order: u64) -> Bytes {
        let mut shuffle = (order != 0).then(|| StdRng::seed_from_u64(order ^ self.id));
        let mut alerts: Vec<_> = self
            .alerts
            .iter()
            .map(|alert| alert.text(self, shuffle.as_mut()))
            .collect();
        if let Some(rng) = &mut shuffle {
            alerts.shuffle(rng);
        }
        let text = IncidentText {
            incident_id: self.id,
            incident_uri: self.newer.then(|| {
                format!(
                    "https://security.microsoft.com/incidents/{}?tid={tenant}",
                    self.id
                )
            }),
            redirect_incident_id: self.redirect,
            incident_name: &self.name,
            created_time: time::format(self.created),
            last_update_time: time::format(self.last_update),
            assigned_to: self.assigned_to.as_deref(),
            classification: self.classification,
            determination: self.determination,
            status: self.status,
            severity: &self.severity,
            tags: &self.tags,
            comments: &self.comments,
            alerts,
        };
        // Nothing in it can fail to be written: no maps with odd keys, no foreign `Serialize`.
        serde_json::to_vec(&text).unwrap_or_default().into()
    }
}

impl Alert {
    fn text<'a>(&'a self, incident: &'a Incident, shuffle: Option<&mut StdRng>) -> AlertText<'a> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let id = self.scene.alert_id(&mut rng);
        let cast = Cast::draw(&mut rng);
        let mut devices = cast.devices(self.scene, self.created, incident.newer);
        let mut entities = cast.entities(self.scene, self.created, incident.newer);
        if let Some(rng) = shuffle {
            devices.shuffle(rng);
            entities.shuffle(rng);
        }
        let first = self.created - rng.random_range(SECOND..SECOND * 3600);
        AlertText {
            provider_alert_id: incident.newer.then(|| id.clone()),
            detector_id: incident
                .newer
                .then(|| Uuid::from_u64_pair(self.seed, !self.seed).to_string()),
            alert_id: id,
            incident_id: incident.id,
            service_source: self.scene.service,
            creation_time: time::format(self.created),
            last_updated_time: time::format(self.last_updated),
            resolved_time: self.resolved.map(time::format),
            first_activity: time::format(first),
            last_activity: time::format(first + rng.random_range(0..SECOND * 600)),
            title: self.scene.title,
            description: self.scene.description(&cast, self.padding),
            category: self.scene.category,
            status: self.status,
            severity: self.scene.alert_severity,
            investigation_id: (self.investigation == "Running")
                .then(|| rng.random_range(1..100_000)),
            investigation_state: self.investigation,
            classification: None,
            determination: None,
            detection_source: self.scene.detection,
            assigned_to: self.assigned_to,
            actor_name: None,
            threat_family_name: self.scene.family,
            mitre_techniques: self.scene.techniques,
            devices,
            entities,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IncidentText<'a> {
    incident_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_uri: Option<String>,
    redirect_incident_id: Option<u64>,
    incident_name: &'a str,
    created_time: String,
    last_update_time: String,
    assigned_to: Option<&'a str>,
    classification: &'a str,
    determination: &'a str,
    status: &'a str,
    severity: &'a str,
    tags: &'a [String],
    comments: &'a [Comment],
    alerts: Vec<AlertText<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertText<'a> {
    alert_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_alert_id: Option<String>,
    incident_id: u64,
    service_source: &'a str,
    creation_time: String,
    last_updated_time: String,
    resolved_time: Option<String>,
    first_activity: String,
    last_activity: String,
    title: &'a str,
    description: String,
    category: &'a str,
    status: &'a str,
    severity: &'a str,
    investigation_id: Option<u32>,
    investigation_state: &'a str,
    classification: Option<&'a str>,
    determination: Option<&'a str>,
    detection_source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detector_id: Option<String>,
    assigned_to: Option<&'a str>,
    actor_name: Option<&'a str>,
    threat_family_name: Option<&'a str>,
    mitre_techniques: &'a [&'a str],
    devices: Vec<Device>,
    entities: Vec<Entity>,
}
