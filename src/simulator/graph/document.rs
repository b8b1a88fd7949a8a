//! The documents of Graph as of 2026: the members of section 9, the types of sections 3.3 and 3.4.
//!
//! Evidence has many types, which `@odata.type` tells apart; one of them is in no documentation.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::alert::{Alert, Details};
use super::super::incident::{ANALYST, Incident};
use super::super::template::Template;
use super::super::time;
use super::alerts_context;
use super::words::{self, camel};

const PORTAL: &str = "https://security.microsoft.com";

static INCIDENT: LazyLock<Template> =
    LazyLock::new(|| Template::new(include_str!("incident.json")));
static ALERT: LazyLock<Template> = LazyLock::new(|| Template::new(include_str!("alert.json")));
/// By kind. What all types have is under `Common` in the file.
static EVIDENCE: LazyLock<HashMap<String, Template>> = LazyLock::new(|| {
    let mut kinds: HashMap<String, Map<String, Value>> =
        serde_json::from_str(include_str!("evidence.json")).unwrap_or_default();
    let common = kinds.remove("Common").unwrap_or_default();
    let template = |own: Map<String, Value>| {
        let mut members = common.clone();
        members.extend(own);
        Template::new(&Value::Object(members).to_string())
    };
    let kinds = kinds.into_iter();
    kinds.map(|(kind, own)| (kind, template(own))).collect()
});

/// How a document is written.
#[derive(Clone, Copy)]
pub(in super::super) struct Style {
    /// Of alerts and evidence; 0 is the natural order.
    pub order: u64,
    pub members: bool,
    pub millis: bool,
}

impl Style {
    fn time(self, at: i64) -> String {
        match self.millis {
            true => time::format_millis(at),
            false => time::format(at),
        }
    }
}

/// How much of its alerts an incident shows.
#[derive(Clone, Copy)]
pub(in super::super) enum Part<'a> {
    None,
    All,
    /// That many, and a link to the others.
    First(usize, &'a str),
}

pub(in super::super) fn incident(
    incident: &Incident,
    tenant: Uuid,
    style: Style,
    part: Part<'_>,
) -> Bytes {
    let comments = incident.comments.iter().map(|comment| {
        json!({"comment": comment.text, "createdBy": ANALYST, "createdTime": style.time(comment.at)})
    });
    let system_tags: &[&str] = match incident.status {
        "AwaitingAction" => &["Defender Experts"],
        _ => &[],
    };
    let mut values = json!({
        "id": incident.id.to_string(), "tenant": tenant, "status": words::status(incident, style.members),
        "url": incident_url(incident, tenant), "redirect": incident.redirect.map(|id| id.to_string()),
        "name": incident.name, "created": style.time(incident.created), "updated": style.time(incident.last_update),
        "assigned": incident.assigned_to, "classification": camel(incident.classification),
        "determination": words::determination(incident), "severity": words::severity(incident),
        "tags": incident.tags, "system_tags": system_tags, "resolving": incident.resolving_comment,
        "modified": incident.modified_by, "score": incident.score, "comments": comments.collect::<Vec<_>>(),
    });
    let count = match part {
        Part::None => return INCIDENT.fill(&values, &[]).into(),
        Part::All => incident.alerts.len(),
        Part::First(count, link) => {
            values["link"] = json!(link);
            count
        }
    };
    values["context"] = json!(alerts_context(incident.id));
    let alerts = alerts(incident, tenant, style, 0..count);
    INCIDENT.fill(&values, &[("alerts", alerts)]).into()
}

/// The alerts in `range`, in the order of `style`, which is the same for every part of the same revision.
pub(in super::super) fn alerts(
    incident: &Incident,
    tenant: Uuid,
    style: Style,
    range: Range<usize>,
) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = incident.alerts.iter().collect();
    if style.order != 0 {
        all.shuffle(&mut StdRng::seed_from_u64(style.order ^ incident.id));
    }
    let chosen = all.into_iter().skip(range.start).take(range.len());
    chosen.map(|a| alert(a, incident, tenant, style)).collect()
}

fn alert(alert: &Alert, incident: &Incident, tenant: Uuid, style: Style) -> Vec<u8> {
    let (attack, details) = (alert.attack, alert.details());
    let mut evidence = evidence(alert, &details, style);
    if style.order != 0 {
        evidence.shuffle(&mut StdRng::seed_from_u64(style.order ^ alert.seed));
    }
    // Only Sentinel's rules have details of their own.
    let sentinel = attack.graph_service == "microsoftSentinel";
    let custom = sentinel.then(|| json!({"Account": [details.principal()]}));
    let values = json!({
        "id": details.id, "incident": incident.id.to_string(), "status": camel(alert.status),
        "severity": camel(&attack.alert_severity), "service": words::source(&attack.graph_service, style.members),
        "detection": words::source(&attack.graph_detection, style.members), "product": attack.graph_product,
        "detector": details.detector, "tenant": tenant, "title": attack.title,
        "description": alert.description(&details), "category": attack.category,
        "state": camel(alert.investigation), "assigned": alert.assigned_to,
        "url": format!("{PORTAL}/alerts/{}?tid={tenant}", details.id), "incident_url": incident_url(incident, tenant),
        "family": attack.family, "techniques": attack.techniques, "created": style.time(alert.created),
        "updated": style.time(alert.last_updated), "resolved": alert.resolved.map(|at| style.time(at)),
        "first": style.time(details.first_activity), "last": style.time(details.last_activity), "details": custom,
    });
    ALERT.fill(&values, &[("evidence", evidence)])
}

fn incident_url(incident: &Incident, tenant: Uuid) -> String {
    format!("{PORTAL}/incident2/{}/overview?tid={tenant}", incident.id)
}

fn evidence(alert: &Alert, details: &Details, style: Style) -> Vec<Vec<u8>> {
    let attack = alert.attack;
    let values = json!({
        "account": details.account(), "address": details.address, "at": style.time(alert.created),
        "device": details.device, "domain": details.domain, "guid": details.guid, "hash": details.hash,
        "host": details.host(), "principal": details.principal(), "process": details.process, "sid": details.sid(),
        "url": details.url(), "user": details.user, "vault": format!("/subscriptions/{}/vaults/v", details.guid),
    });
    let device = attack.on_device.then_some("Device").into_iter();
    let others = attack.entities.iter().chain(&attack.graph_evidence);
    let kinds = device.chain(others.map(String::as_str));
    let templates = kinds.filter_map(|kind| EVIDENCE.get(kind));
    templates
        .map(|template| template.fill(&values, &[]))
        .collect()
}
