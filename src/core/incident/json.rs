//! Scans JSON as bytes.
//!
//! An incident may hold what JSON readers refuse: half of a surrogate pair, a number that does not fit a double,
//! endless nesting, bytes that are not UTF-8. None of that may hide the incident. So [`Scanner`] only separates
//! strings, brackets and tokens, and checks nothing that its caller does not ask for.
//!
//! Invariants:
//! - Valid JSON means the same here as to every other reader.
//! - Nothing recurses, and a skipped byte is looked at once. Nothing is allocated except for strings with escapes.
//!
//! Failure mode: [`Broken`], when quotes, brackets and keys don't match. Missing and surplus commas, tokens that JSON
//! does not have (`NaN`) and raw control characters are not failures.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

/// The offset from which the bytes can't be followed; their length if they end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("broken at byte {0}")]
pub struct Broken(pub usize);

/// The kind of a value, from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// `{`
    Object,
    /// `[`
    List,
    /// `"`
    Text,
    /// A number, `true`, `false`, `null`, or whatever stands in their place.
    Token,
}

/// A string as written, without its quotes.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    written: &'a [u8],
    escapes: bool,
}

/// A value that is neither an object nor a list.
#[derive(Debug, Clone, Copy)]
pub enum Scalar<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number, `true`, `false` or `null` as written. Nothing checks that it is one.
    Token(&'a [u8]),
}

/// The first bytes of a string, which are searched one by one.
const SHORT: usize = 24;

const ENDS_TOKEN: [bool; 256] = {
    let (mut ends, mut at, bytes) = ([false; 256], 0, b" \n\r\t,:\"{}[]");
    while at < bytes.len() {
        ends[bytes[at] as usize] = true;
        at += 1;
    }
    ends
};

/// A position in JSON. See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the first of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The kind of the next value.
    pub fn begins(&mut self) -> Begins {
        self.space();
        match self.bytes.get(self.at) {
            Some(b'{') => Begins::Object,
            Some(b'[') => Begins::List,
            Some(b'"') => Begins::Text,
            _ => Begins::Token,
        }
    }

    /// Enters the next value if it is of this kind, to read its keys or items. Not for strings and tokens.
    pub fn enter(&mut self, kind: Begins) -> bool {
        let enters = self.begins() == kind;
        self.at += usize::from(enters);
        enters
    }

    /// The next key of the entered object; its value comes next. `None`: the object has ended.
    ///
    /// # Errors
    /// There is neither a key with a colon nor the end of the object.
    pub fn key(&mut self) -> Result<Option<Text<'a>>, Broken> {
        self.separator();
        match self.bytes.get(self.at) {
            Some(b'}') => {
                self.at += 1;
                Ok(None)
            }
            Some(b'"') => {
                let key = self.text()?;
                self.space();
                if self.bytes.get(self.at) != Some(&b':') {
                    return Err(Broken(self.at));
                }
                self.at += 1;
                Ok(Some(key))
            }
            _ => Err(Broken(self.at)),
        }
    }

    /// Whether the entered list has another item, which comes next.
    ///
    /// # Errors
    /// There is neither an item nor the end of the list.
    pub fn item(&mut self) -> Result<bool, Broken> {
        self.separator();
        match self.bytes.get(self.at) {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            None | Some(b'}' | b':') => Err(Broken(self.at)),
            Some(_) => Ok(true),
        }
    }

    /// Skips the next value of any kind, and returns its range.
    ///
    /// # Errors
    /// The value has no end, or there is no value.
    pub fn skip(&mut self) -> Result<Range<usize>, Broken> {
        let kind = self.begins();
        let start = self.at;
        match kind {
            Begins::Object | Begins::List => self.nested()?,
            Begins::Text => {
                self.text()?;
            }
            Begins::Token => {
                self.token()?;
            }
        }
        Ok(start..self.at)
    }

    /// Reads or skips the next value. `None`: it is an object or a list.
    ///
    /// # Errors
    /// The value has no end, or there is no value.
    pub fn scalar(&mut self) -> Result<Option<Scalar<'a>>, Broken> {
        match self.begins() {
            Begins::Object | Begins::List => self.nested().map(|()| None),
            Begins::Text => self.text().map(|text| Some(Scalar::Text(text))),
            Begins::Token => self.token().map(|token| Some(Scalar::Token(token))),
        }
    }

    /// The bytes in a range that [`skip`](Self::skip) returned.
    pub fn slice(&self, place: Range<usize>) -> &'a [u8] {
        self.bytes.get(place).unwrap_or_default()
    }

    /// The bytes from here to `end`, a later position.
    pub(super) fn up_to(&self, end: &Self) -> &'a [u8] {
        self.slice(self.at..end.at)
    }

    /// # Errors
    /// Something other than white space follows.
    pub fn end(&mut self) -> Result<(), Broken> {
        self.space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Broken(self.at))
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn separator(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t' | b',') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The string whose opening quote is here.
    fn text(&mut self) -> Result<Text<'a>, Broken> {
        let start = self.at + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        // Most strings are keys or short values: they end before a vectorized search has begun.
        let head = &rest[..rest.len().min(SHORT)];
        let plain = head.iter().take_while(|byte| !matches!(byte, b'"' | b'\\'));
        let (mut at, mut escapes) = (start + plain.count(), false);
        if self.bytes.get(at) == Some(&b'"') {
            return Ok(self.ends_at(start, at, escapes));
        }
        while let Some(found) = memchr2(b'"', b'\\', self.bytes.get(at..).unwrap_or_default()) {
            at += found;
            if self.bytes[at] == b'"' {
                return Ok(self.ends_at(start, at, escapes));
            }
            escapes = true;
            at += 2;
        }
        Err(Broken(self.bytes.len()))
    }

    fn ends_at(&mut self, start: usize, quote: usize, escapes: bool) -> Text<'a> {
        self.at = quote + 1;
        Text {
            written: &self.bytes[start..quote],
            escapes,
        }
    }

    /// The token that begins here. It is empty where a value is missing (`"key":,`).
    fn token(&mut self) -> Result<&'a [u8], Broken> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| ENDS_TOKEN[usize::from(*byte)]);
        let length = length.unwrap_or(rest.len());
        if length == 0 && !matches!(rest.first(), Some(b',' | b'}')) {
            return Err(Broken(self.at));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Skips the object or list whose bracket is here. Both kinds of brackets count alike, as in
    /// [`super::page::Splitter`].
    fn nested(&mut self) -> Result<(), Broken> {
        let mut depth = 0_usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Broken(self.bytes.len()))
    }
}

impl<'a> Text<'a> {
    /// The bytes between the quotes.
    pub fn written(self) -> &'a [u8] {
        self.written
    }

    /// Its first bytes as written, at most `most`, cut between two escapes. A long text is not decoded for its beginning.
    pub fn start(self, most: usize) -> Self {
        if self.written.len() <= most {
            return self;
        }
        let (mut end, head) = (0, &self.written[..most]);
        while let Some(found) = memchr(b'\\', &head[end..]) {
            let escape = end + found;
            let unicode = self.written.get(escape + 1) == Some(&b'u');
            end = escape + if unicode { 6 } else { 2 };
            if end > most {
                return Self {
                    written: &head[..escape],
                    ..self
                };
            }
        }
        Self {
            written: head,
            ..self
        }
    }

    /// The content of the string in UTF-8. Half of a surrogate pair is encoded as if it were a character. `None`: the
    /// string has an escape that JSON does not have.
    pub fn said(self) -> Option<Cow<'a, [u8]>> {
        if !self.escapes {
            return Some(Cow::Borrowed(self.written));
        }
        let (mut said, mut rest) = (Vec::with_capacity(self.written.len()), self.written);
        while let Some(escape) = memchr(b'\\', rest) {
            said.extend_from_slice(&rest[..escape]);
            let (letter, behind) = rest.get(escape + 1..)?.split_first()?;
            rest = behind;
            said.push(match letter {
                b'"' | b'\\' | b'/' => *letter,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let (code, behind) = code_point(rest)?;
                    rest = behind;
                    encode(code, &mut said);
                    continue;
                }
                _ => return None,
            });
        }
        said.extend_from_slice(rest);
        Some(Cow::Owned(said))
    }

    /// Whether the content of the string is `text`.
    pub fn is(self, text: &str) -> bool {
        match self.escapes {
            false => self.written == text.as_bytes(),
            true => self.said().is_some_and(|said| *said == *text.as_bytes()),
        }
    }
}

/// The code point in the first four of `digits`, and what follows. A pair of surrogates is one code point.
fn code_point(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = code_unit(digits)?;
    let high = 0xd800..0xdc00;
    let second = rest.strip_prefix(b"\\u").and_then(code_unit);
    match second {
        Some((low @ 0xdc00..0xe000, rest)) if high.contains(&first) => {
            Some((0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), rest))
        }
        _ => Some((first, rest)),
    }
}

fn code_unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = digits.split_first_chunk::<4>()?;
    let mut code = 0;
    for digit in digits {
        code = code << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((code, rest))
}

/// Encodes as UTF-8 does, including surrogates.
fn encode(code: u32, said: &mut Vec<u8>) {
    let follows = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
    match code {
        0..0x80 => said.push(code as u8),
        0x80..0x800 => said.extend([0xc0 | (code >> 6) as u8, follows(0)]),
        0x800..0x10000 => said.extend([0xe0 | (code >> 12) as u8, follows(6), follows(0)]),
        _ => said.extend([
            0xf0 | (code >> 18) as u8,
            follows(12),
            follows(6),
            follows(0),
        ]),
    }
}

#[cfg(test)]
mod tests;
