//! Cuts an object only at its own commas. Its values are not checked ([`super::json`]): they may hold half of a surrogate
//! pair, bytes that are not UTF-8, or any nesting. A caller that needs valid JSON checks for it.

use std::ops::Range;

use super::json::{Begins, Scanner, Text};

/// A member of an object as sent, from the comma before it to the one after it.
pub(super) struct JsonMember<'a> {
    pub(super) all: &'a [u8],
    /// Everything before the value: the key, the colon and white space.
    pub(super) before: &'a [u8],
    pub(super) value: &'a [u8],
    /// White space after the value.
    pub(super) behind: &'a [u8],
    key: Text<'a>,
}

impl JsonMember<'_> {
    /// Whether its key is `name`, in any spelling.
    pub(super) fn is(&self, name: &str) -> bool {
        self.key.is(name)
    }
}

/// Calls `visit` with each member of an object, in order. The members are not collected, because there may be millions.
/// `None`: `raw` is not an object, or a comma or a value is missing in it, or one is surplus.
pub(super) fn each_member<'a>(raw: &'a [u8], mut visit: impl FnMut(&JsonMember<'a>)) -> Option<()> {
    let mut start = first(raw)?;
    let mut input = Scanner::new(raw);
    if !input.enter(Begins::Object) {
        return None;
    }
    while let Some(key) = input.key().ok()? {
        let value = input.skip().ok()?;
        let end = end_after(raw, &value)?;
        visit(&JsonMember {
            all: &raw[start..end],
            before: &raw[start..value.start],
            value: &raw[value.clone()],
            behind: &raw[value.end..end],
            key,
        });
        start = end + 1;
    }
    input.end().ok()
}

/// The number of elements of a list. `None`: it is not a list, or a comma or a value is missing in it, or one is surplus.
pub(super) fn elements(list: &[u8]) -> Option<u64> {
    first(list)?;
    let (mut input, mut count) = (Scanner::new(list), 0);
    if !input.enter(Begins::List) {
        return None;
    }
    while input.item().ok()? {
        end_after(list, &input.skip().ok()?)?;
        count += 1;
    }
    input.end().ok()?;
    Some(count)
}

/// The offset behind the opening bracket. `None`: a comma follows it. [`Scanner`] passes over commas.
fn first(raw: &[u8]) -> Option<usize> {
    let inner = raw.trim_ascii_start().get(1..)?;
    (!inner.trim_ascii_start().starts_with(b",")).then_some(raw.len() - inner.len())
}

/// The offset of the comma or the closing bracket after a value. `None`: there is neither, or only one half of what a
/// comma separates.
fn end_after(raw: &[u8], value: &Range<usize>) -> Option<usize> {
    let rest = raw.get(value.end..)?.trim_ascii_start();
    let separates = match rest.split_first()? {
        (b'}' | b']', _) => true,
        (b',', behind) => !b",}]".contains(behind.trim_ascii_start().first()?),
        _ => false,
    };
    (separates && !value.is_empty()).then_some(raw.len() - rest.len())
}
