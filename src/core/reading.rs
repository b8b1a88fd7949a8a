//! From an incident's bytes to a [`Reading`]: the few fields that decide anything, and the content's hash, in one pass
//! that builds nothing. All else passes through unread.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::content::{self, Field, Hash, Scalar};
use super::failure::one_line;
use super::ids::IncidentId;
use super::ticks::Ticks;
use super::version::{ContentHash, Origin, Phase, Reading};

/// What an API calls the fields that are acted upon.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    pub origin: Origin,
    pub id: &'static str,
    pub updated: &'static str,
    pub status: &'static str,
    pub redirect: &'static str,
}

/// Why bytes can't be read as an incident. Such bytes become a dead letter; their neighbours are not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("not a JSON object: {0}")]
    Json(String),
    #[error("{0} is missing, or is no whole number of at most 64 bits")]
    Id(&'static str),
    #[error("{0} is missing, or is no RFC 3339 instant")]
    Updated(&'static str),
}

/// Reads one incident.
///
/// Of a key that occurs twice the last value counts, as with most JSON readers. Statuses are an open set: whatever is
/// neither resolved nor redirected, in any case of letters, is open.
///
/// # Errors
/// [`Malformed`] when the bytes are no JSON object, or have no usable id or last update.
pub fn read(raw: &[u8], shape: &'static Shape) -> Result<Reading, Malformed> {
    // Checked in one go, which is far cheaper than string by string.
    let text = std::str::from_utf8(raw)
        .map_err(|error| Malformed::Json(one_line(&error.to_string(), 200)))?;
    let mut input = serde_json::Deserializer::from_str(text);
    let fields = Incident(shape)
        .deserialize(&mut input)
        .and_then(|fields| input.end().map(|()| fields))
        .map_err(|error| Malformed::Json(one_line(&error.to_string(), 200)))?;
    let id = match fields.id {
        Scalar::Unsigned(id) => Some(id),
        // Digits only: `u64::from_str` would also take "+7", and one incident must not have two spellings.
        Scalar::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    let updated = match fields.updated {
        Scalar::Text(text) => text.parse::<Ticks>().ok(),
        _ => None,
    };
    Ok(Reading {
        id: IncidentId(id.ok_or(Malformed::Id(shape.id))?),
        updated: updated.ok_or(Malformed::Updated(shape.updated))?,
        phase: phase(&fields.status, &fields.redirect),
        hash: ContentHash(fields.hash),
        origin: shape.origin,
        whole: true,
    })
}

fn phase(status: &Scalar, redirect: &Scalar) -> Phase {
    let status = match status {
        Scalar::Text(text) => text.as_str(),
        _ => "",
    };
    let redirected = match redirect {
        Scalar::Unsigned(id) => *id != 0,
        Scalar::Text(id) => !id.is_empty(),
        Scalar::Null | Scalar::Other => false,
    };
    if redirected || status.eq_ignore_ascii_case("redirected") {
        Phase::Redirected
    } else if status.eq_ignore_ascii_case("resolved") {
        Phase::Resolved
    } else {
        Phase::Open
    }
}

struct Fields {
    id: Scalar,
    updated: Scalar,
    status: Scalar,
    redirect: Scalar,
    hash: u64,
}

struct Incident(&'static Shape);

impl<'de> DeserializeSeed<'de> for Incident {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Fields, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Incident {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an incident object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
        let mut fields = Fields {
            id: Scalar::Null,
            updated: Scalar::Null,
            status: Scalar::Null,
            redirect: Scalar::Null,
            hash: 0,
        };
        let (mut pairs, mut count) = (0_u64, 0);
        while let Some((key, name)) = entries.next_key_seed(Name(self.0))? {
            let slot = match name {
                Known::Annotation => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
                Known::Id => Some(&mut fields.id),
                Known::Updated => Some(&mut fields.updated),
                Known::Status => Some(&mut fields.status),
                Known::Redirect => Some(&mut fields.redirect),
                Known::No { .. } => None,
            };
            let hash = if let Some(slot) = slot {
                let (hash, value) = entries.next_value_seed(Field)?;
                *slot = value;
                hash
            } else {
                let unordered = name == Known::No { unordered: true };
                entries.next_value_seed(Hash { unordered })?
            };
            pairs = pairs.wrapping_add(content::pair(key, hash));
            count += 1;
        }
        fields.hash = content::object(pairs, count);
        Ok(fields)
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Known {
    Id,
    Updated,
    Status,
    Redirect,
    /// OData's own, about this answer and not about the incident (`@odata.context`, `alerts@odata.nextLink`): it may
    /// differ between a page and the incident fetched alone, so it is no content.
    Annotation,
    No {
        unordered: bool,
    },
}

struct Name(&'static Shape);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = (u64, Known);

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = (u64, Known);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let known = if text == self.0.id {
            Known::Id
        } else if text == self.0.updated {
            Known::Updated
        } else if text == self.0.status {
            Known::Status
        } else if text == self.0.redirect {
            Known::Redirect
        } else if text.contains("@odata.") {
            Known::Annotation
        } else {
            Known::No {
                unordered: content::is_unordered(text),
            }
        };
        Ok((content::key(text), known))
    }
}

#[cfg(test)]
mod tests;
