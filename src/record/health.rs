//! A change of a tenant's health as a record: a structured CloudEvent of the daemon's own.
//!
//! The key is the tenant, so that a compacted status topic shows each tenant's newest state.

use std::sync::Arc;

use serde::Serialize;

use crate::core::health::failure::Health;
use crate::core::time::ticks::Ticks;
use crate::ports::Record;

use super::cloudevents::Attributes;
use super::{CLOUDEVENT_JSON, JSON};

const SOURCE: &str = "incidentd";
const KIND: &str = "incidentd.tenant.health.v1";

/// The state a tenant is in since `at`.
pub(super) struct HealthRecord<'a> {
    pub(super) at: Ticks,
    pub(super) state: Health,
    /// Empty when nothing is wrong, as is `remedy`.
    pub(super) what: &'a str,
    pub(super) remedy: &'a str,
}

#[derive(Serialize)]
struct HealthEvent<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'a str,
    tenant: &'a str,
    data: HealthData<'a>,
}

#[derive(Serialize)]
struct HealthData<'a> {
    tenant_id: &'a str,
    tenant_name: &'a str,
    state: Health,
    error: Option<&'a str>,
    remedy: Option<&'a str>,
}

impl HealthRecord<'_> {
    pub(super) fn record(
        &self,
        topic: Arc<str>,
        tenant: &str,
        headers: [(&'static str, String); 2],
    ) -> Record {
        let attributes = Attributes {
            id: format!("{tenant}/health/{}/{}", self.at.0, self.state),
            kind: KIND.to_owned(),
            subject: tenant.to_owned(),
            time: self.at.to_string(),
        };
        let event = HealthEvent {
            specversion: "1.0",
            id: &attributes.id,
            source: SOURCE,
            kind: KIND,
            subject: tenant,
            time: &attributes.time,
            datacontenttype: JSON,
            tenant,
            data: HealthData {
                tenant_id: tenant,
                tenant_name: &headers[1].1,
                state: self.state,
                error: (!self.what.is_empty()).then_some(self.what),
                remedy: (!self.remedy.is_empty()).then_some(self.remedy),
            },
        };
        // Strings and an enum can always be written as JSON.
        let value = serde_json::to_vec(&event).unwrap_or_default();
        Record {
            topic,
            key: tenant.to_owned(),
            headers: attributes.headers(SOURCE, CLOUDEVENT_JSON, headers),
            value,
            raw: 0..0,
        }
    }
}
