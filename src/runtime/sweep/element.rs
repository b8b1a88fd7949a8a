//! The elements of a page after reading.

use bytes::Bytes;

use crate::core::codec::raw_hash;
use crate::core::incident::reading::{Malformed, Shape, read};
use crate::core::incident::version::{ContentHash, Reading};
use crate::runtime::limits::do_work;

/// An incident, with the bytes that Microsoft sent.
pub(super) struct ReadIncident {
    pub(super) reading: Reading,
    pub(super) raw: Bytes,
}

/// An element of a page.
pub(super) enum Element {
    Incident(ReadIncident),
    /// It can't be read as an incident.
    Unreadable {
        content: ContentHash,
        why: Malformed,
        raw: Bytes,
    },
}

impl Element {
    pub(super) async fn read(raw: Bytes, shape: &'static Shape) -> Self {
        match do_work(raw.len(), || read(&raw, shape)).await {
            Ok(reading) => Self::Incident(ReadIncident { reading, raw }),
            Err(why) => Self::Unreadable {
                content: do_work(raw.len(), || raw_hash(&raw)).await,
                why,
                raw,
            },
        }
    }

    /// The reading of an incident. `None`: the element is not one.
    pub(super) fn reading(&self) -> Option<Reading> {
        match self {
            Self::Incident(incident) => Some(incident.reading),
            Self::Unreadable { .. } => None,
        }
    }

    /// The content hash of an element that can't be read.
    pub(super) fn unreadable_content(&self) -> Option<ContentHash> {
        match self {
            Self::Incident(_) => None,
            Self::Unreadable { content, .. } => Some(*content),
        }
    }

    pub(super) fn into_raw(self) -> Bytes {
        match self {
            Self::Incident(ReadIncident { raw, .. }) | Self::Unreadable { raw, .. } => raw,
        }
    }

    /// The same element. Unless `whole`, it is marked as having incomplete alerts.
    pub(super) fn marked(self, whole: bool) -> Self {
        match self {
            Self::Incident(ReadIncident { reading, raw }) if !whole => {
                Self::Incident(ReadIncident {
                    reading: reading.without_alerts(),
                    raw,
                })
            }
            element => element,
        }
    }
}

/// Chunks have up to this size. A larger element is not a slice of one chunk.
const SLICE: usize = 1 << 20;

/// Bytes that keep nothing else in memory: a slice would keep its whole chunk. A large element has its bytes to itself
/// already, and a copy of it would take it twice.
pub(super) fn detached(raw: Bytes) -> Bytes {
    match raw.len() < SLICE {
        true => Bytes::copy_from_slice(&raw),
        false => raw,
    }
}
