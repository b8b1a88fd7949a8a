//! Alerts that come on pages of their own: those that an incident has no room for, and all of one incident's.

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::super::books::{Shown, Version};
use super::super::faults::Api;
use super::super::http::{Answer, Reply};
use super::super::incident::Incident;
use super::super::link::Place;
use super::super::realm::Form;
use super::super::world::Refused;
use super::text::{self, Part};
use super::{Asked, Graph, LIST, METADATA};

/// Alerts on a page when nothing else was chosen.
const ALERTS: usize = 50;

impl Graph {
    /// An incident with the first `most` of its alerts, and the link to the others.
    pub(super) fn first_part(
        &self,
        incident: &Incident,
        version: Version,
        form: Form,
        most: usize,
    ) -> (Bytes, Shown) {
        let link = self.alerts_link(version, form, most);
        let part = Part::First(most, &link);
        let text = text::render(incident, version.tenant, self.hand(form), part);
        self.desk.books.served_bare(version, &text);
        let shown = Shown::Alerts {
            version,
            form,
            alerts: 0..most,
            of: incident.alerts.len(),
        };
        (text, shown)
    }

    fn alerts_link(&self, version: Version, form: Form, from: usize) -> String {
        let path = alerts_path(version.incident);
        let place = Place {
            tenant: version.tenant,
            path: &path,
        };
        let state = [u64::from(version.revision), form.order, from as u64];
        self.desk.links.write(place, "", &state)
    }

    /// The alerts of one incident: from the first on, or where a link goes on.
    pub(super) fn rest(&self, asked: Asked<'_>, tenant: Uuid, id: &str) -> Result<Answer, Reply> {
        let not_found = || Reply::from(self.not_found(asked, id));
        let number = id.parse::<u64>().map_err(|_| not_found())?;
        let path = alerts_path(number);
        let place = Place {
            tenant,
            path: &path,
        };
        let opened = self.desk.links.open(place, asked.query);
        let state = opened.map_err(|broken| self.bad_link(asked, broken))?;
        if state.is_none() && !asked.query.is_empty() {
            return Err(self.bad_query(asked, asked.query).into());
        }
        let (revision, order, from) = match state.as_deref() {
            Some([revision, order, from]) => (Some(*revision), *order, *from as usize),
            _ => (None, 0, 0),
        };
        self.desk.wholesome(tenant, Some(number))?;
        let form = Form {
            api: Api::Graph,
            order,
            alerts: true,
            members: asked.members,
        };
        let most = self.options.alerts.unwrap_or(ALERTS).max(1);
        let written = self.desk.world.with(tenant, |realm| {
            let incident = realm.get(number).ok_or(Refused::NoIncident)?;
            let of = incident.alerts.len();
            let alerts = from.min(of)..from.saturating_add(most).min(of);
            let text = text::alerts(incident, tenant, self.hand(form), alerts.clone());
            let version = Version {
                tenant,
                incident: number,
                revision: incident.revision,
            };
            Ok((version, alerts, of, text))
        });
        let (version, alerts, of, text) = written.map_err(|_| not_found())?;
        if revision.is_some_and(|revision| revision != u64::from(version.revision)) {
            return Err(self.stale_link(asked, 410).into());
        }
        let next = (alerts.end < of).then(|| self.alerts_link(version, form, alerts.end));
        let mut answer = Answer::bytes(200, alerts_page(number, next.as_deref(), &text));
        // Alerts alone, asked for without the incident, are no version.
        if revision.is_some() {
            answer.shown = vec![Shown::Alerts {
                version,
                form,
                alerts,
                of,
            }];
        }
        Ok(answer)
    }
}

fn alerts_path(incident: u64) -> String {
    format!("{LIST}/{incident}/alerts")
}

fn alerts_page(incident: u64, next: Option<&str>, alerts: &[u8]) -> Bytes {
    let context = json!(format!("{METADATA}('{incident}')/alerts"));
    let link = next.map_or_else(String::new, |link| {
        format!("\"@odata.nextLink\":{},", json!(link))
    });
    let mut body = format!("{{\"@odata.context\":{context},{link}\"value\":").into_bytes();
    body.extend_from_slice(alerts);
    body.push(b'}');
    body.into()
}
