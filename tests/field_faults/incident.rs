//! Incidents as bytes, in the form that a test chooses.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::scripted::Source;

/// The content of an incident. All of it makes versions.
#[derive(Clone, Debug)]
pub struct Incident {
    pub id: u64,
    pub tenant: Uuid,
    pub last_update: String,
    pub status: &'static str,
    pub alert_status: &'static str,
    pub tags: Vec<&'static str>,
}

/// How it is written. None of it makes a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form {
    /// A member that Microsoft has added, with a new value each time. `None`: not added yet.
    pub score: Option<u64>,
    /// `/incident2/ID/overview?tid=` instead of `/incidents/ID?tid=`.
    pub new_urls: bool,
    /// Lists in reverse order.
    pub reversed: bool,
    /// Members without a value are left out.
    pub absent: bool,
    /// Words of enumerations in the other case.
    pub capitals: bool,
}

impl Incident {
    pub fn new(tenant: Uuid, id: u64, last_update: String) -> Self {
        Self {
            id,
            tenant,
            last_update,
            status: "active",
            alert_status: "new",
            tags: vec!["VIP", "Finance", "Tier 0"],
        }
    }

    /// Its bytes, as this API sends them.
    pub fn text(&self, source: Source, form: Form) -> Vec<u8> {
        let value = match source {
            Source::Graph => self.graph(form),
            Source::Defender => self.defender(form),
        };
        let value = if form.absent {
            without_nulls(value)
        } else {
            value
        };
        value.to_string().into_bytes()
    }

    fn graph(&self, form: Form) -> Value {
        let url = self.url(form);
        let mut incident = json!({
            "id": self.id.to_string(),
            "tenantId": self.tenant,
            "status": form.word(self.status),
            "severity": form.word("high"),
            "classification": form.word("unknown"),
            "determination": form.word("unknown"),
            "displayName": format!("Incident {}", self.id),
            "createdDateTime": self.last_update,
            "lastUpdateDateTime": self.last_update,
            "incidentWebUrl": url,
            "redirectIncidentId": null,
            "assignedTo": null,
            "description": null,
            "summary": null,
            "customTags": form.list(&self.tags),
            "systemTags": [],
            "comments": [],
            "alerts": form.list(&self.alerts(|alert| json!({
                "id": format!("da{}_{alert}", self.id),
                "status": form.word(self.alert_status),
                "severity": form.word("medium"),
                "classification": null,
                "determination": null,
                "lastUpdateDateTime": self.last_update,
                "incidentWebUrl": url,
                "mitreTechniques": form.list(&["T1003", "T1003.001", "T1486"]),
                "evidence": form.list(&["userEvidence", "deviceEvidence"].map(|kind| json!({
                    "@odata.type": format!("#microsoft.graph.security.{kind}"),
                    "verdict": form.word("unknown"),
                    "remediationStatus": form.word("none"),
                    "roles": [],
                }))),
            }))),
        });
        if let Some(score) = form.score {
            incident["priorityScore"] = json!(score % 101);
        }
        incident
    }

    fn defender(&self, form: Form) -> Value {
        let url = self.url(form);
        let mut incident = json!({
            "incidentId": self.id,
            "incidentUri": url,
            "redirectIncidentId": null,
            "incidentName": format!("Incident {}", self.id),
            "createdTime": self.last_update,
            "lastUpdateTime": self.last_update,
            "assignedTo": null,
            "classification": form.word("unknown"),
            "determination": form.word("notAvailable"),
            "status": form.word(self.status),
            "severity": form.word("high"),
            "tags": form.list(&self.tags),
            "comments": [],
            "alerts": form.list(&self.alerts(|alert| json!({
                "alertId": format!("da{}_{alert}", self.id),
                "incidentId": self.id,
                "status": form.word(self.alert_status),
                "severity": form.word("medium"),
                "classification": null,
                "determination": null,
                "lastUpdatedTime": self.last_update,
                "mitreTechniques": form.list(&["T1003", "T1003.001", "T1486"]),
                "entities": form.list(&["User", "Ip"].map(|kind| json!({
                    "entityType": kind,
                    "verdict": form.word("suspicious"),
                    "remediationStatus": form.word("none"),
                }))),
            }))),
        });
        if let Some(score) = form.score {
            incident["priorityScore"] = json!(score % 101);
        }
        incident
    }

    fn alerts(&self, alert: impl Fn(usize) -> Value) -> [Value; 3] {
        [0, 1, 2].map(alert)
    }

    fn url(&self, form: Form) -> String {
        let portal = "https://security.microsoft.com";
        let (id, tenant) = (self.id, self.tenant);
        match form.new_urls {
            true => format!("{portal}/incident2/{id}/overview?tid={tenant}"),
            false => format!("{portal}/incidents/{id}?tid={tenant}"),
        }
    }
}

impl Form {
    fn word(self, word: &str) -> String {
        let mut letters = word.chars();
        let first = letters.next().into_iter();
        match self.capitals {
            true => first.flat_map(char::to_uppercase).chain(letters).collect(),
            false => word.to_owned(),
        }
    }

    fn list<T: Clone + serde::Serialize>(self, items: &[T]) -> Value {
        let mut items = items.to_vec();
        if self.reversed {
            items.reverse();
        }
        json!(items)
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(name, value)| (name, without_nulls(value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
