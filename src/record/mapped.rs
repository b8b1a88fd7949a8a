//! An event in a schema that others define, which has the incident itself within.
//!
//! The event is JSON: first what the schema has a place for, then the incident, byte for byte as Microsoft sent it, in a
//! member where the schema allows anything.

use crate::core::incident::version::{Change, Reading};

use super::ALERTS_COMPLETE;
use super::changes::VersionNews;
use super::split::EventHead;
use super::view::{IncidentView, Room};

/// A schema, and how an incident is mapped to it.
#[derive(Debug)]
pub(super) struct Schema {
    /// The schema's address, with its version: the header `ce_dataschema`.
    pub address: &'static str,
    /// The member that the schema leaves open. The incident is in it, as `incident`.
    pub open: &'static str,
    /// Writes the event, without the open member. The first text in it that does not come from Microsoft's is its id.
    pub write: fn(&Version<'_>, &IncidentView<'_>) -> Vec<u8>,
}

/// A version of an incident to be published.
#[derive(Debug)]
pub(super) struct Version<'a> {
    /// As in `ce_id`.
    pub id: &'a str,
    pub tenant: &'a str,
    pub tenant_name: &'a str,
    /// The API's base URL.
    pub source: &'a str,
    pub change: Change,
    pub reading: &'a Reading,
    /// What is new in it.
    pub news: &'a VersionNews,
}

impl Schema {
    /// What comes after the incident.
    pub(super) const TAIL: &'static [u8] = b"}}";

    /// The event up to the incident.
    pub(super) fn head(&self, version: &Version<'_>, raw: &[u8], room: Room) -> EventHead {
        let mut bytes = (self.write)(version, &IncidentView::of(raw, room));
        // All texts before the id are the program's own or an instant.
        let id = version.id.as_bytes();
        let at = bytes.windows(id.len()).position(|text| text == id);
        bytes.pop();
        let complete = match version.reading.whole {
            true => String::new(),
            false => format!(r#""{ALERTS_COMPLETE}":"false","#),
        };
        let changes = version.news.object();
        let changes = changes.map(|changes| format!(r#""changes":{changes},"#));
        let changes = changes.unwrap_or_default();
        bytes.extend(format!(r#","{}":{{{complete}{changes}"#, self.open).bytes());
        let parts_at = bytes.len();
        bytes.extend(br#""incident":"#);
        EventHead {
            id_end: at.map(|at| at + id.len()),
            parts_at,
            bytes,
        }
    }
}
