//! Incidents and dead letters of one tenant as records.
//!
//! An incident's headers are those of CloudEvents' Kafka binding in all formats, so that a consumer may route without
//! reading the value. Two of them tell the formats apart: the `content-type` `application/cloudevents+json` says that the
//! value is the whole event (structured mode), anything else that it is the event's data (binary mode); then
//! `ce_dataschema` names the data's schema, if it has one.

use std::iter;
use std::sync::Arc;

use crate::core::health::failure::{Health, one_line};
use crate::core::ids::TenantId;
use crate::core::incident::alert_version::{AlertVersion, news};
use crate::core::incident::changes::Changes;
use crate::core::incident::version::{Change, ContentHash, Reading};
use crate::core::time::ticks::Ticks;
use crate::ports::{AlertRecords, Encoder, Item, Record, Records};
use crate::settings::RecordFormat;

use super::changes::VersionNews;
use super::cloudevents::Attributes;
use super::ecs::ECS;
use super::mapped::{Schema, Version};
use super::ocsf::{OCSF, OCSF_ALERT};
use super::split::{EventHead, RecordDraft};
use super::view::Room;
use super::{
    CE_DATASCHEMA, CLOUDEVENT_JSON, CONTENT_TYPE, JSON, OCTET_STREAM, TENANT_ID, TENANT_NAME,
    TRUNCATED, health,
};

/// All that one tenant's records have in common.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The header `tenant_id`, and the first part of each key.
    pub tenant: TenantId,
    /// The header `tenant_name`.
    pub name: Arc<str>,
    /// `ce_source`: the API's base URL.
    pub source: String,
    /// The topic for incidents.
    pub topic: Arc<str>,
    /// The topic for alerts, if one is set.
    pub alerts_topic: Option<Arc<str>>,
    /// How an incident becomes a value.
    pub format: RecordFormat,
    /// The topic for changes of health, if one is set.
    pub status_topic: Option<Arc<str>>,
    /// The topic for dead letters, if one is set.
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
    /// Prepares what all records share.
    pub fn new(recipe: Recipe) -> Self {
        Self {
            tenant: recipe.tenant.to_string(),
            source_json: serde_json::Value::from(recipe.source.as_str()).to_string(),
            recipe,
        }
    }

    /// The structured event up to its data.
    fn event_head(&self, version: &Version<'_>) -> EventHead {
        // Ids of alerts and the source may hold characters that JSON escapes.
        let begin = [r#"{"specversion":"1.0","id":""#, &escaped(&version.id)].concat();
        let remark = version.remark();
        // Names of CloudEvents' attributes have letters and digits only.
        let remark = remark.map(|(name, text)| format!(r#","{}":"{text}""#, name.replace('_', "")));
        let rest = [
            r#"","source":"#,
            &self.source_json,
            r#","type":""#,
            &version.ce_type(),
            r#"","subject":""#,
            &escaped(&version.subject()),
            r#"","time":""#,
            &version.updated.to_string(),
            r#"","datacontenttype":"application/json","tenant":""#,
            &self.tenant,
            r#"","change":""#,
            version.change.as_str(),
            "\"",
            &remark.unwrap_or_default(),
            &version.news.attributes(),
            r#","data":"#,
        ];
        let id_end = begin.len();
        EventHead {
            bytes: (begin + &rest.concat()).into_bytes(),
            id_end: Some(id_end),
            // The quote that closes the id, and a comma, are before it.
            parts_at: id_end + 2,
        }
    }

    /// The schema of the records, if others define it.
    fn schema(&self, version: &Version<'_>) -> Option<&'static Schema> {
        match (self.recipe.format, version.alert) {
            (RecordFormat::Ocsf, None) => Some(&OCSF),
            (RecordFormat::Ocsf, Some(_)) => Some(&OCSF_ALERT),
            (RecordFormat::Ecs, _) => Some(&ECS),
            (RecordFormat::CloudEvents | RecordFormat::Raw, _) => None,
        }
    }

    /// The record of an incident, without its value. `room` is for what a schema has of it.
    pub(super) fn incident<'a>(&self, version: ItemVersion<'a>, room: Room) -> RecordDraft<'a> {
        let ItemVersion {
            change,
            reading,
            changes,
            raw,
        } = version;
        let key = format!("{}/{}", self.tenant, reading.id);
        let version = Version {
            id: self.version_id(reading),
            news: VersionNews::of(&key, changes),
            ..self.version(change, reading)
        };
        self.draft(&self.recipe.topic, &version, raw, room)
    }

    /// The record of an alert of the incident.
    fn alert(&self, topic: &Arc<str>, reading: &Reading, alert: &AlertVersion<'_>) -> Record {
        let id = &*alert.id;
        let version = Version {
            // An alert can return to a state that it had before. Only its incident's version then tells the two apart.
            id: format!("{}/alert/{id}/{}", self.version_id(reading), alert.hash),
            updated: alert.updated.unwrap_or(reading.updated),
            alert: Some(id),
            ..self.version(alert.change, reading)
        };
        let room = Room::of(alert.raw.len());
        self.draft(topic, &version, alert.raw, room).whole()
    }

    /// `ce_id` of a version of an incident.
    fn version_id(&self, reading: &Reading) -> String {
        let Reading {
            id, updated, hash, ..
        } = reading;
        format!("{}/{id}/{}/{hash}", self.tenant, updated.0)
    }

    fn version<'a>(&'a self, change: Change, reading: &'a Reading) -> Version<'a> {
        Version {
            id: String::new(),
            tenant: &self.tenant,
            tenant_name: &self.recipe.name,
            source: &self.recipe.source,
            change,
            updated: reading.updated,
            reading,
            news: VersionNews::default(),
            alert: None,
        }
    }

    fn draft<'a>(
        &self,
        topic: &Arc<str>,
        version: &Version<'_>,
        raw: &'a [u8],
        room: Room,
    ) -> RecordDraft<'a> {
        let schema = self.schema(version);
        let (content_type, head, tail): (_, _, &[u8]) = match (schema, self.recipe.format) {
            (Some(schema), _) => (JSON, schema.head(version, raw, room), Schema::TAIL),
            (None, RecordFormat::Raw) => (JSON, EventHead::default(), b""),
            (None, _) => (CLOUDEVENT_JSON, self.event_head(version), b"}"),
        };
        let attributes = Attributes {
            id: version.id.clone(),
            kind: version.ce_type(),
            subject: version.subject(),
            time: version.updated.to_string(),
        };
        let mut headers =
            attributes.headers(&self.recipe.source, content_type, self.tenant_headers());
        headers.extend(schema.map(|schema| (CE_DATASCHEMA, schema.address.to_owned())));
        headers.extend(version.remark());
        headers.extend(version.news.headers());
        RecordDraft {
            record: Record {
                topic: topic.clone(),
                key: format!("{}/{}", self.tenant, version.subject()),
                headers,
                value: Vec::new(),
                raw: 0..0,
            },
            head,
            incident: raw,
            tail,
        }
    }

    /// A dead letter without its bytes. `None`: no topic is set for them.
    ///
    /// The key has the content's hash: equal bytes go to the same partition, and compaction keeps one of them.
    fn dead_letter(&self, content: ContentHash, why: &str) -> Option<Record> {
        let topic = self.recipe.dead_letter_topic.clone()?;
        let [tenant_id, tenant_name] = self.tenant_headers();
        Some(Record {
            topic,
            key: format!("{}/{content}", self.tenant),
            headers: vec![
                tenant_id,
                tenant_name,
                ("reason", one_line(why, REASON_MAX)),
                (CONTENT_TYPE, OCTET_STREAM.to_owned()),
            ],
            value: Vec::new(),
            raw: 0..0,
        })
    }

    fn tenant_headers(&self) -> [(&'static str, String); 2] {
        [
            (TENANT_ID, self.tenant.clone()),
            (TENANT_NAME, self.recipe.name.to_string()),
        ]
    }
}

/// A text as JSON has it between quotes.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A version of an incident, of an item.
#[derive(Clone, Copy)]
pub(super) struct ItemVersion<'a> {
    change: Change,
    reading: &'a Reading,
    changes: Option<&'a Changes>,
    raw: &'a [u8],
}

impl<'a> ItemVersion<'a> {
    /// `None`: the item is none.
    pub(super) fn of(item: &'a Item) -> Option<Self> {
        match item {
            Item::Version {
                reading,
                change,
                compared,
                raw,
                ..
            } => Some(Self {
                change: *change,
                reading,
                changes: compared.changes.as_deref(),
                raw,
            }),
            _ => None,
        }
    }
}

impl Encoder for RecordEncoder {
    fn encode(&self, item: &Item) -> Option<Record> {
        match item {
            Item::Version { raw, .. } => {
                let version = ItemVersion::of(item)?;
                Some(self.incident(version, Room::of(raw.len())).whole())
            }
            Item::DeadLetter {
                content, why, raw, ..
            } => {
                let letter = self.dead_letter(*content, why)?;
                Some(Record {
                    value: raw.to_vec(),
                    raw: 0..raw.len(),
                    ..letter
                })
            }
            Item::Adopted { .. } | Item::Unreadable { .. } => None,
        }
    }

    fn encode_within<'a>(&'a self, item: &'a Item, limit: usize) -> Option<Records<'a>> {
        match item {
            Item::Version { .. } => {
                let version = ItemVersion::of(item)?;
                self.incident(version, Room::of_part(limit)).split(limit)
            }
            Item::DeadLetter {
                content, why, raw, ..
            } => {
                let mut cut = self.dead_letter(*content, why)?;
                cut.headers.push((TRUNCATED, raw.len().to_string()));
                let room = limit.checked_sub(cut.size())?;
                cut.value = raw.get(..room).unwrap_or(raw).to_vec();
                Some(Box::new(iter::once(cut)))
            }
            Item::Adopted { .. } | Item::Unreadable { .. } => None,
        }
    }

    fn alerts<'a>(&'a self, item: &'a Item) -> Option<AlertRecords<'a>> {
        let topic = self.recipe.alerts_topic.as_ref()?;
        let ItemVersion {
            change,
            reading,
            changes,
            raw,
        } = ItemVersion::of(item)?;
        let shape = reading.origin.facts().dialect.shape;
        let news = news(raw, shape, change, changes);
        Some(Box::new(
            news.map(move |alert| self.alert(topic, reading, &alert)),
        ))
    }

    fn takes_dead_letters(&self) -> bool {
        self.recipe.dead_letter_topic.is_some()
    }

    /// Each of some ten headers has an allocation of its own, here and in Kafka's client. The event repeats them.
    fn envelope(&self, raw: usize) -> usize {
        const FIXED: usize = 1024;
        let is_mapped = matches!(self.recipe.format, RecordFormat::Ocsf | RecordFormat::Ecs);
        let mapped = if is_mapped { Room::of(raw).lists } else { 0 };
        let alerts = self.recipe.alerts_topic.as_ref().map_or(0, |_| raw);
        mapped
            + alerts
            + FIXED
            + 2 * (self.recipe.source.len() + self.recipe.name.len())
            + 8 * self.tenant.len()
    }

    fn health(&self, at: Ticks, state: Health, what: &str, remedy: &str) -> Option<Record> {
        let topic = self.recipe.status_topic.clone()?;
        let change = health::HealthRecord {
            at,
            state,
            what,
            remedy,
        };
        Some(change.record(topic, &self.tenant, self.tenant_headers()))
    }
}
