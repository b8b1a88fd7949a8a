//! A model edits an incident at random, and knows what it has changed.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::core::incident::alert_list::alerts;
use crate::core::incident::reading::read;
use crate::core::incident::significant::Compared;
use crate::core::sources::{defender, graph};

/// The members of an incident that a model sets, besides its alerts. Equal values are one meaning in any spelling.
#[derive(Clone, Debug, PartialEq)]
struct ModelIncident {
    /// Small numbers, as the value of each member of the table but the alerts. 0: it is not there.
    members: Vec<u8>,
    alerts: BTreeMap<u8, ModelAlert>,
    updated: u8,
}

#[derive(Clone, Debug, PartialEq)]
struct ModelAlert {
    status: u8,
    verdicts: Vec<u8>,
}

fn alert_id(number: u8) -> String {
    match number % 3 {
        0 => format!("da63755122767756{number:04}_-961444813"),
        1 => format!("caD70CFEE2-1F54-32DB-9988-3A868A1EB{number:03}"),
        _ => format!("alert, \"é\" {number}"),
    }
}

impl ModelIncident {
    /// `spelling` changes what makes no difference.
    fn json(&self, shape: &Shape, spelling: bool) -> Vec<u8> {
        let mut incident = Map::new();
        incident.insert(shape.id.to_owned(), json!("924565"));
        let updated = format!("2026-01-01T00:00:{:02}Z", self.updated);
        incident.insert(shape.updated.to_owned(), json!(updated));
        let rows = shape.significant.iter().filter(|row| row.name != "alerts");
        for (row, number) in rows.zip(&self.members) {
            let value = match (&row.compared, number) {
                (_, 0) if spelling => Value::Null,
                (_, 0) => continue,
                (Compared::Word, _) if spelling => json!(format!("WORD{number}")),
                (Compared::List(Compared::Text), _) if spelling => json!(["b", number.to_string()]),
                (Compared::List(Compared::Text), _) => json!([number.to_string(), "b"]),
                (Compared::List(_), _) => json!([{"comment": number.to_string()}]),
                (Compared::Id, _) if spelling => json!(u64::from(*number)),
                (Compared::Word, _) => json!(format!("word{number}")),
                _ => json!(number.to_string()),
            };
            incident.insert(row.name.to_owned(), value);
        }
        let mut alerts: Vec<_> = (self.alerts.iter())
            .map(|(number, alert)| alert.json(*number, shape))
            .collect();
        if spelling {
            alerts.reverse();
        }
        if !(spelling && alerts.is_empty()) {
            incident.insert("alerts".to_owned(), json!(alerts));
        }
        incident.insert("priorityScore".to_owned(), json!(spelling));
        Value::from(incident).to_string().into_bytes()
    }
}

impl ModelAlert {
    fn json(&self, number: u8, shape: &Shape) -> Value {
        let verdicts: Vec<_> = (self.verdicts.iter())
            .map(|verdict| json!({"verdict": format!("v{verdict}")}))
            .collect();
        let status = format!("s{}", self.status);
        match shape.origin {
            SourceKind::Graph => {
                json!({"id": alert_id(number), "status": status, "evidence": verdicts, "title": "t"})
            }
            SourceKind::Defender => {
                json!({"alertId": alert_id(number), "status": status, "entities": verdicts})
            }
        }
    }
}

/// What the model has changed.
fn expected(
    before: &ModelIncident,
    after: &ModelIncident,
    shape: &Shape,
) -> (Vec<&'static str>, AlertChanges) {
    let rows = shape.significant.iter().filter(|row| row.name != "alerts");
    let values = before.members.iter().zip(&after.members);
    let differs = rows.zip(values).filter(|(_, (one, other))| one != other);
    let mut members: Vec<_> = differs.map(|(row, _)| row.name).collect();
    if before.alerts != after.alerts {
        members.push("alerts");
    }
    let ids = |those: &mut dyn Iterator<Item = &u8>| {
        let mut ids: Vec<_> = those.map(|number| alert_id(*number)).collect();
        ids.sort();
        ids
    };
    let alerts = AlertChanges {
        added: ids(&mut after
            .alerts
            .keys()
            .filter(|it| !before.alerts.contains_key(it))),
        removed: ids(&mut before
            .alerts
            .keys()
            .filter(|it| !after.alerts.contains_key(it))),
        changed: ids(&mut after.alerts.keys().filter(|it| {
            let then = before.alerts.get(it);
            then.is_some_and(|then| after.alerts[*it] != *then)
        })),
    };
    (members, alerts)
}

fn model() -> impl Strategy<Value = ModelIncident> {
    let alert = (0..3_u8, prop::collection::vec(0..2_u8, 0..3));
    let alert = alert.prop_map(|(status, mut verdicts)| {
        verdicts.sort_unstable();
        ModelAlert { status, verdicts }
    });
    let members = prop::collection::vec(0..3_u8, 9);
    let alerts = prop::collection::btree_map(0..8_u8, alert, 0..5);
    (members, alerts, 0..3_u8).prop_map(|(members, alerts, updated)| ModelIncident {
        members,
        alerts,
        updated,
    })
}

fn shapes() -> impl Strategy<Value = &'static Shape> {
    prop_oneof![Just(&graph::SHAPE), Just(&defender::SHAPE)]
}

/// The reading of an incident, and what it is next to `published`.
fn compared(
    raw: &[u8],
    shape: &'static Shape,
    whole: bool,
    published: Option<&(Seen, PackedOutline)>,
) -> (Reading, Comparison) {
    let reading = read(raw, shape).expect("an incident");
    let reading = match whole {
        true => reading,
        false => reading.without_alerts(),
    };
    let published = published.map(|(seen, outline)| (seen, outline));
    (reading, compare(raw, &reading, shape, published))
}

/// What the ledger has of an incident after it was published whole.
fn published(raw: &[u8], shape: &'static Shape) -> (Seen, PackedOutline) {
    let (reading, comparison) = compared(raw, shape, true, None);
    assert_eq!(comparison.changes, None, "there is nothing before");
    (reading.seen(None), comparison.outline.expect("an outline"))
}

fn changes(before: &[u8], after: &[u8], shape: &'static Shape) -> Option<Changes> {
    let (_, comparison) = compared(after, shape, true, Some(&published(before, shape)));
    comparison.changes.map(|changes| *changes)
}

proptest! {
    #[test]
    fn exactly_what_was_edited_is_named(before in model(), after in model(), shape in shapes(), spelling in any::<[bool; 2]>()) {
        let (earlier, later) = (before.json(shape, spelling[0]), after.json(shape, spelling[1]));
        let (members, alerts) = expected(&before, &after, shape);
        let first = read(&earlier, shape).expect("an incident");
        let version = VersionBefore { updated: first.updated, hash: first.hash };
        prop_assert_eq!(changes(&earlier, &later, shape), Some(Changes { before: version, members, alerts: Some(alerts) }));
    }

    #[test]
    fn what_is_named_and_what_makes_a_version_are_the_same(before in model(), after in model(), shape in shapes()) {
        let (earlier, later) = (before.json(shape, false), after.json(shape, true));
        let hash = |raw: &[u8]| read(raw, shape).expect("an incident").hash;
        let changes = changes(&earlier, &later, shape).expect("known");
        prop_assert_eq!(changes.members.is_empty(), hash(&earlier) == hash(&later));
    }

    #[test]
    fn an_outline_survives_the_round_trip(incident in model(), shape in shapes()) {
        let outline = Outline::read(&incident.json(shape, false), shape).expect("an outline");
        let packed = PackedOutline::from_bytes(outline.pack().as_bytes());
        prop_assert_eq!(packed.unpack(shape), Some(outline));
    }

    #[test]
    fn alerts_that_were_not_returned_are_neither_gone_nor_new_later(before in model(), partial in model(), after in model(), shape in shapes()) {
        let start = published(&before.json(shape, false), shape);
        let (reading, middle) = compared(&partial.json(shape, false), shape, false, Some(&start));
        let told = middle.changes.expect("known").alerts.expect("listed");
        let (_, expected_partial) = expected(&before, &partial, shape);
        prop_assert_eq!(&told.removed, &Vec::<String>::new());
        prop_assert_eq!((&told.added, &told.changed), (&expected_partial.added, &expected_partial.changed));
        // What consumers know of by now.
        let mut known = partial;
        for (number, alert) in before.alerts {
            known.alerts.entry(number).or_insert(alert);
        }
        let kept = (reading.seen(Some(&start.0)), middle.outline.expect("an outline"));
        let (_, last) = compared(&after.json(shape, false), shape, true, Some(&kept));
        let last = last.changes.expect("known");
        let (members, alerts) = expected(&known, &after, shape);
        prop_assert_eq!((last.members, last.alerts), (members, Some(alerts)));
        prop_assert_eq!(last.before.hash, reading.hash);
    }

    #[test]
    fn no_bytes_panic(given in prop::collection::vec(any::<u8>(), 0..120), incident in model(), damage in any::<(usize, u8)>(), shape in shapes()) {
        let raw = incident.json(shape, false);
        let (seen, sound) = published(&raw, shape);
        let mut damaged = sound.as_bytes().to_vec();
        let at = damage.0 % damaged.len();
        damaged[at] ^= damage.1;
        for bytes in [given, damaged.clone(), damaged[..at].to_vec()] {
            let (_, comparison) = compared(&raw, shape, true, Some(&(seen, PackedOutline::from_bytes(&bytes))));
            prop_assert_eq!(comparison.outline.as_ref(), Some(&sound), "what is written does not depend on what was there");
        }
    }
}

fn graph_incident(alerts: &str) -> Vec<u8> {
    let head =
        r#"{"id":"7","lastUpdateDateTime":"2026-01-01T00:00:00Z","status":"active","alerts":"#;
    [head, alerts, "}"].concat().into_bytes()
}

fn alerts_of(before: &str, after: &str) -> (Vec<&'static str>, Option<AlertChanges>) {
    let changes = changes(
        &graph_incident(before),
        &graph_incident(after),
        &graph::SHAPE,
    );
    let changes = changes.expect("known");
    (changes.members, changes.alerts)
}

#[test]
fn an_alert_that_is_listed_twice_differs_from_one() {
    let twice = r#"[{"id":"a","status":"new"},{"id":"a","status":"new"}]"#;
    let (members, alerts) = alerts_of(r#"[{"id":"a","status":"new"}]"#, twice);
    assert_eq!(members, ["alerts"]);
    let changed = vec!["a".to_owned()];
    assert_eq!(
        alerts,
        Some(AlertChanges {
            changed,
            ..AlertChanges::default()
        })
    );
}

#[test]
fn alerts_that_can_not_be_named_are_known_to_differ() {
    let long = format!(r#"[{{"id":"{}"}}]"#, "x".repeat(200));
    for alerts in [
        "[{}]",
        r#"[{"id":0}]"#,
        r#"[{"id":""}]"#,
        "[7]",
        "[null]",
        r#"{"id":"a"}"#,
        r#""a""#,
        &long,
    ] {
        let named = r#"[{"id":"a","status":"new"}]"#;
        assert_eq!(alerts_of(named, alerts), (vec!["alerts"], None), "{alerts}");
        assert_eq!(alerts_of(alerts, named), (vec!["alerts"], None), "{alerts}");
        assert_eq!(alerts_of(alerts, alerts), (vec![], None), "{alerts}");
        assert_eq!(
            alerts_of(alerts, "[{},{}]"),
            (vec!["alerts"], None),
            "{alerts}"
        );
    }
    for none in ["null", "[]", "[ ]", r#""""#] {
        let (members, alerts) = alerts_of(none, r#"[{"id":"a"}]"#);
        assert_eq!(
            (members, alerts.map(|it| it.added)),
            (vec!["alerts"], Some(vec!["a".to_owned()])),
            "{none}"
        );
    }
}

#[test]
fn an_outline_is_bounded_whatever_an_incident_holds() {
    let many = |count: usize| {
        let alerts: Vec<_> = (0..count)
            .map(|n| format!(r#"{{"id":"da637551227677560813_{n}"}}"#))
            .collect();
        format!("[{}]", alerts.join(","))
    };
    let size = |alerts: &str| {
        published(&graph_incident(alerts), &graph::SHAPE)
            .1
            .as_bytes()
            .len()
    };
    assert!(
        (45_000..MOST_BYTES + 64).contains(&size(&many(2_200))),
        "{}",
        size(&many(2_200))
    );
    assert!(size(&many(5_000)) < 64);
    assert!(size(&format!("[{}]", vec!["{}"; 100_000].join(","))) < 64);
    assert_eq!(alerts_of(&many(5_000), &many(5_000)), (vec![], None));
    assert_eq!(
        alerts_of(&many(5_000), &many(5_001)),
        (vec!["alerts"], None)
    );
    assert_eq!(alerts_of(&many(5_000), &many(10)), (vec!["alerts"], None));
}

#[test]
fn an_outline_of_the_other_api_or_of_a_later_release_says_nothing() {
    let raw = graph_incident("[]");
    let (seen, outline) = published(&raw, &graph::SHAPE);
    let later = [&[FORMAT + 1], &outline.as_bytes()[1..]].concat();
    let told = |bytes: &[u8], shape| PackedOutline::from_bytes(bytes).unpack(shape).is_some();
    assert!(told(outline.as_bytes(), &graph::SHAPE));
    assert!(!told(outline.as_bytes(), &defender::SHAPE));
    assert!(!told(&later, &graph::SHAPE));
    let former = Seen {
        forms: crate::core::incident::version::Forms::NONE,
        ..seen
    };
    let (_, comparison) = compared(&raw, &graph::SHAPE, true, Some(&(former, outline)));
    assert_eq!(comparison.changes, None);
}

#[test]
fn a_partial_incident_without_a_version_before_has_no_outline() {
    let (_, comparison) = compared(&graph_incident("[]"), &graph::SHAPE, false, None);
    assert_eq!(comparison, Comparison::default());
}

/// Every installation has rows like these.
#[test]
fn the_form_in_the_ledger_never_changes() {
    let alerts = r#"[{"id":"da637551227677560813_-961444813","status":"new"},{"id":"X1"}]"#;
    let (_, outline) = published(&graph_incident(alerts), &graph::SHAPE);
    let hex: String = outline
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let members = "01030001".to_owned() + "57582f839b";
    let alerts =
        "025831b0d8fab1e0".to_owned() + "9f6a8c3394a1108e639ca602023ff9260908440460" + "d5c178a6cd";
    assert_eq!(hex, members + &alerts);
}

#[test]
fn each_alert_has_its_bytes() {
    let raw = graph_incident(r#"[ {"id":"a", "x":1}, {"id":7}, {"title":"no id"}, null ]"#);
    let found: Vec<_> = alerts(&raw, &graph::SHAPE)
        .map(|alert| {
            let raw = String::from_utf8_lossy(alert.raw).into_owned();
            (alert.id.map(|id| id.into_owned()), raw)
        })
        .collect();
    let ids: Vec<_> = found.iter().map(|(id, _)| id.as_deref()).collect();
    assert_eq!(ids, [Some("a"), Some("7"), None, None]);
    assert_eq!(found[0].1, r#"{"id":"a", "x":1}"#);
    let hash = |status: &str| {
        let raw = graph_incident(&format!(r#"[{{"id":"a","status":"{status}"}}]"#));
        let alert = alerts(&raw, &graph::SHAPE).next();
        alert.expect("an alert").hash
    };
    assert_eq!(hash("new"), hash("NEW"));
    assert_ne!(hash("new"), hash("resolved"));
}
