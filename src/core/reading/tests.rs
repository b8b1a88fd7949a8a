use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

static SHAPE: Shape = Shape {
    origin: Origin::Defender,
    id: "incidentId",
    updated: "lastUpdateTime",
    status: "status",
    redirect: "redirectIncidentId",
};

fn incident() -> Value {
    json!({
        "incidentId": 924565, "redirectIncidentId": null, "lastUpdateTime": "2020-09-06T14:46:57.29Z",
        "status": "Active", "tags": ["a", "b"],
        "alerts": [{"alertId": "x", "entities": [{"e": 1}, {"e": 2}]}, {"alertId": "y", "entities": []}]
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut changed = incident();
    changed[key] = value;
    changed
}

fn reading(value: &Value) -> Reading {
    read(value.to_string().as_bytes(), &SHAPE).unwrap_or_else(|why| panic!("{value}: {why}"))
}

#[test]
fn reads_the_fields_that_decide() {
    let reading = reading(&incident());
    assert_eq!(reading.id, IncidentId(924_565));
    assert_eq!(reading.updated.to_string(), "2020-09-06T14:46:57.29Z");
    assert_eq!(reading.phase, Phase::Open);
}

/// What a ledger of any earlier version holds must stay comparable, or everything is published again.
#[test]
fn the_hash_of_a_content_never_changes_between_releases() {
    assert_eq!(reading(&incident()).hash.to_string(), "a865f44f5f64a1f5");
}

#[test]
fn order_of_keys_and_of_alerts_and_entities_is_no_news() {
    let raw = br#" { "alerts": [ {"entities":[],"alertId":"\u0079"}, {"entities":[{"e":2},{"e":1}],"alertId":"x"}],
        "tags":["a","b"], "status":"Active", "lastUpdateTime":"2020-09-06T14:46:57.29Z",
        "redirectIncidentId":null, "incidentId":924565 } "#;
    assert_eq!(read(raw, &SHAPE), Ok(reading(&incident())));
}

#[test]
fn any_other_difference_is_news() {
    let before = reading(&incident()).hash;
    for (key, value) in [
        ("tags", json!(["b", "a"])),
        ("tags", json!([])),
        ("tags", json!(null)),
        ("severity", json!(null)),
        ("status", json!("active")),
        (
            "alerts",
            json!([{"alertId": "x", "entities": [{"e": 1}, {"e": 2}]}]),
        ),
        (
            "alerts",
            json!([{"alertId": "x", "entities": [{"e": 1}, {"e": "2"}]}, {"alertId": "y", "entities": []}]),
        ),
        (
            "alerts",
            json!([{"alertId": "x", "entities": [{"e": 1}, {"e": 2.0}]}, {"alertId": "y", "entities": []}]),
        ),
    ] {
        assert_ne!(
            reading(&with(key, value.clone())).hash,
            before,
            "{key} = {value}"
        );
    }
}

#[test]
fn the_phase_is_read_from_status_and_redirect_in_any_case_of_letters() {
    for (status, redirect, phase) in [
        (json!("RESOLVED"), json!(null), Phase::Resolved),
        (json!("redirected"), json!(null), Phase::Redirected),
        (json!("Active"), json!(1007), Phase::Redirected),
        (json!("active"), json!("1007"), Phase::Redirected),
        (json!("active"), json!(""), Phase::Open),
        (json!("awaitingAction"), json!(0), Phase::Open),
        (json!(null), json!(null), Phase::Open),
    ] {
        let mut value = with("status", status.clone());
        value["redirectIncidentId"] = redirect.clone();
        assert_eq!(reading(&value).phase, phase, "{status} {redirect}");
    }
}

#[test]
fn ids_beyond_2_to_53_and_ids_of_digits_are_exact() {
    assert_eq!(
        reading(&with("incidentId", json!(9_007_199_254_740_993_u64)))
            .id
            .0,
        9_007_199_254_740_993
    );
    assert_eq!(
        reading(&with("incidentId", json!("9007199254740993"))).id.0,
        9_007_199_254_740_993
    );
}

#[test]
fn what_is_no_incident_says_why() {
    for (raw, reason) in [
        (&b"null"[..], "not a JSON object"),
        (b"{\"incidentId\":1", "not a JSON object"),
        (
            b"{\"incidentId\":1,\"lastUpdateTime\":tru}",
            "not a JSON object",
        ),
        (b"{\"a\":\"\xff\"}", "not a JSON object"),
        (b"{}", "incidentId is missing"),
        (
            b"{\"incidentId\":-1,\"lastUpdateTime\":\"2020-09-06T14:46:57Z\"}",
            "incidentId is missing",
        ),
        (
            b"{\"incidentId\":\"+7\",\"lastUpdateTime\":\"2020-09-06T14:46:57Z\"}",
            "incidentId is missing",
        ),
        (
            b"{\"incidentId\":18446744073709551616}",
            "incidentId is missing",
        ),
        (
            b"{\"incidentId\":1,\"lastUpdateTime\":null}",
            "lastUpdateTime is missing",
        ),
    ] {
        let why = read(raw, &SHAPE).expect_err("was read").to_string();
        assert!(
            why.starts_with(reason),
            "{}: {why}",
            String::from_utf8_lossy(raw)
        );
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(
        read(deep.as_bytes(), &SHAPE).is_err(),
        "deep nesting must not reach the stack's end"
    );
}

#[test]
fn what_odata_says_of_an_answer_is_no_content() {
    let alone = with("@odata.context", json!("$metadata#incidents/$entity"));
    let continued = with("alerts@odata.nextLink", json!("https://host/next"));
    assert_eq!(reading(&alone), reading(&incident()));
    assert_eq!(reading(&continued), reading(&incident()));
}

#[test]
fn hard_incidents_are_read_or_named_as_what_they_are() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let deep = format!(r#"{{"incidentId":1,"lastUpdateTime":"2020-09-06T14:46:57Z","x":{deep}}}"#);
    let mut torn = br#"{"incidentId":1,"lastUpdateTime":"2020-09-06T14:46:57Z","x":"?"}"#.to_vec();
    let at = torn.iter().position(|byte| *byte == b'?').expect("there");
    torn[at] = 0xff;
    for raw in [deep.as_bytes(), &torn] {
        assert!(matches!(read(raw, &SHAPE), Err(Malformed::Json(_))));
    }
    let twice = br#"{"incidentId":1,"incidentId":2,"lastUpdateTime":"2020-09-06T14:46:57+02:00","status":"AwaitingAction"}"#;
    let reading = read(twice, &SHAPE).expect("the last of equal keys counts, as with most readers");
    assert_eq!(reading.id, IncidentId(2));
    assert_eq!(reading.updated.to_string(), "2020-09-06T12:46:57Z");
    assert_eq!(
        reading.phase,
        Phase::Open,
        "an unknown status is an open one"
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let keys = "alerts|entities|tags|[a-c]";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The same content in another order: keys reversed, unordered arrays reversed.
fn turned(value: &Value, unordered: bool) -> String {
    match value {
        Value::Array(items) => {
            let mut texts: Vec<_> = items.iter().map(|item| turned(item, false)).collect();
            if unordered {
                texts.reverse();
            }
            format!("[ {} ]", texts.join(" , "))
        }
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                format!(
                    "{} : {}",
                    Value::from(key.as_str()),
                    turned(value, content::is_unordered(key))
                )
            };
            format!(
                "{{{}}}",
                map.iter().rev().map(entry).collect::<Vec<_>>().join(",")
            )
        }
        leaf => leaf.to_string(),
    }
}

proptest! {
    #[test]
    fn the_hash_is_blind_to_order_and_to_nothing_else(a in json_value(), b in json_value()) {
        let (a, b) = (with("alerts", a), with("alerts", b));
        let again = read(turned(&a, false).as_bytes(), &SHAPE).expect("reads");
        prop_assert_eq!(again.hash, reading(&a).hash);
        let same = turned(&a, false) == turned(&b, false);
        if same {
            prop_assert_eq!(reading(&a).hash, reading(&b).hash);
        } else if reading(&a).hash == reading(&b).hash {
            // Equal hashes of unequal texts must be one content in two orders.
            prop_assert_eq!(sorted(&a, false), sorted(&b, false));
        }
    }

    #[test]
    fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&raw, &SHAPE);
    }
}

/// A canonical text: keys sorted (as `Map` does), unordered arrays sorted.
fn sorted(value: &Value, unordered: bool) -> String {
    match value {
        Value::Array(items) => {
            let mut texts: Vec<_> = items.iter().map(|item| sorted(item, false)).collect();
            if unordered {
                texts.sort();
            }
            format!("[{}]", texts.join(","))
        }
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{key:?}:{}", sorted(value, content::is_unordered(key)))
            };
            format!(
                "{{{}}}",
                map.iter().map(entry).collect::<Vec<_>>().join(",")
            )
        }
        leaf => leaf.to_string(),
    }
}
