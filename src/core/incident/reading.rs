//! Turns the bytes of an incident into a [`Reading`]: the few members that matter, and the hash of the significant
//! ones, in one pass without building a tree. Everything else passes through unread.
//!
//! An object is an incident as soon as its id and last update can be read, whatever else it holds ([`super::json`]): an
//! error elsewhere would hide the incident for ever, because it never comes in another form.

use super::json::{Begins, Broken, Scalar, Scanner};
use super::significant::{MemberHashes, Significant, bytes, instant};
use super::version::{ContentHash, Phase, Reading};
use crate::core::ids::IncidentId;
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;

/// The names that an API gives to the members that are read, and which of them make a version.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// The API. Hashes of different APIs can't be compared.
    pub origin: SourceKind,
    /// A whole number, or a string of digits.
    pub id: &'static str,
    /// The last update, an RFC 3339 instant.
    pub updated: &'static str,
    /// The status, which decides the phase.
    pub status: &'static str,
    /// The id of the incident that this one was merged into.
    pub redirect: &'static str,
    /// The significant members besides id and last update. Microsoft's pages on the incident, the alert and the entity
    /// (or evidence) name them.
    pub significant: &'static [Significant],
}

/// Why bytes can't be read as an incident. Such bytes become a dead letter; their neighbours are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Malformed {
    #[error("not a JSON object: {0}")]
    Json(Broken),
    #[error("{0} is missing, or is no whole number of at most 64 bits")]
    Id(&'static str),
    #[error("{0} is missing, or is no RFC 3339 instant")]
    Updated(&'static str),
}

/// Reads one incident.
///
/// If a key occurs twice, the last value counts, as with most JSON readers. For id and last update the last readable
/// value counts, because a `null` after them must not lose the incident. Statuses are an open set: whatever is neither
/// resolved nor redirected, in upper or lower case, is open. An object that can't be followed to its end, but has its
/// id and last update before that, is compared by its bytes.
///
/// # Errors
/// [`Malformed`] if the bytes are not a JSON object, or have no usable id or last update.
pub fn read(raw: &[u8], shape: &'static Shape) -> Result<Reading, Malformed> {
    let mut found = Found::new(shape);
    let hash = match found.collect(raw, shape) {
        Ok(()) => found.significant.hash(),
        Err(broken) => {
            let cut_short = broken.0 >= raw.len();
            if cut_short || found.id.is_none() || found.updated.is_none() {
                return Err(Malformed::Json(broken));
            }
            bytes(raw.trim_ascii())
        }
    };
    Ok(Reading {
        id: IncidentId(found.id.ok_or(Malformed::Id(shape.id))?),
        updated: found.updated.ok_or(Malformed::Updated(shape.updated))?,
        phase: phase(found.status, found.redirect),
        hash: ContentHash(hash),
        origin: shape.origin,
        whole: true,
    })
}

/// The members found in an incident.
struct Found<'a> {
    id: Option<u64>,
    updated: Option<Ticks>,
    status: Option<Scalar<'a>>,
    redirect: Option<Scalar<'a>>,
    significant: MemberHashes,
}

impl<'a> Found<'a> {
    fn new(shape: &'static Shape) -> Self {
        Self {
            id: None,
            updated: None,
            status: None,
            redirect: None,
            significant: MemberHashes::of(shape.significant),
        }
    }

    fn collect(&mut self, raw: &'a [u8], shape: &Shape) -> Result<(), Broken> {
        let mut input = Scanner::new(raw);
        if !input.enter(Begins::Object) {
            return Err(Broken(0));
        }
        while let Some(key) = input.key()? {
            let mut value = input;
            if key.is(shape.id) {
                self.id = value.scalar()?.and_then(whole_number).or(self.id);
            } else if key.is(shape.updated) {
                let updated = match value.scalar()? {
                    Some(Scalar::Text(text)) => text.said().and_then(|said| instant(&said)),
                    _ => None,
                };
                self.updated = updated.or(self.updated);
            } else if key.is(shape.status) {
                self.status = value.scalar()?;
            } else if key.is(shape.redirect) {
                self.redirect = value.scalar()?;
            }
            self.significant.take(key, &mut input)?;
        }
        input.end()
    }
}

/// Only digits: `u64::from_str` also accepts "+7", and an incident must not have two spellings.
fn whole_number(value: Scalar<'_>) -> Option<u64> {
    let digits = match value {
        Scalar::Token(token) => token.into(),
        Scalar::Text(text) => text.said()?,
    };
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// An id of zero, as number or text, is no id (as in the hash, [`super::significant`]).
fn phase(status: Option<Scalar<'_>>, redirect: Option<Scalar<'_>>) -> Phase {
    let number = redirect.and_then(whole_number);
    let redirected = match redirect {
        Some(Scalar::Text(id)) => !id.written().is_empty() && number != Some(0),
        Some(Scalar::Token(_)) => number.is_some_and(|id| id != 0),
        None => false,
    };
    let status = match status {
        Some(Scalar::Text(status)) => status.said().unwrap_or_default(),
        _ => Default::default(),
    };
    if redirected || status.eq_ignore_ascii_case(b"redirected") {
        Phase::Redirected
    } else if status.eq_ignore_ascii_case(b"resolved") {
        Phase::Resolved
    } else {
        Phase::Open
    }
}

#[cfg(test)]
mod tests;
