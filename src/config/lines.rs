//! TOML as values of the `config` crate, with the line of each key as its value's origin.
//!
//! The crate's own TOML format keeps no lines, and refuses a whole file for one number that is too large. Here such a
//! number is kept as text, so that its key is reported. The parser limits its depth.

use config::{Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::origin::Table;
use super::problems::{Wrong, wrong};
use crate::core::health::failure::one_line;

/// Errors reported for one file. A text with more is no TOML, and each error costs a pass over it.
const MAX_ERRORS: usize = 50;

/// The values of a text, or its syntax errors, each with its line.
pub(super) fn parse(text: &str) -> Result<Table, Vec<(usize, Wrong)>> {
    let lines = LineIndex::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    match errors.as_slice() {
        [] => Ok(lines.table(table.into_inner())),
        errors => Err(lines.errors(errors)),
    }
}

/// A text and the offsets of its line ends.
struct LineIndex<'a> {
    text: &'a str,
    ends: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    fn of(text: &'a str) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        Self { text, ends }
    }

    fn at(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end < offset) + 1
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        let mut values = Table::new();
        for (key, value) in table {
            let line = self.at(key.span().start);
            let value = self.value(line, value.into_inner());
            values.insert(key.into_inner().into_owned(), value);
        }
        values
    }

    fn value(&self, line: usize, value: DeValue<'_>) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.into_owned()),
            DeValue::Integer(number) => {
                let text = || ValueKind::String(number.as_str().into());
                let read = i64::from_str_radix(number.as_str(), number.radix());
                read.map_or_else(|_| text(), ValueKind::I64)
            }
            DeValue::Float(number) => {
                let text = || ValueKind::String(number.as_str().into());
                let read = number.as_str().parse();
                read.map_or_else(|_| text(), ValueKind::Float)
            }
            DeValue::Boolean(value) => ValueKind::Boolean(value),
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Array(values) => {
                let values = values.into_iter().map(|value| {
                    let line = self.at(value.span().start);
                    self.value(line, value.into_inner())
                });
                ValueKind::Array(values.collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value::new(Some(&line.to_string()), kind)
    }

    /// One error for each line, and one for a table that is given twice: the parser continues at the next line. After a
    /// list or a multi-line text without an end it can't continue, so later errors are left out.
    fn errors(&self, errors: &[toml::de::Error]) -> Vec<(usize, Wrong)> {
        let mut placed: Vec<(usize, &toml::de::Error)> = errors
            .iter()
            .map(|error| (self.at(error.span().map_or(0, |span| span.start)), error))
            .collect();
        placed.sort_by_key(|(line, _)| *line);
        placed.dedup_by_key(|(line, _)| *line);
        placed.truncate(MAX_ERRORS);
        let mut found = Vec::new();
        let mut doubled_table = None;
        for (line, error) in placed {
            let message = error.message();
            if message.starts_with("duplicate key") {
                let header = self.header(line);
                if header.is_some() && doubled_table == header && header != Some(line) {
                    continue;
                }
                doubled_table = header.filter(|header| *header == line).or(doubled_table);
                found.push((line, self.doubled(line, error.span().unwrap_or_default())));
            } else {
                found.push((line, in_plain_words(message)));
            }
            if message.contains("array") || message.contains("multi-line") {
                break;
            }
        }
        found
    }

    /// The line of the header above a line, or of the line itself if it is one.
    fn header(&self, line: usize) -> Option<usize> {
        let above = self.text.lines().zip(1..).take(line);
        above
            .filter(|(text, _)| text.trim_start().starts_with('['))
            .map(|(_, line)| line)
            .last()
    }

    /// Explains a key, or the header of a table, that is given twice.
    fn doubled(&self, line: usize, key: std::ops::Range<usize>) -> Wrong {
        let header = self.header(line);
        let is_header = header == Some(line);
        // Only a comment may follow a header on its line.
        let bare = |text: &'a str| text.split('#').next().unwrap_or_default().trim();
        let (name, first) = match is_header {
            true => (bare(self.text.lines().nth(line - 1).unwrap_or_default()), 0),
            false => (
                self.text.get(key).unwrap_or_default(),
                header.unwrap_or_default(),
            ),
        };
        let is_same = |text: &'a str| match is_header {
            true => bare(text) == name,
            false => text
                .trim_start()
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('=')),
        };
        let before = self.text.lines().zip(1..).take(line - 1).skip(first);
        let before = before.filter(|(text, _)| is_same(text)).last();
        let place = before.map_or(String::new(), |(_, line)| format!(", in line {line}"));
        wrong(
            format!("{} is given before{place}", one_line(name, 80)),
            match is_header {
                true => {
                    "give each table once; a tenant's own is written with \"tenants.\" before its name, as [tenants.api], below its \
                     [[tenants]]"
                }
                false => "remove one of the two",
            },
        )
    }
}

/// The parser's message as its usual cause. Its messages contain no values, which may be secrets.
fn in_plain_words(message: &str) -> Wrong {
    const TORN: &str = "the text has no closing quote, or ends at a quote within it";
    #[rustfmt::skip]
    const CAUSES: [(&str, &str, &str); 8] = [
        ("string values must be quoted", "the value has no quotes, or is missing",
            "put texts, durations, sizes and schedules in quotes, as in \"30s\""),
        ("invalid date", "the value reads like a date, and no key takes one", "put it in quotes"),
        ("key with no value", "a key has no value", "write it as key = value"),
        ("unclosed table", "the name of the table has no closing bracket",
            "write it as [name], or as [[tenants]] with two brackets on either side"),
        ("invalid basic string", TORN, "close it with the quote it begins with"),
        ("invalid literal string", TORN, "close it with the quote it begins with"),
        ("missing escaped value", "a backslash between double quotes begins an escape, and this one is none",
            "write two backslashes for one, or put the text in single quotes"),
        ("unexpected key or value", "something follows the value on its line",
            "give each key a line of its own, and put the whole value in quotes"),
    ];
    let known = CAUSES.iter().find(|(start, ..)| message.starts_with(start));
    match known {
        Some((_, what, remedy)) => wrong(*what, *remedy),
        None => wrong(
            format!("it is not valid TOML: {}", one_line(message, 120)),
            "correct this line, or the one before it; texts stand in quotes",
        ),
    }
}
