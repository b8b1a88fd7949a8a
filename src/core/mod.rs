//! The pure core: it decides, and touches nothing. No tokio, no network, no Kafka, no clock, no randomness: time and
//! chance come in as arguments, so every rule here is tested without waiting.

pub mod codec;
pub mod content;
pub mod cursor;
pub mod failure;
pub mod ids;
pub mod reading;
pub mod ticks;
pub mod version;
