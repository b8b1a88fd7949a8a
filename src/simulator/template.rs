//! JSON texts with holes: how Microsoft's documents are kept here, in the order of their members.
//!
//! A hole is a string that starts with a dollar sign, `"$name"`; the value of that name replaces it. A line with a hole
//! that has no value is left out, which makes its members optional.

use serde_json::Value;

pub(super) struct Template(Vec<Line>);

struct Line {
    start: String,
    /// The name of each hole, and the text after it.
    holes: Vec<(String, String)>,
}

impl Template {
    pub fn new(text: &str) -> Self {
        Self(text.lines().map(Line::new).collect())
    }

    /// `values` is an object. `lists` are arrays whose items are JSON already.
    pub fn fill(&self, values: &Value, lists: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in &self.0 {
            let before = out.len();
            out.extend_from_slice(line.start.as_bytes());
            for (name, after) in &line.holes {
                let list = lists.iter().find(|(list, _)| list == name);
                if let Some((_, items)) = list {
                    write_list(&mut out, items);
                } else if let Some(value) = values.get(name) {
                    // Writing to a vector can't fail.
                    let _ = serde_json::to_writer(&mut out, value);
                } else {
                    out.truncate(before);
                    break;
                }
                out.extend_from_slice(after.as_bytes());
            }
        }
        out
    }
}

impl Line {
    fn new(line: &str) -> Self {
        let mut parts = line.trim().split("\"$");
        Self {
            start: parts.next().unwrap_or_default().to_owned(),
            holes: parts
                .map(|part| part.split_once('"').unwrap_or((part, "")))
                .map(|(name, after)| (name.to_owned(), after.to_owned()))
                .collect(),
        }
    }
}

fn write_list(out: &mut Vec<u8>, items: &[Vec<u8>]) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.push(b']');
}

/// Adds the members of one object to another.
pub(super) fn extend(values: &mut Value, more: Value) {
    if let (Value::Object(values), Value::Object(more)) = (values, more) {
        values.extend(more);
    }
}
