//! Records: how an incident, a dead letter and a change of health look on a topic.
//!
//! Role: the contract with consumers. Names and spellings here are fixed; consumers filter on them.
//!
//! Invariants:
//! - Microsoft's bytes pass through: `data` of a CloudEvent, and the whole value in raw form, are those that were read,
//!   byte for byte. Nothing is parsed or written anew.
//! - `ce_id` is a function of the version: equal for equal versions and for no others, so that a consumer can drop a repeat.
//!   A part of a version that was split has an id of its own, for which the same holds.
//!
//! Failure modes: none. Encoding can't fail; what can't be read as an incident never reaches it but as a dead letter.
//!
//! Further formats are further variants of [`Format`].

mod compact;
mod encoder;
mod health;
mod split;
mod stdout;

#[cfg(test)]
mod tests;

pub use compact::Compactor;
pub use encoder::{Format, Recipe, RecordEncoder};
pub use stdout::StdoutPublisher;

const CONTENT_TYPE: &str = "content-type";
const CE_ID: &str = "ce_id";
const PART: &str = "part";
const PARTS: &str = "parts";
const TENANT_ID: &str = "tenant_id";
const TENANT_NAME: &str = "tenant_name";
/// Only where it is `false`: Microsoft could not give the incident's alerts.
const ALERTS_COMPLETE: &str = "alerts_complete";

/// Of a dead letter that was cut: how many bytes there were.
const TRUNCATED: &str = "truncated";

const CLOUDEVENT_JSON: &str = "application/cloudevents+json";
const JSON: &str = "application/json";
const OCTET_STREAM: &str = "application/octet-stream";
