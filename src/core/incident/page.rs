//! Cuts a page into its incidents while it streams in.
//!
//! A page is `{"@odata.context": …, "value": [incident, …], "@odata.nextLink": …}` and may be larger than what we want
//! in memory at once. [`Splitter`] therefore only tracks strings and brackets: each element of the top-level `value`
//! array is handed out, as the bytes that Microsoft sent, as soon as its last byte arrived; what surrounds them is kept
//! and parsed at the end. An element is *not* checked to be JSON here: [`super::reading`] does, one by one, so that one
//! bad incident does not take its page along.
//!
//! Invariant: a page cut into chunks in any way yields the same elements and the same [`Envelope`].
//!
//! Failure modes, each a [`PageError`]: the body ends early, is not JSON, has no `value` array, or has an envelope
//! beyond [`ENVELOPE_LIMIT`], or more elements than [`MOST_ELEMENTS`].

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use serde::de::IgnoredAny;

use super::members::each_member;
use crate::core::health::failure::{Failure, Health, Reaction, Suspect, one_line};

/// Bytes of a page outside its incidents. A nextLink has a few thousand.
pub const ENVELOPE_LIMIT: usize = 256 * 1024;

/// Elements of a page: several times what is asked for (`$top` is 50 for Graph, 100 for Defender), since a server may have
/// a page size of its own. Without a limit, a page of 64 MiB could have 20 million, and each costs more than its bytes.
pub const MOST_ELEMENTS: usize = 1_000;
/// A key in the envelope that is longer is not `value`, even with each of its letters escaped.
const LONGEST_KEY: usize = 40;

/// What surrounded the incidents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    pub next_link: Option<String>,
    /// There is a nextLink, and it is no text that can be read.
    pub more_unreachable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("the page ended in the middle")]
    Truncated,
    #[error("the page is not JSON at byte {0}")]
    NotJson(u64),
    #[error("the page is not JSON: {0}")]
    Envelope(String),
    #[error("the page has more than {ENVELOPE_LIMIT} bytes around its incidents")]
    EnvelopeTooLarge,
    #[error("the page has no list of incidents (`value`)")]
    NoValue,
    #[error("the page has more than {0} elements, many more than were asked for")]
    TooMany(usize),
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        let failure = Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!("a page could not be read: {error}"),
            "Nothing to do unless it lasts: the page is read again. If it lasts, a proxy may be changing or cutting answers.",
        );
        match error {
            // A server that gives so many does not heed `$top`: to ask for less would come to the same. Only its own links
            // name no size.
            PageError::TooMany(_) => failure
                .suspecting(Suspect::Link)
                .caused_by("page of too many elements"),
            _ => failure
                .suspecting(Suspect::Page)
                .caused_by("unreadable page"),
        }
    }
}

/// A page that came whole and says itself, with `why`, that something is missing in it.
pub fn partial(why: &str) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("Microsoft's answer says that something is missing in it: {why}"),
        "Nothing to do unless it lasts: what came is published, the rest is read again.",
    )
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SplitState {
    /// Outside the `value` array, `depth` brackets deep.
    Envelope,
    /// In the array, before an element or `]`.
    BeforeElement,
    /// In the array, before an element; a comma came, so `]` would be an error.
    AfterComma,
    /// In an element that has brackets, `depth` of them open.
    Nested,
    /// In an element that is a bare scalar (never an incident, but its neighbours may be).
    Scalar,
    /// In the array, after an element.
    AfterElement,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Splitter {
    place: SplitState,
    depth: usize,
    in_string: bool,
    escaped: bool,
    envelope: Vec<u8>,
    /// Where in the envelope the last string at depth 1 began; the array opens when that string is the key `"value"`.
    key_start: usize,
    /// The element's bytes from earlier chunks.
    partial: BytesMut,
    /// Bytes seen before this chunk.
    offset: u64,
    /// Elements that may still come, of at most so many.
    left: usize,
    most: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::of(MOST_ELEMENTS)
    }
}

impl Splitter {
    /// For a page of at most `most` elements.
    pub fn of(most: usize) -> Self {
        Self {
            left: most,
            most,
            place: SplitState::Envelope,
            depth: 0,
            in_string: false,
            escaped: false,
            envelope: Vec::new(),
            key_start: 0,
            partial: BytesMut::new(),
            offset: 0,
        }
    }

    /// Bytes held back: of an unfinished element, and of the envelope.
    pub fn held(&self) -> usize {
        self.partial.len() + self.envelope.len()
    }

    /// Takes the next chunk and appends the elements that it completes to `elements`.
    ///
    /// # Errors
    /// [`PageError`]; what was appended before it is good.
    pub fn feed(&mut self, chunk: &Bytes, elements: &mut Vec<Bytes>) -> Result<(), PageError> {
        let mut at = 0;
        // Where in this chunk the current element's bytes begin.
        let mut start = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.in_string {
                let end = self.string_end(chunk, at);
                if self.place == SplitState::Envelope {
                    self.keep(&chunk[at..end])?;
                }
                at = end;
                if !self.in_string && self.place != SplitState::Envelope && self.depth == 0 {
                    self.complete(chunk, start, at, elements)?;
                }
                continue;
            }
            match self.place {
                SplitState::Envelope => self.envelope_byte(byte, at)?,
                SplitState::BeforeElement | SplitState::AfterComma => {
                    if self.element_starts(byte, at)? {
                        start = at;
                    }
                }
                SplitState::Nested => {
                    if self.nested_byte(byte) {
                        self.complete(chunk, start, at + 1, elements)?;
                    }
                }
                SplitState::Scalar if matches!(byte, b',' | b']') || is_space(byte) => {
                    self.complete(chunk, start, at, elements)?;
                    continue;
                }
                SplitState::Scalar => {}
                SplitState::AfterElement => self.after_element(byte, at)?,
            }
            at += 1;
        }
        if matches!(self.place, SplitState::Nested | SplitState::Scalar) {
            self.partial.extend_from_slice(&chunk[start..]);
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// The end of the page.
    ///
    /// # Errors
    /// [`PageError`] when the page is cut off, has no list of incidents, or is no JSON around them.
    pub fn finish(self) -> Result<Envelope, PageError> {
        if self.place != SplitState::Envelope || self.depth > 0 || self.in_string {
            return Err(PageError::Truncated);
        }
        let envelope = self
            .envelope
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&self.envelope);
        serde_json::from_slice::<IgnoredAny>(envelope).map_err(|error| {
            if error.is_eof() {
                PageError::Truncated
            } else {
                PageError::Envelope(one_line(&error.to_string(), 200))
            }
        })?;
        let (mut value, mut link) = (None, None);
        each_member(envelope, |member| {
            if member.is("value") {
                value = Some(member.value);
            } else if member.is("@odata.nextLink") {
                link = Some(member.value);
            }
        })
        .ok_or_else(|| PageError::Envelope("it is no object".to_owned()))?;
        // An array is one that was cut: of any other value there is an error, or nothing.
        value
            .filter(|value| value.starts_with(b"["))
            .ok_or(PageError::NoValue)?;
        let link = link.map_or(Ok(None), serde_json::from_slice::<Option<String>>);
        Ok(Envelope {
            more_unreachable: link.is_err(),
            next_link: link.ok().flatten().filter(|link| !link.is_empty()),
        })
    }

    /// Goes on from `at`, inside a string, to just behind its closing quote or to the end of the chunk.
    fn string_end(&mut self, chunk: &[u8], mut at: usize) -> usize {
        if self.escaped {
            self.escaped = false;
            at += 1;
        }
        while let Some(found) = memchr2(b'"', b'\\', chunk.get(at..).unwrap_or_default()) {
            at += found;
            if chunk[at] == b'"' {
                self.in_string = false;
                return at + 1;
            }
            if at + 1 == chunk.len() {
                self.escaped = true;
                return at + 1;
            }
            at += 2;
        }
        chunk.len()
    }

    fn envelope_byte(&mut self, byte: u8, at: usize) -> Result<(), PageError> {
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.key_start = self.envelope.len();
                }
            }
            b'[' if self.depth == 1 && self.is_value_key() => {
                self.place = SplitState::BeforeElement;
                self.depth = 0;
                return self.keep(b"[]");
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.checked_sub(1).ok_or(self.not_json(at))?;
            }
            _ => {}
        }
        self.keep(&[byte])
    }

    /// Whether the envelope ends in `"value" :`.
    fn is_value_key(&self) -> bool {
        let tail = self.envelope.get(self.key_start..).unwrap_or_default();
        let Some(key) = tail.trim_ascii_end().strip_suffix(b":") else {
            return false;
        };
        // Read as JSON: a key may be spelled with escapes.
        key.len() <= LONGEST_KEY
            && serde_json::from_slice::<String>(key).is_ok_and(|key| key == "value")
    }

    /// Whether `byte`, before an element, is the element's first.
    fn element_starts(&mut self, byte: u8, at: usize) -> Result<bool, PageError> {
        match byte {
            byte if is_space(byte) => return Ok(false),
            b']' if self.place == SplitState::BeforeElement => {
                self.leave_array();
                return Ok(false);
            }
            b']' | b',' | b'}' | b':' => return Err(self.not_json(at)),
            b'{' | b'[' => {
                self.place = SplitState::Nested;
                self.depth = 1;
            }
            b'"' => {
                self.place = SplitState::Nested;
                self.in_string = true;
            }
            _ => self.place = SplitState::Scalar,
        }
        Ok(true)
    }

    /// Whether `byte` closes the element.
    fn nested_byte(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }

    fn after_element(&mut self, byte: u8, at: usize) -> Result<(), PageError> {
        match byte {
            byte if is_space(byte) => {}
            b',' => self.place = SplitState::AfterComma,
            b']' => self.leave_array(),
            _ => return Err(self.not_json(at)),
        }
        Ok(())
    }

    fn leave_array(&mut self) {
        self.place = SplitState::Envelope;
        self.depth = 1;
    }

    fn complete(
        &mut self,
        chunk: &Bytes,
        start: usize,
        end: usize,
        elements: &mut Vec<Bytes>,
    ) -> Result<(), PageError> {
        self.place = SplitState::AfterElement;
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(PageError::TooMany(self.most))?;
        elements.push(if self.partial.is_empty() {
            chunk.slice(start..end)
        } else {
            // `start` is still 0: the element began in an earlier chunk.
            self.partial.extend_from_slice(&chunk[start..end]);
            self.partial.split().freeze()
        });
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), PageError> {
        if self.envelope.len() + bytes.len() > ENVELOPE_LIMIT {
            return Err(PageError::EnvelopeTooLarge);
        }
        self.envelope.extend_from_slice(bytes);
        Ok(())
    }

    fn not_json(&self, at: usize) -> PageError {
        PageError::NotJson(self.offset + at as u64)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
