//! Compares parts with the record that they were made from.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::core::codec::raw_hash;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{Change, ContentHash, Phase, Reading};
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::ports::{Encoder, Item};
use crate::record::encoder::ItemVersion;
use crate::record::view::Room;
use crate::record::{Recipe, RecordEncoder};
use crate::settings::RecordFormat;

const FORMATS: [RecordFormat; 4] = [
    RecordFormat::CloudEvents,
    RecordFormat::Raw,
    RecordFormat::Ocsf,
    RecordFormat::Ecs,
];

/// An incident to be published.
struct Scene {
    encoder: RecordEncoder,
    item: Item,
    /// Its record in one piece.
    whole: Record,
}

fn scene(format: RecordFormat, incident: impl AsRef<[u8]>) -> Scene {
    let encoder = RecordEncoder::new(Recipe {
        tenant: TenantId::from_bytes([7; 16]),
        name: "contoso".into(),
        source: "https://api.example".to_owned(),
        topic: "incidents".into(),
        alerts_topic: None,
        format,
        status_topic: None,
        dead_letter_topic: Some("dead".into()),
    });
    let reading = Reading {
        id: IncidentId(42),
        updated: Ticks(15_993_946_835_000_000),
        phase: Phase::Open,
        hash: ContentHash(0xab),
        origin: SourceKind::Defender,
        whole: true,
    };
    let item = Item::Version {
        reading,
        change: Change::Updated,
        seen: reading.seen(None),
        compared: Default::default(),
        raw: Bytes::copy_from_slice(incident.as_ref()),
    };
    Scene {
        whole: encoder.encode(&item).expect("a record"),
        encoder,
        item,
    }
}

impl Scene {
    fn split(&self, limit: usize) -> Option<Vec<Record>> {
        let parts = self.encoder.encode_within(&self.item, limit)?;
        Some(parts.collect())
    }

    fn frame(&self) -> Frame<'_> {
        let version = ItemVersion::of(&self.item).expect("an incident");
        let draft = self.encoder.incident(version, Room::MOST);
        Frame::of(draft).expect("an incident with alerts")
    }

    /// The smallest limit that leaves `room` for alerts in a part.
    fn limit_for(&self, room: usize) -> usize {
        self.frame().part(0, WIDEST, WIDEST, b"").size() + room
    }
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let mut found = record.headers.iter().filter(|(key, _)| *key == name);
    let value = &found.next().unwrap_or_else(|| panic!("no header {name}")).1;
    assert!(found.next().is_none(), "header {name} twice");
    value
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(&record.value).expect("a part is JSON")
}

/// What a consumer does: takes the incident of the first part, with the alerts of all parts.
fn put_together(format: RecordFormat, parts: &[Record]) -> Value {
    let incident = |part: &Record| match format {
        RecordFormat::CloudEvents => json(part)["data"].clone(),
        RecordFormat::Raw => json(part),
        RecordFormat::Ocsf => json(part)["unmapped"]["incident"].clone(),
        RecordFormat::Ecs => json(part)["microsoft"]["incident"].clone(),
    };
    let mut whole = incident(&parts[0]);
    for part in &parts[1..] {
        let mut more = incident(part)["alerts"].take();
        let alerts = whole["alerts"].as_array_mut().expect("alerts");
        alerts.append(more.as_array_mut().expect("alerts"));
    }
    whole
}

/// White space that JSON allows between its tokens.
fn gap() -> impl Strategy<Value = String> {
    "[ \\t\\r\\n]{0,3}"
}

/// Values of every kind that contain text similar to the incident's alerts or to an end.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("-1.50e+3".to_owned()),
        Just(r#""\"alerts\":[1,2],\\""#.to_owned()),
        Just(r#""\u00e9\ud83d\ude00 ]}""#.to_owned()),
        "\"[a-zé ]{0,30}\"",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (gap(), inner.clone(), gap()).prop_map(|(a, v, b)| format!("[{a}{v}{b},{v}]")),
            (gap(), inner).prop_map(|(a, v)| format!(r#"{{"alerts"{a}:{v},"x":[{a}{v}]}}"#)),
        ]
    })
}

fn member() -> impl Strategy<Value = String> {
    let key = prop_oneof!["[a-f]", Just("Alerts".to_owned()), Just("data".to_owned())];
    (key, gap(), value(), gap()).prop_map(|(k, a, v, b)| format!("{a}\"{k}\"{a}:{b}{v}{b}"))
}

/// An incident, and each of its alerts as written.
fn incident() -> impl Strategy<Value = (String, Vec<String>)> {
    let members = || proptest::collection::vec(member(), 0..3);
    // The key may be spelled with escapes, and may occur earlier with another value.
    let key = prop_oneof![Just("alerts"), Just("\\u0061lert\\u0073")];
    let earlier = prop_oneof![
        Just(""),
        Just("\"alerts\":[7,8],"),
        Just("\"alerts\": null,")
    ];
    let alerts = proptest::collection::vec(value(), 1..20);
    (members(), earlier, key, alerts, gap(), members()).prop_map(
        |(before, earlier, key, alerts, gap, after)| {
            let before: String = before.iter().map(|member| format!("{member},")).collect();
            let after: String = after.iter().map(|member| format!(",{member}")).collect();
            let array = alerts.join(&format!("{gap},{gap}"));
            let text = format!(
                "{{{before}{earlier}{gap}\"{key}\"{gap}:{gap}[{gap}{array}{gap}]{gap}{after}}}"
            );
            (text, alerts)
        },
    )
}

fn format() -> impl Strategy<Value = RecordFormat> {
    proptest::sample::select(&FORMATS[..])
}

proptest! {
    #[test]
    fn parts_fit_and_put_together_are_the_incident(
        (text, alerts) in incident(), format in format(), room in 1_usize..200,
    ) {
        let scene = scene(format, &text);
        let limit = scene.limit_for(room);
        let parts = scene.split(limit);
        if alerts.iter().any(|alert| alert.len() > room) {
            prop_assert_eq!(parts, None, "an alert fits nowhere");
            return Ok(());
        }
        let Some(parts) = parts else {
            let all = runs(scene.frame().alerts, room).expect("each fits");
            prop_assert_eq!(all.len(), 1, "not split, though all of it does not fit");
            return Ok(());
        };
        prop_assert!(parts.iter().all(|part| part.size() <= limit));
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(put_together(format, &parts), expected);
        // The bytes of each alert, once and in order, and around them those of the incident.
        let frame = scene.frame();
        let mut rest = alerts.iter();
        for part in &parts {
            let value = std::str::from_utf8(&part.value).expect("UTF-8");
            let text = |bytes| std::str::from_utf8(bytes).expect("UTF-8");
            let run = value.strip_suffix(text(frame.draft.tail)).and_then(|value| value.strip_suffix(text(frame.after)));
            let run = run.and_then(|value| value.strip_suffix(']'));
            let run = run.expect("all that follows the alerts");
            let start = run.find(&format!("{}[", text(frame.before))).expect("all that precedes the alerts");
            let mut run = &run[start + frame.before.len() + 1..];
            while !run.is_empty() {
                let alert = rest.next().expect("no more alerts than there were");
                run = run.strip_prefix(alert.as_str()).expect("an alert's own bytes");
                run = run.trim_start_matches([' ', '\t', '\r', '\n', ',']);
            }
        }
        prop_assert_eq!(rest.next(), None, "an alert is missing");
    }

    #[test]
    fn no_part_has_room_for_the_next_alert((text, _) in incident(), room in 40_usize..200) {
        let scene = scene(RecordFormat::Raw, &text);
        for pair in runs(scene.frame().alerts, room).unwrap_or_default().windows(2) {
            let run = format!("[{}]", String::from_utf8_lossy(pair[1]));
            let alerts: Vec<&RawValue> = serde_json::from_str(&run).expect("a run");
            let end = pair[1].as_ptr().addr() + alerts[0].get().len();
            prop_assert!(end - pair[0].as_ptr().addr() > room, "{pair:?}");
        }
    }

    #[test]
    fn parts_tell_their_place_and_have_ids_of_their_own(
        (text, _) in incident(), format in format(), room in 1_usize..200,
    ) {
        let scene = scene(format, &text);
        let whole = &scene.whole;
        let Some(parts) = scene.split(scene.limit_for(room)) else { return Ok(()) };
        let mut ids = BTreeSet::from([header(whole, "ce_id")]);
        for (earlier, part) in parts.iter().enumerate() {
            let (number, count) = ((earlier + 1).to_string(), parts.len().to_string());
            prop_assert_eq!((header(part, "part"), header(part, "parts")), (&*number, &*count));
            let id = header(part, "ce_id");
            let cut = header(&parts[0], "ce_id").strip_suffix("/1").expect("the first part's id");
            prop_assert!(cut.starts_with(header(whole, "ce_id")));
            prop_assert_eq!(id, format!("{cut}/{number}"));
            prop_assert!(ids.insert(id), "{} twice", id);
            prop_assert_eq!((&part.topic, &part.key), (&whole.topic, &whole.key));
            for (name, value) in whole.headers.iter().filter(|(name, _)| *name != "ce_id") {
                prop_assert_eq!(header(part, name), value);
            }
            prop_assert_eq!(part.headers.len(), whole.headers.len() + 2);
            if format == RecordFormat::CloudEvents {
                let (mut event, mut expected) = (json(part), json(whole));
                prop_assert_eq!((&event["id"], &event["part"], &event["parts"]), (&id.into(), &(*number).into(), &(*count).into()));
                for name in ["id", "part", "parts", "data"] {
                    event.as_object_mut().expect("an event").remove(name);
                    expected.as_object_mut().expect("an event").remove(name);
                }
                prop_assert_eq!(event, expected, "an attribute changed");
            }
        }
    }

    #[test]
    fn another_cut_shares_no_id((text, _) in incident(), rooms in (1_usize..200, 1_usize..200)) {
        let scene = scene(RecordFormat::Raw, &text);
        let cut = |room| scene.split(scene.limit_for(room)).unwrap_or_default();
        let (one, other) = (cut(rooms.0), cut(rooms.1));
        prop_assert_eq!(&one, &cut(rooms.0), "a repeat must be equal");
        if one == other {
            return Ok(());
        }
        let ids: BTreeSet<&str> = one.iter().map(|part| header(part, "ce_id")).collect();
        for part in &other {
            prop_assert!(!ids.contains(header(part, "ce_id")), "{:?}", header(part, "ce_id"));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), format in format()) {
        prop_assert_eq!(scene(format, bytes).split(10_000), None);
    }
}

#[test]
fn what_has_no_alerts_to_split_between_is_not_split() {
    let filler = "x".repeat(5_000);
    for (what, alerts) in [
        ("no alerts", String::new()),
        ("null", ", \"alerts\": null".to_owned()),
        (
            "an object",
            format!(", \"alerts\": {{\"a\":[\"{filler}\"]}}"),
        ),
        ("text", format!(", \"alerts\": \"[1,2,3,{filler}]\"")),
        ("an empty array", ", \"alerts\": [ ]".to_owned()),
        ("one alert", format!(", \"alerts\": [\"{filler}\"]")),
        (
            "null after an array",
            ", \"alerts\": [1,2], \"alerts\": null".to_owned(),
        ),
        (
            "alerts further inside",
            format!(", \"inner\": {{\"alerts\": [1,2,\"{filler}\"]}}"),
        ),
    ] {
        let incident = format!("{{\"incidentId\": 42, \"note\": \"{filler}\"{alerts}}}");
        for format in FORMATS {
            for limit in [0, 100, 4_000, 6_500] {
                let scene = scene(format, &incident);
                assert_eq!(scene.split(limit), None, "{what}, {format:?}, {limit}");
            }
        }
    }
}

#[test]
fn a_dead_letter_is_not_split() {
    let bytes = r#"{"alerts":["aaaaaaaaaaaaaaaaaaaa","b"]}"#;
    let mut scene = scene(RecordFormat::Raw, bytes);
    let limit = scene.limit_for(22);
    assert!(scene.split(limit).is_some());
    scene.item = Item::DeadLetter {
        content: raw_hash(bytes.as_bytes()),
        letter: Letter {
            met: Ticks(5),
            accepted: true,
        },
        why: "no id".to_owned(),
        raw: Bytes::from_static(bytes.as_bytes()),
    };
    let records = scene.split(limit).expect("it is cut");
    assert_eq!(records.len(), 1);
    assert!(records[0].headers.iter().all(|(name, _)| *name != PART));
}

#[test]
fn a_part_is_the_contract_s() {
    let incident = r#"{ "incidentId": 42, "alerts": [ {"a":1}, {"b":2} ] , "new field": null }"#;
    let scene = scene(RecordFormat::CloudEvents, incident);
    let whole = &scene.whole;
    let parts = scene.split(scene.limit_for(7)).expect("two parts");
    let id = header(&parts[1], "ce_id");
    let version = header(whole, "ce_id");
    let tail = id.strip_prefix(version).expect("the version's id");
    assert_eq!(
        (tail.len(), &tail[..1], &tail[17..]),
        (19, "/", "/2"),
        "{tail}"
    );
    let start = format!(r#"{{"specversion":"1.0","id":"{id}","part":"2","parts":"2","source":"#);
    let end = r#""data":{ "incidentId": 42, "alerts": [{"b":2}] , "new field": null }}"#;
    let value = String::from_utf8(parts[1].value.clone()).expect("UTF-8");
    assert!(value.starts_with(&start), "{value}");
    assert!(value.ends_with(end), "{value}");
}

#[test]
fn an_incident_is_split_whatever_is_in_it() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let values: [&[u8]; 5] = [
        br#""mail from \ud83d""#,
        b"1e400",
        b"\"\xff\"",
        &deep,
        b"\"a\nb\"",
    ];
    for value in values {
        for format in [RecordFormat::CloudEvents, RecordFormat::Raw] {
            let alerts: Vec<_> = (0..3_u8)
                .map(|n| [b"{\"n\":", &[b'0' + n][..], b",\"x\":", value, b"}"].concat())
                .collect();
            let list = alerts.join(&b","[..]);
            let raw = [
                b"{\"\\ud800\":",
                value,
                b",\"alerts\":[",
                &list,
                b"],\"y\":",
                value,
                b"}",
            ]
            .concat();
            let scene = scene(format, raw);
            let limit = scene.limit_for(alerts[0].len());
            let parts = scene.split(limit).expect("parts");
            assert_eq!(parts.len(), 3, "{format:?}");
            let around: Vec<_> = parts
                .iter()
                .zip(&alerts)
                .map(|(part, alert)| {
                    let at = part.value.windows(alert.len()).position(|run| run == alert);
                    let at = at.expect("its alert");
                    assert_eq!(part.value[at - 1], b'[');
                    part.value.len() - alert.len()
                })
                .collect();
            assert!(
                around.iter().all(|length| *length == around[0]),
                "{around:?}"
            );
        }
    }
}
