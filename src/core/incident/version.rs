//! Versions of an incident, and what is to be done with a reading of one.
//!
//! Two readings are the same version when tenant, id, last-update tick and the significant members
//! ([`super::significant`]) are equal. The ledger keeps, for each incident, the version last published ([`Seen`]); [`decide`]
//! holds a new reading against it.
//!
//! The members count beside the tick because Microsoft changes alerts without moving the incident's own last update. They
//! are comparable only between readings of one API, and of one form: with its alerts, or without them when Microsoft could
//! not give them. Between the APIs id and tick decide.
//!
//! At one tick an incident may come in several forms by turns (replicas of Microsoft's that do not agree). [`Seen`] therefore
//! keeps the versions that were published at this tick, the last [`Forms::MOST`] of them: each is published once.
//!
//! Former releases hashed the whole content. Such a hash can't be compared: an incident that one of them recorded is
//! **adopted** at its first reading at the same tick, which is not published.

use std::cmp::Ordering;

use serde::Serialize;

use crate::core::ids::IncidentId;
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;

/// Hash of an incident's significant members, which [`super::significant`] computes; or of bytes that can't be read
/// ([`crate::core::codec::raw_hash`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ContentHash(pub u64);

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The part of an incident's status that decides what kind of change a new version is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Any status that is neither of the other two: statuses are an open set.
    Open,
    Resolved,
    /// Merged into another incident (status `Redirected`, or a `redirectIncidentId` is set).
    Redirected,
}

/// One reading of one incident: the few fields that decide anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    pub id: IncidentId,
    pub updated: Ticks,
    pub phase: Phase,
    pub hash: ContentHash,
    pub origin: SourceKind,
    /// All its alerts are there. `false` when Microsoft could not give them.
    pub whole: bool,
}

impl Reading {
    /// The same incident, of which Microsoft could not give all alerts. It is another version than the incident that has no
    /// more alerts than these, and so has another hash.
    pub fn without_alerts(self) -> Self {
        Self {
            hash: ContentHash(!self.hash.0),
            whole: false,
            ..self
        }
    }

    /// What the ledger keeps once this reading is published or adopted; `before` is what it has kept until now.
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

/// The hashes of the versions that were published at one last update, the newest first.
///
/// When there is no room left the oldest is forgotten, and is news again when it comes back. To keep the first ones instead
/// would repeat less while more than [`Forms::MOST`] forms take turns, but would repeat for ever any two that come after
/// them. Not to publish what finds no room would hide changes: Microsoft changes alerts at one last update of the incident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forms([Option<ContentHash>; Forms::MOST]);

impl Forms {
    /// What a few replicas, or three members that alternate on their own, can show. A row of the ledger grows by 8 bytes
    /// with each form, and nearly all incidents have one.
    pub const MOST: usize = 8;

    pub const NONE: Self = Self([None; Self::MOST]);

    /// These and a newer one.
    #[must_use]
    pub fn and(mut self, hash: ContentHash) -> Self {
        self.0.rotate_right(1);
        self.0[0] = Some(hash);
        self
    }

    /// The newest first.
    pub fn hashes(&self) -> impl DoubleEndedIterator<Item = ContentHash> {
        self.0.iter().copied().flatten()
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.hashes().count()
    }
}

/// The version of an incident that was last published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub updated: Ticks,
    pub phase: Phase,
    /// None: a former release recorded it, whose hash can't be compared.
    pub forms: Forms,
    pub origin: SourceKind,
    pub whole: bool,
}

impl Seen {
    fn is_comparable(&self, reading: &Reading) -> bool {
        self.origin == reading.origin && self.updated == reading.updated
    }
}

/// What a published record says happened to the incident.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The id was not seen before, whatever its status.
    Created,
    Updated,
    Resolved,
    Reopened,
    Redirected,
}

impl Change {
    pub const ALL: [Change; 5] = [
        Change::Created,
        Change::Updated,
        Change::Resolved,
        Change::Reopened,
        Change::Redirected,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Updated => "updated",
            Change::Resolved => "resolved",
            Change::Reopened => "reopened",
            Change::Redirected => "redirected",
        }
    }

    /// Reopened is leaving *either* closed phase: a merge that Microsoft takes back is news of the same kind.
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
    /// Every version once.
    Version,
    /// Every incident id once, for ever.
    Id,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Publish(Change),
    Unchanged,
    /// Published already, as the other API showed it or as a former release recorded it. From now on this reading is what
    /// later ones are held against.
    Adopt,
    /// Older than what was published: a lagging replica's answer. Publishing it would turn consumers' state back.
    Stale,
}

/// Holds a reading against the version last published.
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
        // What was missing is there now.
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
