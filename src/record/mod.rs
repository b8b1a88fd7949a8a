//! Records: how an incident, a dead letter and a change of health look on a topic.
//!
//! Role: the contract with consumers. Names and spellings here are fixed; consumers filter on them.
//!
//! Invariants:
//! - Microsoft's bytes pass through unchanged: they are the whole value in raw form, the `data` of a CloudEvent, or a member
//!   of an event of another schema ([`mapped`]). Nothing replaces them: what such an event says of the incident besides is a
//!   copy of some of it.
//! - `ce_id` is a function of the version: equal for equal versions only, so that a consumer can drop a repeat. Each part of
//!   a split version has an id of its own, for which the same holds.
//!
//! Failure modes: none. Encoding can't fail. An element that can't be read arrives here as a dead letter only.
//!
//! A new format is a new variant of [`RecordFormat`](crate::settings::RecordFormat). One with a schema is a
//! [`Schema`](mapped::Schema) too.

mod changes;
mod cloudevents;
mod ecs;
mod encoder;
mod health;
mod mapped;
mod ocsf;
mod split;
mod stdout;
mod tables;
mod view;
mod white_space;

#[cfg(test)]
mod tests;

pub use encoder::{Recipe, RecordEncoder};
pub(crate) use stdout::StdoutPublisher;

const CONTENT_TYPE: &str = "content-type";
const CE_ID: &str = "ce_id";
/// The address of the value's schema, of which the version is a part.
const CE_DATASCHEMA: &str = "ce_dataschema";
const PART: &str = "part";
const PARTS: &str = "parts";
const TENANT_ID: &str = "tenant_id";
const TENANT_NAME: &str = "tenant_name";
/// Set only when it is `false`: Microsoft could not deliver the incident's alerts.
const ALERTS_COMPLETE: &str = "alerts_complete";
/// The incident of an alert.
const INCIDENT_ID: &str = "incident_id";

/// How many bytes a dead letter had before it was cut.
const TRUNCATED: &str = "truncated";

const CLOUDEVENT_JSON: &str = "application/cloudevents+json";
const JSON: &str = "application/json";
const OCTET_STREAM: &str = "application/octet-stream";
