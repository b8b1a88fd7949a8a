//! What happens to a tenant's incidents by chance, drawn from the world's seed.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::super::incident::{Incident, VERDICTS};
use super::super::time::SECOND;
use super::super::world::{Refused, Stamp, Update};
use super::Realm;

impl Realm {
    /// One random event, weighted as in a busy SOC. An event that happens to be impossible becomes a new incident.
    pub fn step(&mut self, now: i64) {
        if let Some(stamp) = self.scores
            && let Ok(id) = self.any(|i| i.status != "Redirected")
        {
            // It was there a moment ago.
            let _ = self.score(id, now, stamp);
        }
        let happened = match self.rng.random_range(0..100) {
            0..30 => Err(Refused::NoIncident),
            30..58 => self.any(|i| i.status != "Redirected").and_then(|id| {
                let update = self.any_update();
                self.update(id, now, update).map(drop)
            }),
            58..70 => self
                .any(|i| matches!(i.status, "Active" | "InProgress"))
                .and_then(|id| {
                    let verdict = VERDICTS.choose(&mut self.rng).unwrap_or(&VERDICTS[0]);
                    let close = Update::ResolveAs(verdict.0, verdict.1);
                    self.update(id, now, close).map(drop)
                }),
            70..75 => self
                .any(|i| i.status == "Resolved")
                .and_then(|id| self.update(id, now, Update::Reopen).map(drop)),
            75..81 => self.any_merge(now),
            81..83 => self.any_move(now),
            83..90 => self
                .any(|i| i.status != "Redirected" && !i.alerts.is_empty())
                .and_then(|id| self.alert_only(id, now).map(drop)),
            90..95 => self.any_bulk(now),
            _ => {
                let late = self.rng.random_range(1..120) * SECOND;
                self.appear(now - late);
                Ok(())
            }
        };
        if happened.is_err() {
            self.appear(now);
        }
    }

    /// Some incident that fits, found by a few throws: deterministic, and cheap however many there are.
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
            0 => Update::AwaitAction,
            1..4 => Update::Status("InProgress"),
            4..8 => Update::Severity("High".to_owned()),
            8..12 => Update::AssignedTo(Some("soc.lead@contoso.com".to_owned())),
            12..16 => Update::Comment("Called the user; waiting for an answer.".to_owned()),
            16..20 => Update::Tag("VIP".to_owned()),
            _ => Update::NewAlerts(1),
        }
    }

    fn any_merge(&mut self, now: i64) -> Result<(), Refused> {
        let open = |i: &Incident| matches!(i.status, "Active" | "InProgress");
        let source = self.any(open)?;
        let target = self.any(|i| open(i) && i.id != source)?;
        self.merge(source, target, now)
    }

    fn any_move(&mut self, now: i64) -> Result<(), Refused> {
        let open = |i: &Incident| i.status != "Redirected";
        let from = self.any(|i| open(i) && !i.alerts.is_empty())?;
        let to = self.any(|i| open(i) && i.id != from)?;
        let count = self.rng.random_range(1..=2);
        self.move_alerts((from, to), count, (now, Stamp::Moves))
    }

    fn any_bulk(&mut self, now: i64) -> Result<(), Refused> {
        let count = self.rng.random_range(2..=6);
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.any(|i| i.status != "Redirected")?);
        }
        ids.sort_unstable();
        ids.dedup();
        self.bulk(&ids, now)
    }
}
