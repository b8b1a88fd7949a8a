//! What a line shows of a record of an incident, for `tap` and `demo`.

use serde::Deserialize;
use serde_json::Value;

use crate::app::tap::Arrived;
use crate::core::format::tame;

/// Characters of each field. A line shows less.
const MOST: usize = 1024;

/// Texts without characters that command a terminal. What a record lacks is empty.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordView {
    /// `2026-11-23T02:14:36.07Z`.
    pub updated: String,
    /// `updated`.
    pub change: String,
    pub tenant: String,
    pub tenant_id: String,
    pub incident: String,
    pub severity: String,
    /// Of an incident that was merged into another: `-> 17`.
    pub status: String,
    pub title: String,
}

/// Members in the spellings of both APIs. Of whatever kind: one that is odd must not hide the others.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct IncidentFields {
    #[serde(alias = "incidentName")]
    display_name: Value,
    status: Value,
    severity: Value,
    redirect_incident_id: Value,
}

/// An event with the incident in it, in any of the formats.
#[derive(Deserialize, Default)]
#[serde(default)]
struct IncidentEvent {
    data: IncidentFields,
    unmapped: OpenMember,
    microsoft: OpenMember,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OpenMember {
    incident: IncidentFields,
}

impl RecordView {
    pub fn of(record: &Arrived) -> Self {
        let header = |name: &str| shown(record.header(name).unwrap_or_default());
        let event = || serde_json::from_slice::<IncidentEvent>(&record.value).unwrap_or_default();
        let fields = match (
            record.header("ce_dataschema"),
            record.header("content-type"),
        ) {
            (Some(schema), _) if schema.contains("ocsf") => event().unmapped.incident,
            (Some(_), _) => event().microsoft.incident,
            (None, Some("application/json")) => {
                serde_json::from_slice(&record.value).unwrap_or_default()
            }
            (None, _) => event().data,
        };
        let target = text(&fields.redirect_incident_id);
        Self {
            updated: header("ce_time"),
            change: header("ce_type")
                .split('.')
                .nth(2)
                .unwrap_or_default()
                .to_owned(),
            tenant: header("tenant_name"),
            tenant_id: header("tenant_id"),
            incident: header("ce_subject"),
            severity: text(&fields.severity),
            status: match target.is_empty() {
                true => text(&fields.status),
                false => format!("-> {target}"),
            },
            title: text(&fields.display_name),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}

fn shown(text: &str) -> String {
    tame(&text.chars().take(MOST).collect::<String>())
}

/// The colour of a kind of change, and the end of the colour.
pub fn colours(change: &str, wanted: bool) -> (&'static str, &'static str) {
    if !wanted {
        return ("", "");
    }
    let on = match change {
        "created" => "\x1b[32m",
        "resolved" => "\x1b[34m",
        "reopened" => "\x1b[31m",
        "redirected" => "\x1b[35m",
        _ => "\x1b[33m",
    };
    (on, "\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content_type: &str, value: &str) -> Arrived {
        let headers = [
            ("ce_type", "incidentd.incident.updated.v1"),
            ("ce_time", "2026-11-23T02:14:36.07Z"),
            ("ce_subject", "4"),
            ("tenant_id", "11111111-1111-1111-1111-111111111111"),
            ("tenant_name", "con\u{1b}[2Jtoso"),
            ("content-type", content_type),
        ];
        Arrived {
            partition: 0,
            offset: 0,
            key: String::new(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            value: value.as_bytes().to_vec(),
        }
    }

    #[test]
    fn both_formats_and_both_apis_are_read_and_commands_nothing() {
        let graph = r#"{"data":{"displayName":"a\u001b]0;b\u0007\u202e","severity":"high","status":"active"}}"#;
        let view = RecordView::of(&record("application/cloudevents+json", graph));
        assert_eq!(
            view,
            RecordView {
                updated: "2026-11-23T02:14:36.07Z".to_owned(),
                change: "updated".to_owned(),
                tenant: "con [2Jtoso".to_owned(),
                tenant_id: "11111111-1111-1111-1111-111111111111".to_owned(),
                incident: "4".to_owned(),
                severity: "high".to_owned(),
                status: "active".to_owned(),
                title: "a ]0;b  ".to_owned(),
            }
        );
        let defender = r#"{"incidentName":"a","severity":"High","status":"Redirected","redirectIncidentId":17}"#;
        let view = RecordView::of(&record("application/json", defender));
        assert_eq!(
            (&*view.title, &*view.severity, &*view.status),
            ("a", "High", "-> 17")
        );
    }

    #[test]
    fn of_an_event_with_a_schema_the_incident_within_is_read() {
        let value =
            r#"{"severity":"Other","unmapped":{"incident":{"displayName":"a","severity":"high"}}}"#;
        let mut record = record("application/json", value);
        let schema = "https://schema.ocsf.io/1.8.0/classes/incident_finding".to_owned();
        record.headers.push(("ce_dataschema".to_owned(), schema));
        let view = RecordView::of(&record);
        assert_eq!((&*view.title, &*view.severity), ("a", "high"));
        record.headers.pop();
        let schema = "https://github.com/elastic/ecs/tree/v9.4.0".to_owned();
        record.headers.push(("ce_dataschema".to_owned(), schema));
        record.value = br#"{"microsoft":{"incident":{"displayName":"b"}}}"#.to_vec();
        assert_eq!(RecordView::of(&record).title, "b");
    }

    #[test]
    fn an_odd_record_is_shown_by_its_headers() {
        for value in [
            "",
            "[",
            "7",
            r#"{"data":{"displayName":{"a":"\u0007"},"severity":null}}"#,
        ] {
            let view = RecordView::of(&record("application/cloudevents+json", value));
            assert_eq!((&*view.change, &*view.severity), ("updated", ""), "{value}");
            assert!(!view.title.contains('\u{7}'), "{value}");
        }
        let long = format!(r#"{{"data":{{"displayName":"{}"}}}}"#, "ö".repeat(9999));
        assert_eq!(
            RecordView::of(&record("", &long)).title.chars().count(),
            MOST
        );
    }
}
