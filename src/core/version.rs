//! Versions of an incident, and what is to be done with a reading of one.
//!
//! Two readings are the same version when tenant, id, last-update tick and content are equal. The ledger keeps, for each
//! incident, the version last published ([`Seen`]); [`judge`] holds a new reading against it.
//!
//! Content counts beside the tick because Microsoft changes alerts without moving the incident's own last update. It is
//! comparable only between readings of one API, and of one form: with its alerts, or without them when Microsoft could not
//! give them. Between the APIs id and tick decide.

use std::cmp::Ordering;

use serde::Serialize;

use super::ids::IncidentId;
use super::ticks::Ticks;

/// Hash of an incident's content, blind to the order of object keys and of alert and entity arrays.
/// [`super::reading`] computes it.
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

/// The API that a reading came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    Defender,
    Graph,
}

/// One reading of one incident: the few fields that decide anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    pub id: IncidentId,
    pub updated: Ticks,
    pub phase: Phase,
    pub hash: ContentHash,
    pub origin: Origin,
    /// All its alerts are there. `false` when Microsoft could not give them.
    pub whole: bool,
}

impl Reading {
    /// What the ledger keeps once this reading is published.
    pub fn seen(&self) -> Seen {
        Seen {
            updated: self.updated,
            phase: self.phase,
            hash: self.hash,
            origin: self.origin,
            whole: self.whole,
        }
    }
}

/// The version of an incident that was last published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub updated: Ticks,
    pub phase: Phase,
    pub hash: ContentHash,
    pub origin: Origin,
    pub whole: bool,
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
pub enum Verdict {
    Publish(Change),
    Unchanged,
    /// Published already, as the other API showed it. From now on this API's reading is what later ones are held against.
    Adopt,
    /// Older than what was published: a lagging replica's answer. Publishing it would turn consumers' state back.
    Stale,
}

/// Holds a reading against the version last published.
pub fn judge(reading: &Reading, seen: Option<&Seen>, deduplicate: Deduplicate) -> Verdict {
    let Some(seen) = seen else {
        return Verdict::Publish(Change::Created);
    };
    if deduplicate == Deduplicate::Id {
        return Verdict::Unchanged;
    }
    let same_origin = reading.origin == seen.origin;
    let order = if same_origin {
        reading.updated.cmp(&seen.updated)
    } else {
        reading.updated.cmp_coarsely(seen.updated)
    };
    let publish = Verdict::Publish(Change::between(seen.phase, reading.phase));
    match (order, reading.whole, seen.whole) {
        (Ordering::Less, ..) => Verdict::Stale,
        (Ordering::Greater, ..) => publish,
        // What was missing is there now.
        (Ordering::Equal, true, false) => publish,
        (Ordering::Equal, false, true) => Verdict::Unchanged,
        (Ordering::Equal, ..) if !same_origin => Verdict::Adopt,
        (Ordering::Equal, ..) if reading.hash == seen.hash => Verdict::Unchanged,
        (Ordering::Equal, ..) => publish,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(updated: i64, phase: Phase, hash: u64) -> Reading {
        Reading {
            id: IncidentId(1),
            updated: Ticks(updated),
            phase,
            hash: ContentHash(hash),
            origin: Origin::Defender,
            whole: true,
        }
    }

    fn by_graph(reading: Reading) -> Reading {
        Reading {
            origin: Origin::Graph,
            ..reading
        }
    }

    fn bare(reading: Reading) -> Reading {
        Reading {
            whole: false,
            ..reading
        }
    }

    fn judged(seen: Reading, now: Reading) -> Verdict {
        judge(&now, Some(&seen.seen()), Deduplicate::Version)
    }

    #[test]
    fn an_unknown_id_is_created_whatever_its_status() {
        for phase in [Phase::Open, Phase::Resolved, Phase::Redirected] {
            let verdict = judge(&reading(1, phase, 1), None, Deduplicate::Version);
            assert_eq!(verdict, Verdict::Publish(Change::Created), "{phase:?}");
        }
    }

    #[test]
    fn the_same_tick_with_other_content_is_a_new_version() {
        let verdict = judged(reading(5, Phase::Open, 1), reading(5, Phase::Open, 2));
        assert_eq!(verdict, Verdict::Publish(Change::Updated));
    }

    #[test]
    fn the_same_content_at_a_later_tick_is_a_new_version() {
        let verdict = judged(reading(5, Phase::Open, 1), reading(6, Phase::Open, 1));
        assert_eq!(verdict, Verdict::Publish(Change::Updated));
    }

    #[test]
    fn an_equal_reading_is_unchanged_and_an_older_one_is_stale() {
        let seen = reading(5, Phase::Open, 1);
        assert_eq!(judged(seen, seen), Verdict::Unchanged);
        assert_eq!(judged(seen, reading(4, Phase::Open, 9)), Verdict::Stale);
    }

    #[test]
    fn the_change_follows_the_transition_of_the_status() {
        use Phase::{Open, Redirected, Resolved};
        for (before, after, change) in [
            (Open, Open, Change::Updated),
            (Open, Resolved, Change::Resolved),
            (Open, Redirected, Change::Redirected),
            (Resolved, Resolved, Change::Updated),
            (Resolved, Open, Change::Reopened),
            (Resolved, Redirected, Change::Redirected),
            (Redirected, Redirected, Change::Updated),
            (Redirected, Open, Change::Reopened),
            (Redirected, Resolved, Change::Resolved),
        ] {
            let verdict = judged(reading(5, before, 1), reading(6, after, 2));
            assert_eq!(verdict, Verdict::Publish(change), "{before:?} -> {after:?}");
        }
    }

    #[test]
    fn a_tenant_that_moves_to_the_other_api_publishes_nothing_again_and_every_later_change() {
        let (seen, open) = (3_333_333, Phase::Open);
        let published = reading(seen, open, 1);
        for (updated, verdict) in [
            (3_333_333, Verdict::Adopt),
            (3_330_000, Verdict::Adopt),
            (3_340_000, Verdict::Publish(Change::Updated)),
            (3_320_000, Verdict::Stale),
        ] {
            let now = by_graph(reading(updated, open, 2));
            assert_eq!(judged(published, now), verdict, "{updated} after {seen}");
        }
        let adopted = by_graph(reading(3_330_000, open, 2));
        let alerts_changed = by_graph(reading(3_330_000, open, 3));
        assert_eq!(judged(adopted, adopted), Verdict::Unchanged);
        assert_eq!(
            judged(adopted, alerts_changed),
            Verdict::Publish(Change::Updated)
        );
        assert_eq!(judged(adopted, published), Verdict::Adopt, "and back");
    }

    #[test]
    fn an_incident_published_without_its_alerts_is_published_whole_once_they_come() {
        let (whole, open) = (reading(5, Phase::Open, 1), Phase::Open);
        let without = bare(reading(5, open, 2));
        assert_eq!(judged(without, without), Verdict::Unchanged);
        assert_eq!(judged(without, whole), Verdict::Publish(Change::Updated));
        assert_eq!(
            judged(without, by_graph(whole)),
            Verdict::Publish(Change::Updated)
        );
        assert_eq!(judged(whole, without), Verdict::Unchanged);
        assert_eq!(
            judged(whole, bare(reading(6, open, 2))),
            Verdict::Publish(Change::Updated)
        );
    }

    #[test]
    fn by_id_each_incident_is_published_once_for_ever() {
        let seen = reading(5, Phase::Open, 1).seen();
        let verdict = judge(
            &reading(9, Phase::Resolved, 2),
            Some(&seen),
            Deduplicate::Id,
        );
        assert_eq!(verdict, Verdict::Unchanged);
    }
}
