//! Reads incidents as no documentation shows them.

use serde_json::{Value, json};

use crate::core::incident::json::Scanner;
use crate::core::time::ticks::Ticks;
use crate::record::view::{IncidentView, Kind, List, Room, TextMember};
use proptest::prelude::*;

fn view(raw: &[u8]) -> IncidentView<'_> {
    IncidentView::of(raw, Room::MOST)
}

fn observed<'a>(view: &'a IncidentView<'_>) -> Vec<(Kind, &'a str, &'a str)> {
    let all = view.observations.iter();
    all.map(|one| (one.kind, &*one.value, one.name)).collect()
}

#[test]
fn a_member_of_another_type_is_left_out_and_its_neighbours_stay() {
    for odd in ["null", "true", "[1]", "{\"a\":{}}", "\"\""] {
        let raw = format!(
            r#"{{"displayName":{odd},"severity":"high","customTags":{odd},"comments":{odd},"alerts":[{odd},
               {{"id":{odd},"title":"t","evidence":{odd}}}],"status":"active","alert":5}}"#
        );
        let view = view(raw.as_bytes());
        let text = |member| view.incident.texts.get(member);
        assert_eq!(text(TextMember::Title), None, "{odd}");
        assert_eq!(text(TextMember::Severity), Some("high"), "{odd}");
        assert_eq!(text(TextMember::Status), Some("active"), "{odd}");
        assert_eq!(text(TextMember::Comment), None, "{odd}");
        assert_eq!(view.alerts.len(), 1, "{odd}");
        assert_eq!(
            view.alerts[0].texts.get(TextMember::Title),
            Some("t"),
            "{odd}"
        );
        assert!(!view.cut, "{odd}");
    }
}

#[test]
fn the_first_day_of_the_calendar_is_no_time() {
    for (first, expected) in [
        ("0001-01-01T00:00:00Z", 7),
        ("1970-01-01T00:00:00.0000003Z", 3),
    ] {
        let raw = format!(
            r#"{{"alerts":[{{"firstActivityDateTime":"{first}","lastActivityDateTime":"1970-01-01T00:00:00.0000007Z"}}]}}"#
        );
        let activity = view(raw.as_bytes()).activity;
        assert_eq!(activity, Some((Ticks(expected), Ticks(7))), "{first}");
    }
}

#[test]
fn a_number_keeps_its_digits_whatever_its_size() {
    for number in [
        "9007199254740993",
        "1e400",
        "-0.30",
        "123456789012345678901234567890",
    ] {
        let raw = format!(r#"{{"priorityScore":{number},"incidentId":{number}}}"#);
        let view = view(raw.as_bytes());
        assert_eq!(
            view.incident.texts.get(TextMember::PriorityScore),
            Some(number)
        );
        assert_eq!(view.incident.texts.get(TextMember::Id), Some(number));
    }
}

#[test]
fn bytes_that_are_no_utf_8_and_halves_of_pairs_are_replaced() {
    let raw = b"{\"displayName\":\"a\\ud83d b\xff\",\"customTags\":[\"\\ud83d\\ude00\",\"bad \\x escape\"]}";
    let view = view(raw);
    let title = view.incident.texts.get(TextMember::Title).expect("a text");
    assert!(
        title.starts_with("a\u{fffd}") && title.ends_with(" b\u{fffd}"),
        "{title}"
    );
    let tags: Vec<_> = view.incident.list(List::Tags).collect();
    assert_eq!(tags, ["😀", "bad \\x escape"]);
}

#[test]
fn a_long_text_is_cut_between_characters_and_the_view_says_so() {
    for filler in ["x", "é", "😀", r"\u00e9", r"\ud83d\ude00", r"\\", r#"\""#] {
        let raw = format!(r#"{{"displayName":"{}"}}"#, filler.repeat(10_000));
        let view = view(raw.as_bytes());
        let title = view.incident.texts.get(TextMember::Title).expect("a text");
        let one: String = serde_json::from_str(&format!("\"{filler}\"")).expect("JSON");
        let kept = title.strip_suffix('…').expect("a mark");
        assert!(view.cut);
        assert!(
            kept.len() <= Room::MOST.text && kept.len() > 600,
            "{}",
            kept.len()
        );
        assert_eq!(kept.replace(&one, ""), "", "{filler}");
    }
}

#[test]
fn evidence_of_both_apis_is_observed_once_at_any_depth() {
    let hash = "5f1e8acedc065031aad553b710838eb366cfee9a";
    let raw = json!({"alerts": [
        {"id": "a", "evidence": [
            {"@odata.type": "#microsoft.graph.security.fileEvidence", "fileDetails": {"sha1": hash, "sha256": null, "fileName": "x.exe"}},
            {"ipAddress": "1.1.1.1"}, {"ipAddress": "not an address"}, {"ipInterfaces": ["1.1.1.1", "fe80::1"]},
            {"userAccount": {"accountName": "ann", "userPrincipalName": "ann@contoso.com"}},
        ]},
        {"alertId": "b", "devices": [{"deviceDnsName": "host.contoso.com"}], "entities": [
            {"entityType": "User", "accountName": "ann"}, {"sha1": hash, "ipAddress": null}, {"value": "no hash"},
        ]},
    ]})
    .to_string();
    let view = view(raw.as_bytes());
    assert_eq!(
        observed(&view),
        [
            (Kind::FileName, "x.exe", "fileName"),
            (Kind::Hash, hash, "sha1"),
            (Kind::Ip, "1.1.1.1", "ipAddress"),
            (Kind::Ip, "fe80::1", "ipInterfaces"),
            (Kind::Account, "ann", "accountName"),
            (Kind::Account, "ann@contoso.com", "userPrincipalName"),
            (Kind::Host, "host.contoso.com", "deviceDnsName"),
        ]
    );
}

#[test]
fn what_is_read_has_a_limit_however_many_alerts_and_whatever_their_depth() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let raw = format!(
        r#"{{"customTags":[{}],"alerts":[{}{{"id":"last","lastActivity":"2026-01-02T00:00:00Z","evidence":{deep}}}]}}"#,
        (0..1_000).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(","),
        r#"{"id":"a","title":"t","firstActivity":"2026-01-01T00:00:00Z","evidence":[{"ipAddress":"1.1.1.1"}]},"#.repeat(50_000),
    );
    let view = view(raw.as_bytes());
    assert!(view.cut);
    assert!(
        (500..1_000).contains(&view.alerts.len()),
        "{}",
        view.alerts.len()
    );
    assert_eq!(view.observations.len(), 1);
    assert_eq!(view.incident.list(List::Tags).len(), 64);
    let (first, last) = view.activity.expect("activity of all alerts");
    assert_eq!(
        (first.to_string(), last.to_string()),
        (
            "2026-01-01T00:00:00Z".to_owned(),
            "2026-01-02T00:00:00Z".to_owned()
        )
    );
}

proptest! {
    #[test]
    fn the_start_of_a_text_is_a_start_of_what_it_says(text in "[a\\n\"\\\\é😀]{0,30}", escaped in any::<bool>(), most in 0..120_usize) {
        let written = match escaped {
            true => text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>(),
            false => {
                let quoted = Value::from(text.as_str()).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
        };
        let json = format!("\"{written}\"");
        let mut input = Scanner::new(json.as_bytes());
        let Ok(Some(crate::core::incident::json::Scalar::Text(whole))) = input.scalar() else { panic!("a text") };
        let start = whole.start(most);
        prop_assert!(start.written().len() <= most);
        prop_assert!(most < written.len() || start.written() == written.as_bytes());
        prop_assert!(start.written().len() + 6 > most.min(written.len()));
        let said = start.said().expect("whole escapes");
        let kept = String::from_utf8_lossy(&said);
        prop_assert!(text.starts_with(kept.trim_end_matches('\u{fffd}')), "{:?} {:?}", text, kept);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::sample::select(&b"{}[]\",:\\u0d8 alertsid\xff"[..]), 0..200), limit in 0..5_000_usize) {
        let all = [b"{\"alerts\":[{\"evidence\":[", &bytes[..]].concat();
        IncidentView::of(&all, Room::of_part(limit));
        IncidentView::of(&bytes, Room::of(bytes.len()));
    }
}
