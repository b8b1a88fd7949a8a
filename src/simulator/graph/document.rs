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

use super::super::alert::Alert;
use super::super::incident::{ANALYST, Incident};
use super::super::incidents::Form;
use super::super::template::{Template, extend};
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

fn time(form: Form, at: i64) -> String {
    match form.millis {
        true => time::format_millis(at),
        false => time::format(at),
    }
}

/// `first`: shows only that many of the alerts, and a link to the others.
pub(in super::super) fn incident(
    incident: &Incident,
    tenant: Uuid,
    form: Form,
    first: Option<(usize, &str)>,
) -> Bytes {
    let comments = incident.comments.iter().map(|comment| {
        json!({"comment": comment.text, "createdBy": ANALYST, "createdTime": time(form, comment.at)})
    });
    let system_tags: &[&str] = match incident.status {
        "AwaitingAction" => &["Defender Experts"],
        _ => &[],
    };
    let mut values = json!({
        "id": incident.id.to_string(), "tenant": tenant, "status": words::status(incident, form.members),
        "url": incident_url(incident, tenant), "redirect": incident.redirect.map(|id| id.to_string()),
        "name": incident.name, "created": time(form, incident.created), "updated": time(form, incident.last_update),
        "assigned": incident.assigned_to, "classification": camel(incident.classification),
        "determination": words::determination(incident), "severity": words::severity(incident),
        "tags": incident.tags, "system_tags": system_tags, "resolving": incident.resolving_comment,
        "modified": incident.modified_by, "score": incident.score, "comments": comments.collect::<Vec<_>>(),
    });
    if !form.alerts {
        return INCIDENT.fill(&values, &[]).into();
    }
    if let Some((_, link)) = first {
        values["link"] = json!(link);
    }
    let count = first.map_or(incident.alerts.len(), |(count, _)| count);
    values["context"] = json!(alerts_context(incident.id));
    let alerts = alerts(incident, tenant, form, 0..count);
    INCIDENT.fill(&values, &[("alerts", alerts)]).into()
}

/// The alerts in `range`, in the order of `form`, which is the same for every part of the same revision.
pub(in super::super) fn alerts(
    incident: &Incident,
    tenant: Uuid,
    form: Form,
    range: Range<usize>,
) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = incident.alerts.iter().collect();
    if form.order != 0 {
        all.shuffle(&mut StdRng::seed_from_u64(form.order ^ incident.id));
    }
    let chosen = all.into_iter().skip(range.start).take(range.len());
    chosen.map(|a| alert(a, incident, tenant, form)).collect()
}

fn alert(alert: &Alert, incident: &Incident, tenant: Uuid, form: Form) -> Vec<u8> {
    let (attack, details) = (alert.attack, alert.details());
    let mut values = details.values;
    // Only Sentinel's rules have details of their own.
    let sentinel = attack.graph_service == "microsoftSentinel";
    let custom = sentinel.then(|| json!({"Account": [values["principal"]]}));
    let alert_url = format!(
        "{PORTAL}/alerts/{}?tid={tenant}",
        values["id"].as_str().unwrap_or_default()
    );
    let own = json!({
        "incident": incident.id.to_string(), "status": camel(alert.status), "severity": camel(&attack.alert_severity),
        "service": words::source(&attack.graph_service, form.members), "product": attack.graph_product,
        "detection": words::source(&attack.graph_detection, form.members), "tenant": tenant,
        "state": camel(alert.investigation), "alert_url": alert_url, "incident_url": incident_url(incident, tenant),
        "created": time(form, alert.created), "updated": time(form, alert.last_updated),
        "resolved": alert.resolved.map(|at| time(form, at)), "first": time(form, details.first_activity),
        "last": time(form, details.last_activity), "details": custom,
    });
    extend(&mut values, own);
    let device = attack.on_device.then_some("Device").into_iter();
    let others = attack.entities.iter().chain(&attack.graph_evidence);
    let kinds = device.chain(others.map(String::as_str));
    let templates = kinds.filter_map(|kind| EVIDENCE.get(kind));
    let mut evidence: Vec<_> = templates.map(|one| one.fill(&values, &[])).collect();
    if form.order != 0 {
        evidence.shuffle(&mut StdRng::seed_from_u64(form.order ^ alert.seed));
    }
    ALERT.fill(&values, &[("evidence", evidence)])
}

fn incident_url(incident: &Incident, tenant: Uuid) -> String {
    format!("{PORTAL}/incident2/{}/overview?tid={tenant}", incident.id)
}
