//! The health of tenants and of the daemon: failures in the operator's words, alarms for shared causes, and the document that
//! shows all of it.

use std::fmt;

use serde::Serializer;

pub(crate) mod activity;
pub(crate) mod alarms;
pub mod expiry;
pub mod failure;
pub(crate) mod fleet_view;
pub(crate) mod reload_preview;
pub(crate) mod sentences;
pub(crate) mod status;
pub mod validity;

pub use status::PartState;

/// Serializes a value as its text.
fn text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The same, with `null` for what is not known.
fn optional_text<T, S>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
where
    T: fmt::Display,
    S: Serializer,
{
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
