//! Word wrap and tables, and writing to standard output.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::iter;

use anyhow::Context;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Row, Table, Width};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthStr;

use super::{CommandError, INTERNAL, OrExit};
use crate::core::format::tame;

/// Commands print lines of at most this width. Links are never broken, and may be longer.
pub const COLUMNS: usize = 100;
/// Between the columns of a table.
pub const GAP: &str = "  ";
/// Names are not cut below this width.
const LEAST_NAME: usize = 12;

/// Writes to standard output, without characters that command a terminal: names of files may have some.
pub fn print(text: &str) -> Result<(), CommandError> {
    let lines: Vec<_> = text.split('\n').map(tame).collect();
    print_as_it_is(&lines.join("\n"))
}

/// Writes a text that is safe already, or that must stay as it is: a script, a manual page.
pub fn print_as_it_is(text: &str) -> Result<(), CommandError> {
    write(text).map(|_| ())
}

/// Writes to standard output. `false`: it is closed, which is no error (`incidentd check | head -1`).
pub fn write(text: &str) -> Result<bool, CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error)
            .context("can't write to standard output")
            .or_exit(INTERNAL),
    }
}

/// Writes to standard error, without characters that command a terminal: names of files may have some.
pub fn print_error(text: &str) {
    let lines: Vec<_> = text.lines().map(tame).collect();
    // A failure can't be reported anywhere.
    let _ = writeln!(io::stderr(), "incidentd: {}", lines.join("\n"));
}

/// The same document without characters that command a terminal. In JSON they can only be in texts, where an escape means
/// the same, or between values, where a space does.
pub fn one_json_line(body: &str) -> String {
    let mut line = String::with_capacity(body.len() + 1);
    for (c, tamed) in body.trim().chars().zip(tame(body.trim()).chars()) {
        match c {
            '\t' | '\r' | '\n' => line.push(' '),
            c if c != tamed => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line + "\n"
}

/// The width of a text on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A text in lines of at most `columns`: the first after `label`, the others indented by its width. Words are never broken,
/// so that a long link can be copied whole.
pub fn wrapped(label: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = " ".repeat(width(label));
    let options = Options::new(columns)
        .initial_indent(label)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    let lines = textwrap::wrap(&text, options);
    lines.into_iter().map(Cow::into_owned).collect()
}

/// The same within [`COLUMNS`].
pub fn paragraph(label: &str, text: &str) -> Vec<String> {
    wrapped(label, text, COLUMNS)
}

/// How the commands begin that a remedy may end with.
const COMMANDS: [&str; 3] = ["kafka-topics.sh ", "kafka-acls.sh ", "kafka-configs.sh "];

/// What is wrong, and what to do. A command at the end is wrapped with backslashes, ready for a shell.
pub fn why_and_do(what: &str, remedy: &str) -> Vec<String> {
    let mut lines = paragraph("    why: ", &tame(what));
    let remedy = tame(remedy);
    let command = COMMANDS.iter().find_map(|start| remedy.find(start));
    let (text, command) = remedy.split_at(command.unwrap_or(remedy.len()));
    lines.extend(paragraph("    do:  ", text));
    if !command.is_empty() {
        lines.extend(continued("           ", command));
    }
    lines
}

/// A shell's command over several lines.
fn continued(indent: &str, command: &str) -> Vec<String> {
    // Leave room for the backslash.
    let mut lines = wrapped(indent, command, COLUMNS - 2);
    let last = lines.len().saturating_sub(1);
    for line in lines.iter_mut().take(last) {
        line.push_str(" \\");
    }
    lines
}

/// How a table is laid out.
#[derive(Clone, Copy)]
pub struct Layout<'a> {
    /// Columns of the whole table.
    pub width: usize,
    /// The column of names: it is cut when the table would be wider, but not below twelve columns.
    pub name: usize,
    /// Columns of numbers.
    pub right: &'a [usize],
}

/// Rows in aligned columns, the heading first.
pub fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    layout: Layout<'_>,
) -> Vec<String> {
    let mut table = Table::new();
    // Names are cut anywhere, not only between words: a delimiter that no cell contains.
    table.load_style(NOTHING).set_delimiter('\0');
    table.set_truncation_indicator("…");
    for cells in iter::once(heading.map(str::to_owned)).chain(rows) {
        let mut row = Row::from(cells);
        row.max_height(1);
        table.add_row(row);
    }
    let widest = table.column_max_content_widths();
    let all: usize = widest
        .iter()
        .map(|width| usize::from(*width) + GAP.len())
        .sum();
    let surplus = all.saturating_sub(layout.width.saturating_add(GAP.len()));
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP.len() as u16));
        if layout.right.contains(&n) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let widest = widest.get(n).filter(|_| n == layout.name && surplus > 0);
        if let Some(widest) = widest.copied().map(usize::from) {
            let room = widest.saturating_sub(surplus).max(LEAST_NAME.min(widest));
            let room = u16::try_from(room + GAP.len()).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(room)));
        }
    }
    let lines = table.lines();
    lines.map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(width: usize, right: &'static [usize]) -> Layout<'static> {
        Layout {
            width,
            name: 1,
            right,
        }
    }

    /// What stands behind a name begins in the same column, whatever the name: it is cut to `columns` at most.
    fn assert_cut_to(name: &str, columns: usize) {
        for right in [&[][..], &[1]] {
            let row = |name: &str| ["x".to_owned(), name.to_owned(), "|".to_owned()];
            let others = "x".len() + 2 * GAP.len() + "|".len();
            let longest = "n".repeat(columns);
            let heading = ["x", &longest, "|"];
            for line in table(heading, [row(name)], layout(columns + others, right)) {
                assert_eq!(width(&line), columns + others, "{line:?}");
                assert!(line.ends_with("  |"), "{line:?}");
            }
        }
    }

    #[test]
    fn a_long_link_stays_whole() {
        let link = "https://login.example/".to_owned() + &"x".repeat(60);
        let lines = wrapped("  do:  ", &format!("have the link {link} opened"), 40);
        assert_eq!(
            lines,
            [
                "  do:  have the link",
                &format!("       {link}"),
                "       opened"
            ]
        );
    }

    #[test]
    fn a_character_that_widens_the_one_before_it_is_counted() {
        let name = "*\u{fe0f}".repeat(10);
        for columns in 12..30 {
            assert_cut_to(&name, columns);
        }
    }

    #[test]
    fn a_command_can_be_pasted_as_it_stands() {
        let options = [
            "--bootstrap-server kafka-1.example:9092",
            "--create",
            "--topic security.incidents",
            "--partitions 6",
        ];
        let command = format!("kafka-topics.sh {}", options.join(" "));
        let lines = why_and_do("it is not there", &format!("create it: {command}"));
        assert_eq!(
            lines,
            [
                "    why: it is not there",
                "    do:  create it:",
                "           kafka-topics.sh --bootstrap-server kafka-1.example:9092 --create --topic \\",
                "           security.incidents --partitions 6",
            ]
        );
    }

    #[test]
    fn the_stretching_column_gives_way() {
        let last = "x".repeat(60);
        let row = ["ok".to_owned(), "n".repeat(50), last.clone()];
        let lines = table(["ok", "NAME", &last], [row], layout(COLUMNS, &[]));
        assert_eq!(
            lines[1],
            format!("ok  {}…  {}", "n".repeat(33), "x".repeat(60))
        );
        assert!(lines.iter().all(|line| width(line) == COLUMNS), "{lines:?}");
    }

    #[test]
    fn json_stays_what_it_is_and_commands_nothing() {
        let said = "{\"name\":\"Söhne \u{9b}2J\u{7f}\u{202e}\",\r\n\t\"n\":1}\n";
        let line = one_json_line(said);
        assert_eq!(
            line,
            "{\"name\":\"Söhne \\u009b2J\\u007f\\u202e\",   \"n\":1}\n"
        );
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&line), value(said));
    }

    proptest! {
        #[test]
        fn a_cell_has_exactly_its_width(text in "\\PC{0,30}|[a-z日本ö ]{0,30}", columns in 12_usize..20) {
            assert_cut_to(&tame(&text), columns);
        }

        #[test]
        fn wrapping_keeps_every_word_and_the_width(text in "([a-z]{1,12} ){0,30}", columns in 24_usize..60) {
            let lines = wrapped("why: ", &text, columns);
            let words = lines.join(" ").replacen("why: ", "", 1);
            prop_assert_eq!(
                words.split_whitespace().collect::<Vec<_>>(),
                text.split_whitespace().collect::<Vec<_>>()
            );
            for line in &lines {
                let fits = width(line) <= columns || line.split_whitespace().count() <= 2;
                prop_assert!(fits, "{line:?} is wider than {columns}");
            }
        }
    }
}
