//! Versions of an incident, and what to do with a reading of one.
//!
//! Two readings are the same version if tenant, id, last-update tick and the significant members
//! ([`super::significant`]) are equal. The ledger keeps the version of each incident that was published last
//! ([`Seen`]); [`decide`] compares a new reading with it.
//!
//! The members count besides the tick, because Microsoft changes alerts without moving the last update of the incident.
//! They can be compared only between readings of one API and of one form: with alerts, or without them when Microsoft
//! could not return them. Between the two APIs, only id and tick are compared.
//!
//! At one tick an incident may alternate between several forms, because Microsoft's replicas don't agree. So [`Seen`]
//! keeps the last [`Forms::MOST`] versions that were published at this tick, and each is published once.
//!
//! Former releases hashed the whole content. Such a hash can't be compared, so an incident that they recorded is
//! **adopted** at its first reading at the same tick, without being published.

use std::cmp::Ordering;

use serde::Serialize;

use crate::core::ids::IncidentId;
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;

/// The hash of an incident's significant members ([`super::significant`]), or of bytes that can't be read
/// ([`crate::core::codec::raw_hash`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ContentHash(pub u64);

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The part of an incident's status that decides the kind of change of a new version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Any other status: statuses are an open set.
    Open,
    /// Status `Resolved`, in either API's spelling.
    Resolved,
    /// Merged into another incident (status `Redirected`, or a `redirectIncidentId` is set).
    Redirected,
}

/// One reading of one incident: the few fields that matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Unique within the tenant only.
    pub id: IncidentId,
    /// The last update, which Microsoft does not move with every change.
    pub updated: Ticks,
    /// From its status, and from whether it was merged into another.
    pub phase: Phase,
    /// Of its significant members.
    pub hash: ContentHash,
    /// The API that showed it: hashes of two APIs can't be compared.
    pub origin: SourceKind,
    /// Whether all its alerts are there. `false`: Microsoft could not return them.
    pub whole: bool,
}

impl Reading {
    /// The same incident without some of its alerts, because Microsoft could not return them. It differs from an
    /// incident that has only these alerts, so it has another hash.
    pub fn without_alerts(self) -> Self {
        Self {
            hash: ContentHash(!self.hash.0),
            whole: false,
            ..self
        }
    }

    /// What the ledger keeps once this reading is published or adopted. `before` is what it has kept so far.
    pub fn seen(&self, before: Option<&Seen>) -> Seen {
        let same = before.filter(|seen| seen.is_comparable(self));
        let forms = same.map_or(Forms::NONE, |seen| seen.forms);
        Seen {
            updated: self.updated,
            phase: self.phase,
            forms: forms.and(self.hash),
            origin: self.origin,
            whole: self.whole,
        }
    }
}

/// The hashes of the versions that were published at one last update, newest first.
///
/// When there is no room left, the oldest is forgotten, and is news again if it comes back. Keeping the first ones
/// instead would repeat less while more than [`Forms::MOST`] forms alternate, but would repeat any two later forms for
/// ever. Publishing nothing without room would hide changes: Microsoft changes alerts without moving the last update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forms([Option<ContentHash>; Forms::MOST]);

impl Forms {
    /// As many as a few replicas, or three members that alternate independently, can show. Each form adds 8 bytes to a
    /// row of the ledger, and almost all incidents have one form.
    pub const MOST: usize = 8;

    /// No version.
    pub const NONE: Self = Self([None; Self::MOST]);

    /// Adds a newer one.
    #[must_use]
    pub fn and(mut self, hash: ContentHash) -> Self {
        self.0.rotate_right(1);
        self.0[0] = Some(hash);
        self
    }

    /// The hashes, newest first.
    pub fn hashes(&self) -> impl DoubleEndedIterator<Item = ContentHash> {
        self.0.iter().copied().flatten()
    }

    pub(crate) fn count(&self) -> usize {
        self.hashes().count()
    }
}

/// The version of an incident that was published last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The last update of that version.
    pub updated: Ticks,
    /// Its phase: tells what kind of change the next version is.
    pub phase: Phase,
    /// Empty if a former release recorded it, whose hash can't be compared.
    pub forms: Forms,
    /// The API that showed it.
    pub origin: SourceKind,
    /// As [`Reading::whole`].
    pub whole: bool,
}

impl Seen {
    fn is_comparable(&self, reading: &Reading) -> bool {
        self.origin == reading.origin && self.updated == reading.updated
    }
}

/// The kind of change that a published record names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The id is new, whatever its status.
    Created,
    /// Anything that is none of the others.
    Updated,
    /// It was open before.
    Resolved,
    /// It was resolved before.
    Reopened,
    /// It was merged into another incident.
    Redirected,
}

impl Change {
    pub(crate) const ALL: [Change; 5] = [
        Change::Created,
        Change::Updated,
        Change::Resolved,
        Change::Reopened,
        Change::Redirected,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Updated => "updated",
            Change::Resolved => "resolved",
            Change::Reopened => "reopened",
            Change::Redirected => "redirected",
        }
    }

    /// Leaving *either* closed phase is a reopening: an undone merge is the same kind of news.
    fn between(before: Phase, after: Phase) -> Self {
        match (before, after) {
            (Phase::Open | Phase::Resolved, Phase::Redirected) => Change::Redirected,
            (Phase::Open | Phase::Redirected, Phase::Resolved) => Change::Resolved,
            (Phase::Resolved | Phase::Redirected, Phase::Open) => Change::Reopened,
            (Phase::Open, Phase::Open)
            | (Phase::Resolved, Phase::Resolved)
            | (Phase::Redirected, Phase::Redirected) => Change::Updated,
        }
    }
}

/// What counts as already published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deduplicate {
    /// Each version is published once.
    Version,
    /// Each incident id is published once, for ever.
    Id,
}

/// What to do with a reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is a new version.
    Publish(Change),
    /// It shows nothing new, or is older than the published version: its bytes are dropped.
    Unchanged,
    /// Published already, in the form of the other API or by a former release. Later readings are compared with this
    /// one.
    Adopt,
    /// Older than what was published: the answer of a lagging replica. Publishing it would revert the consumers' state.
    Stale,
}

/// Compares a reading with the version published last.
pub fn decide(reading: &Reading, seen: Option<&Seen>, deduplicate: Deduplicate) -> Decision {
    let Some(seen) = seen else {
        return Decision::Publish(Change::Created);
    };
    if deduplicate == Deduplicate::Id {
        return Decision::Unchanged;
    }
    let same_origin = reading.origin == seen.origin;
    let order = if same_origin {
        reading.updated.cmp(&seen.updated)
    } else {
        reading.updated.cmp_coarsely(seen.updated)
    };
    let publish = Decision::Publish(Change::between(seen.phase, reading.phase));
    match (order, reading.whole, seen.whole) {
        (Ordering::Less, ..) => Decision::Stale,
        (Ordering::Greater, ..) => publish,
        // The missing alerts are there now.
        (Ordering::Equal, true, false) => publish,
        (Ordering::Equal, false, true) => Decision::Unchanged,
        (Ordering::Equal, ..) if !same_origin || seen.forms == Forms::NONE => Decision::Adopt,
        (Ordering::Equal, ..) if seen.forms.hashes().any(|hash| hash == reading.hash) => {
            Decision::Unchanged
        }
        (Ordering::Equal, ..) => publish,
    }
}

#[cfg(test)]
mod tests;
