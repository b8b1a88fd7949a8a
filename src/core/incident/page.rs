//! Cuts a page into its incidents while it arrives.
//!
//! A page is `{"@odata.context": …, "value": [incident, …], "@odata.nextLink": …}` and may be too large to hold in
//! memory at once. So [`Splitter`] only follows strings and brackets. It returns each element of the top-level `value`
//! array, as the bytes that Microsoft sent, as soon as the last byte has arrived. It keeps the bytes around the
//! elements and parses them at the end. It does *not* check that an element is JSON: [`super::reading`] checks them one
//! by one, so that one bad incident does not spoil its page.
//!
//! Invariant: a page cut into any chunks yields the same elements and the same [`Envelope`].
//!
//! Failure modes, each a [`PageError`]: the body ends early, is not JSON, has no `value` array, has an envelope larger
//! than [`ENVELOPE_LIMIT`], or has more elements than [`MOST_ELEMENTS`].

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use serde::de::IgnoredAny;

use super::members::each_member;
use crate::core::health::failure::{Failure, Health, Reaction, Suspect, one_line};

/// The most bytes of a page outside its incidents. A nextLink has a few thousand.
pub const ENVELOPE_LIMIT: usize = 256 * 1024;

/// The most elements of a page: several times the requested number (`$top` is 50 for Graph, 100 for Defender), because
/// a server may have its own page size. Without a limit, a page of 64 MiB could have 20 million elements, and each
/// costs more memory than its bytes.
pub const MOST_ELEMENTS: usize = 1_000;
/// A longer key in the envelope is not `value`, even if each letter is escaped.
const LONGEST_KEY: usize = 40;

/// What surrounds the incidents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Where the list goes on, as Microsoft sent it: its host is not checked yet.
    pub next_link: Option<String>,
    /// There is a nextLink, but it is not a readable text.
    pub more_unreachable: bool,
}

/// Why bytes can't be read as a page of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
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
            // A server that returns this many ignores `$top`, so a smaller page would not help. Only its own links
            // carry no size.
            PageError::TooMany(_) => failure
                .suspecting(Suspect::Link)
                .caused_by("page of too many elements"),
            _ => failure
                .suspecting(Suspect::Page)
                .caused_by("unreadable page"),
        }
    }
}

/// The failure for a complete page that says that something is missing in it. `why` is what it says.
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
    /// Outside the `value` array, inside `depth` brackets.
    Envelope,
    /// In the array, before an element or `]`.
    BeforeElement,
    /// In the array, after a comma, where `]` is an error.
    AfterComma,
    /// In an element with brackets, `depth` of them open.
    Nested,
    /// In an element that is a bare scalar: never an incident, but its neighbours may be.
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
    /// Where in the envelope the last string at depth 1 began. The array opens if that string is the key `"value"`.
    key_start: usize,
    /// The bytes of the element from earlier chunks.
    partial: BytesMut,
    /// The number of bytes before this chunk.
    offset: u64,
    /// How many of `most` elements may still come.
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

    /// The bytes kept: those of an unfinished element, and the envelope.
    pub fn held(&self) -> usize {
        self.partial.len() + self.envelope.len()
    }

    /// Takes the next chunk and appends the elements that it completes to `elements`.
    ///
    /// # Errors
    /// [`PageError`]; the elements appended before it are good.
    pub fn feed(&mut self, chunk: &Bytes, elements: &mut Vec<Bytes>) -> Result<(), PageError> {
        let mut at = 0;
        // Where the bytes of the current element begin in this chunk.
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

    /// Ends the page.
    ///
    /// # Errors
    /// [`PageError`] if the page is cut off, has no list of incidents, or is not JSON around them.
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
        // `value` is the array that was cut, of which the brackets are kept. Anything else is an error: a page whose list
        // was overlooked must not read like an empty one.
        value
            .filter(|value| *value == b"[]")
            .ok_or(PageError::NoValue)?;
        let link = link.map_or(Ok(None), serde_json::from_slice::<Option<String>>);
        Ok(Envelope {
            more_unreachable: link.is_err(),
            next_link: link.ok().flatten().filter(|link| !link.is_empty()),
        })
    }

    /// Moves from `at`, inside a string, to just after its closing quote or to the end of the chunk.
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
        let key = key.trim_ascii_end();
        // Parse it as JSON, because a key may be spelled with escapes.
        key.len() <= LONGEST_KEY
            && serde_json::from_slice::<String>(key).is_ok_and(|key| key == "value")
    }

    /// Whether `byte`, before an element, is the first byte of one.
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
            // `start` is still 0 when the element began in an earlier chunk.
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
