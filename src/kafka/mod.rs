//! The way to Kafka, and the only module that knows rdkafka.
//!
//! [`KafkaPublisher`] implements [`crate::ports::Publisher`] with one idempotent producer that waits for ever: while
//! Kafka is away a publication is late, never failed, lost or repeated. What Kafka refuses comes back per record, as a
//! [`crate::core::health::failure::Failure`] in the operator's words. After a fatal error of librdkafka (Kafka forbids or lacks
//! idempotence, or contradicts the producer's sequence numbers) a new producer takes the dead one's place (`fatal.rs`).
//! What the dead one held is refused, and so published again: what was on its way when a broker contradicted it may then
//! be there twice. A record that a broker answers by closing the connection holds up no other (`lanes.rs`, `statistics.rs`).
//!
//! Values of librdkafka's properties may be passwords: they are cut out of every text of librdkafka before it is logged
//! or shown.

mod authorities;
mod client;
mod connection;
mod deliveries;
mod events;
mod fatal;
mod inspect;
mod lanes;
mod limit;
#[cfg(feature = "demo")]
pub mod mock;
mod options;
mod producers;
mod publisher;
mod queue;
#[cfg(feature = "demo")]
pub mod reader;
mod refusal;
mod scrub;
mod statistics;
#[cfg(test)]
mod tests;
mod topics;

pub use inspect::{Inspection, TopicSeen, Write, inspect};
pub use publisher::KafkaPublisher;

/// Why there is no client, or no reading with it.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("librdkafka has no property named {name:?}")]
    UnknownProperty { name: String },
    /// The value is not told: it may be a password.
    #[error("librdkafka does not accept the value of its property {name:?}")]
    InvalidProperty { name: String },
    /// librdkafka's own words, free of property values.
    #[error("librdkafka can't work with these settings: {why}")]
    Client { why: String },
    #[cfg(feature = "demo")]
    #[error("the topic {topic:?} can't be read: {why}")]
    Read { topic: String, why: String },
    #[cfg(feature = "demo")]
    #[error("the in-process broker did not start: {why}")]
    Mock { why: String },
}
