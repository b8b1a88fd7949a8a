//! The fields of ECS that are filled, as objects within one another.

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct EcsEvent<'a> {
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    pub ecs: Ecs<'a>,
    /// Before all texts of Microsoft's.
    pub event: EventFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    pub organization: OrganizationFields<'a>,
    pub cloud: CloudFields<'a>,
    pub observer: ObserverFields<'a>,
    #[serde(skip_serializing_if = "RelatedFields::is_empty")]
    pub related: RelatedFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat: Option<Threat<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Ecs<'a> {
    pub version: &'a str,
}

// More than 12 fields: those that ECS has in one object.
#[derive(Serialize)]
pub(super) struct EventFields<'a> {
    /// First: it is before all texts of Microsoft's.
    pub id: &'a str,
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub category: Vec<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<&'a str>,
    pub action: &'a str,
    pub module: &'a str,
    pub dataset: String,
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_score: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct OrganizationFields<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

#[derive(Serialize)]
pub(super) struct CloudFields<'a> {
    pub account: Id<'a>,
}

#[derive(Serialize)]
pub(super) struct Id<'a> {
    pub id: &'a str,
}

#[derive(Serialize)]
pub(super) struct ObserverFields<'a> {
    pub vendor: &'a str,
    pub product: &'a str,
}

/// Each value once.
#[derive(Serialize, Default)]
pub(super) struct RelatedFields<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hash: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<&'a str>,
}

impl RelatedFields<'_> {
    fn is_empty(&self) -> bool {
        [&self.hash, &self.hosts, &self.ip, &self.user]
            .iter()
            .all(|list| list.is_empty())
    }
}

#[derive(Serialize)]
pub(super) struct Threat<'a> {
    pub framework: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tactic: Option<ThreatTactic<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technique: Option<ThreatTechnique<'a>>,
}

#[derive(Serialize)]
pub(super) struct ThreatTactic<'a> {
    pub id: Vec<&'a str>,
    pub name: Vec<&'a str>,
}

#[derive(Serialize)]
pub(super) struct ThreatTechnique<'a> {
    pub id: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtechnique: Option<Ids<'a>>,
}

#[derive(Serialize)]
pub(super) struct Ids<'a> {
    pub id: Vec<&'a str>,
}
