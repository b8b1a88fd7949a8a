//! Lines and columns, and the way to standard output.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use unicode_width::UnicodeWidthStr;

use super::{CommandError, INTERNAL};
use crate::core::format::tame;

/// What commands print fits into so many columns; links are never broken, and may be longer.
pub const COLUMNS: usize = 100;
const GAP: &str = "  ";

/// Writes to standard output, and nothing that a terminal would obey: names of files may hold whatever.
pub fn print(text: &str) -> Result<(), CommandError> {
    let lines: Vec<_> = text.split('\n').map(tame).collect();
    print_as_it_is(&lines.join("\n"))
}

/// The same for a text of ours that is no report: a script, a page. A reader that has seen enough (`incidentd check | head
/// -1`) is no error.
pub fn print_as_it_is(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error)
            .context("can't write to standard output")
            .map_err(|error| CommandError::new(INTERNAL, error)),
        _ => Ok(()),
    }
}

/// Writes to standard error. It may be closed, and names of files may hold whatever a terminal would obey.
pub fn print_error(text: &str) {
    let lines: Vec<_> = text.lines().map(tame).collect();
    // There is nowhere to report that this failed.
    let _ = writeln!(io::stderr(), "incidentd: {}", lines.join("\n"));
}

/// The columns that a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A text in exactly `columns`, what is longer cut with `…`.
pub fn left(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let room = columns.saturating_sub(width(&text));
    text + &" ".repeat(room)
}

/// The same, at the right end.
pub fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    for c in text.chars() {
        fitted.push(c);
        // As a whole: a character may change how wide the one before it is drawn.
        if width(&fitted) >= columns {
            fitted.pop();
            break;
        }
    }
    fitted.push('…');
    fitted
}

/// A text in lines of at most `columns`: the first after `label`, the others under it. A word is never broken, so that a
/// link that is longer than a line can still be copied whole.
pub fn wrapped(label: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = " ".repeat(width(label));
    let mut lines = Vec::new();
    let mut line = label.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// The same within [`COLUMNS`].
pub fn paragraph(label: &str, text: &str) -> Vec<String> {
    wrapped(label, text, COLUMNS)
}

/// The beginnings of commands that a remedy may end with.
const COMMANDS: [&str; 2] = ["kafka-topics.sh ", "kafka-acls.sh "];

/// What is wrong, and what to do. A command at its end is broken so that it can be pasted into a shell as it stands.
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
    // The backslash takes its room from the end of the line.
    let mut lines = wrapped(indent, command, COLUMNS - 2);
    let last = lines.len().saturating_sub(1);
    for line in lines.iter_mut().take(last) {
        line.push_str(" \\");
    }
    lines
}

/// Rows in aligned columns, the heading first. The column `stretch` is cut when the whole would be too wide, never below
/// twelve.
pub fn table<const N: usize>(rows: &[[String; N]], stretch: usize) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width_, cell) in widths.iter_mut().zip(row) {
            *width_ = width(cell).max(*width_);
        }
    }
    let all = widths.iter().sum::<usize>() + GAP.len() * N.saturating_sub(1);
    if let Some(column) = widths.get_mut(stretch) {
        *column = column
            .saturating_sub(all.saturating_sub(COLUMNS))
            .max(12.min(*column));
    }
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| left(cell, width))
            .collect();
        cells.join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        for columns in 1..30 {
            assert_eq!(width(&left(&name, columns)), columns);
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
        let row = |name: &str| ["ok".to_owned(), name.to_owned(), "x".repeat(60)];
        let lines = table(&[row("NAME"), row(&"n".repeat(50))], 1);
        assert_eq!(
            lines[1],
            format!("ok  {}…  {}", "n".repeat(33), "x".repeat(60))
        );
        assert!(lines.iter().all(|line| width(line) == COLUMNS), "{lines:?}");
    }

    proptest! {
        #[test]
        fn a_cell_has_exactly_its_width(text in "\\PC{0,30}|[a-z日本ö ]{0,30}", columns in 2_usize..20) {
            prop_assert_eq!(width(&left(&text, columns)), columns, "{}", text);
            prop_assert_eq!(width(&right(&text, columns)), columns, "{}", text);
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
