//! Counts the records that arrive, and compares them with the versions that the simulator showed.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::tenant_of;
use crate::core::incident::version::Change;
use crate::kafka::reader::Arrived;
use crate::simulator::{Journal, Version};

#[derive(Debug, Default)]
pub struct Tally {
    records: u64,
    changes: HashMap<String, u64>,
    arrived: HashSet<Version>,
    duplicates: u64,
    /// Records that the simulator never showed.
    unknown: u64,
    shown: usize,
    lost: usize,
}

impl Tally {
    pub fn count(&mut self, record: &Arrived, journal: &Journal) {
        self.records += 1;
        *self.changes.entry(change(record).to_owned()).or_default() += 1;
        match version(record, journal) {
            Some(version) if self.arrived.insert(version) => {}
            Some(_) => self.duplicates += 1,
            None => self.unknown += 1,
        }
    }

    pub fn has(&self, version: &Version) -> bool {
        self.arrived.contains(version)
    }

    /// Compares at the end what arrived with what was shown.
    pub fn close(&mut self, journal: &Journal) {
        let shown = journal.shown();
        self.shown = shown.len();
        self.lost = shown.difference(&self.arrived).count();
    }

    pub fn is_clean(&self) -> bool {
        self.duplicates == 0 && self.lost == 0 && self.unknown == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "summary: shown={} published={}",
            self.shown, self.records
        )?;
        for change in Change::ALL.map(Change::as_str) {
            write!(f, " {change}={}", self.changes.get(change).unwrap_or(&0))?;
        }
        write!(f, " duplicates={} lost={}", self.duplicates, self.lost)
    }
}

/// `updated` of `incidentd.incident.updated.v1`.
pub fn change(record: &Arrived) -> &str {
    let kind = record.header("ce_type").unwrap_or_default();
    kind.split('.').nth(2).unwrap_or_default()
}

fn version(record: &Arrived, journal: &Journal) -> Option<Version> {
    let tenant = tenant_of(&record.key)?;
    let (incident, revision) = journal.identify(tenant, incident(record)?)?;
    Some(Version {
        tenant,
        incident,
        revision,
    })
}

/// The incident's bytes in the value, which are where the format has them.
fn incident(record: &Arrived) -> Option<&[u8]> {
    #[derive(Deserialize)]
    struct EventBytes<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        #[serde(borrow, alias = "microsoft")]
        unmapped: Option<OpenBytes<'a>>,
    }
    #[derive(Deserialize)]
    struct OpenBytes<'a> {
        #[serde(borrow)]
        incident: &'a RawValue,
    }
    if record.header("content-type") == Some("application/json")
        && record.header("ce_dataschema").is_none()
    {
        return Some(&record.value);
    }
    let event: EventBytes<'_> = serde_json::from_slice(&record.value).ok()?;
    let open = event.unmapped.map(|open| open.incident);
    Some(event.data.or(open)?.get().as_bytes())
}
