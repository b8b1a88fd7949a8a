//! Numbers and texts from outside, formatted for people: on a terminal and in a browser.

/// A length of time in at most two units: `45s`, `12m`, `2h 5m`, `3d 4h`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, large_unit: char, small: u64, small_unit: char| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, _) => two(hours, 'h', minutes % 60, 'm'),
        _ => two(days, 'd', hours % 24, 'h'),
    }
}

/// A number with its thousands separated: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes: `0 B`, `12.3 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.into_iter().find(|(_, size)| number >= *size);
    match unit {
        Some((unit, size)) => format!("{:.1} {unit}", number as f64 / size as f64),
        None => format!("{number} B"),
    }
}

/// `1 tenant`, `40 tenants`.
pub fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number as u64))
}

/// The count of each word, in the order of their first occurrence: `1 credential, 38 ok`.
pub fn tally<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut counts: Vec<(&str, u64)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let parts: Vec<_> = counts
        .into_iter()
        .map(|(word, count)| format!("{} {word}", grouped(count)))
        .collect();
    parts.join(", ")
}

/// The heading of a report and its first entry, in one line.
pub fn gist(report: &str) -> String {
    let lines: Vec<_> = report.lines().map(str::trim).take(2).collect();
    lines.join(" ")
}

/// Makes text from outside harmless: control characters and invisible changes of the reading direction become spaces.
pub fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if is_wild(c) { ' ' } else { c })
        .collect()
}

/// Whether this is an invisible character that commands a terminal, ends a line or changes its direction.
pub fn is_wild(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (7500, "2h 5m"),
            (86_399, "23h 59m"),
            (86_400, "1d"),
            (273_600, "3d 4h"),
            (u64::MAX, "213503982334601d 7h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(12_900_000), "12.3 MiB");
        assert_eq!(counted(1, "tenant"), "1 tenant");
        assert_eq!(counted(1200, "tenant"), "1,200 tenants");
        assert_eq!(tally(["consent", "ok", "ok"]), "1 consent, 2 ok");
        assert_eq!(tally([]), "");
    }

    #[test]
    fn the_gist_of_a_report_is_its_beginning() {
        let report = "there are 2 errors:\na.toml:3: poll = 7: it is no table\n    write [poll]\nb.toml: empty";
        assert_eq!(
            gist(report),
            "there are 2 errors: a.toml:3: poll = 7: it is no table"
        );
        assert_eq!(gist("a defect"), "a defect");
        assert_eq!(gist(""), "");
    }

    proptest! {
        #[test]
        fn no_text_from_outside_commands_a_terminal(text in "(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}\\u{202e}\\u{2066}]){0,40}") {
            let tamed = tame(&text);
            prop_assert!(!tamed.contains(char::is_control), "{tamed:?}");
            prop_assert!(!tamed.contains(is_wild), "{tamed:?}");
            prop_assert_eq!(tamed.chars().count(), text.chars().count());
        }
    }
}
