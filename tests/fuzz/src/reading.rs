//! Incidents, and which of their members make a version. The results are compared with serde_json where it accepts the
//! input.

use std::ops::Range;

use incidentd::core::incident::json::{Begins, Scanner};
use incidentd::core::incident::reading::{Shape, read};
use incidentd::core::sources::{defender, graph};
use serde_json::Value;

/// An incident of either API, and other forms of it that must be the same version.
pub fn reading(raw: &[u8]) {
    for shape in [&defender::SHAPE, &graph::SHAPE] {
        let Ok(known) = read(raw, shape) else {
            refused(raw, shape);
            continue;
        };
        assert_eq!(read(raw, shape), Ok(known), "not the same twice");
        assert_ne!(known.without_alerts().hash, known.hash);
        // It could not be followed to its end, so it is compared by its bytes.
        let Some(members) = members(raw) else {
            continue;
        };
        let unknown = br#""zz":{"a":[1e400,"\ud800",{"b":null}]}"#;
        let same = |form: Vec<u8>, what: &str| {
            let found = read(&form, shape);
            assert_eq!(
                found,
                Ok(known),
                "{what}: {}",
                String::from_utf8_lossy(&form)
            );
        };
        same(
            object(members.iter().map(|at| &raw[at.clone()]), b" \n"),
            "white space",
        );
        let with_unknown = members.iter().map(|at| &raw[at.clone()]);
        same(
            object(with_unknown.chain([&unknown[..]]), b""),
            "an unknown member",
        );
        if let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(raw) {
            is_as_known(raw, &value, shape);
        }
    }
}

fn refused(raw: &[u8], shape: &'static Shape) {
    let Ok(value) = serde_json::from_slice::<Value>(raw) else {
        return;
    };
    let id = match &value[shape.id] {
        Value::String(id) if id.bytes().all(|byte| byte.is_ascii_digit()) => id.parse().ok(),
        id => id.as_u64(),
    };
    let updated = value[shape.updated].as_str().map(str::parse);
    let updated = updated.and_then(|updated| updated.ok());
    let _: Option<incidentd::core::time::ticks::Ticks> = updated;
    assert!(
        id.is_none() || updated.is_none(),
        "readable, and refused: {value}"
    );
}

/// If serde_json writes it again, sorting the members and taking the last of equal ones, it is the same version.
fn is_as_known(raw: &[u8], value: &Value, shape: &'static Shape) {
    let known = read(raw, shape).map(|it| (it.id, it.updated, it.phase));
    let anew = value.to_string();
    let found = read(anew.as_bytes(), shape);
    assert_eq!(
        found.as_ref().map(|it| (it.id, it.updated, it.phase)),
        known.as_ref().copied(),
        "{anew}"
    );
    // What serde_json writes differently is compared by its bytes only where the table does not expect it.
    let pretty = serde_json::to_string_pretty(value).expect("JSON");
    let flat = value.as_object().expect("an object").values().all(plain);
    if flat {
        assert_eq!(read(pretty.as_bytes(), shape), found, "{pretty}");
    }
}

fn plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// The ranges of an object's members, last ones first, each key once.
fn members(raw: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut input = Scanner::new(raw);
    let (mut members, mut keys) = (Vec::new(), Vec::new());
    if !input.enter(Begins::Object) {
        return None;
    }
    while let Some(key) = input.key().ok()? {
        let said = key.said()?.into_owned();
        let place = input.skip().ok()?;
        // From the key's quote on.
        let start = key.written().as_ptr().addr() - raw.as_ptr().addr() - 1;
        // A missing value can't be moved to the end of the members.
        if place.is_empty() || keys.contains(&said) || keys.len() > 200 {
            return None;
        }
        keys.push(said);
        members.push(start..place.end);
    }
    input.end().ok()?;
    members.reverse();
    Some(members)
}

fn object<'a>(members: impl Iterator<Item = &'a [u8]>, space: &[u8]) -> Vec<u8> {
    let members: Vec<&[u8]> = members.collect();
    let comma = [space, b",", space].concat();
    [
        space,
        b"{",
        space,
        &members.join(&comma[..]),
        space,
        b"}",
        space,
    ]
    .concat()
}
