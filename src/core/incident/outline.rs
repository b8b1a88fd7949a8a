//! What the ledger keeps of an incident besides its version, so that the next version can say what is new.
//!
//! [`Outline`] has a digest of each significant member, and the id and a digest of each alert. It is read from the
//! incident's bytes only when a version is published, and compared with the outline of the version published before
//! ([`compare`]). Nothing else depends on it: whether a reading is news is decided by the version alone.
//!
//! [`PackedOutline`] is its form in the ledger, `FORMAT` first:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | format |
//! | 1 | marks: the API, whether alerts are listed |
//! | 2 | which members are there, a bit for each row of the table |
//! | [`DIGEST`] each | digests of these members; of the alerts only if they are not listed |
//! | 1 + n + [`DIGEST`] each | the alerts in order of their ids: length of the id and whether it is packed, id, digest |
//!
//! The ids that Microsoft makes have few different characters, which are packed in 5 bits each ([`super::packed_id`]).
//!
//! **A digest has 40 bits.** When a member or an alert changes, its digest stays the same once in a million million
//! times. Then the record does not name the change.
//!
//! **Bounds.** Alerts are listed if they take at most [`MOST_BYTES`], and all of them have an id of at most
//! [`packed_id::MOST`] bytes. Otherwise the outline knows whether they changed, and not which.
//!
//! **Incomplete alerts.** When Microsoft could not return all alerts, the outline keeps those that were published before.
//! So no alert is said to be gone because it was not returned, and none is new twice.
//!
//! Failure modes: an outline of another API, of a later format or with damaged bytes is ignored. The record of the next
//! version then says nothing about what changed.

use std::collections::BTreeMap;

use super::alert_list::{self, AlertReading};
use super::changes::{AlertChanges, Changes, VersionBefore};
use super::json::{Begins, Scanner};
use super::packed_id;
use super::reading::Shape;
use super::significant::{ABSENT, MOST, MemberHashes};
use super::version::{Reading, Seen};
use crate::core::sources::SourceKind;

const FORMAT: u8 = 1;

/// Bytes of a digest.
const DIGEST: usize = 5;

/// Bytes that listed alerts may take: more than 2,000 alerts with ids like Microsoft's.
pub const MOST_BYTES: usize = 64 << 10;

/// Marks.
const BY_GRAPH: u8 = 1;
const LISTED: u8 = 1 << 1;

/// An [`Outline`] as bytes. They may come from a disk or a topic, and are checked when they are unpacked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackedOutline(Box<[u8]>);

/// An incident's members and alerts by their digests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outline {
    shape: &'static Shape,
    /// In the order of the table. [`ABSENT`]: the member is not there. That of the alerts is in `alerts`.
    members: [u64; MOST],
    alerts: Alerts,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Alerts {
    /// The digest of each, by its id.
    Listed(BTreeMap<String, u64>),
    /// The digest of all of them.
    Unlisted(u64),
}

/// What a new version is, next to the version published before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// What the ledger keeps. `None`: the next version can't be compared with this one.
    pub outline: Option<PackedOutline>,
    /// What is new. `None`: that is not known, or no version is before.
    pub changes: Option<Box<Changes>>,
}

impl Comparison {
    /// About what it takes in memory, with the texts of it that a record has twice.
    pub fn size(&self) -> usize {
        let outline = self.outline.as_ref().map_or(0, |it| it.as_bytes().len());
        let changes = self.changes.as_ref().map_or(0, |changes| changes.size());
        outline + 3 * changes
    }
}

/// Compares an incident with the version that was published before, of which the ledger has these two.
pub fn compare(
    raw: &[u8],
    reading: &Reading,
    shape: &'static Shape,
    published: Option<(&Seen, &PackedOutline)>,
) -> Comparison {
    let before = published.and_then(|(seen, packed)| {
        let version = VersionBefore {
            updated: seen.updated,
            hash: seen.forms.hashes().next()?,
        };
        Some((version, packed.unpack(shape)?))
    });
    let outline = Outline::read(raw, shape);
    let outline = match (reading.whole, &before) {
        (true, _) => outline,
        (false, Some((_, before))) => outline.and_then(|outline| outline.completed_by(before)),
        (false, None) => None,
    };
    let changes = (outline.as_ref().zip(before))
        .map(|(outline, (version, before))| outline.changes_since(version, &before));
    Comparison {
        outline: outline.map(|outline| outline.pack()),
        changes: changes.map(Box::new),
    }
}

impl Outline {
    /// `None`: the incident can't be followed to its end, and is compared by its bytes.
    fn read(raw: &[u8], shape: &'static Shape) -> Option<Self> {
        let row = alert_list::row(shape);
        let mut members = MemberHashes::of(shape.significant);
        let mut listed = Some(BTreeMap::new());
        let mut input = Scanner::new(raw);
        if !input.enter(Begins::Object) {
            return None;
        }
        while let Some(key) = input.key().ok()? {
            if let Some((_, table)) = row.filter(|_| key.is(alert_list::ALERTS)) {
                listed = list(input, table);
                if listed.is_some() {
                    input.skip().ok()?;
                    continue;
                }
            }
            members.take(key, &mut input).ok()?;
        }
        input.end().ok()?;
        let mut members = members.into_hashes().map(digest);
        let all = row.map(|(at, _)| std::mem::replace(&mut members[at], ABSENT));
        let alerts = match (listed, all) {
            (Some(listed), _) => Alerts::Listed(listed),
            (None, None | Some(ABSENT)) => Alerts::Listed(BTreeMap::new()),
            (None, Some(all)) => Alerts::Unlisted(all),
        };
        Some(Self {
            shape,
            members,
            alerts,
        })
    }

    /// The same incident with those alerts of the version before that Microsoft did not return now. `None`: it is not known
    /// which these are.
    fn completed_by(mut self, before: &Self) -> Option<Self> {
        let (Alerts::Listed(alerts), Alerts::Listed(before)) = (&mut self.alerts, &before.alerts)
        else {
            return None;
        };
        for (id, digest) in before {
            alerts.entry(id.clone()).or_insert(*digest);
        }
        let bytes = alerts.keys().map(|id| listed_bytes(id)).sum::<usize>();
        (bytes <= MOST_BYTES).then_some(self)
    }

    fn changes_since(&self, version: VersionBefore, before: &Self) -> Changes {
        let (same_alerts, alerts) = match (&self.alerts, &before.alerts) {
            (Alerts::Listed(now), Alerts::Listed(then)) => {
                (now == then, Some(alert_changes(now, then)))
            }
            (now, then) => (now == then, None),
        };
        let alerts_row = alert_list::row(self.shape).map(|(at, _)| at);
        let rows = self.shape.significant.iter().enumerate();
        let changed = rows.filter(|(at, _)| match Some(*at) == alerts_row {
            true => !same_alerts,
            false => self.members[*at] != before.members[*at],
        });
        Changes {
            before: version,
            members: changed.map(|(_, row)| row.name).collect(),
            alerts,
        }
    }

    fn pack(&self) -> PackedOutline {
        let by_graph = match self.shape.origin {
            SourceKind::Graph => BY_GRAPH,
            SourceKind::Defender => 0,
        };
        let listed = match self.alerts {
            Alerts::Listed(_) => LISTED,
            Alerts::Unlisted(_) => 0,
        };
        let mut bytes = vec![FORMAT, by_graph | listed];
        let mut members = self.members;
        if let (Alerts::Unlisted(all), Some((at, _))) = (&self.alerts, alert_list::row(self.shape))
        {
            members[at] = *all;
        }
        let there = |(at, hash): (usize, &u64)| u16::from(*hash != ABSENT) << at;
        let there: u16 = members.iter().enumerate().map(there).sum();
        bytes.extend(there.to_be_bytes());
        let present = members.iter().filter(|hash| **hash != ABSENT);
        present.for_each(|hash| put_digest(&mut bytes, *hash));
        if let Alerts::Listed(alerts) = &self.alerts {
            for (id, digest) in alerts {
                packed_id::put(&mut bytes, id);
                put_digest(&mut bytes, *digest);
            }
        }
        PackedOutline(bytes.into())
    }
}

impl PackedOutline {
    /// The bytes are not checked.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The form in the ledger.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `None`: it is of another API, was written by a later incidentd, or is damaged.
    fn unpack(&self, shape: &'static Shape) -> Option<Outline> {
        let [FORMAT, marks, a, b, rest @ ..] = &*self.0 else {
            return None;
        };
        let by_graph = shape.origin == SourceKind::Graph;
        if marks & !(BY_GRAPH | LISTED) != 0 || (marks & BY_GRAPH != 0) != by_graph {
            return None;
        }
        let (mut rest, there) = (rest, u16::from_be_bytes([*a, *b]));
        let mut members = [ABSENT; MOST];
        for (at, member) in members.iter_mut().enumerate() {
            if there & 1 << at != 0 {
                *member = take_digest(&mut rest)?;
            }
        }
        if there >> shape.significant.len() != 0 {
            return None;
        }
        let all = alert_list::row(shape).map(|(at, _)| std::mem::replace(&mut members[at], ABSENT));
        let alerts = match marks & LISTED != 0 {
            false if rest.is_empty() => Alerts::Unlisted(all.unwrap_or(ABSENT)),
            true => {
                let mut alerts = BTreeMap::new();
                while !rest.is_empty() {
                    let id = packed_id::take(&mut rest)?;
                    alerts.insert(id, take_digest(&mut rest)?);
                }
                Alerts::Listed(alerts)
            }
            false => return None,
        };
        Some(Outline {
            shape,
            members,
            alerts,
        })
    }
}

/// The digests of a list of alerts. `None`: it is no list, or they can't be listed.
fn list(mut input: Scanner<'_>, table: alert_list::AlertTable) -> Option<BTreeMap<String, u64>> {
    let (mut alerts, mut bytes) = (BTreeMap::<String, u64>::new(), 0);
    let mut fits = true;
    let followed = alert_list::each(&mut input, table, |AlertReading { id, hash, .. }| {
        fits = id.is_some_and(|id| {
            bytes += listed_bytes(&id);
            // An alert that is listed twice is not the same as once.
            let sum = alerts.entry(id.into_owned()).or_default();
            *sum = sum.wrapping_add(hash.0);
            bytes <= MOST_BYTES
        });
        fits
    });
    (followed.is_ok() && fits).then(|| {
        let digests = alerts.into_iter().map(|(id, sum)| (id, digest(sum)));
        digests.collect()
    })
}

fn alert_changes(now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>) -> AlertChanges {
    let mut changes = AlertChanges::default();
    for (id, digest) in now {
        match then.get(id) {
            None => changes.added.push(id.clone()),
            Some(before) if before != digest => changes.changed.push(id.clone()),
            Some(_) => {}
        }
    }
    let removed = then.keys().filter(|id| !now.contains_key(*id));
    changes.removed = removed.cloned().collect();
    changes
}

fn listed_bytes(id: &str) -> usize {
    packed_id::bytes(id) + DIGEST
}

/// A digest is [`ABSENT`] only if the hash is.
fn digest(hash: u64) -> u64 {
    const MASK: u64 = (1 << (8 * DIGEST)) - 1;
    match hash & MASK {
        0 if hash != ABSENT => 1,
        digest => digest,
    }
}

fn put_digest(bytes: &mut Vec<u8>, digest: u64) {
    bytes.extend(&digest.to_be_bytes()[size_of::<u64>() - DIGEST..]);
}

fn take_digest(bytes: &mut &[u8]) -> Option<u64> {
    let (head, rest) = bytes.split_first_chunk::<DIGEST>()?;
    *bytes = rest;
    let digest = head
        .iter()
        .fold(0, |digest, byte| digest << 8 | u64::from(*byte));
    Some(digest)
}

#[cfg(test)]
mod tests;
