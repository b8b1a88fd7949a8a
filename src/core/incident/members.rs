//! Cuts an object only at its own commas. Its values are not checked: they may hold half of a surrogate pair, bytes
//! that are not UTF-8, or any nesting. A caller that needs valid JSON checks for it.

use memchr::memchr2;

/// A member of an object as sent, from the comma before it to the one after it.
pub(super) struct JsonMember<'a> {
    pub(super) all: &'a [u8],
    /// Everything before the value: the key, the colon and white space.
    pub(super) before: &'a [u8],
    pub(super) value: &'a [u8],
    /// White space after the value.
    pub(super) behind: &'a [u8],
}

impl JsonMember<'_> {
    /// Whether its key is `name`, in any spelling.
    pub(super) fn is(&self, name: &str) -> bool {
        let key = self.before.trim_ascii().strip_suffix(b":");
        let key = key.unwrap_or_default().trim_ascii_end();
        // A longer key can't be `name`, even if each letter is escaped.
        key.len() <= 6 * name.len() + 2
            && serde_json::from_slice::<String>(key).is_ok_and(|key| key == name)
    }
}

/// Calls `visit` with each member of an object, in order. The members are not collected, because there may be millions.
/// `None`: `raw` is not an object.
pub(super) fn each_member<'a>(raw: &'a [u8], mut visit: impl FnMut(&JsonMember<'a>)) -> Option<()> {
    let text = raw.trim_ascii();
    let mut rest = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
    if rest.trim_ascii().is_empty() {
        return Some(());
    }
    loop {
        let key = skip_space(rest, 0);
        let colon = skip_space(rest, skip_value(rest, key)?);
        if rest.get(key) != Some(&b'"') || rest.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_space(rest, colon + 1);
        let end = skip_value(rest, value)?;
        let next = skip_space(rest, end);
        visit(&JsonMember {
            all: &rest[..next],
            before: &rest[..value],
            value: &rest[value..end],
            behind: &rest[end..next],
        });
        match rest.get(next) {
            None => return Some(()),
            Some(b',') => rest = &rest[next + 1..],
            Some(_) => return None,
        }
    }
}

/// The number of elements between the brackets of a list. `None`: it is not a list.
pub(super) fn elements(inner: &[u8]) -> Option<u64> {
    let (mut at, mut count) = (skip_space(inner, 0), 0);
    while at < inner.len() {
        let next = skip_space(inner, skip_value(inner, at)?);
        count += 1;
        match inner.get(next) {
            None => break,
            Some(b',') => at = skip_space(inner, next + 1),
            Some(_) => return None,
        }
        // A comma must be followed by an element.
        inner.get(at)?;
    }
    Some(count)
}

fn skip_space(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    text.len() - rest.trim_ascii_start().len()
}

/// The offset just after the value that begins at `from`. Strings and brackets are followed, nothing is checked.
/// `None`: there is no value, or it does not end.
fn skip_value(text: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut depth) = (from, 0_usize);
    loop {
        match text.get(at)? {
            b'"' => at = skip_string(text, at + 1)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth == 0 => return None,
            b',' | b':' => at += 1,
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let rest = &text[at..];
                let ends = |byte: &u8| b"\",:[]{}".contains(byte) || byte.is_ascii_whitespace();
                at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The offset just after the closing quote of the string whose content begins at `from`.
fn skip_string(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        from += memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[from] == b'"' {
            return Some(from + 1);
        }
        from += 2;
    }
}
