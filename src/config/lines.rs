//! TOML as values of the `config` crate, with the line of each key as its value's origin.
//!
//! The crate's own TOML format keeps no lines, and refuses a whole file for one number that is too large. Here such a
//! number is kept as text, so that its key is reported. The parser limits its depth.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use config::{Value, ValueKind};
use toml::de::{DeTable, DeValue, Error};

use super::origin::Table;
use super::problems::{Wrong, wrong};
use crate::core::health::failure::one_line;

/// Errors reported for one file. A text with more is no TOML, and each error costs a pass over it.
const MAX_ERRORS: usize = 50;

/// The values of a text, or its syntax errors, each with its line.
pub(super) fn parse(bytes: &[u8]) -> Result<Table, Vec<(usize, Wrong)>> {
    let ends = memchr::memchr_iter(b'\n', bytes).collect();
    let text = String::from_utf8_lossy(bytes);
    let lines = LineIndex { text: &text, ends };
    if let Err(error) = str::from_utf8(bytes) {
        let wrong = wrong("it is not text in UTF-8", "save it as UTF-8");
        return Err(vec![(lines.at(error.valid_up_to()), wrong)]);
    }
    let (table, errors) = DeTable::parse_recoverable(&text);
    match errors.is_empty() {
        true => Ok(lines.table(table.into_inner())),
        false => Err(lines.errors(&errors)),
    }
}

/// A text and the offsets of its line ends.
struct LineIndex<'a> {
    text: &'a str,
    ends: Vec<usize>,
}

impl<'a> LineIndex<'a> {
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
        let text = |text: &str| ValueKind::String(text.into());
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.into_owned()),
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(number.as_str(), number.radix());
                read.map_or_else(|_| text(number.as_str()), ValueKind::I64)
            }
            DeValue::Float(number) => {
                let read = number.as_str().parse();
                read.map_or_else(|_| text(number.as_str()), ValueKind::Float)
            }
            DeValue::Boolean(value) => ValueKind::Boolean(value),
            DeValue::Datetime(time) => text(&time.to_string()),
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
    fn errors(&self, errors: &[Error]) -> Vec<(usize, Wrong)> {
        let place = |error: &Error| error.span().unwrap_or_default();
        let placed = errors.iter().rev();
        let placed = placed.map(|error| (self.at(place(error).start), error));
        // The first of each line.
        let placed: BTreeMap<usize, &Error> = placed.collect();
        let (mut found, mut doubled) = (Vec::new(), BTreeSet::new());
        for (line, error) in placed.into_iter().take(MAX_ERRORS) {
            let (message, header) = (error.message(), self.header(line));
            if !message.starts_with("duplicate key") {
                found.push((line, in_plain_words(message)));
            } else if header == line || !doubled.contains(&header) {
                doubled.insert(line);
                found.push((line, self.doubled(line, header, place(error))));
            }
            if message.contains("array") || message.contains("multi-line") {
                break;
            }
        }
        found
    }

    /// The line of the header above a line, or of the line itself if it is one. 0: there is none.
    fn header(&self, line: usize) -> usize {
        let above = self.text.lines().zip(1..).take(line);
        let headers = above.filter(|(text, _)| text.trim_start().starts_with('['));
        headers.last().map_or(0, |(_, line)| line)
    }

    /// Explains a key, or the header of a table, that is given twice.
    fn doubled(&self, line: usize, header: usize, key: Range<usize>) -> Wrong {
        // A header without a comment, or a key without its value.
        let head = |text: &'a str| text.split(['#', '=']).next().unwrap_or_default().trim();
        let (name, first, remedy) = match header == line {
            true => (
                head(self.text.lines().nth(line - 1).unwrap_or_default()),
                0,
                "give each table once; a tenant's own is written with \"tenants.\" before its name, as [tenants.api], below its \
                 [[tenants]]",
            ),
            false => (
                self.text.get(key).unwrap_or_default(),
                header,
                "remove one of the two",
            ),
        };
        let before = self.text.lines().zip(1..).take(line - 1).skip(first);
        let before = before.filter(|(text, _)| head(text) == name).last();
        let place = before.map_or(String::new(), |(_, line)| format!(", in line {line}"));
        wrong(
            format!("{} is given before{place}", one_line(name, 80)),
            remedy,
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
    if let Some((_, what, remedy)) = CAUSES.iter().find(|(start, ..)| message.starts_with(start)) {
        return wrong(*what, *remedy);
    }
    let what = format!("it is not valid TOML: {}", one_line(message, 120));
    wrong(
        what,
        "correct this line, or the one before it; texts stand in quotes",
    )
}
