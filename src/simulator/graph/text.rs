//! An incident's text, and that of its alerts, as Graph shows them in 2026: the members of section 9, the types of sections
//! 3.3 and 3.4.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::incident::{Alert, Comment, Incident};
use super::super::time;
use super::words::{self, camel};
use super::{METADATA, evidence};

const PORTAL: &str = "https://security.microsoft.com";

/// How it is written.
#[derive(Clone, Copy)]
pub(super) struct Hand {
    /// Of alerts and evidence; 0 is the natural order.
    pub order: u64,
    pub members: bool,
    pub millis: bool,
}

impl Hand {
    pub fn time(self, at: i64) -> String {
        if self.millis {
            time::format_millis(at)
        } else {
            time::format(at)
        }
    }
}

/// How much of its alerts an incident shows.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    None,
    All,
    /// So many, and a link to the others.
    First(usize, &'a str),
}

pub(super) fn render(incident: &Incident, tenant: Uuid, hand: Hand, part: Part<'_>) -> Bytes {
    let (count, link) = match part {
        Part::None => (None, None),
        Part::All => (Some(incident.alerts.len()), None),
        Part::First(count, link) => (Some(count), Some(link)),
    };
    let text = IncidentText {
        kind: "#microsoft.graph.security.incident",
        id: incident.id.to_string(),
        tenant_id: tenant,
        status: words::status(incident, hand.members),
        incident_web_url: incident_url(incident, tenant),
        redirect_incident_id: incident.redirect.map(|id| id.to_string()),
        display_name: &incident.name,
        created_date_time: hand.time(incident.created),
        last_update_date_time: hand.time(incident.last_update),
        assigned_to: incident.assigned_to.as_deref(),
        classification: camel(incident.classification),
        determination: words::determination(incident),
        severity: words::severity(incident),
        custom_tags: &incident.tags,
        system_tags: if incident.status == "AwaitingAction" {
            &["Defender Experts"]
        } else {
            &[]
        },
        description: None,
        summary: None,
        resolving_comment: incident.resolving_comment,
        last_modified_by: incident.modified_by,
        priority_score: incident.score,
        comments: incident.comments.iter().map(|c| comment(c, hand)).collect(),
        alerts_context: count.map(|_| format!("{METADATA}('{}')/alerts", incident.id)),
        alerts_link: link,
        alerts: count.map(|count| some_alerts(incident, tenant, hand, 0..count)),
    };
    // Nothing in it can fail to be written: no maps with odd keys, no foreign `Serialize`.
    serde_json::to_vec(&text).unwrap_or_default().into()
}

/// The array of the alerts in `range`.
pub(super) fn alerts(
    incident: &Incident,
    tenant: Uuid,
    hand: Hand,
    range: Range<usize>,
) -> Vec<u8> {
    serde_json::to_vec(&some_alerts(incident, tenant, hand, range)).unwrap_or_default()
}

/// In the order of `hand`, which is the same for every part of the same revision.
fn some_alerts<'a>(
    incident: &'a Incident,
    tenant: Uuid,
    hand: Hand,
    range: Range<usize>,
) -> Vec<AlertText<'a>> {
    let mut all: Vec<_> = incident.alerts.iter().collect();
    if hand.order != 0 {
        all.shuffle(&mut StdRng::seed_from_u64(hand.order ^ incident.id));
    }
    let chosen = all.into_iter().skip(range.start).take(range.len());
    chosen
        .map(|alert| alert_text(alert, incident, tenant, hand))
        .collect()
}

fn alert_text<'a>(
    alert: &'a Alert,
    incident: &'a Incident,
    tenant: Uuid,
    hand: Hand,
) -> AlertText<'a> {
    let (scene, drawn) = (alert.scene, alert.draw());
    let mut evidence = evidence::evidence(&drawn.cast, scene, hand.time(alert.created));
    if hand.order != 0 {
        evidence.shuffle(&mut StdRng::seed_from_u64(hand.order ^ alert.seed));
    }
    AlertText {
        kind: "#microsoft.graph.security.alert",
        provider_alert_id: drawn.id.clone(),
        incident_id: incident.id.to_string(),
        status: camel(alert.status),
        severity: camel(scene.alert_severity),
        classification: "unknown",
        determination: "unknown",
        service_source: words::source(scene.graph_service, hand.members),
        detection_source: words::source(scene.graph_detection, hand.members),
        product_name: scene.graph_product,
        detector_id: drawn.detector,
        alert_policy_id: None,
        tenant_id: tenant,
        title: scene.title,
        description: scene.description(&drawn.cast, alert.padding),
        recommended_actions: "",
        categories: [scene.category],
        investigation_state: camel(alert.investigation),
        assigned_to: alert.assigned_to,
        alert_web_url: format!("{PORTAL}/alerts/{}?tid={tenant}", drawn.id),
        incident_web_url: incident_url(incident, tenant),
        actor_display_name: None,
        threat_display_name: None,
        threat_family_name: scene.family,
        mitre_techniques: scene.techniques,
        created_date_time: hand.time(alert.created),
        last_update_date_time: hand.time(alert.last_updated),
        resolved_date_time: alert.resolved.map(|at| hand.time(at)),
        first_activity_date_time: hand.time(drawn.first_activity),
        last_activity_date_time: hand.time(drawn.last_activity),
        comments: [],
        system_tags: [],
        // Only Sentinel's rules have details of their own.
        custom_details: (scene.graph_service == "microsoftSentinel")
            .then(|| json!({"Account": [drawn.cast.principal()]})),
        additional_data: None,
        evidence,
        id: drawn.id,
    }
}

fn incident_url(incident: &Incident, tenant: Uuid) -> String {
    format!("{PORTAL}/incident2/{}/overview?tid={tenant}", incident.id)
}

fn comment(comment: &Comment, hand: Hand) -> CommentText<'_> {
    CommentText {
        comment: &comment.text,
        created_by: comment.by,
        created_time: hand.time(comment.at),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IncidentText<'a> {
    #[serde(rename = "@odata.type")]
    kind: &'a str,
    id: String,
    tenant_id: Uuid,
    status: Cow<'a, str>,
    incident_web_url: String,
    redirect_incident_id: Option<String>,
    display_name: &'a str,
    created_date_time: String,
    last_update_date_time: String,
    assigned_to: Option<&'a str>,
    classification: Cow<'a, str>,
    determination: Cow<'a, str>,
    severity: Cow<'a, str>,
    custom_tags: &'a [String],
    system_tags: &'a [&'a str],
    description: Option<&'a str>,
    summary: Option<&'a str>,
    resolving_comment: Option<&'a str>,
    last_modified_by: Option<&'a str>,
    priority_score: Option<u8>,
    comments: Vec<CommentText<'a>>,
    #[serde(rename = "alerts@odata.context")]
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts_context: Option<String>,
    #[serde(rename = "alerts@odata.nextLink")]
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts_link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<AlertText<'a>>>,
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
    #[serde(rename = "@odata.type")]
    kind: &'a str,
    id: String,
    provider_alert_id: String,
    incident_id: String,
    status: Cow<'a, str>,
    severity: Cow<'a, str>,
    classification: &'a str,
    determination: &'a str,
    service_source: &'a str,
    detection_source: &'a str,
    product_name: &'a str,
    detector_id: Uuid,
    alert_policy_id: Option<&'a str>,
    tenant_id: Uuid,
    title: &'a str,
    description: String,
    recommended_actions: &'a str,
    categories: [&'a str; 1],
    investigation_state: Cow<'a, str>,
    assigned_to: Option<&'a str>,
    alert_web_url: String,
    incident_web_url: String,
    actor_display_name: Option<&'a str>,
    threat_display_name: Option<&'a str>,
    threat_family_name: Option<&'a str>,
    mitre_techniques: &'a [&'a str],
    created_date_time: String,
    last_update_date_time: String,
    resolved_date_time: Option<String>,
    first_activity_date_time: String,
    last_activity_date_time: String,
    comments: [&'a str; 0],
    system_tags: [&'a str; 0],
    custom_details: Option<Value>,
    additional_data: Option<Value>,
    evidence: Vec<Value>,
}
