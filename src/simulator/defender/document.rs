//! The documents of the Defender API, as `api-list-incidents` shows them (section 1.3).
//!
//! Devices and entities are flat records with every key present; those that do not apply are null. Some alerts leave them
//! out instead: both forms have been seen (section 1.4, item 3).

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::alert::Alert;
use super::super::incident::{ANALYST, Incident};
use super::super::template::{Template, extend};
use super::super::time::{self, SECOND};
use super::status;

/// Every key of an entity, in its order.
const ENTITY_KEYS: &str = "sha1 sha256 fileName filePath processId processCommandLine processCreationTime \
    parentProcessId parentProcessCreationTime ipAddress url accountName domainName userSid aadUserId userPrincipalName \
    mailboxDisplayName mailboxAddress clusterBy sender recipient subject deliveryAction securityGroupId \
    securityGroupName registryHive registryKey registryValueType registryValue deviceId";

static INCIDENT: LazyLock<Template> =
    LazyLock::new(|| Template::new(include_str!("incident.json")));
static ALERT: LazyLock<Template> = LazyLock::new(|| Template::new(include_str!("alert.json")));
static DEVICE: LazyLock<Template> = LazyLock::new(|| Template::new(include_str!("device.json")));
/// By kind; the first of a pair has every key, the second only those that apply.
static ENTITIES: LazyLock<HashMap<String, (Template, Template)>> = LazyLock::new(|| {
    let kinds: HashMap<String, Map<String, Value>> =
        serde_json::from_str(include_str!("entities.json")).unwrap_or_default();
    let both = |kind: &str, known: &Map<String, Value>| {
        (entity(kind, known, false), entity(kind, known, true))
    };
    let templates = kinds
        .iter()
        .map(|(kind, known)| (kind.clone(), both(kind, known)));
    templates.collect()
});

fn entity(kind: &str, known: &Map<String, Value>, sparse: bool) -> Template {
    let mut text = format!("{{\"entityType\":\"{kind}\"\n");
    text.push_str(",\"evidenceCreationTime\":\"$seen\",\"verdict\":\"Suspicious\",\"remediationStatus\":\"None\"\n");
    for key in ENTITY_KEYS.split_whitespace() {
        match known.get(key) {
            Some(value) => text.push_str(&format!(",\"{key}\":{value}\n")),
            None if sparse => {}
            None => text.push_str(&format!(",\"{key}\":null\n")),
        }
    }
    Template::new(&(text + "}"))
}

/// The incident's text. `order` 0 is the natural order of alerts, devices and entities; any other number is another
/// order, always the same one.
pub(in super::super) fn incident(incident: &Incident, tenant: Uuid, order: u64) -> Bytes {
    let mut shuffle = (order != 0).then(|| StdRng::seed_from_u64(order ^ incident.id));
    let alerts = incident.alerts.iter();
    let mut alerts: Vec<_> = alerts
        .map(|a| alert(a, incident, shuffle.as_mut()))
        .collect();
    if let Some(rng) = &mut shuffle {
        alerts.shuffle(rng);
    }
    let comments = incident.comments.iter().map(|comment| {
        json!({"comment": comment.text, "createdBy": ANALYST, "createdTime": time::format(comment.at)})
    });
    let id = incident.id;
    let mut values = json!({
        "id": id, "redirect": incident.redirect, "name": incident.name,
        "created": time::format(incident.created), "updated": time::format(incident.last_update),
        "assigned": incident.assigned_to, "classification": incident.classification,
        "determination": incident.determination, "status": status(incident.status), "severity": incident.severity,
        "tags": incident.tags, "comments": comments.collect::<Vec<_>>(),
    });
    if incident.newer {
        let uri = format!("https://security.microsoft.com/incidents/{id}?tid={tenant}");
        values["uri"] = json!(uri);
    }
    INCIDENT.fill(&values, &[("alerts", alerts)]).into()
}

fn alert(alert: &Alert, incident: &Incident, shuffle: Option<&mut StdRng>) -> Vec<u8> {
    let (attack, details) = (alert.attack, alert.details());
    let investigation = (alert.investigation == "Running").then_some(details.investigation);
    let grouped = details.process.is_multiple_of(2);
    let first_seen = alert.created - SECOND * 86_400 * 30 - i64::from(details.process);
    let mut values = details.values;
    let own = json!({
        "incident": incident.id, "service": attack.service, "detection": attack.detection, "status": alert.status,
        "severity": attack.alert_severity, "investigation": investigation, "state": alert.investigation,
        "created": time::format(alert.created), "updated": time::format(alert.last_updated),
        "resolved": alert.resolved.map(time::format), "first": time::format(details.first_activity),
        "last": time::format(details.last_activity), "started": time::format(alert.created - SECOND),
        // The device's.
        "platform": if grouped { "Windows11" } else { "WindowsServer2022" },
        "aad": grouped.then(|| values["guid"].clone()), "group": grouped.then_some("WDATP-Ring0"),
        "group_id": if grouped { 9 } else { 0 }, "first_seen": time::format(first_seen),
    });
    extend(&mut values, own);
    if incident.newer {
        let newer = json!({
            "newer_id": values["id"], "newer_detector": values["detector"], "onboarding": "Onboarded",
            "seen": time::format(alert.created),
        });
        extend(&mut values, newer);
    }
    let device = attack.on_device.then(|| DEVICE.fill(&values, &[]));
    let entities = attack.entities.iter().filter_map(|kind| ENTITIES.get(kind));
    let entities = entities.map(|(all, sparse)| if details.sparse { sparse } else { all });
    let mut entities: Vec<_> = entities.map(|entity| entity.fill(&values, &[])).collect();
    let mut devices: Vec<_> = device.into_iter().collect();
    if let Some(rng) = shuffle {
        devices.shuffle(rng);
        entities.shuffle(rng);
    }
    ALERT.fill(&values, &[("devices", devices), ("entities", entities)])
}
