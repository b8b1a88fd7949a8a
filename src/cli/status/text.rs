//! Lines and columns on a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
    let (mut fitted, mut taken) = (String::new(), 1);
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > columns {
            break;
        }
        fitted.push(c);
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

    proptest! {
        #[test]
        fn a_cell_has_exactly_its_width(text in "\\PC{0,30}|[a-z日本ö ]{0,30}", columns in 2_usize..20) {
            prop_assert_eq!(width(&left(&text, columns)), columns, "{}", text);
            prop_assert_eq!(width(&right(&text, columns)), columns, "{}", text);
        }

        #[test]
        fn wrapping_keeps_every_word_and_the_width(text in "([a-z]{1,12} ?){0,30}", columns in 24_usize..60) {
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
