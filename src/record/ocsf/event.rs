//! The members of an Incident Finding and a Detection Finding that are filled, named as OCSF names them.

use serde::Serialize;

/// An id of an enumeration and its caption.
pub(super) type Named<'a> = (u8, &'a str);

// More than 12 fields: those that OCSF has in one object.
#[derive(Serialize)]
pub(super) struct OcsfEvent<'a> {
    #[serde(flatten)]
    pub activity: Activity<'a>,
    /// In milliseconds, like all times here.
    pub time: i64,
    /// Before all texts of Microsoft's.
    pub metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<&'a str>,
    #[serde(flatten)]
    pub assessment: OcsfAssessment<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_url: Option<&'a str>,
    /// Of a Detection Finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding_info: Option<FindingInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_alert: Option<bool>,
    /// Of an Incident Finding: the incident, then its alerts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finding_info_list: Vec<FindingInfo<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observables: Vec<Observable<'a>>,
}

#[derive(Serialize, Default)]
pub(super) struct Activity<'a> {
    pub category_uid: u8,
    pub category_name: &'a str,
    pub class_uid: u16,
    pub class_name: &'a str,
    pub activity_id: u8,
    pub activity_name: &'a str,
    pub type_uid: u32,
    pub type_name: String,
    /// What is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_detail: Option<String>,
}

/// What people and Microsoft make of the incident.
#[derive(Serialize)]
pub(super) struct OcsfAssessment<'a> {
    pub severity_id: u8,
    pub severity: &'a str,
    pub status_id: u8,
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_id: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact_score: Option<i64>,
    pub verdict_id: u8,
    pub verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee_group: Option<Name<'a>>,
}

#[derive(Serialize)]
pub(super) struct User<'a> {
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_addr: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Name<'a> {
    pub name: &'a str,
}

// More than 12 fields: OCSF's object has them side by side.
#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    /// First: it is before all texts of Microsoft's.
    pub uid: &'a str,
    pub version: &'a str,
    pub profiles: [&'a str; 1],
    pub product: Product<'a>,
    /// Which of the two APIs, and so which names the incident has.
    pub log_provider: String,
    pub source: &'a str,
    pub tenant_uid: &'a str,
    pub tags: [Tag<'a>; 1],
    pub event_code: &'a str,
    pub original_event_uid: String,
    pub original_time: String,
    pub modified_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_truncated: bool,
}

#[derive(Serialize)]
pub(super) struct Product<'a> {
    pub name: &'a str,
    pub vendor_name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Tag<'a> {
    pub name: &'a str,
    pub value: &'a str,
}

/// The incident or an alert.
// More than 12 fields: OCSF's object has them side by side.
#[derive(Serialize, Default)]
pub(super) struct FindingInfo<'a> {
    pub uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytic: Option<Analytic<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<Attack<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related_events: Vec<RelatedEvent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_url: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Analytic<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub type_id: u8,
    #[serde(rename = "type")]
    pub kind: &'a str,
}

#[derive(Serialize, Default)]
pub(super) struct Attack<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tactic: Option<AttackTactic<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technique: Option<Uid<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_technique: Option<Uid<'a>>,
}

#[derive(Serialize)]
pub(super) struct AttackTactic<'a> {
    pub uid: &'a str,
    pub name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Uid<'a> {
    pub uid: &'a str,
}

#[derive(Serialize)]
pub(super) struct RelatedEvent<'a> {
    pub uid: String,
    pub type_name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Observable<'a> {
    pub name: &'a str,
    pub value: &'a str,
    pub type_id: u8,
    #[serde(rename = "type")]
    pub kind: &'a str,
}
