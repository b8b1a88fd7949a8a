//! An incident's text as `api-list-incidents` shows it.

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;
use uuid::Uuid;

use super::super::incident::{Alert, Comment, Incident};
use super::super::time;
use super::entity::{self, Device, Entity};
use super::status;

/// The incident's text. `order` 0 is the natural order of alerts, devices and entities; any other number is some
/// other order, always the same one.
pub(super) fn render(incident: &Incident, tenant: Uuid, order: u64) -> Bytes {
    let mut shuffle = (order != 0).then(|| StdRng::seed_from_u64(order ^ incident.id));
    let mut alerts: Vec<_> = incident
        .alerts
        .iter()
        .map(|alert| alert_text(alert, incident, shuffle.as_mut()))
        .collect();
    if let Some(rng) = &mut shuffle {
        alerts.shuffle(rng);
    }
    let text = IncidentText {
        incident_id: incident.id,
        incident_uri: incident.newer.then(|| {
            format!(
                "https://security.microsoft.com/incidents/{}?tid={tenant}",
                incident.id
            )
        }),
        redirect_incident_id: incident.redirect,
        incident_name: &incident.name,
        created_time: time::format(incident.created),
        last_update_time: time::format(incident.last_update),
        assigned_to: incident.assigned_to.as_deref(),
        classification: incident.classification,
        determination: incident.determination,
        status: status(incident.status),
        severity: &incident.severity,
        tags: &incident.tags,
        comments: incident.comments.iter().map(comment).collect(),
        alerts,
    };
    // Nothing in it can fail to be written: no maps with odd keys, no foreign `Serialize`.
    serde_json::to_vec(&text).unwrap_or_default().into()
}

fn comment(comment: &Comment) -> CommentText<'_> {
    CommentText {
        comment: &comment.text,
        created_by: comment.by,
        created_time: time::format(comment.at),
    }
}

fn alert_text<'a>(
    alert: &'a Alert,
    incident: &'a Incident,
    shuffle: Option<&mut StdRng>,
) -> AlertText<'a> {
    let (scene, drawn, newer) = (alert.scene, alert.draw(), incident.newer);
    let mut devices = entity::devices(&drawn.cast, scene, alert.created, newer);
    let mut entities = entity::entities(&drawn.cast, scene, alert.created, newer);
    if let Some(rng) = shuffle {
        devices.shuffle(rng);
        entities.shuffle(rng);
    }
    AlertText {
        provider_alert_id: newer.then(|| drawn.id.clone()),
        detector_id: newer.then(|| drawn.detector.to_string()),
        alert_id: drawn.id,
        incident_id: incident.id,
        service_source: scene.service,
        creation_time: time::format(alert.created),
        last_updated_time: time::format(alert.last_updated),
        resolved_time: alert.resolved.map(time::format),
        first_activity: time::format(drawn.first_activity),
        last_activity: time::format(drawn.last_activity),
        title: scene.title,
        description: scene.description(&drawn.cast, alert.padding),
        category: scene.category,
        status: alert.status,
        severity: scene.alert_severity,
        investigation_id: (alert.investigation == "Running").then_some(drawn.investigation),
        investigation_state: alert.investigation,
        classification: None,
        determination: None,
        detection_source: scene.detection,
        assigned_to: alert.assigned_to,
        actor_name: None,
        threat_family_name: scene.family,
        mitre_techniques: scene.techniques,
        devices,
        entities,
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
    comments: Vec<CommentText<'a>>,
    alerts: Vec<AlertText<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommentText<'a> {
    comment: &'a str,
    created_by: &'a str,
    created_time: String,
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
