//! Shows a text again and again: on a terminal in the same place, elsewhere one after the other.

use std::io::{self, IsTerminal};

use terminal_size::{Height, Width, terminal_size_of};

use crate::cli::CommandError;
use crate::cli::text::{width, write};
use crate::telemetry::logging::colour_refused;

/// At most, on the widest terminal: longer lines of text are hard to read.
const MOST_COLUMNS: usize = 100;
const LEAST_COLUMNS: usize = 60;

pub struct Screen {
    /// Columns and rows; `None`: no terminal.
    size: Option<(usize, usize)>,
}

impl Screen {
    pub fn of_stdout() -> Self {
        let stdout = io::stdout();
        let size = stdout.is_terminal().then(|| {
            let size = terminal_size_of(&stdout);
            size.map_or(
                (MOST_COLUMNS, usize::MAX),
                |(Width(columns), Height(rows))| (columns.into(), rows.into()),
            )
        });
        Self { size }
    }

    pub fn columns(&self) -> usize {
        let columns = self.size.map_or(MOST_COLUMNS, |(columns, _)| columns);
        columns.clamp(LEAST_COLUMNS, MOST_COLUMNS)
    }

    pub fn colour(&self) -> bool {
        self.size.is_some() && !colour_refused()
    }

    /// Shows `text` in place of the previous one; without a terminal, below it. `false`: standard output is closed.
    pub fn redraw(&self, text: &str) -> Result<bool, CommandError> {
        match self.size {
            Some((columns, rows)) => {
                let lines = cut(text, columns, rows);
                // Go home, clear the rest of each line, then all below: no flicker, and nothing old remains.
                write(&format!("\x1b[H{}\x1b[J", lines.replace('\n', "\x1b[K\n")))
            }
            None => write(&format!("{text}\n")),
        }
    }
}

/// The lines of `text` that fit on the screen, and the number of those that don't. The last row stays free for the cursor.
fn cut(text: &str, columns: usize, rows: usize) -> String {
    let height = |line: &str| width(line).div_ceil(columns.max(1)).max(1);
    let all: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(1);
    if all.iter().map(|line| height(line)).sum::<usize>() <= room {
        return text.to_owned();
    }
    let mut taken = 1;
    let shown = all.iter().take_while(|line| {
        taken += height(line);
        taken <= room
    });
    let shown: Vec<&str> = shown.copied().collect();
    let rest = all.len() - shown.len();
    let mut text = shown.join("\n");
    if !shown.is_empty() {
        text.push('\n');
    }
    text + &format!("… {rest} more lines: make the window higher\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let text = "one\ntwo\nthree\nfour\n";
        assert_eq!(cut(text, 80, 5), text);
        assert_eq!(
            cut(text, 80, 4),
            "one\ntwo\n… 2 more lines: make the window higher\n"
        );
        assert_eq!(cut(text, 80, 0), "… 4 more lines: make the window higher\n");
    }

    #[test]
    fn a_line_that_the_terminal_folds_takes_several_rows() {
        let text = format!("{}\nshort\nlast\n", "x".repeat(25));
        assert_eq!(
            cut(&text, 10, 5),
            format!(
                "{}\n… 2 more lines: make the window higher\n",
                "x".repeat(25)
            )
        );
    }
}
