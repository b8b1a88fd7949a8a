//! Publishes to Kafka, and keeps a ledger in it (`ledger`). The only module that uses rdkafka.
//!
//! [`KafkaPublisher`] implements [`crate::ports::Publisher`] with one idempotent producer without a time limit: while
//! Kafka is away, a publication is late, but never failed, lost or repeated. A record that Kafka refuses comes back
//! with a [`crate::core::health::failure::Failure`]. After a fatal error of librdkafka (Kafka forbids or lacks
//! idempotence, or contradicts the producer's sequence numbers) a new producer replaces the old one (`fatal.rs`). The
//! records of the old one are refused and published again; those in flight when a broker contradicted it may then exist
//! twice. A record that makes a broker close the connection delays no other record (`lanes.rs`, `statistics.rs`).
//!
//! Values of librdkafka's properties may be passwords. They are removed from every text of librdkafka before it is
//! logged or shown.

mod authorities;
mod client;
mod connection;
mod deliveries;
mod events;
mod fatal;
mod inspect;
mod lanes;
mod ledger;
mod limit;
#[cfg(feature = "demo")]
pub(crate) mod mock;
mod oauth;
mod options;
mod producers;
mod publisher;
mod queue;
pub mod reader;
mod refusal;
mod scrub;
mod statistics;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use inspect::{Inspection, TopicSeen, Write, inspect};
pub(crate) use ledger::{FencedLedger, KafkaLedger, LedgerTopic, inspect_ledger};
pub use publisher::KafkaPublisher;

/// Why a client can't be made, or can't read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KafkaError {
    #[error("librdkafka has no property named {name:?}")]
    UnknownProperty { name: String },
    /// Without the value, which may be a password.
    #[error("librdkafka does not accept the value of its property {name:?}")]
    InvalidProperty { name: String },
    /// librdkafka's own text, without property values.
    #[error("librdkafka can't work with these settings: {why}")]
    Client { why: String },
    #[error("{topics} can't be read: {why}")]
    Read { topics: String, why: String },
    #[cfg(feature = "demo")]
    #[error("the in-process broker did not start: {why}")]
    Mock { why: String },
}
