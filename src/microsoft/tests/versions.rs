//! What makes a version of each API's incidents, for each row of its table, so that an added row is tested too.

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::core::incident::reading::{Shape, read};
use crate::core::incident::significant::{Compared, MOST, Significant};
use crate::core::incident::version::Reading;
use crate::core::sources::{defender, graph};
use crate::core::time::ticks::Ticks;

static SHAPES: [&Shape; 2] = [&defender::SHAPE, &graph::SHAPE];

/// Pseudo-random choices from one number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) % limit as u64) as usize
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// A value of a kind. `full`: nothing is missing, and no list is empty.
fn some(compared: &'static Compared, full: bool) -> BoxedStrategy<Value> {
    match compared {
        Compared::Word => "[A-Za-z]{1,9}".prop_map(Value::from).boxed(),
        Compared::Text => "[ \\t\\n\"\\\\/A-Za-zé\u{1f600}]{1,9}"
            .prop_map(Value::from)
            .boxed(),
        Compared::Id => (1..1_000_000_u64).prop_map(Value::from).boxed(),
        Compared::Time => (0..17_000_000_000_000_000_i64)
            .prop_map(|ticks| Value::from(Ticks(ticks).to_string()))
            .boxed(),
        Compared::List(of) => prop::collection::vec(some(of, full), usize::from(full)..4)
            .prop_map(Value::from)
            .boxed(),
        Compared::Object(members) => object(members, full).prop_map(Value::Object).boxed(),
    }
}

fn object(
    members: &'static [Significant],
    full: bool,
) -> impl Strategy<Value = Map<String, Value>> {
    let member = |member: &'static Significant| {
        let value = some(&member.compared, full);
        let value = if full {
            value
        } else {
            prop_oneof![1 => Just(Value::Null), 3 => value].boxed()
        };
        value.prop_map(|value| (member.name.to_owned(), value))
    };
    let members: Vec<_> = members.iter().map(member).collect();
    members.prop_map(|members| members.into_iter().collect())
}

fn incident(shape: &'static Shape, full: bool) -> impl Strategy<Value = Value> {
    object(shape.significant, full).prop_map(|mut incident| {
        incident.insert(shape.id.to_owned(), json!(924_565));
        incident.insert(shape.updated.to_owned(), json!("2026-09-06T14:46:57.29Z"));
        Value::Object(incident)
    })
}

fn is_missing(value: &Value) -> bool {
    matches!(value, Value::Null) || *value == json!([]) || *value == json!("")
}

/// Members that Microsoft may add, links, scores and states, and what JSON readers refuse.
const UNKNOWN: [&str; 8] = [
    r#""priorityScore":42"#,
    r#""priorityScore":null"#,
    r#""incidentWebUrl":"https://example.com/incident2/1/overview?tid=7""#,
    r#""incidentWebUrl":"https://example.com/incidents/1?tid=7""#,
    r#""mitreTechniques":["T1078","T1566"]"#,
    r#""zz":{"id":1,"alerts":[{"status":"x"}],"b":[[[1e400]]]}"#,
    r#""zz":"half \ud83d""#,
    r#""healthStatus":"Inactive","riskScore":"High""#,
];

fn space(dice: &mut Dice) -> &'static str {
    dice.one_of(&["", "", " ", "\n\t", "\r\n "])
}

/// A text in a random spelling.
fn spelled(text: &str, dice: &mut Dice) -> String {
    let mut spelled = "\"".to_owned();
    for letter in text.chars() {
        if dice.once_in(4) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(spelled, "\\u{unit:04X}").expect("a string");
            }
        } else {
            let plain = Value::from(letter.to_string()).to_string();
            spelled.push_str(&plain[1..plain.len() - 1]);
        }
    }
    spelled + "\""
}

fn instant(text: &str, dice: &mut Dice) -> String {
    let instant: Ticks = text.parse().expect("an instant");
    let hours = dice.below(5);
    let there = instant.plus(std::time::Duration::from_secs(hours as u64 * 3600));
    let there = there.to_string();
    let digits = there.trim_end_matches('Z');
    let dot = if digits.contains('.') { "" } else { "." };
    let zeros = "0".repeat(dice.below(4));
    let fraction = if zeros.is_empty() {
        String::new()
    } else {
        format!("{dot}{zeros}")
    };
    let zone = match hours {
        0 => "Z".to_owned(),
        hours => format!("+0{hours}:00"),
    };
    format!("{digits}{fraction}{zone}")
}

/// A value in one of its possible forms.
fn written(value: &Value, compared: &Compared, dice: &mut Dice) -> String {
    match (compared, value) {
        (_, value) if is_missing(value) => dice.one_of(&["null", "[]", "\"\"", "[ ]"]).to_owned(),
        (Compared::Word, Value::String(word)) => {
            let letters = word.chars().map(|letter| match dice.once_in(2) {
                true => letter.to_ascii_uppercase(),
                false => letter.to_ascii_lowercase(),
            });
            let word: String = letters.collect();
            spelled(&word, dice)
        }
        (Compared::Time, Value::String(text)) => spelled(&instant(text, dice), dice),
        (Compared::Id, Value::Number(id)) if dice.once_in(2) => format!("\"{id}\""),
        (Compared::List(of), Value::Array(items)) => {
            let mut items: Vec<_> = items.iter().map(|item| written(item, of, dice)).collect();
            dice.shuffle(&mut items);
            let comma = format!("{},{}", space(dice), space(dice));
            format!("[{}{}{}]", space(dice), items.join(&comma), space(dice))
        }
        (Compared::Object(members), Value::Object(values)) => object_written(values, members, dice),
        (_, Value::String(text)) => spelled(text, dice),
        (_, value) => value.to_string(),
    }
}

fn object_written(values: &Map<String, Value>, members: &[Significant], dice: &mut Dice) -> String {
    let mut texts = Vec::new();
    for (name, value) in values {
        let row = members.iter().find(|member| member.name == name);
        if is_missing(value) && dice.once_in(2) {
            continue;
        }
        let form = row.map_or(value.to_string(), |row| written(value, &row.compared, dice));
        let member = format!(
            "{}{}:{}{form}",
            spelled(name, dice),
            space(dice),
            space(dice)
        );
        texts.push(match dice.once_in(8) {
            // Of equal keys the last one counts.
            true => format!("{}:\"former\",{member}", spelled(name, dice)),
            false => member,
        });
    }
    for _ in 0..dice.below(3) {
        texts.push(dice.one_of(&UNKNOWN).to_owned());
    }
    dice.shuffle(&mut texts);
    let comma = format!("{},{}", space(dice), space(dice));
    format!("{{{}{}{}}}", space(dice), texts.join(&comma), space(dice))
}

fn reading(value: &Value, shape: &'static Shape, dice: &mut Dice) -> Reading {
    let values = value.as_object().expect("an object");
    let text = object_written(values, shape.significant, dice);
    read(text.as_bytes(), shape).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// The paths to each row of a table, through the lists on the way.
fn rows(members: &'static [Significant]) -> Vec<Vec<&'static Significant>> {
    let mut ways = Vec::new();
    for member in members {
        ways.push(vec![member]);
        if let Compared::List(Compared::Object(inner)) = &member.compared {
            let deeper = rows(inner).into_iter();
            ways.extend(deeper.map(|way| [vec![member], way].concat()));
        }
    }
    ways
}

/// A value with another meaning.
fn changed(value: &Value, compared: &Compared, dice: &mut Dice) -> Value {
    match (compared, value) {
        (_, value) if !is_missing(value) && dice.once_in(4) => Value::Null,
        (Compared::List(_), Value::Array(items)) => {
            let mut items = items.clone();
            let which = dice.below(items.len().max(1));
            match dice.below(3) {
                0 if items.len() > 1 => {
                    items.remove(which);
                }
                1 if !items.is_empty() => items.push(items[which].clone()),
                _ => items.push(json!("new")),
            }
            Value::from(items)
        }
        (Compared::Time, Value::String(text)) => {
            let instant: Ticks = text.parse().expect("an instant");
            Value::from(Ticks(instant.0 + 1).to_string())
        }
        (_, Value::Number(id)) => Value::from(id.as_u64().expect("an id") + 1),
        (_, Value::String(text)) => Value::from(format!("{text}x")),
        _ => json!("another"),
    }
}

/// `value` with another meaning in the row at the end of `way`.
fn with_change(value: &Value, way: &[&Significant], dice: &mut Dice) -> Value {
    let (row, rest) = way.split_first().expect("a row");
    let mut value = value.clone();
    let member = &mut value[row.name];
    *member = match (rest, &*member) {
        ([], before) => changed(before, &row.compared, dice),
        (rest, Value::Array(items)) => {
            let mut items = items.clone();
            let which = dice.below(items.len());
            items[which] = with_change(&items[which], rest, dice);
            Value::from(items)
        }
        (_, other) => panic!("no list: {other}"),
    };
    value
}

#[test]
fn no_table_is_longer_than_there_is_room_for() {
    fn longest(members: &[Significant]) -> usize {
        let inner = members.iter().map(|member| match &member.compared {
            Compared::List(Compared::Object(inner)) => longest(inner),
            _ => 0,
        });
        inner.max().unwrap_or(0).max(members.len())
    }
    for shape in SHAPES {
        assert!(longest(shape.significant) <= MOST, "{:?}", shape.origin);
    }
}

/// The hashes in a ledger must stay comparable, and so must the `ce_id`s that consumers have seen. A hash that has to
/// change needs a new format of the ledger's rows.
#[test]
fn the_hash_of_an_incident_never_changes_between_releases() {
    let defender: [(&str, &str); 4] = [
        (
            r#"{"incidentId":1,"lastUpdateTime":"2026-09-06T14:46:57Z"}"#,
            "dbd5c699d40a4462",
        ),
        (
            r#"{"incidentId":1,"lastUpdateTime":"2026-09-06T14:46:57Z","status":"Active","severity":"High"}"#,
            "ab2951f1d9f736b7",
        ),
        (include_str!("versions/defender.json"), "3676a7c28889cecf"),
        (
            r#"{"incidentId":1,"lastUpdateTime":"2026-09-06T14:46:57Z","incidentName":"mail from \ud83d","status":7,"tags":[null,"a\x41"]}"#,
            "882286c0523fec6c",
        ),
    ];
    let graph: [(&str, &str); 3] = [
        (
            r#"{"id":"1","lastUpdateDateTime":"2026-09-06T14:46:57Z"}"#,
            "dbd5c699d40a4462",
        ),
        (
            r#"{"id":"1","lastUpdateDateTime":"2026-09-06T14:46:57Z","status":"active","redirectIncidentId":"1007"}"#,
            "245e86c5b9ec214f",
        ),
        (include_str!("versions/graph.json"), "8a4b34d2313b6f1f"),
    ];
    let found = |raw: &str, shape| {
        read(raw.as_bytes(), shape)
            .expect("an incident")
            .hash
            .to_string()
    };
    let mut wrong = Vec::new();
    for (vectors, shape) in [(&defender[..], SHAPES[0]), (&graph[..], SHAPES[1])] {
        for (raw, expected) in vectors {
            let hash = found(raw, shape);
            if hash != *expected {
                wrong.push((hash, *expected));
            }
        }
    }
    assert_eq!(wrong, [], "(found, expected)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_form_an_incident_comes_in_it_is_the_same_version(
        defender in incident(SHAPES[0], false), graph in incident(SHAPES[1], false), chances in any::<[u64; 2]>(),
    ) {
        for (incident, shape) in [(defender, SHAPES[0]), (graph, SHAPES[1])] {
            let [one, other] = chances.map(|chance| reading(&incident, shape, &mut Dice(chance)));
            prop_assert_eq!(one, other, "{}", incident);
        }
    }

    #[test]
    fn another_meaning_of_any_member_in_the_table_is_another_version(
        defender in incident(SHAPES[0], true), graph in incident(SHAPES[1], true), chance in any::<u64>(),
    ) {
        let mut dice = Dice(chance);
        for (incident, shape) in [(defender, SHAPES[0]), (graph, SHAPES[1])] {
            let before = reading(&incident, shape, &mut dice);
            for way in rows(shape.significant) {
                let other = with_change(&incident, &way, &mut dice);
                let after = reading(&other, shape, &mut dice);
                let names: Vec<_> = way.iter().map(|row| row.name).collect();
                prop_assert_ne!(after.hash, before.hash, "{:?}: {} and {}", names, incident, other);
            }
        }
    }
}
