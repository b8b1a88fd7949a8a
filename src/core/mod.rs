//! The pure core: it decides, and touches nothing. No tokio, no network, no Kafka, no clock, no randomness: time and
//! chance come in as arguments, so every rule here is tested without waiting.

pub mod backoff;
pub mod budget;
mod content;
pub mod codec;
pub mod content;
pub mod cursor;
pub mod failure;
pub mod ids;
pub mod page;
pub mod reading;
pub mod schedule;
pub mod slots;
pub mod sweep;
pub mod status;
pub mod ticks;
pub mod version;
