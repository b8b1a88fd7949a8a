//! What is new in a version of an incident, next to the version published before.

use super::version::ContentHash;
use crate::core::time::ticks::Ticks;

/// The difference of two versions of an incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The version that was published before.
    pub before: VersionBefore,
    /// The names of the significant members that differ, as the API calls them, in the order of its table.
    pub members: Vec<&'static str>,
    /// `None`: it is not known which alerts differ. `members` says whether any do.
    pub alerts: Option<AlertChanges>,
}

/// A version by what its `ce_id` says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in a reading")]
pub struct VersionBefore {
    pub updated: Ticks,
    pub hash: ContentHash,
}

/// The alerts that differ, by their ids, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlertChanges {
    /// They were not published before.
    pub added: Vec<String>,
    /// They are not in the incident any more.
    pub removed: Vec<String>,
    /// A significant member of theirs differs.
    pub changed: Vec<String>,
}

impl Changes {
    /// About the bytes that it takes in memory, and in each place of a record.
    pub fn size(&self) -> usize {
        const FIXED: usize = 256;
        let ids = self.alerts.iter().flat_map(AlertChanges::ids);
        FIXED + ids.map(|id| size_of::<String>() + id.len()).sum::<usize>()
    }
}

impl AlertChanges {
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.added.iter().chain(&self.removed).chain(&self.changed)
    }

    /// Whether the alert is in the incident now and was not published before in this form.
    pub fn is_news(&self, id: &str) -> bool {
        self.is_added(id) || has(&self.changed, id)
    }

    /// Whether the alert was not published before.
    pub fn is_added(&self, id: &str) -> bool {
        has(&self.added, id)
    }
}

fn has(ids: &[String], id: &str) -> bool {
    ids.binary_search_by(|one| one.as_str().cmp(id)).is_ok()
}
