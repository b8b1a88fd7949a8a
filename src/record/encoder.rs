//! Incidents and dead letters of one tenant as records.
//!
//! An incident's headers are those of CloudEvents' Kafka binding in both formats, so that a consumer may route without
//! reading the value. Only `content-type` tells the formats apart: `application/cloudevents+json` says that the value is
//! the whole event (structured mode), anything else that it is the event's data (binary mode).

use std::sync::Arc;

use crate::core::codec::raw_hash;
use crate::core::health::failure::{Health, one_line};
use crate::core::ids::TenantId;
use crate::core::incident::version::{Change, Reading};
use crate::core::time::ticks::Ticks;
use crate::ports::{Encoder, Record};

use super::{
    ALERTS_COMPLETE, CE_ID, CLOUDEVENT_JSON, CONTENT_TYPE, JSON, OCTET_STREAM, TENANT_ID,
    TENANT_NAME, health,
};

/// What the value of an incident's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A structured CloudEvent with the incident as its `data`.
    CloudEvents,
    /// The incident as Microsoft sent it.
    Raw,
}

/// All that one tenant's records have in common.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub tenant: TenantId,
    pub name: Arc<str>,
    /// `ce_source`: the API's base URL.
    pub source: String,
    pub topic: Arc<str>,
    pub format: Format,
    /// Where health changes go, if anywhere.
    pub status_topic: Option<Arc<str>>,
    /// Where dead letters go, if anywhere.
    pub dead_letter_topic: Option<Arc<str>>,
}

/// Characters of a dead letter's reason.
const REASON_MAX: usize = 500;

/// One tenant's [`Encoder`].
#[derive(Debug)]
pub struct RecordEncoder {
    recipe: Recipe,
    tenant: String,
    /// The source as a JSON string, quotes included.
    source_json: String,
}

impl RecordEncoder {
    pub fn new(recipe: Recipe) -> Self {
        Self {
            tenant: recipe.tenant.to_string(),
            source_json: serde_json::Value::from(recipe.source.as_str()).to_string(),
            recipe,
        }
    }

    /// The structured event, in one allocation. `raw` is put in last and as it is: an incident can be megabytes long,
    /// and parsing it to write it again would cost ten times as much and lose its spelling.
    fn event(&self, attributes: &Attributes, change: Change, whole: bool, raw: &[u8]) -> Vec<u8> {
        // Nothing here but the source, which is escaped already, can hold a character that JSON escapes.
        let parts = [
            r#"{"specversion":"1.0","id":""#,
            &attributes.id,
            r#"","source":"#,
            &self.source_json,
            r#","type":""#,
            &attributes.kind,
            r#"","subject":""#,
            &attributes.subject,
            r#"","time":""#,
            &attributes.time,
            r#"","datacontenttype":"application/json","tenant":""#,
            &self.tenant,
            r#"","change":""#,
            change.as_str(),
            if whole {
                ""
            } else {
                r#"","alertscomplete":"false"#
            },
            r#"","data":"#,
        ];
        let head: usize = parts.iter().map(|part| part.len()).sum();
        let mut value = Vec::with_capacity(head + raw.len() + 1);
        for part in parts {
            value.extend_from_slice(part.as_bytes());
        }
        value.extend_from_slice(raw);
        value.push(b'}');
        value
    }

    fn tenant_headers(&self) -> [(&'static str, String); 2] {
        [
            (TENANT_ID, self.tenant.clone()),
            (TENANT_NAME, self.recipe.name.to_string()),
        ]
    }
}

/// A CloudEvent's context attributes.
pub(super) struct Attributes {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) time: String,
}

impl Attributes {
    pub(super) fn headers(
        self,
        source: &str,
        content_type: &str,
        tenant: [(&'static str, String); 2],
    ) -> Vec<(&'static str, String)> {
        let [tenant_id, tenant_name] = tenant;
        vec![
            ("ce_specversion", "1.0".to_owned()),
            (CE_ID, self.id),
            ("ce_source", source.to_owned()),
            ("ce_type", self.kind),
            ("ce_subject", self.subject),
            ("ce_time", self.time),
            (CONTENT_TYPE, content_type.to_owned()),
            tenant_id,
            tenant_name,
        ]
    }
}

impl Encoder for RecordEncoder {
    fn incident(&self, change: Change, reading: &Reading, raw: &[u8]) -> Record {
        let key = format!("{}/{}", self.tenant, reading.id);
        let attributes = Attributes {
            id: format!("{key}/{}/{}", reading.updated.0, reading.hash),
            kind: format!("incidentd.incident.{}.v1", change.as_str()),
            subject: reading.id.to_string(),
            time: reading.updated.to_string(),
        };
        let (content_type, value) = match self.recipe.format {
            Format::CloudEvents => (
                CLOUDEVENT_JSON,
                self.event(&attributes, change, reading.whole, raw),
            ),
            Format::Raw => (JSON, raw.to_vec()),
        };
        let mut headers =
            attributes.headers(&self.recipe.source, content_type, self.tenant_headers());
        if !reading.whole {
            headers.push((ALERTS_COMPLETE, "false".to_owned()));
        }
        Record {
            topic: self.recipe.topic.clone(),
            key,
            headers,
            value,
        }
    }

    /// The key holds the content's hash: the same bytes land in the same partition, and compaction keeps one of them.
    fn dead_letter(&self, why: &str, raw: &[u8]) -> Option<Record> {
        let topic = self.recipe.dead_letter_topic.clone()?;
        let [tenant_id, tenant_name] = self.tenant_headers();
        Some(Record {
            topic,
            key: format!("{}/{}", self.tenant, raw_hash(raw)),
            headers: vec![
                tenant_id,
                tenant_name,
                ("reason", one_line(why, REASON_MAX)),
                (CONTENT_TYPE, OCTET_STREAM.to_owned()),
            ],
            value: raw.to_vec(),
        })
    }

    fn health(&self, at: Ticks, state: Health, what: &str, remedy: &str) -> Option<Record> {
        let topic = self.recipe.status_topic.clone()?;
        let change = health::Change {
            at,
            state,
            what,
            remedy,
        };
        Some(change.record(topic, &self.tenant, self.tenant_headers()))
    }
}
