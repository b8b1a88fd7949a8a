//! The pure core: it decides, and touches nothing. No tokio, no network, no Kafka, no clock, no randomness: time and
//! chance come in as arguments, so every rule here is tested without waiting.

pub(crate) mod agenda;
pub mod codec;
pub(crate) mod diff;
pub(crate) mod format;
pub mod health;
pub mod ids;
pub mod incident;
pub(crate) mod log_throttle;
pub(crate) mod naming;
pub(crate) mod ownership;
pub mod pace;
pub(crate) mod secret_text;
pub mod sources;
pub mod sweep;
pub mod time;
