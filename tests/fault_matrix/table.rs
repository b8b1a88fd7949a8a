//! The matrix as a table: one row per fault, with wrapped remedies, no wider than a wide terminal.

use std::fmt::Write as _;

const WIDTHS: [usize; 5] = [17, 38, 13, 27, 53];
const HEAD: [&str; 5] = ["ASKED", "ANSWER", "STATE", "TRIED AGAIN AFTER", "REMEDY"];

pub type Line = [String; 5];

/// Prints `lines`. A text in the last column that the line above has too is not repeated.
pub fn print(lines: &[Line]) -> String {
    let mut text = String::new();
    add(&mut text, HEAD);
    add(
        &mut text,
        WIDTHS
            .map(|width| "-".repeat(width))
            .each_ref()
            .map(String::as_str),
    );
    let mut above = "";
    for line in lines {
        let mut cells = line.each_ref().map(String::as_str);
        let remedy = cells[4];
        if remedy == above && remedy.len() > 1 {
            cells[4] = "(as above)";
        }
        above = remedy;
        add(&mut text, cells);
    }
    text
}

fn add(text: &mut String, cells: [&str; 5]) {
    let mut columns = [0, 1, 2, 3, 4].map(|at| wrapped(cells[at], WIDTHS[at]).into_iter());
    loop {
        let parts = columns.each_mut().map(Iterator::next);
        if parts.iter().all(Option::is_none) {
            return;
        }
        let mut line = String::new();
        for (part, width) in parts.into_iter().zip(WIDTHS) {
            write!(line, "{:width$}  ", part.unwrap_or_default()).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// `text` in lines of at most `width` characters, cut between words where possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let line = lines.last_mut().unwrap();
            let used = line.chars().count();
            let room = width.saturating_sub(used + usize::from(used > 0));
            if word.len() > room && used > 0 {
                lines.push(String::new());
                continue;
            }
            if used > 0 {
                line.push(' ');
            }
            line.extend(word.drain(..word.len().min(room)));
        }
    }
    lines
}
