//! What happens to a tenant's incidents by chance, drawn from the world's seed.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::super::change::{Refused, Update};
use super::super::incident::{Incident, VERDICTS};
use super::super::time::SECOND;
use super::Incidents;

impl Incidents {
    /// One random event, weighted as in a busy SOC. An event that is impossible becomes a new incident.
    pub fn step(&mut self, now: i64) {
        if self.options.scores
            && let Ok(id) = self.any(|i| !i.is_redirected())
        {
            // The incident exists, so it can't fail.
            let _ = self.score(id);
        }
        if self.event(now).is_err() {
            self.add(now);
        }
    }

    fn event(&mut self, now: i64) -> Result<(), Refused> {
        match self.rng.random_range(0..100) {
            0..30 => return Err(Refused::NoIncident),
            30..58 => {
                let id = self.any(|i| !i.is_redirected())?;
                let update = self.any_update();
                self.update(id, now, update)?;
            }
            58..70 => {
                let id = self.any(Incident::is_open)?;
                let verdict = VERDICTS.choose(&mut self.rng).unwrap_or(&VERDICTS[0]);
                self.update(id, now, Update::Resolve(verdict.0, verdict.1))?;
            }
            70..75 => {
                let id = self.any(|i| i.status == "Resolved")?;
                self.update(id, now, Update::Reopen)?;
            }
            75..81 => {
                let source = self.any(Incident::is_open)?;
                let target = self.any(|i| i.is_open() && i.id != source)?;
                self.merge(source, target, now)?;
            }
            81..83 => {
                let from = self.any(|i| !i.is_redirected() && !i.alerts.is_empty())?;
                let to = self.any(|i| !i.is_redirected() && i.id != from)?;
                let count = self.rng.random_range(1..=2);
                self.move_alerts(from, to, count, now)?;
            }
            83..90 => {
                let id = self.any(|i| !i.is_redirected() && !i.alerts.is_empty())?;
                self.change_alert(id, now)?;
            }
            90..95 => {
                let count = self.rng.random_range(2..=6);
                let ids = (0..count).map(|_| self.any(|i| !i.is_redirected()));
                let ids = ids.collect::<Result<BTreeSet<_>, _>>()?;
                self.bulk(&Vec::from_iter(ids), now)?;
            }
            _ => {
                let late = self.rng.random_range(1..120) * SECOND;
                self.add(now - late);
            }
        }
        Ok(())
    }

    /// An incident that fits, found in a few draws. This stays cheap with many incidents.
    fn any(&mut self, fits: impl Fn(&Incident) -> bool) -> Result<u64, Refused> {
        for _ in 0..20 {
            let id = self.rng.random_range(1..=self.next_id);
            if self.get(id).is_some_and(&fits) {
                return Ok(id);
            }
        }
        Err(Refused::NoIncident)
    }

    fn any_update(&mut self) -> Update {
        match self.rng.random_range(0..24) {
            0 => Update::Status("AwaitingAction"),
            1..4 => Update::Status("InProgress"),
            4..8 => Update::Severity("High".to_owned()),
            8..12 => Update::AssignedTo(Some("soc.lead@contoso.com".to_owned())),
            12..16 => Update::Comment("Called the user; waiting for an answer.".to_owned()),
            16..20 => Update::Tag("VIP".to_owned()),
            _ => Update::NewAlerts(1),
        }
    }
}
