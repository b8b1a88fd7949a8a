//! JSON texts with holes, as which the simulator keeps Microsoft's documents.
//!
//! `"$name"`, a whole string, is replaced by the value of that name, whatever its type. `<name>`, within a string, is
//! replaced by the text of the value. A line with a hole that has no value is left out, which makes its members optional.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;

/// How one API writes incidents.
pub(super) struct Documents {
    pub incident: Template,
    pub alert: Template,
    /// Devices, entities and other evidence, by kind.
    pub evidence: HashMap<String, Template>,
    /// The same for alerts that leave out what does not apply, if they differ.
    pub sparse: HashMap<String, Template>,
}

/// The pieces of each line.
pub(super) struct Template(Vec<Vec<Piece>>);

enum Piece {
    Text(String),
    /// The name of a value.
    Value(String),
    /// The name of a value that is a part of a string.
    Part(String),
}

/// Fills a text that is not needed often enough to keep its template.
pub(super) fn fill(text: &str, values: &Value) -> Vec<u8> {
    Template::new(text).fill(values, &[])
}

impl Template {
    pub fn new(text: &str) -> Self {
        Self(text.lines().map(pieces).collect())
    }

    /// `values` is an object. `lists` are arrays whose items are JSON already.
    pub fn fill(&self, values: &Value, lists: &[(&str, Vec<Bytes>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in &self.0 {
            let before = out.len();
            let whole = line.iter().all(|piece| piece.fill(&mut out, values, lists));
            if !whole {
                out.truncate(before);
            }
        }
        out
    }
}

impl Piece {
    /// Whether there was a value.
    fn fill(&self, out: &mut Vec<u8>, values: &Value, lists: &[(&str, Vec<Bytes>)]) -> bool {
        let name = match self {
            Self::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                return true;
            }
            Self::Value(name) | Self::Part(name) => name,
        };
        if let Some((_, items)) = lists.iter().find(|(list, _)| list == name) {
            out.push(b'[');
            out.extend_from_slice(&items.join(&b','));
            out.push(b']');
            return true;
        }
        let Some(value) = values.get(name) else {
            return false;
        };
        let start = out.len();
        // Writing to a vector can't fail.
        let _ = serde_json::to_writer(&mut *out, value);
        if matches!(self, Self::Part(_)) && value.is_string() {
            // The quotes are those of the string around it.
            out.pop();
            out.remove(start);
        }
        true
    }
}

fn pieces(line: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (name, text) in split(line.trim(), "\"$", '"') {
        pieces.extend(name.map(|name| Piece::Value(name.to_owned())));
        for (name, text) in split(text, "<", '>') {
            pieces.extend(name.map(|name| Piece::Part(name.to_owned())));
            pieces.push(Piece::Text(text.to_owned()));
        }
    }
    pieces
}

/// The text before the first hole, then the name of each hole with the text after it.
fn split<'a>(
    text: &'a str,
    open: &'a str,
    close: char,
) -> impl Iterator<Item = (Option<&'a str>, &'a str)> {
    text.split(open).enumerate().map(move |(index, part)| {
        let hole = part.split_once(close).filter(|_| index > 0);
        hole.map_or((None, part), |(name, after)| (Some(name), after))
    })
}

/// Adds the members of one object to another.
pub(super) fn extend(values: &mut Value, more: Value) {
    if let (Value::Object(values), Value::Object(more)) = (values, more) {
        values.extend(more);
    }
}
