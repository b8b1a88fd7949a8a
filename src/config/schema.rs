//! The JSON Schema of the configuration, for editors: made from the rows of [`keys`], so that it can't be out of date.
//!
//! It wants texts in quotes, where the program takes a number, too. `incidentd check` knows more: what a schedule or an
//! address is, and what several keys mean together.

use serde_json::{Map, Value, json};

use super::keys::{self, ConfigKey, KeyType};
use super::units::Measure;

/// Whose table it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TableOwner {
    MainFile,
    Tenant,
}

/// The schema of the main file, and of the files of `tenants_dir`, as a text.
pub(crate) fn schema() -> String {
    let mut root = table("", TableOwner::MainFile);
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "The configuration of incidentd".into();
    format!("{root:#}\n")
}

fn table(name: &str, owner: TableOwner) -> Value {
    let properties: Map<String, Value> = match owner {
        TableOwner::MainFile => keys::of_table(name).map(|key| of_key(key, owner)).collect(),
        TableOwner::Tenant => keys::of_tenant(name)
            .map(|key| of_key(key, owner))
            .collect(),
    };
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn of_key(key: &ConfigKey, owner: TableOwner) -> (String, Value) {
    let mut schema = match key.kind {
        KeyType::Table => match key.name {
            "tenants" => json!({"type": "array", "items": tenant()}),
            // The names are librdkafka's. One with dots and without quotes is a table within a table.
            "properties" => {
                json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "object"]}})
            }
            name => table(name, owner),
        },
        KeyType::Choice(names) => json!({"enum": names()}),
        KeyType::List => json!({"type": "array", "items": {"type": "string"}}),
        KeyType::Amount(measure, low, high) => amount(measure, low, high),
        KeyType::Text("GUID") => json!({"type": "string", "format": "uuid"}),
        KeyType::Text(_)
        | KeyType::Path
        | KeyType::Credential
        | KeyType::Variable
        | KeyType::Url => json!({"type": "string"}),
    };
    schema["description"] = description(key).into();
    // What a tenant does not give is the main file's.
    if let (Some(default), TableOwner::MainFile) = (key.default(), owner) {
        let number = default.parse::<u64>().map(Value::from);
        schema["default"] = number.unwrap_or_else(|_| default.into());
    }
    (key.name.to_owned(), schema)
}

fn tenant() -> Value {
    let mut tenant = table("", TableOwner::Tenant);
    tenant["required"] = json!(["id"]);
    tenant
}

fn description(key: &ConfigKey) -> String {
    let mut text = key.about().to_owned();
    if let (KeyType::Amount(..), Some(range)) = (key.kind, key.range()) {
        text += &format!("; {range}");
    }
    if !key.is_table() && !key.is_reloadable() {
        text += "; a new value takes a restart";
    }
    text
}

/// As a text, and as a number where a unit may be left out.
fn amount(measure: &Measure, low: u64, high: u64) -> Value {
    let in_units = measure.units.iter().filter_map(|(unit, factor)| {
        let digits = whole_numbers(low.div_ceil(*factor), high / factor)?;
        Some(format!("({digits}) *{unit}"))
    });
    let pattern = format!("^0*({})$", in_units.collect::<Vec<_>>().join("|"));
    let is_number = measure.units.iter().any(|(unit, _)| unit.is_empty());
    match is_number {
        true => {
            json!({"type": ["integer", "string"], "minimum": low, "maximum": high, "pattern": pattern})
        }
        false => json!({"type": "string", "pattern": pattern}),
    }
}

/// A regular expression of the numbers from `low`, which is at least 1, to `high`. `None`: there is no such number.
///
/// Each of its parts stands for numbers with the same first digits, the next digit in a range, and any digits after it.
fn whole_numbers(mut low: u64, high: u64) -> Option<String> {
    let mut parts = Vec::new();
    while low <= high {
        let mut size = 1;
        while low.is_multiple_of(size * 10) && low + size * 10 - 1 <= high {
            size *= 10;
        }
        let first = low / size;
        let last = (first / 10 * 10 + 9).min((high + 1) / size - 1);
        let begin = (first >= 10).then(|| (first / 10).to_string());
        parts.push(format!(
            "{}[{}-{}][0-9]{{{}}}",
            begin.unwrap_or_default(),
            first % 10,
            last % 10,
            size.ilog10()
        ));
        low = (last + 1) * size;
    }
    (!parts.is_empty()).then(|| parts.join("|"))
}
