//! From settings to the way to Kafka.

use crate::kafka::{KafkaError, KafkaOptions, KafkaPublisher};
use crate::settings::Settings;

/// Reaches for no network.
pub(super) fn connect(settings: &Settings) -> Result<KafkaPublisher, KafkaError> {
    let publisher = KafkaPublisher::connect(options(settings))?;
    let topics = settings.tenants.iter().map(|tenant| &tenant.topic);
    let own = [
        &settings.kafka.status_topic,
        &settings.kafka.dead_letter_topic,
    ];
    Ok(publisher.writing_to(topics.chain(own.into_iter().flatten())))
}

pub(super) fn options(settings: &Settings) -> KafkaOptions {
    KafkaOptions {
        brokers: settings.kafka.brokers.clone(),
        properties: settings.kafka.properties.clone(),
        max_in_flight: settings.max_in_flight,
    }
}
