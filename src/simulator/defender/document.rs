//! The documents of the Defender API, as `api-list-incidents` shows them (section 1.3).
//!
//! An entity has every key; those that do not apply are null, or missing in some alerts (section 1.4, item 3).

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::super::alert::Alert;
use super::super::incident::Incident;
use super::super::template::{Documents, Template};
use super::status;

/// Every key of an entity, in its order.
const ENTITY_KEYS: &str = "sha1 sha256 fileName filePath processId processCommandLine processCreationTime \
    parentProcessId parentProcessCreationTime ipAddress url accountName domainName userSid aadUserId userPrincipalName \
    mailboxDisplayName mailboxAddress clusterBy sender recipient subject deliveryAction securityGroupId \
    securityGroupName registryHive registryKey registryValueType registryValue deviceId";

pub(in super::super) static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| {
    let kinds: HashMap<String, Map<String, Value>> =
        serde_json::from_str(include_str!("entities.json")).unwrap_or_default();
    let all = |sparse| {
        let kinds = kinds.iter();
        let one = kinds.map(|(kind, known)| (kind.clone(), entity(kind, known, sparse)));
        one.collect::<HashMap<_, _>>()
    };
    let (mut evidence, sparse) = (all(false), all(true));
    let device = Template::new(include_str!("device.json"));
    evidence.insert("Device".to_owned(), device);
    Documents {
        incident: Template::new(include_str!("incident.json")),
        alert: Template::new(include_str!("alert.json")),
        evidence,
        sparse,
    }
});

fn entity(kind: &str, known: &Map<String, Value>, sparse: bool) -> Template {
    let mut text = format!("{{\"entityType\":\"{kind}\"\n");
    text.push_str(",\"evidenceCreationTime\":\"$newer_seen\",\"verdict\":\"Suspicious\",\"remediationStatus\":\"None\"\n");
    for key in ENTITY_KEYS.split_whitespace() {
        match known.get(key) {
            Some(value) => text.push_str(&format!(",\"{key}\":{value}\n")),
            None if sparse => {}
            None => text.push_str(&format!(",\"{key}\":null\n")),
        }
    }
    Template::new(&(text + "}"))
}

pub(in super::super) fn incident_words(incident: &Incident) -> Value {
    json!({
        "status": status(incident.status), "severity": incident.severity,
        "classification": incident.classification, "determination": incident.determination,
    })
}

pub(in super::super) fn alert_words(alert: &Alert) -> Value {
    json!({
        "status": alert.status, "severity": alert.attack.alert_severity, "state": alert.investigation,
        "service": alert.attack.service, "detection": alert.attack.detection,
    })
}
