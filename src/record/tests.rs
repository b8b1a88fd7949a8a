//! Compares the records with the contract with consumers.

mod alerts;

use proptest::prelude::*;
use serde_json::{Value, json};

use bytes::Bytes;

use crate::core::codec::raw_hash;
use crate::core::health::failure::Health;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{Change, ContentHash, Phase, Reading};
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::ports::{Encoder, Item, Record};

use super::{Recipe, RecordEncoder};
use crate::settings::RecordFormat;

const TENANT: &str = "10203040-5060-7080-90a0-b0c0d0e0f001";

fn recipe(format: RecordFormat) -> Recipe {
    Recipe {
        tenant: TENANT.parse().expect("GUID"),
        name: "contoso".into(),
        source: "https://api.security.microsoft.com".to_owned(),
        topic: "security.incidents".into(),
        alerts_topic: None,
        format,
        status_topic: Some("status".into()),
        dead_letter_topic: Some("dead".into()),
    }
}

fn reading(id: u64, updated: i64, hash: u64) -> Reading {
    Reading {
        id: IncidentId(id),
        updated: Ticks(updated),
        phase: Phase::Open,
        hash: ContentHash(hash),
        origin: SourceKind::Defender,
        whole: true,
    }
}

fn incident(encoder: &RecordEncoder, change: Change, reading: &Reading, raw: &[u8]) -> Record {
    let item = Item::Version {
        reading: *reading,
        change,
        seen: reading.seen(None),
        compared: Default::default(),
        raw: Bytes::copy_from_slice(raw),
    };
    encoder.encode(&item).expect("an incident has a record")
}

fn dead_letter(why: &str, raw: &[u8]) -> Item {
    Item::DeadLetter {
        content: raw_hash(raw),
        letter: Letter {
            met: Ticks(5),
            accepted: true,
        },
        why: why.to_owned(),
        raw: Bytes::copy_from_slice(raw),
    }
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let mut found = record.headers.iter().filter(|(key, _)| *key == name);
    let value = &found.next().unwrap_or_else(|| panic!("no header {name}")).1;
    assert!(found.next().is_none(), "header {name} twice");
    value
}

fn headers(record: &Record) -> Vec<(&str, &str)> {
    record
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

#[test]
fn an_incident_s_key_headers_and_value_are_the_contract_s() {
    let raw = br#"{ "incidentId": 42,  "new field": null }"#;
    // 2020-09-06T12:18:03.5Z
    let reading = reading(42, 15_993_946_835_000_000, 0xab);
    let id = format!("{TENANT}/42/15993946835000000/00000000000000ab");
    let mut expected = vec![
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "https://api.security.microsoft.com"),
        ("ce_type", "incidentd.incident.resolved.v1"),
        ("ce_subject", "42"),
        ("ce_time", "2020-09-06T12:18:03.5Z"),
        ("content-type", "application/cloudevents+json"),
        ("tenant_id", TENANT),
        ("tenant_name", "contoso"),
    ];

    let encoder = RecordEncoder::new(recipe(RecordFormat::CloudEvents));
    let record = incident(&encoder, Change::Resolved, &reading, raw);
    assert_eq!(&*record.topic, "security.incidents");
    assert_eq!(record.key, format!("{TENANT}/42"));
    assert_eq!(headers(&record), expected);
    let value = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"https://api.security.microsoft.com","type":"incidentd.incident.resolved.v1","subject":"42","time":"2020-09-06T12:18:03.5Z","datacontenttype":"application/json","tenant":"{TENANT}","change":"resolved","data":{{ "incidentId": 42,  "new field": null }}}}"#
    );
    assert_eq!(String::from_utf8(record.value).expect("UTF-8"), value);

    let encoder = RecordEncoder::new(recipe(RecordFormat::Raw));
    let record = incident(&encoder, Change::Resolved, &reading, raw);
    expected[6].1 = "application/json";
    assert_eq!(headers(&record), expected);
    assert_eq!(record.value, raw);
}

#[test]
fn an_incident_without_its_alerts_is_marked_in_header_and_event() {
    let without = Reading {
        whole: false,
        ..reading(42, 5, 0xab)
    };
    for format in [
        RecordFormat::CloudEvents,
        RecordFormat::Raw,
        RecordFormat::Ocsf,
        RecordFormat::Ecs,
    ] {
        let record = incident(
            &RecordEncoder::new(recipe(format)),
            Change::Created,
            &without,
            b"{}",
        );
        assert_eq!(header(&record, "alerts_complete"), "false");
        let value: serde_json::Value = serde_json::from_slice(&record.value).expect("JSON");
        match format {
            RecordFormat::CloudEvents => assert_eq!(value["alertscomplete"], "false"),
            RecordFormat::Raw => assert_eq!(record.value, b"{}"),
            RecordFormat::Ocsf => assert_eq!(value["unmapped"]["alerts_complete"], "false"),
            RecordFormat::Ecs => assert_eq!(value["microsoft"]["alerts_complete"], "false"),
        }
    }
}

#[test]
fn a_dead_letter_keeps_the_bytes_and_says_why() {
    let encoder = RecordEncoder::new(recipe(RecordFormat::CloudEvents));
    let raw = b"{\"incidentId\": \"x\xff";
    let record = encoder
        .encode(&dead_letter("no\nincidentId", raw))
        .expect("a topic is set");
    assert_eq!(&*record.topic, "dead");
    assert_eq!(record.key, format!("{TENANT}/{}", raw_hash(raw)));
    assert_eq!(
        headers(&record),
        [
            ("tenant_id", TENANT),
            ("tenant_name", "contoso"),
            ("reason", "no incidentId"),
            ("content-type", "application/octet-stream"),
        ]
    );
    assert_eq!(record.value, raw);
}

#[test]
fn a_dead_letter_that_is_cut_fits_and_says_how_long_it_was() {
    let encoder = RecordEncoder::new(recipe(RecordFormat::CloudEvents));
    let raw = vec![b'x'; 50_000];
    let item = dead_letter("why", &raw);
    let cut = |limit| encoder.encode_within(&item, limit)?.next();
    let letter = encoder.encode(&item).expect("a topic is set");
    for limit in [1_000, 2_000, letter.size() - 1] {
        let cut = cut(limit).expect("it can be cut");
        assert_eq!(cut.size(), limit);
        assert_eq!(header(&cut, "truncated"), "50000");
        assert!(raw.starts_with(&cut.value), "not the first of its bytes");
        assert_eq!((&cut.topic, &cut.key), (&letter.topic, &letter.key));
        assert_eq!(header(&cut, "reason"), "why");
    }
    assert_eq!(cut(10), None, "not even its key fits");
}

#[test]
fn a_change_of_health_is_an_event_of_its_own() {
    let encoder = RecordEncoder::new(recipe(RecordFormat::Raw));
    let record = encoder
        .health(
            Ticks(5),
            Health::Credential,
            "the \"secret\" expired",
            "renew it",
        )
        .expect("a topic is set");
    assert_eq!((&*record.topic, &*record.key), ("status", TENANT));
    let id = format!("{TENANT}/health/5/credential");
    assert_eq!(
        headers(&record),
        [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_source", "incidentd"),
            ("ce_type", "incidentd.tenant.health.v1"),
            ("ce_subject", TENANT),
            ("ce_time", "1970-01-01T00:00:00.0000005Z"),
            ("content-type", "application/cloudevents+json"),
            ("tenant_id", TENANT),
            ("tenant_name", "contoso"),
        ]
    );
    let value: Value = serde_json::from_slice(&record.value).expect("JSON");
    assert_eq!(
        value,
        json!({
            "specversion": "1.0", "id": id, "source": "incidentd", "type": "incidentd.tenant.health.v1",
            "subject": TENANT, "time": "1970-01-01T00:00:00.0000005Z", "datacontenttype": "application/json",
            "tenant": TENANT,
            "data": {"tenant_id": TENANT, "tenant_name": "contoso", "state": "credential",
                     "error": "the \"secret\" expired", "remedy": "renew it"},
        })
    );
    let well = encoder.health(Ticks(6), Health::Ok, "", "").expect("set");
    let value: Value = serde_json::from_slice(&well.value).expect("JSON");
    assert_eq!(value["data"]["error"], Value::Null);
    assert_eq!(value["data"]["remedy"], Value::Null);
}

#[test]
fn without_their_topics_there_are_no_dead_letters_and_no_health_records() {
    let encoder = RecordEncoder::new(Recipe {
        status_topic: None,
        dead_letter_topic: None,
        ..recipe(RecordFormat::CloudEvents)
    });
    assert_eq!(encoder.encode(&dead_letter("why", b"raw")), None);
    assert_eq!(encoder.health(Ticks(0), Health::Ok, "", ""), None);
}

fn changes() -> impl Strategy<Value = Change> {
    proptest::sample::select(&Change::ALL[..])
}

fn incidents() -> impl Strategy<Value = String> {
    let text = "[ \\n\"\\\\a-zé😀]{0,10}";
    proptest::collection::hash_map(text, text, 0..6)
        .prop_map(|fields| serde_json::to_string_pretty(&fields).expect("strings are JSON"))
}

proptest! {
    #[test]
    fn the_event_is_json_and_its_data_the_bytes_that_were_read(
        source in "\\PC{0,20}",
        name in "\\PC{0,20}",
        tenant in any::<[u8; 16]>(),
        change in changes(),
        (id, updated, hash) in (any::<u64>(), Ticks::MIN.0..=Ticks::MAX.0, any::<u64>()),
        raw in incidents(),
    ) {
        let tenant = TenantId::from_bytes(tenant);
        let encoder = RecordEncoder::new(Recipe {
            tenant, name: name.as_str().into(), source: source.clone(), ..recipe(RecordFormat::CloudEvents)
        });
        let record = incident(&encoder, change, &reading(id, updated, hash), raw.as_bytes());

        let value: Value = serde_json::from_slice(&record.value).expect("JSON");
        let data_at = record.value.len() - 1 - raw.len();
        prop_assert_eq!(&record.value[data_at..record.value.len() - 1], raw.as_bytes());
        prop_assert_eq!(record.raw.clone(), data_at..record.value.len() - 1);
        prop_assert_eq!(&value["data"], &serde_json::from_str::<Value>(&raw).expect("JSON"));
        prop_assert_eq!(record.value.capacity(), record.value.len(), "sized up front");

        // The attributes have the values of the headers.
        for (attribute, name) in [
            ("specversion", "ce_specversion"), ("id", "ce_id"), ("source", "ce_source"), ("type", "ce_type"),
            ("subject", "ce_subject"), ("time", "ce_time"), ("tenant", "tenant_id"),
        ] {
            prop_assert_eq!(value[attribute].as_str(), Some(header(&record, name)), "{}", attribute);
        }
        prop_assert_eq!(header(&record, "ce_source"), source);
        prop_assert_eq!(header(&record, "tenant_name"), name);
        prop_assert_eq!(value["change"].as_str(), Some(change.as_str()));
        prop_assert_eq!(value.as_object().map(serde_json::Map::len), Some(10));
    }

    #[test]
    fn ce_id_is_equal_exactly_for_equal_versions(
        a in (0..3_u8, 0..12_u64, -12..12_i64, 0..3_u64),
        b in (0..3_u8, 0..12_u64, -12..12_i64, 0..3_u64),
        change in (changes(), changes()),
    ) {
        let id = |(tenant, id, updated, hash), change| {
            let tenant = TenantId::from_bytes([tenant; 16]);
            let encoder = RecordEncoder::new(Recipe { tenant, ..recipe(RecordFormat::Raw) });
            let record = incident(&encoder, change, &reading(id, updated, hash), b"{}");
            header(&record, "ce_id").to_owned()
        };
        prop_assert_eq!(id(a, change.0) == id(b, change.1), a == b);
    }
}
