//! One aligned line for each record that arrives.

use std::collections::HashMap;

use serde::Deserialize;
use uuid::Uuid;

use super::tally::change;
use super::tenant_of;
use crate::core::health::failure::one_line;
use crate::kafka::reader::Arrived;
use crate::simulator::Tenant;

pub const HEADING: &str =
    "UPDATED (UTC)  CHANGE      TENANT         INCIDENT  SEVERITY       STATUS      NAME";
const NAME_WIDTH: usize = 21;

pub struct Printer {
    tenants: HashMap<Uuid, String>,
    colour: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct IncidentFields {
    display_name: Option<String>,
    status: Option<String>,
    severity: Option<String>,
    redirect_incident_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct IncidentEvent {
    data: IncidentFields,
}

impl Printer {
    pub fn new(tenants: &[Tenant], colour: bool) -> Self {
        Self {
            tenants: tenants
                .iter()
                .map(|tenant| (tenant.id, tenant.name.clone()))
                .collect(),
            colour,
        }
    }

    pub fn line(&self, record: &Arrived) -> String {
        let IncidentEvent { data } = serde_json::from_slice(&record.value).unwrap_or_default();
        let change = change(record);
        let tenant = tenant_of(&record.key).and_then(|id| self.tenants.get(&id));
        let time = record
            .header("ce_time")
            .and_then(|time| time.split_once('T'));
        let status = match data.redirect_incident_id {
            Some(target) => format!("-> {target}"),
            None => data.status.unwrap_or_default(),
        };
        let (on, off) = self.colours(change);
        format!(
            "{:<13}  {on}{change:<10}{off}  {:<13.13}  {:>8}  {:<13.13}  {status:<10}  {}",
            time.map_or_else(String::new, |(_, time)| millis(time)),
            tenant.map_or("?", String::as_str),
            record.header("ce_subject").unwrap_or("?"),
            data.severity.unwrap_or_default(),
            one_line(&data.display_name.unwrap_or_default(), NAME_WIDTH),
        )
    }

    fn colours(&self, change: &str) -> (&'static str, &'static str) {
        if !self.colour {
            return ("", "");
        }
        let on = match change {
            "created" => "\x1b[32m",
            "resolved" => "\x1b[34m",
            "reopened" => "\x1b[31m",
            "redirected" => "\x1b[35m",
            _ => "\x1b[33m",
        };
        (on, "\x1b[0m")
    }
}

/// `12:18:03.500` of `12:18:03.5Z`.
fn millis(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{whole}.{fraction:0<3.3}")
}
