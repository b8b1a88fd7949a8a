//! One tenant's incidents, and what can happen to them.
//!
//! `by_update` holds exactly `(lastUpdateTime, id)` of every incident. Every change moves one of the incident's own times, so
//! that no two revisions have the same text.

mod chance;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedMutRandom;
use rand::{RngExt, SeedableRng};

use super::Options;
use super::change::{Refused, Update, Version};
use super::document::{self, Form};
use super::incident::Incident;
use super::tenant::Tenant;
use super::time;

pub(super) struct Incidents {
    pub tenant: Tenant,
    all: HashMap<u64, Entry>,
    by_update: BTreeSet<(i64, u64)>,
    next_id: u64,
    rng: StdRng,
    options: Arc<Options>,
}

struct Entry {
    incident: Incident,
    /// The texts of the present revision, by form.
    texts: Vec<(Form, Bytes)>,
}

impl Incidents {
    pub fn new(tenant: Tenant, options: Arc<Options>) -> Self {
        let (high, low) = tenant.id.as_u64_pair();
        Self {
            tenant,
            all: HashMap::new(),
            by_update: BTreeSet::new(),
            // Ids are per-tenant counters: they collide across tenants (section 7).
            next_id: 1,
            rng: StdRng::seed_from_u64(options.seed ^ high.rotate_left(17) ^ low),
            options,
        }
    }

    /// Every incident that was last updated at `from` or later, the oldest first.
    pub fn updated_since(&self, from: i64) -> impl DoubleEndedIterator<Item = &Incident> {
        let ids = self.by_update.range((from, 0)..);
        ids.filter_map(|(_, id)| self.get(*id))
    }

    pub fn get(&self, id: u64) -> Option<&Incident> {
        self.all.get(&id).map(|entry| &entry.incident)
    }

    pub fn version(&self, incident: &Incident) -> Version {
        Version {
            tenant: self.tenant.id,
            incident: incident.id,
            revision: incident.revision,
        }
    }

    /// The whole incident as it is now, and whether this text was written only now.
    pub fn read(&mut self, id: u64, form: Form) -> Option<(Version, Bytes, bool)> {
        let version = self.version(self.get(id)?);
        let entry = self.all.get_mut(&id)?;
        let known = entry.texts.iter().find(|(known, _)| *known == form);
        if let Some((_, text)) = known {
            return Some((version, text.clone(), false));
        }
        let text = document::incident(&entry.incident, version.tenant, form, None);
        entry.texts.push((form, text.clone()));
        Some((version, text, true))
    }

    /// A new incident, last updated at `at`; its id.
    pub fn add(&mut self, at: i64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let bytes = self.options.incident_bytes;
        let alerts = match bytes {
            None => self.rng.random_range(1..=3),
            Some(bytes) => (bytes / 3000).clamp(1, 1000),
        };
        let mut incident = Incident::new(id, alerts, at, &mut self.rng);
        if let Some(bytes) = bytes {
            let form = Form {
                alerts: true,
                ..Form::default()
            };
            let length = document::incident(&incident, self.tenant.id, form, None).len();
            if let Some(alert) = incident.alerts.first_mut() {
                alert.padding = bytes.saturating_sub(length);
            }
        }
        self.by_update.insert((incident.last_update, id));
        let texts = Vec::new();
        self.all.insert(id, Entry { incident, texts });
        id
    }

    pub fn remove(&mut self, id: u64) -> Result<(), Refused> {
        let gone = self.all.remove(&id).ok_or(Refused::NoIncident)?;
        self.by_update.remove(&(gone.incident.last_update, id));
        Ok(())
    }

    pub fn update(&mut self, id: u64, now: i64, update: Update) -> Result<Version, Refused> {
        let at = self.next_update(id, now)?;
        self.change(id, at, |incident, rng| incident.apply(update, now, rng))
    }

    /// A change of one alert that leaves `lastUpdateTime` alone (section 1.4, item 2).
    pub fn change_alert(&mut self, id: u64, now: i64) -> Result<Version, Refused> {
        if self.changeable(id)?.alerts.is_empty() {
            return Err(Refused::NoAlert);
        }
        self.alter(id, 1, |incident, rng| {
            if let Some(alert) = incident.alerts.choose_mut(rng) {
                alert.progress(now);
            }
        })
    }

    /// Another score of the same version: its last update and its revision stay.
    pub fn score(&mut self, id: u64) -> Result<Version, Refused> {
        self.alter(id, 0, |incident, _| incident.rescore())
    }

    /// Moves the first alerts of one incident to another, as Graph's `moveAlerts` does: neither is closed, and nothing
    /// redirects.
    pub fn move_alerts(
        &mut self,
        from: u64,
        to: u64,
        count: usize,
        now: i64,
    ) -> Result<(), Refused> {
        let at = self.next_common_update(&[from, to], now)?;
        let mut moved = Vec::new();
        self.change(from, at, |incident, _| {
            let count = count.min(incident.alerts.len());
            moved = incident.alerts.drain(..count).collect();
            moved.iter_mut().for_each(|alert| alert.touch(now));
        })?;
        self.change(to, at, |incident, _| incident.alerts.append(&mut moved))?;
        Ok(())
    }

    /// Merges `source` into `target` as section 1.5 describes: alerts and tags move; the source is closed, redirected and
    /// tagged `Redirected`. Both get one update time.
    pub fn merge(&mut self, source: u64, target: u64, now: i64) -> Result<(), Refused> {
        self.mergeable(source, target)?;
        let at = self.next_common_update(&[source, target], now)?;
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

    /// The documented reasons against a merge (section 1.5).
    fn mergeable(&self, source: u64, target: u64) -> Result<(), Refused> {
        let (from, into) = (self.changeable(source)?, self.changeable(target)?);
        let verdict = |incident: &Incident| (incident.classification, incident.determination);
        let reason = if source == target {
            "it is the same incident"
        } else if from.status == "Resolved" || into.status == "Resolved" {
            "one of them is closed"
        } else if from.assigned_to != into.assigned_to {
            "their assignees differ"
        } else if verdict(from) != verdict(into) {
            "their classifications differ"
        } else {
            return Ok(());
        };
        Err(Refused::NotMerged(reason))
    }

    /// One comment on each of `ids`, all with one identical update time.
    pub fn bulk(&mut self, ids: &[u64], now: i64) -> Result<(), Refused> {
        let at = self.next_common_update(ids, now)?;
        for id in ids {
            self.change(*id, at, |incident, _| incident.comment("Bulk change", now))?;
        }
        Ok(())
    }

    /// The last update time of incident `id` after a change at `now`.
    fn next_update(&self, id: u64, now: i64) -> Result<i64, Refused> {
        let before = self.changeable(id)?.last_update;
        Ok(time::sql_datetime(now).max(time::next_sql_datetime(before)))
    }

    /// The same for a change of several incidents at once.
    fn next_common_update(&self, ids: &[u64], now: i64) -> Result<i64, Refused> {
        let mut at = time::sql_datetime(now);
        for id in ids {
            at = at.max(self.next_update(*id, now)?);
        }
        Ok(at)
    }

    /// A change that moves `lastUpdateTime` to `at`.
    fn change(
        &mut self,
        id: u64,
        at: i64,
        change: impl FnOnce(&mut Incident, &mut StdRng),
    ) -> Result<Version, Refused> {
        let before = self.changeable(id)?.last_update;
        self.by_update.remove(&(before, id));
        self.by_update.insert((at, id));
        self.alter(id, 1, |incident, rng| {
            incident.last_update = at;
            if incident.score.is_none() {
                incident.rescore();
            }
            change(incident, rng);
        })
    }

    /// A change that makes this number of revisions.
    fn alter(
        &mut self,
        id: u64,
        revisions: u32,
        change: impl FnOnce(&mut Incident, &mut StdRng),
    ) -> Result<Version, Refused> {
        let entry = self.all.get_mut(&id).ok_or(Refused::NoIncident)?;
        change(&mut entry.incident, &mut self.rng);
        entry.incident.revision += revisions;
        entry.texts.clear();
        let changed = self.get(id).ok_or(Refused::NoIncident)?;
        Ok(self.version(changed))
    }

    /// The incident, if it can change: a redirected one can't.
    fn changeable(&self, id: u64) -> Result<&Incident, Refused> {
        match self.get(id) {
            None => Err(Refused::NoIncident),
            Some(incident) if incident.is_redirected() => Err(Refused::Redirected),
            Some(incident) => Ok(incident),
        }
    }
}
