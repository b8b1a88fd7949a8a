//! The pure core: it decides, and touches nothing. No tokio, no network, no Kafka, no clock, no randomness: time and
//! chance come in as arguments, so every rule here is tested without waiting.

pub mod agenda;
pub mod codec;
pub mod diff;
pub mod format;
pub mod health;
pub mod ids;
pub mod incident;
pub mod log_throttle;
pub mod pace;
pub mod secret_text;
pub mod sources;
pub mod sweep;
pub mod time;
