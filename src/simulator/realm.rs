//! One tenant's incidents, and what can happen to them.
//!
//! Invariant: `by_update` holds exactly `(lastUpdateTime, id)` of every incident. An incident's own times never stand
//! still over a change, so that no two revisions have the same text; save one that loses all its alerts twice to moves that
//! keep its last update.

mod chance;

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::books::Version;
use super::defender;
use super::faults::Api;
use super::incident::{ANALYST, Alert, Comment, Incident};
use super::scene::SCENES;
use super::tenant::Tenant;
use super::time;
use super::world::{Refused, Stamp, Update};

/// How many orders of its alerts an incident is shown in, when orders are permuted.
const ORDERS: u64 = 8;

pub(super) struct Realm {
    pub tenant: Tenant,
    incidents: HashMap<u64, Entry>,
    by_update: BTreeSet<(i64, u64)>,
    next_id: u64,
    rng: StdRng,
    alerts: AlertCount,
    scores: Option<Stamp>,
    reads: u64,
}

/// One of the ways to write an incident out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Form {
    pub api: Api,
    /// Of alerts and evidence; 0 is the natural order.
    pub order: u64,
    /// With its alerts.
    pub alerts: bool,
    /// With the members of enumerations that Graph shows only on request.
    pub members: bool,
}

/// An incident as it is read.
pub(super) struct Reading {
    pub version: Version,
    pub text: Bytes,
    /// Whether this text was written only now.
    pub fresh: bool,
}

struct Entry {
    incident: Incident,
    /// The present revision's texts, in each form that it was read in.
    texts: Vec<(Form, Bytes)>,
}

/// How large new incidents are.
#[derive(Clone, Copy)]
pub(super) enum AlertCount {
    Natural,
    /// Enough alerts for an incident of about that many bytes.
    ForBytes(usize),
}

impl Realm {
    pub fn new(tenant: Tenant, seed: u64, alerts: AlertCount, scores: Option<Stamp>) -> Self {
        let (high, low) = tenant.id.as_u64_pair();
        Self {
            tenant,
            incidents: HashMap::new(),
            by_update: BTreeSet::new(),
            // Ids are per-tenant counters: they collide across tenants.
            next_id: 1,
            rng: StdRng::seed_from_u64(seed ^ high.rotate_left(17) ^ low),
            alerts,
            scores,
            reads: 0,
        }
    }

    /// Every incident by its last update, the oldest first, from `from` on.
    pub fn updated_since(&self, from: i64) -> impl DoubleEndedIterator<Item = &Incident> {
        self.by_update
            .range((from, 0)..)
            .filter_map(|(_, id)| self.get(*id))
    }

    pub fn get(&self, id: u64) -> Option<&Incident> {
        self.incidents.get(&id).map(|entry| &entry.incident)
    }

    /// The order in which the next incident is read.
    pub fn next_order(&mut self, permuted: bool) -> u64 {
        self.reads += 1;
        if permuted { self.reads % ORDERS } else { 0 }
    }

    /// The incident as a response shows it now: `write` is asked once for each revision and form.
    pub fn read(
        &mut self,
        id: u64,
        form: Form,
        write: impl FnOnce(&Incident, Uuid) -> Bytes,
    ) -> Option<Reading> {
        let tenant = self.tenant.id;
        let entry = self.incidents.get_mut(&id)?;
        let known = entry.texts.iter().find(|(known, _)| *known == form);
        let (text, fresh) = match known {
            Some((_, text)) => (text.clone(), false),
            None => {
                let text = write(&entry.incident, tenant);
                entry.texts.push((form, text.clone()));
                (text, true)
            }
        };
        Some(Reading {
            version: Version {
                tenant,
                incident: id,
                revision: entry.incident.revision,
            },
            text,
            fresh,
        })
    }

    /// Appears now, last updated at `at`.
    pub fn appear(&mut self, at: i64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let (alerts, padded_to) = match self.alerts {
            AlertCount::Natural => (self.rng.random_range(1..=3), 0),
            AlertCount::ForBytes(bytes) => ((bytes / 3000).clamp(1, 1000), bytes),
        };
        let mut incident = Incident::new(id, alerts, at, &mut self.rng);
        if padded_to > 0 {
            let missing = padded_to.saturating_sub(defender::length(&incident, self.tenant.id));
            if let Some(alert) = incident.alerts.first_mut() {
                alert.padding = missing;
            }
        }
        self.by_update.insert((incident.last_update, id));
        self.incidents.insert(
            id,
            Entry {
                incident,
                texts: Vec::new(),
            },
        );
        id
    }

    pub fn remove(&mut self, id: u64) -> Result<(), Refused> {
        let gone = self.incidents.remove(&id).ok_or(Refused::NoIncident)?;
        self.by_update.remove(&(gone.incident.last_update, id));
        Ok(())
    }

    /// The last update time that a change of incident `id` at `now` gets.
    pub fn next_update(&self, id: u64, now: i64) -> Result<i64, Refused> {
        let before = self.open(id)?.last_update;
        Ok(time::sql_datetime(now).max(time::next_sql_datetime(before)))
    }

    /// A change that moves `lastUpdateTime` to `at`.
    pub fn change(
        &mut self,
        id: u64,
        at: i64,
        change: impl FnOnce(&mut Incident, &mut StdRng),
    ) -> Result<u32, Refused> {
        let before = self.open(id)?.last_update;
        self.by_update.remove(&(before, id));
        self.by_update.insert((at, id));
        self.alter(id, |incident, rng| {
            incident.last_update = at;
            if incident.score.is_none() {
                incident.rescore();
            }
            change(incident, rng);
        })
    }

    pub fn update(&mut self, id: u64, now: i64, update: Update) -> Result<u32, Refused> {
        let at = self.next_update(id, now)?;
        self.change(id, at, |incident, rng| apply(incident, update, now, rng))
    }

    /// A change of one alert that `lastUpdateTime` does not tell of.
    pub fn alert_only(&mut self, id: u64, now: i64) -> Result<u32, Refused> {
        if self.open(id)?.alerts.is_empty() {
            return Err(Refused::NoAlert);
        }
        self.alter(id, |incident, rng| {
            let which = rng.random_range(0..incident.alerts.len());
            if let Some(alert) = incident.alerts.get_mut(which) {
                alert.progress(now);
            }
        })
    }

    /// Another score. Alone, it makes no revision: nobody has changed anything.
    pub fn score(&mut self, id: u64, now: i64, stamp: Stamp) -> Result<u32, Refused> {
        if stamp == Stamp::Moves {
            let at = self.next_update(id, now)?;
            return self.change(id, at, |incident, _| incident.rescore());
        }
        self.open(id)?;
        let entry = self.incidents.get_mut(&id).ok_or(Refused::NoIncident)?;
        entry.incident.rescore();
        entry.texts.clear();
        Ok(entry.incident.revision)
    }

    /// Some alerts of one incident become another's.
    pub fn move_alerts(
        &mut self,
        (from, to): (u64, u64),
        count: usize,
        (now, stamp): (i64, Stamp),
    ) -> Result<(), Refused> {
        let (source, target) = (self.open(from)?, self.open(to)?);
        if source.alerts.is_empty() || count == 0 {
            return Err(Refused::NoAlert);
        }
        if from == to {
            return Err(Refused::NotMerged("it is the same incident"));
        }
        let (mut at_source, mut at_target) = (source.last_update, target.last_update);
        if stamp == Stamp::Moves {
            at_source = self.next_update(from, now)?.max(self.next_update(to, now)?);
            at_target = at_source;
        }
        let mut moved = Vec::new();
        self.change(from, at_source, |incident, _| {
            let count = count.min(incident.alerts.len());
            moved = incident.alerts.drain(..count).collect();
            moved.iter_mut().for_each(|alert| alert.leave(now));
        })?;
        self.change(to, at_target, |incident, _| {
            incident.alerts.append(&mut moved);
        })?;
        Ok(())
    }

    fn alter(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut Incident, &mut StdRng),
    ) -> Result<u32, Refused> {
        let entry = self.incidents.get_mut(&id).ok_or(Refused::NoIncident)?;
        change(&mut entry.incident, &mut self.rng);
        entry.incident.revision += 1;
        entry.texts.clear();
        Ok(entry.incident.revision)
    }

    /// Merges `source` into `target` as the correlation page describes: alerts and tags move, the source is left closed,
    /// redirected and tagged so. Both get one update time.
    pub fn merge(&mut self, source: u64, target: u64, now: i64) -> Result<(), Refused> {
        self.mergeable(source, target)?;
        let at = self
            .next_update(source, now)?
            .max(self.next_update(target, now)?);
        let (mut alerts, mut tags) = (Vec::new(), Vec::new());
        self.change(source, at, |incident, _| {
            alerts.append(&mut incident.alerts);
            tags.append(&mut incident.tags);
            incident.status = "Redirected";
            incident.redirect = Some(target);
            incident.severity = "UnSpecified".to_owned();
            incident.tags.push("Redirected".to_owned());
        })?;
        self.change(target, at, |incident, _| {
            incident.alerts.append(&mut alerts);
            tags.retain(|tag| !incident.tags.contains(tag));
            incident.tags.append(&mut tags);
        })?;
        Ok(())
    }

    /// The documented reasons against a merge.
    fn mergeable(&self, source: u64, target: u64) -> Result<(), Refused> {
        let (from, into) = (self.open(source)?, self.open(target)?);
        let reason = if source == target {
            "it is the same incident"
        } else if from.status == "Resolved" || into.status == "Resolved" {
            "one of them is closed"
        } else if from.assigned_to != into.assigned_to {
            "their assignees differ"
        } else if from.classification != into.classification
            || from.determination != into.determination
        {
            "their classifications differ"
        } else {
            return Ok(());
        };
        Err(Refused::NotMerged(reason))
    }

    /// One comment on each of `ids`, all with one identical update time.
    pub fn bulk(&mut self, ids: &[u64], now: i64) -> Result<(), Refused> {
        let mut at = time::sql_datetime(now);
        for id in ids {
            at = at.max(self.next_update(*id, now)?);
        }
        for id in ids {
            self.change(*id, at, |incident, _| {
                incident.comments.push(Comment::new("Bulk change", now));
            })?;
        }
        Ok(())
    }

    /// The incident, unless it has been merged away: what is redirected changes no more.
    fn open(&self, id: u64) -> Result<&Incident, Refused> {
        match self.get(id) {
            None => Err(Refused::NoIncident),
            Some(incident) if incident.status == "Redirected" => Err(Refused::Redirected),
            Some(incident) => Ok(incident),
        }
    }
}

fn apply(incident: &mut Incident, update: Update, now: i64, rng: &mut StdRng) {
    incident.modified_by = Some(ANALYST);
    match update {
        Update::Status(status) => incident.status = status,
        Update::AwaitAction => incident.status = "AwaitingAction",
        Update::Severity(severity) => incident.severity = severity,
        Update::AssignedTo(who) => incident.assigned_to = who,
        Update::Name(name) => incident.name = name,
        Update::Tag(tag) => incident.tags.push(tag),
        Update::Comment(text) => incident.comments.push(Comment::new(&text, now)),
        Update::NewAlerts(count) => {
            let start = rng.random_range(0..SCENES.len());
            let scenes = SCENES.iter().cycle().skip(start).take(count);
            let mut new: Vec<_> = scenes
                .map(|scene| Alert::new(scene, rng.random(), now))
                .collect();
            incident.alerts.append(&mut new);
        }
        Update::LongAlert(bytes) => {
            if let Some(alert) = incident.alerts.first_mut() {
                alert.padding += bytes;
            }
        }
        Update::Resolve => {
            apply(
                incident,
                Update::ResolveAs("TruePositive", "Malware"),
                now,
                rng,
            );
        }
        Update::ResolveAs(classification, determination) => {
            incident.status = "Resolved";
            incident.classification = classification;
            incident.determination = determination;
            incident.resolving_comment = Some("Looked into and closed.");
            incident
                .alerts
                .iter_mut()
                .for_each(|alert| alert.close(now));
        }
        Update::Reopen => {
            incident.status = "Active";
            incident.alerts.iter_mut().for_each(|alert| alert.open(now));
        }
    }
}
