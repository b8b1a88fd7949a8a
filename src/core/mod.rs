//! The pure core: it decides, and touches nothing. No tokio, no network, no Kafka, no clock, no randomness: time and
//! chance come in as arguments, so every rule here is tested without waiting.

pub mod alarms;
pub mod alerts;
pub mod allowance;
pub mod backlog;
pub mod backoff;
pub mod budget;
pub mod codec;
pub mod cursor;
pub mod failure;
pub mod ids;
pub mod json;
pub mod letters;
mod members;
pub mod page;
pub mod reading;
pub mod reload;
pub mod schedule;
pub mod significant;
pub mod slots;
pub mod status;
pub mod throttle;
pub mod ticks;
pub mod trouble;
pub mod version;
pub mod walk;
pub mod wallclock;
pub mod words;
