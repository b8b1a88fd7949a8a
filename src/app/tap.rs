//! The records that are published, read for a command.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use crate::kafka::KafkaError;
use crate::kafka::reader::ReadFrom;
pub use crate::kafka::reader::{Arrived, TopicReader};
use crate::ports::Clock;
use crate::settings::{Settings, TenantSettings};
use crate::telemetry::clock::SystemClock;

/// Reads the topics of these tenants' incidents, with the configuration's way to Kafka: what was published this long ago and
/// later, or what arrives from now on.
///
/// # Errors
/// Kafka does not answer within seconds, or a topic does not exist.
pub async fn follow(
    settings: &Settings,
    tenants: &[&TenantSettings],
    since: Option<Duration>,
) -> Result<TopicReader, KafkaError> {
    let from = since.map_or(ReadFrom::End, |since| {
        let now = u64::try_from(SystemClock.now().unix_seconds()).unwrap_or_default();
        ReadFrom::Time(Duration::from_secs(now).saturating_sub(since))
    });
    let topics: BTreeSet<Arc<str>> = tenants.iter().map(|tenant| tenant.topic.clone()).collect();
    TopicReader::follow(&settings.kafka.connection, &topics, from).await
}
