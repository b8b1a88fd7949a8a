//! An event in a schema that others define, which has the incident or the alert itself within.
//!
//! The event is JSON: first what the schema has a place for, then the incident, byte for byte as Microsoft sent it, in a
//! member where the schema allows anything.

use crate::core::ids::IncidentId;
use crate::core::incident::version::{Change, Reading};
use crate::core::time::ticks::Ticks;

use super::changes::VersionNews;
use super::split::EventHead;
use super::view::{IncidentView, Room};
use super::{ALERTS_COMPLETE, INCIDENT_ID};

/// A schema, and how an incident or an alert is mapped to it.
#[derive(Debug)]
pub(super) struct Schema {
    /// The schema's address, with its version: the header `ce_dataschema`.
    pub address: &'static str,
    /// The member that the schema leaves open. The incident is in it, as `incident`; an alert, as `alert`.
    pub open: &'static str,
    /// Writes the event, without the open member. The first text in it that does not come from Microsoft's is its id.
    pub write: fn(&Version<'_>, &IncidentView<'_>) -> Vec<u8>,
}

/// A version of an incident or of an alert to be published.
#[derive(Debug)]
pub(super) struct Version<'a> {
    /// As in `ce_id`.
    pub id: String,
    pub tenant: &'a str,
    pub tenant_name: &'a str,
    /// The API's base URL.
    pub source: &'a str,
    pub change: Change,
    pub updated: Ticks,
    /// Of the incident.
    pub reading: &'a Reading,
    /// What is new in it. Of an alert, nothing is said.
    pub news: VersionNews,
    /// The id of the alert. `None`: it is the incident itself.
    pub alert: Option<&'a str>,
}

impl Version<'_> {
    /// What it is a version of.
    pub(super) fn kind(&self) -> &'static str {
        match self.alert {
            Some(_) => "alert",
            None => "incident",
        }
    }

    pub(super) fn ce_type(&self) -> String {
        format!("incidentd.{}.{}.v1", self.kind(), self.change.as_str())
    }

    pub(super) fn subject(&self) -> String {
        let incident = || self.incident().to_string();
        self.alert.map_or_else(incident, str::to_owned)
    }

    pub(super) fn incident(&self) -> IncidentId {
        self.reading.id
    }

    /// What the value says beside what Microsoft does: a name and a text, neither of which needs escapes in JSON.
    pub(super) fn remark(&self) -> Option<(&'static str, String)> {
        match self.alert {
            Some(_) => Some((INCIDENT_ID, self.incident().to_string())),
            None => (!self.reading.whole).then(|| (ALERTS_COMPLETE, "false".to_owned())),
        }
    }
}

impl Schema {
    /// What comes after the incident.
    pub(super) const TAIL: &'static [u8] = b"}}";

    /// The event up to the incident.
    pub(super) fn head(&self, version: &Version<'_>, raw: &[u8], room: Room) -> EventHead {
        let view = match version.alert {
            Some(_) => IncidentView::of_alert(raw, room),
            None => IncidentView::of(raw, room),
        };
        let mut bytes = (self.write)(version, &view);
        // All texts before the id are the program's own or an instant.
        let id = version.id.as_bytes();
        let at = bytes.windows(id.len()).position(|text| text == id);
        bytes.pop();
        let remark = version.remark();
        let remark = remark.map(|(name, text)| format!(r#""{name}":"{text}","#));
        let remark = remark.unwrap_or_default();
        let changes = version.news.object();
        let changes = changes.map(|changes| format!(r#""changes":{changes},"#));
        let changes = changes.unwrap_or_default();
        bytes.extend(format!(r#","{}":{{{remark}{changes}"#, self.open).bytes());
        let parts_at = bytes.len();
        bytes.extend(format!(r#""{}":"#, version.kind()).bytes());
        EventHead {
            id_end: at.map(|at| at + id.len()),
            parts_at,
            bytes,
        }
    }
}
