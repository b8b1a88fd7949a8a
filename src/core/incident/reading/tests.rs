//! What is read from an incident, with a table of its own. The tables of the APIs are tested next to them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::incident::significant::{Compared, Significant};
use crate::core::sources::SourceKind;

static SHAPE: Shape = Shape {
    origin: SourceKind::Defender,
    id: "incidentId",
    updated: "lastUpdateTime",
    status: "status",
    redirect: "redirectIncidentId",
    significant: &[
        Significant::word("status"),
        Significant::text("name"),
        Significant::text("title").counting_as("name"),
        Significant::id("redirectIncidentId"),
        Significant::list("tags", &Compared::Text),
        Significant::list("alerts", &ALERT),
    ],
};

static ALERT: Compared = Compared::Object(&[
    Significant::id("alertId"),
    Significant::time("at"),
    Significant::list("entities", &ENTITY),
]);

static ENTITY: Compared = Compared::Object(&[Significant::word("verdict")]);

fn incident() -> Value {
    json!({
        "incidentId": 924565, "redirectIncidentId": null, "lastUpdateTime": "2020-09-06T14:46:57.29Z",
        "status": "Active", "name": "mail", "tags": ["a", "b"], "n": 7,
        "alerts": [
            {"alertId": "x", "at": "2020-09-06T14:46:57Z", "entities": [{"verdict": "Clean"}, {"verdict": null}]},
            {"alertId": "y", "entities": []}
        ]
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut changed = incident();
    changed[key] = value;
    changed
}

fn reading(value: &Value) -> Reading {
    read_text(&value.to_string())
}

fn read_text(text: &str) -> Reading {
    read(text.as_bytes(), &SHAPE).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// An incident with `member` (`"name":"value"`) besides the required members.
fn plain(member: &[u8]) -> Vec<u8> {
    let head = br#"{"incidentId":7,"lastUpdateTime":"2020-09-06T14:46:57Z","#;
    [head, member, b"}"].concat()
}

fn plain_reading(member: &[u8]) -> Reading {
    let raw = plain(member);
    read(&raw, &SHAPE).unwrap_or_else(|why| panic!("{}: {why}", String::from_utf8_lossy(&raw)))
}

#[test]
fn reads_the_fields_that_decide() {
    let reading = reading(&incident());
    assert_eq!(reading.id, IncidentId(924_565));
    assert_eq!(reading.updated.to_string(), "2020-09-06T14:46:57.29Z");
    assert_eq!(reading.phase, Phase::Open);
    assert!(reading.whole);
}

#[test]
fn order_white_space_spelling_and_what_is_not_there_are_no_news() {
    let raw = r#" { "alerts": [ {"entities":null,"alertId":"\u0079","at":""},
          {"entities":[{"x":[1]},{"verdict":"CLEAN"}],"at":"2020-09-06T16:46:57.0+02:00","alertId":"x"}],
        "tags":["b","a"], "st\u0061tus":"ACTIVE", "lastUpdateTime":"2020-09-06T14:46:57.29Z", "more":{"a":1e400},
        "name":"m\u0061il", "title": null, "incidentId":"924565" } "#;
    assert_eq!(read_text(raw), reading(&incident()));
}

#[test]
fn any_other_difference_in_a_significant_member_is_news() {
    let before = reading(&incident()).hash;
    let alert = |id: &str, at: &str, verdict: &str| json!({"alertId": id, "at": at, "entities": [{"verdict": verdict}, {}]});
    let at = "2020-09-06T14:46:57Z";
    let second = json!({"alertId": "y"});
    assert_eq!(
        reading(&with("alerts", json!([alert("x", at, "Clean"), second]))).hash,
        before
    );
    for (key, value) in [
        ("tags", json!(["a"])),
        ("tags", json!(["a", "b", "b"])),
        ("tags", json!(["a", "B"])),
        ("tags", json!("a")),
        ("name", json!("Mail")),
        ("name", json!(["mail"])),
        ("name", json!(null)),
        ("title", json!("other")),
        ("redirectIncidentId", json!(1)),
        ("status", json!("resolved")),
        ("status", json!(1)),
        ("alerts", json!([])),
        ("alerts", json!([alert("x", at, "Clean")])),
        ("alerts", json!([alert("x", at, "Clean"), second, second])),
        ("alerts", json!([alert("z", at, "Clean"), second])),
        (
            "alerts",
            json!([alert("x", "2020-09-06T14:46:58Z", "Clean"), second]),
        ),
        ("alerts", json!([alert("x", at, "Malicious"), second])),
        (
            "alerts",
            json!([alert("x", at, "Clean"), {"alertId": "y", "entities": [{}]}]),
        ),
    ] {
        let changed = with(key, value);
        assert_ne!(reading(&changed).hash, before, "{changed}");
    }
}

#[test]
fn a_member_of_two_spellings_is_one() {
    let name = plain_reading(br#""name":"a""#);
    assert_eq!(plain_reading(br#""title":"a""#), name);
    assert_eq!(plain_reading(br#""title":"a","name":null"#), name);
    assert_ne!(plain_reading(br#""title":"b","name":"a""#).hash, name.hash);
}

#[test]
fn an_id_is_its_digits_whether_number_or_text() {
    let number = plain_reading(br#""redirectIncidentId":1007"#);
    assert_eq!(plain_reading(br#""redirectIncidentId":"1007""#), number);
    assert_ne!(
        plain_reading(br#""redirectIncidentId":"1008""#).hash,
        number.hash
    );
}

#[test]
fn a_redirect_to_zero_is_none_in_whatever_form_it_comes() {
    let none = plain_reading(br#""x":1"#);
    for zero in ["null", "0", "\"0\"", "\"\\u0030\"", "\"00\"", "\"\"", "[]"] {
        let member = format!("\"redirectIncidentId\":{zero}");
        assert_eq!(plain_reading(member.as_bytes()), none, "{zero}");
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
        (json!("active"), json!("0"), Phase::Open),
        (json!("active"), json!("00"), Phase::Open),
        (json!("active"), json!("none"), Phase::Redirected),
        (json!(null), json!(null), Phase::Open),
    ] {
        let mut value = with("status", status.clone());
        value["redirectIncidentId"] = redirect.clone();
        assert_eq!(reading(&value).phase, phase, "{status} {redirect}");
    }
    assert_eq!(
        plain_reading(br#""status":"Re\u0073olved""#).phase,
        Phase::Resolved
    );
}

#[test]
fn ids_beyond_2_to_53_and_ids_of_digits_are_exact() {
    for id in [json!(9_007_199_254_740_993_u64), json!("9007199254740993")] {
        assert_eq!(reading(&with("incidentId", id)).id.0, 9_007_199_254_740_993);
    }
}

#[test]
fn what_is_no_incident_says_why() {
    for (raw, reason) in [
        (&b"null"[..], "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{\"incidentId\":1", "not a JSON object"),
        (b"{\"incidentId\" 1}", "not a JSON object"),
        (
            b"{\"incidentId\":1,\"lastUpdateTime\":tru}",
            "lastUpdateTime is missing",
        ),
        (b"{\"a\":\"\xff\"}", "incidentId is missing"),
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
        (
            b"{\"incidentId\":1,\"lastUpdateTime\":\"2020-09-06T14:46:57Z\"",
            "not a JSON object",
        ),
    ] {
        let why = read(raw, &SHAPE).expect_err("was read").to_string();
        assert!(
            why.starts_with(reason),
            "{}: {why}",
            String::from_utf8_lossy(raw)
        );
    }
}

#[test]
fn what_odata_says_of_an_answer_is_no_content() {
    let alone = with("@odata.context", json!("$metadata#incidents/$entity"));
    let continued = with("alerts@odata.nextLink", json!("https://host/next"));
    assert_eq!(reading(&alone), reading(&incident()));
    assert_eq!(reading(&continued), reading(&incident()));
}

#[test]
fn of_equal_keys_the_last_counts() {
    let twice = br#"{"incidentId":1,"incidentId":2,"lastUpdateTime":"2020-09-06T14:46:57+02:00","status":"AwaitingAction","name":"a","name":"b"}"#;
    let reading = read(twice, &SHAPE).expect("an incident");
    assert_eq!(reading.id, IncidentId(2));
    assert_eq!(reading.updated.to_string(), "2020-09-06T12:46:57Z");
    assert_eq!(
        reading.phase,
        Phase::Open,
        "an unknown status is an open one"
    );
    let once = br#"{"incidentId":2,"lastUpdateTime":"2020-09-06T12:46:57Z","status":"AwaitingAction","name":"b"}"#;
    assert_eq!(read(once, &SHAPE), Ok(reading));
}

#[test]
fn of_ids_and_last_updates_that_occur_twice_the_last_one_that_can_be_read_counts() {
    let good = plain_reading(br#""name":"a""#);
    for other in hard_values().into_iter().map(|(_, value)| value).chain(
        [
            &b"null"[..],
            b"\"\"",
            b"\"x\"",
            b"true",
            b"-1",
            b"1.5",
            b"{}",
            b"[7]",
        ]
        .map(<[u8]>::to_vec),
    ) {
        for key in [&b"incidentId"[..], b"lastUpdateTime"] {
            // "12" and "007" are ids.
            if key == b"incidentId" && other.iter().all(u8::is_ascii_digit) && !other.is_empty() {
                continue;
            }
            let said = String::from_utf8_lossy(&other[..other.len().min(20)]);
            let again = [b"\"", key, b"\":", &other].concat();
            let behind = plain_reading(&[br#""name":"a","#, &again[..]].concat());
            assert_eq!(behind, good, "{said} behind");
            let head = [b"{", &again[..], b","].concat();
            let before = [&head[..], &plain(br#""name":"a""#)[1..]].concat();
            assert_eq!(read(&before, &SHAPE), Ok(good), "{said} before");
        }
    }
    let twice = plain_reading(br#""incidentId":8,"incidentId":9,"incidentId":null"#);
    assert_eq!(twice.id, IncidentId(9));
}

/// Values that some JSON reader refuses.
fn hard_values() -> Vec<(&'static str, Vec<u8>)> {
    let nested =
        |open: u8, levels: usize, close: u8| [vec![open; levels], vec![close; levels]].concat();
    let objects = [b"{\"a\":".repeat(200), b"1".to_vec(), vec![b'}'; 200]].concat();
    vec![
        ("half a pair", br#""mail from \ud83d""#.to_vec()),
        ("the other half", br#""\ude00 mail""#.to_vec()),
        ("pairs turned round", br#""\ude00\ud83d""#.to_vec()),
        ("no UTF-8", b"\"a\xff\xfe\"".to_vec()),
        ("half a character", b"\"a\xf0\x9f\"".to_vec()),
        ("beyond a double", b"1e400".to_vec()),
        (
            "a long number",
            [vec![b'9'; 5_000], b".5".to_vec()].concat(),
        ),
        (
            "a long exponent",
            [b"1e".to_vec(), vec![b'9'; 5_000]].concat(),
        ),
        ("no number", b"NaN".to_vec()),
        ("zeros first", b"007".to_vec()),
        ("128 levels", nested(b'[', 128, b']')),
        ("200 objects", objects),
        ("100,000 levels", nested(b'[', 100_000, b']')),
        ("a raw line break", b"\"a\nb\tc\"".to_vec()),
        ("no such escape", br#""a\x41\u12""#.to_vec()),
        ("a number for a text", b"12".to_vec()),
        ("an object for a text", br#"{"a":[1]}"#.to_vec()),
        ("nothing", Vec::new()),
        ("a comma too many", b"[1,]".to_vec()),
    ]
}

#[test]
fn an_incident_with_an_id_and_a_last_update_is_read_whatever_else_is_in_it() {
    let places: [(&str, &[u8], &[u8]); 8] = [
        ("an unknown member", b"\"x\":", b""),
        ("a text", b"\"name\":", b""),
        ("a word", b"\"status\":", b""),
        ("an id", b"\"redirectIncidentId\":", b""),
        ("a tag", b"\"tags\":[\"a\",", b"]"),
        ("the alerts", b"\"alerts\":", b""),
        (
            "an alert's title",
            b"\"alerts\":[{\"alertId\":\"x\",\"title\":",
            b"}]",
        ),
        (
            "a verdict",
            b"\"alerts\":[{\"entities\":[{\"verdict\":",
            b"}]}]",
        ),
    ];
    for (what, value) in hard_values() {
        for (place, before, after) in places {
            let raw = plain(&[before, &value, after].concat());
            let reading =
                read(&raw, &SHAPE).unwrap_or_else(|why| panic!("{what} as {place}: {why}"));
            assert_eq!(reading.id, IncidentId(7), "{what} as {place}");
            assert_eq!(read(&raw, &SHAPE), Ok(reading), "{what} as {place}");
            // A value that can't be compared by its meaning is still compared if the member counts.
            let other = plain(&[before, &b"\"zz\""[..], after].concat());
            let same = read(&other, &SHAPE).map(|other| other.hash) == Ok(reading.hash);
            let counts = !matches!(place, "an unknown member" | "an alert's title");
            assert_eq!(same, !counts, "{what} as {place}");
        }
    }
}

#[test]
fn a_member_that_can_not_be_compared_by_its_meaning_leaves_the_others_alone() {
    let one = plain_reading(br#""name":"\ud83d","tags":["b","a"]"#);
    assert_eq!(
        plain_reading(br#""tags":["a","b"],"x":1e400,"name":"\uD83D""#),
        one
    );
    assert_ne!(
        plain_reading(br#""name":"\ud83e","tags":["a","b"]"#).hash,
        one.hash
    );
}

#[test]
fn a_member_that_can_not_be_followed_is_compared_by_its_bytes_and_the_others_by_their_meaning() {
    let torn = br#""alerts":[{"alertId" 1},{"alertId":"y"}]"#;
    let one = plain_reading(&[&torn[..], br#","status":"New""#].concat());
    let other = plain_reading(&[br#""status":"NEW" , "#, &torn[..]].concat());
    assert_eq!(one, other);
    assert_ne!(plain_reading(torn).hash, one.hash, "without its status");
}

#[test]
fn an_object_that_can_not_be_followed_behind_id_and_last_update_is_compared_by_its_bytes() {
    let broken = plain_reading(br#""name" "a""#);
    assert_eq!(plain_reading(br#""name" "a""#), broken);
    assert_ne!(plain_reading(br#""name"  "a""#).hash, broken.hash);
}

#[test]
fn deep_nesting_costs_its_bytes_and_no_more() {
    // Passing over the bytes once per level would take hours, and a stack frame per level would overflow the stack.
    let levels = 2_000_000;
    let deep = [vec![b'['; levels], vec![b']'; levels]].concat();
    let alerts = [b"\"alerts\":[", &deep[..], b"]"].concat();
    plain_reading(&alerts);
}

proptest! {
    #[test]
    fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&raw, &SHAPE);
        let _ = read(&plain(&raw), &SHAPE);
    }

    #[test]
    fn the_bytes_of_an_incident_cut_anywhere_are_none(cut in 0_usize..400) {
        let text = incident().to_string();
        prop_assume!(cut < text.len());
        prop_assert!(read(&text.as_bytes()[..cut], &SHAPE).is_err());
    }
}
