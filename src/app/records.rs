//! The records that are published, read for a command.

use std::collections::BTreeSet;
use std::sync::Arc;

pub use crate::kafka::KafkaError;
pub use crate::kafka::reader::{Arrived, ReadFrom, TopicReader};
use crate::settings::{Settings, TenantSettings};

/// Reads the topics of these tenants' incidents, with the configuration's way to Kafka.
///
/// # Errors
/// Kafka does not answer within seconds, or a topic does not exist.
pub async fn follow(
    settings: &Settings,
    tenants: &[&TenantSettings],
    from: ReadFrom,
) -> Result<TopicReader, KafkaError> {
    let topics: BTreeSet<Arc<str>> = tenants.iter().map(|tenant| tenant.topic.clone()).collect();
    TopicReader::follow(&settings.kafka.connection, &topics, from).await
}
