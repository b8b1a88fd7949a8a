//! The documents of Graph as of 2026 (sections 3.3, 3.4 and 9). One type of evidence is in no documentation.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::super::alert::Alert;
use super::super::incident::Incident;
use super::super::template::{Documents, Template};
use super::{camel, determination, severity, source, status};

pub(in super::super) static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| {
    let mut kinds: HashMap<String, Map<String, Value>> =
        serde_json::from_str(include_str!("evidence.json")).unwrap_or_default();
    // What all types have.
    let common = kinds.remove("Common").unwrap_or_default();
    let template = |own: Map<String, Value>| {
        let mut members = common.clone();
        members.extend(own);
        Template::new(&Value::Object(members).to_string())
    };
    let kinds = kinds.into_iter();
    Documents {
        incident: Template::new(include_str!("incident.json")),
        alert: Template::new(include_str!("alert.json")),
        evidence: kinds.map(|(kind, own)| (kind, template(own))).collect(),
        sparse: HashMap::new(),
    }
});

pub(in super::super) fn incident_words(incident: &Incident, members: bool) -> Value {
    let system_tags: &[&str] = match incident.status {
        "AwaitingAction" => &["Defender Experts"],
        _ => &[],
    };
    json!({
        "status": status(incident, members), "severity": severity(incident),
        "classification": camel(incident.classification), "determination": determination(incident),
        "system_tags": system_tags,
    })
}

pub(in super::super) fn alert_words(alert: &Alert, members: bool) -> Value {
    let attack = alert.attack;
    json!({
        "status": camel(alert.status), "severity": camel(&attack.alert_severity), "state": camel(alert.investigation),
        "service": source(&attack.graph_service, members), "product": attack.graph_product,
        "detection": source(&attack.graph_detection, members),
    })
}
