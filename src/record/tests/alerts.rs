//! Records of alerts.

use super::*;
use crate::core::incident::changes::{AlertChanges, Changes, VersionBefore};
use crate::core::incident::outline::Comparison;

const ALERT: &str = r#"{ "id": "da1_-2", "status":"new","title":"A \"tool\"","severity":"high",  "lastUpdateDateTime":"1970-01-01T00:00:00.0000007Z" }"#;

fn recipe_with_alerts(format: RecordFormat) -> Recipe {
    Recipe {
        alerts_topic: Some("security.alerts".into()),
        ..recipe(format)
    }
}

fn item(alerts: &str, changes: Option<Changes>) -> Item {
    let reading = Reading {
        origin: SourceKind::Graph,
        ..reading(42, 5, 0xab)
    };
    Item::Version {
        reading,
        change: match changes {
            Some(_) => Change::Updated,
            None => Change::Created,
        },
        seen: reading.seen(None),
        compared: Comparison {
            outline: None,
            changes: changes.map(Box::new),
        },
        raw: format!(r#"{{"id":"42","alerts":[{alerts}]}}"#).into(),
    }
}

fn alerts(format: RecordFormat, item: &Item) -> Vec<Record> {
    let encoder = RecordEncoder::new(recipe_with_alerts(format));
    encoder.alerts(item).expect("a topic is set").collect()
}

fn one(format: RecordFormat, item: &Item) -> Record {
    let mut all = alerts(format, item);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn an_alert_s_key_headers_and_value_are_the_contract_s() {
    let item = item(ALERT, None);
    let record = one(RecordFormat::CloudEvents, &item);
    let id = header(&record, "ce_id").to_owned();
    let begin = format!("{TENANT}/42/5/00000000000000ab/alert/da1_-2/");
    let hash = id.strip_prefix(&begin).expect("its versions");
    assert!(
        hash.len() == 16 && u64::from_str_radix(hash, 16).is_ok(),
        "{id}"
    );
    let mut expected = vec![
        ("ce_specversion", "1.0"),
        ("ce_id", &*id),
        ("ce_source", "https://api.security.microsoft.com"),
        ("ce_type", "incidentd.alert.created.v1"),
        ("ce_subject", "da1_-2"),
        ("ce_time", "1970-01-01T00:00:00.0000007Z"),
        ("content-type", "application/cloudevents+json"),
        ("tenant_id", TENANT),
        ("tenant_name", "contoso"),
        ("incident_id", "42"),
    ];
    assert_eq!(headers(&record), expected);
    assert_eq!(&*record.topic, "security.alerts");
    assert_eq!(record.key, format!("{TENANT}/da1_-2"));
    let value = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"https://api.security.microsoft.com","type":"incidentd.alert.created.v1","subject":"da1_-2","time":"1970-01-01T00:00:00.0000007Z","datacontenttype":"application/json","tenant":"{TENANT}","change":"created","incidentid":"42","data":{ALERT}}}"#
    );
    assert_eq!(String::from_utf8(record.value).expect("UTF-8"), value);

    let record = one(RecordFormat::Raw, &item);
    expected[6].1 = "application/json";
    assert_eq!(headers(&record), expected);
    assert_eq!(record.value, ALERT.as_bytes());
}

#[test]
fn an_alert_is_within_an_event_of_each_schema_with_its_incident() {
    let item = item(ALERT, None);
    for (format, open, id) in [
        (RecordFormat::Ocsf, "unmapped", "/metadata/uid"),
        (RecordFormat::Ecs, "microsoft", "/event/id"),
    ] {
        let record = one(format, &item);
        assert_eq!(&record.value[record.raw.clone()], ALERT.as_bytes());
        let value: Value = serde_json::from_slice(&record.value).expect("JSON");
        let alert: Value = serde_json::from_str(ALERT).expect("JSON");
        assert_eq!(value[open], json!({"incident_id": "42", "alert": alert}));
        let id = value.pointer(id).and_then(Value::as_str);
        assert_eq!(id, Some(header(&record, "ce_id")));
        assert_eq!(header(&record, "incident_id"), "42");
    }
    let finding: Value =
        serde_json::from_slice(&one(RecordFormat::Ocsf, &item).value).expect("JSON");
    for (path, expected) in [
        ("/class_uid", json!(2004)),
        ("/type_uid", json!(200_401)),
        ("/status_id", json!(1)),
        ("/severity_id", json!(4)),
        ("/message", json!("A \"tool\"")),
        ("/finding_info/uid", json!("da1_-2")),
        ("/finding_info/related_events/0/uid", json!("42")),
        ("/finding_info_list", Value::Null),
        ("/metadata/original_event_uid", json!("da1_-2")),
    ] {
        let is = finding.pointer(path).unwrap_or(&Value::Null);
        assert_eq!(*is, expected, "{path}");
    }
    let event: Value = serde_json::from_slice(&one(RecordFormat::Ecs, &item).value).expect("JSON");
    assert_eq!(event["event"]["dataset"], "microsoft.alert");
    assert_eq!(event["event"]["severity"], 73);
    assert_eq!(event["message"], "A \"tool\"");
}

#[test]
fn without_a_topic_for_them_alerts_have_no_records() {
    let encoder = RecordEncoder::new(recipe(RecordFormat::Raw));
    assert!(encoder.alerts(&item(ALERT, None)).is_none());
    let encoder = RecordEncoder::new(recipe_with_alerts(RecordFormat::Raw));
    assert!(encoder.alerts(&dead_letter("why", b"raw")).is_none());
}

#[test]
fn only_news_have_records_and_an_alert_that_moves_or_comes_back_has_another_ce_id() {
    let changes = |alerts| Changes {
        before: VersionBefore {
            updated: Ticks(4),
            hash: ContentHash(4),
        },
        members: vec!["alerts"],
        alerts: Some(alerts),
    };
    let none = item(ALERT, Some(changes(AlertChanges::default())));
    assert_eq!(alerts(RecordFormat::Raw, &none), []);
    let added = AlertChanges {
        added: vec!["da1_-2".to_owned()],
        ..AlertChanges::default()
    };
    let mut moved = item(ALERT, Some(changes(added)));
    let here = one(RecordFormat::Raw, &moved);
    if let Item::Version { reading, .. } = &mut moved {
        reading.id = IncidentId(43);
    }
    let there = one(RecordFormat::Raw, &moved);
    assert_eq!(here.key, there.key);
    assert_ne!(header(&here, "ce_id"), header(&there, "ce_id"));
    // The alert is again as it was. What a consumer has of it between the two must not stay.
    if let Item::Version { reading, .. } = &mut moved {
        *reading = Reading {
            id: IncidentId(42),
            updated: Ticks(6),
            ..*reading
        };
    }
    let back = one(RecordFormat::Raw, &moved);
    assert_eq!((&here.key, &here.value), (&back.key, &back.value));
    assert_ne!(header(&here, "ce_id"), header(&back, "ce_id"));
    assert_eq!(back, one(RecordFormat::Raw, &moved), "a repeat is equal");
}

proptest! {
    #[test]
    fn whatever_an_alert_s_id_is_its_event_is_json_with_the_values_of_the_headers(
        id in "[ \"\\\\a-z/é😀0-9_-]{1,20}",
        more in incidents(),
        format in proptest::sample::select(vec![RecordFormat::CloudEvents, RecordFormat::Ocsf, RecordFormat::Ecs]),
    ) {
        prop_assume!(id.bytes().any(|byte| byte != b'0'));
        let alert = format!(r#"{{"more":{more},"id":{}}}"#, Value::from(id.as_str()));
        let item = item(&alert, None);
        let record = one(format, &item);
        let value: Value = serde_json::from_slice(&record.value).expect("JSON");
        prop_assert_eq!(&record.value[record.raw.clone()], alert.as_bytes());
        prop_assert_eq!(header(&record, "ce_subject"), &id);
        let paths = match format {
            RecordFormat::Ocsf => ["/metadata/uid", "/metadata/original_event_uid"],
            RecordFormat::Ecs => ["/event/id", "/microsoft/alert/id"],
            _ => ["/id", "/subject"],
        };
        for (path, name) in paths.into_iter().zip(["ce_id", "ce_subject"]) {
            prop_assert_eq!(value.pointer(path).and_then(Value::as_str), Some(header(&record, name)));
        }
    }
}
