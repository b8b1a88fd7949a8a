//! Removes from a transcript what differs between runs, and leaves every column where it is.

/// Removes times, ages, random ids, and the order of customers.
pub fn calm(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(line).collect();
    let mut lines = lines;
    for part in lines.chunk_by_mut(|a, b| is_customers(a) && is_customers(b)) {
        part.sort();
    }
    lines.join("\n") + "\n"
}

/// A row of the status, or a line of the log, about one customer. Those come in any order.
fn is_customers(line: &str) -> bool {
    line.starts_with("ok ") || line.contains(" tenant=")
}

fn line(line: &str) -> String {
    let mut line = instants(line);
    if let Some(claim) = line.find(" uti ") {
        let value = line[claim + 5..].trim_start().to_owned();
        line = line.replace(&value, &"x".repeat(value.len()));
    }
    if line.starts_with("Kafka: ok") {
        return "Kafka: ok, 0 B in flight".to_owned();
    }
    for (before, after) in [
        ("(in ", ")"),
        ("running for ", ","),
        ("what was loaded ", " ago"),
    ] {
        if let Some((head, tail)) = line.split_once(before)
            && let Some((_, tail)) = tail.split_once(after)
        {
            line = format!("{head}{before}…{after}{tail}");
        }
    }
    let ids = ["Trace ID: ", "Correlation ID: "];
    line = uuids(
        &line,
        ids.iter().any(|name| line.contains(name.trim())) || line.contains("         "),
    );
    if line.starts_with("ok ") {
        ages(&line)
    } else {
        line
    }
}

/// `2026-11-24T04:38:08.123Z` and `2026-11-24 04:38:08Z`, digit by digit. Fractions are left out, because their length
/// is random.
fn instants(text: &str) -> String {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let is_instant = |at: usize| {
        bytes.get(at..at + SHAPE.len()).is_some_and(|found| {
            found.iter().zip(SHAPE).all(|(byte, shape)| match shape {
                b'd' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b' '),
                shape => byte == shape,
            })
        })
    };
    let (mut calm, mut at) = (String::new(), 0);
    while let Some(c) = text[at..].chars().next() {
        if is_instant(at) {
            let shape = |byte: &u8| {
                if byte.is_ascii_digit() {
                    '0'
                } else {
                    *byte as char
                }
            };
            calm.extend(bytes[at..at + SHAPE.len()].iter().map(shape));
            at += SHAPE.len();
            if text[at..].starts_with('.') {
                at += 1 + text[at + 1..]
                    .bytes()
                    .take_while(u8::is_ascii_digit)
                    .count();
            }
        } else {
            calm.push(c);
            at += c.len_utf8();
        }
    }
    calm
}

/// Replaces all ids except those of the customers and the app.
fn uuids(text: &str, any: bool) -> String {
    if !any {
        return text.to_owned();
    }
    let word = |word: &str| {
        let trimmed = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let known = ["aaaabbbb-", "00001111-", "11118888-"];
        let is_id = trimmed.len() == 36 && trimmed.matches('-').count() == 4;
        if is_id && !known.iter().any(|start| trimmed.starts_with(start)) {
            let blank = |c: char| if c == '-' { '-' } else { 'x' };
            word.replace(trimmed, &trimmed.chars().map(blank).collect::<String>())
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `12s` at the right end of its column, `12s ago` at the left end of its column.
fn ages(row: &str) -> String {
    let words: Vec<&str> = row.split(' ').collect();
    let mut calm = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let digits = word.strip_suffix('s').filter(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let left = words.get(n + 1) == Some(&"ago");
        calm.push(match digits {
            Some(digits) if left => format!("#s{}", "\u{0}".repeat(digits.len() - 1)),
            Some(digits) => format!("{}#s", " ".repeat(digits.len() - 1)),
            None => (*word).to_owned(),
        });
    }
    let row = calm.join(" ");
    // If a left-aligned age was longer, the difference goes after its "ago".
    let fills = row.matches('\u{0}').count();
    let row = row.replace('\u{0}', "");
    if fills > 0 {
        row.replacen("ago", &format!("ago{}", " ".repeat(fills)), 1)
            .trim_end()
            .to_owned()
    } else {
        row
    }
}
