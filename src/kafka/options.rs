//! From our settings to librdkafka's: defaults that carry the promises, then the operator's properties over them.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaConfRes;
use secrecy::{ExposeSecret, SecretString};

use super::KafkaError;
use super::link::{Events, Link};
use super::queue::Client;

/// What a connection needs to know.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// librdkafka's own properties, passed on unchanged.
    pub properties: Vec<(String, SecretString)>,
    /// Bytes of incidents that the daemon lets be in flight. librdkafka's queue is made wider than that, so that this
    /// budget is what bounds memory.
    pub max_in_flight: usize,
}

/// Room in librdkafka's queue for what encoding adds to an incident, beyond the doubling.
const QUEUE_SLACK: usize = 32 << 20;
/// librdkafka's largest value of `queue.buffering.max.kbytes`.
const QUEUE_MOST_KBYTES: usize = i32::MAX as usize;
/// Wide enough to leave the judgement of a record's size to the topic (librdkafka measures before compression), and well
/// below `socket.request.max.bytes`, beyond which a broker drops the connection without a word.
pub(super) const MESSAGE_MOST_BYTES: usize = 16 << 20;

/// A default, and its other name: an operator who sets either means this one.
struct Default {
    name: &'static str,
    alias: Option<&'static str>,
    value: &'static str,
}

/// Statistics come through the thread that also brings acknowledgements: each is a proof that it lives.
const STATISTICS: &str = "statistics.interval.ms";

const DEFAULTS: [Default; 7] = [
    Default {
        name: STATISTICS,
        alias: None,
        value: "10000",
    },
    Default {
        name: "client.id",
        alias: None,
        value: "incidentd",
    },
    // For ever. A record that librdkafka gave up may or may not have arrived: nobody could tell.
    Default {
        name: "message.timeout.ms",
        alias: Some("delivery.timeout.ms"),
        value: "0",
    },
    // A misspelt topic must be noticed, not made.
    Default {
        name: "allow.auto.create.topics",
        alias: None,
        value: "false",
    },
    // By count there is no limit: bytes decide.
    Default {
        name: "queue.buffering.max.messages",
        alias: None,
        value: "0",
    },
    Default {
        name: "reconnect.backoff.max.ms",
        alias: None,
        value: "2000",
    },
    Default {
        name: "socket.keepalive.enable",
        alias: None,
        value: "true",
    },
];

impl KafkaOptions {
    /// The producer's configuration. `acks=all` is librdkafka's default, and idempotence insists on it.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for default in &DEFAULTS {
            if !default.alias.is_some_and(|alias| self.names(alias)) {
                config.set(default.name, default.value);
            }
        }
        config
            .set("message.max.bytes", MESSAGE_MOST_BYTES.to_string())
            .set(
                "queue.buffering.max.kbytes",
                self.queue_kbytes().to_string(),
            );
        for (name, value) in &self.properties {
            config.set(name, value.expose_secret());
        }
        // Over the operator's: without these two there is no promise to keep.
        config
            .set("bootstrap.servers", &self.brokers)
            .set("enable.idempotence", "true");
        config.set_log_level(if self.names("debug") {
            RDKafkaLogLevel::Debug
        } else {
            RDKafkaLogLevel::Info
        });
        config
    }

    /// Whether librdkafka can work with all of these properties together. Files that they name are read; no broker is
    /// reached for, so that none need be named.
    pub fn check(&self) -> Result<(), KafkaError> {
        let link = Arc::new(Link::new(self.brokers.clone(), self.scrubber()));
        let mut config = self.producer();
        config.remove("bootstrap.servers");
        // Not to be heard of: what is wrong is in the error.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let made = config.create_with_context::<_, Client>(Events(link));
        made.map(drop).map_err(|error| self.explain(error))
    }

    /// Whether librdkafka knows this property and takes the value.
    pub fn check_property(name: &str, value: &str) -> Result<(), KafkaError> {
        let alone = Self {
            brokers: String::new(),
            properties: vec![(name.to_owned(), SecretString::from(value))],
            max_in_flight: 0,
        };
        let mut config = ClientConfig::new();
        config.set(name, value);
        let made = config.create_native_config();
        made.map(drop).map_err(|error| alone.explain(error))
    }

    /// The largest message that the producer takes.
    pub(super) fn message_max_bytes(&self) -> usize {
        let config = self.producer();
        let value = config.get("message.max.bytes");
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(MESSAGE_MOST_BYTES)
    }

    fn queue_kbytes(&self) -> usize {
        let bytes = self
            .max_in_flight
            .saturating_mul(2)
            .saturating_add(QUEUE_SLACK);
        (bytes / 1024).min(QUEUE_MOST_KBYTES)
    }

    fn names(&self, property: &str) -> bool {
        self.properties.iter().any(|(name, _)| name == property)
    }

    pub(super) fn scrubber(&self) -> Scrubber {
        Scrubber(self.properties.clone())
    }

    /// An error of client creation without anything that may be secret in it.
    pub(super) fn explain(&self, error: ClientError) -> KafkaError {
        match error {
            ClientError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
                KafkaError::UnknownProperty { name }
            }
            ClientError::ClientConfig(_, _, name, _) => KafkaError::InvalidProperty { name },
            ClientError::ClientCreation(why) => KafkaError::Client {
                why: self.scrubber().clean(&why),
            },
            other => KafkaError::Client {
                why: self.scrubber().clean(&other.to_string()),
            },
        }
    }
}

/// Cuts the values of properties out of librdkafka's texts.
pub(super) struct Scrubber(Vec<(String, SecretString)>);

impl Scrubber {
    /// Shorter values are numbers and switches, and would be found inside innocent words.
    const SHORTEST: usize = 5;
    /// Names of protocols, never secrets, and what an operator has to read.
    const OPEN: [&str; 3] = ["security.protocol", "sasl.mechanism", "sasl.mechanisms"];

    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        let closed = |(name, _): &&(String, SecretString)| !Self::OPEN.contains(&name.as_str());
        for (name, value) in self.0.iter().filter(closed) {
            let value = value.expose_secret();
            // In its lists librdkafka takes a backslash for an escape, and says the rest.
            for spelling in [value, &value.replace('\\', "")] {
                if spelling.len() >= Self::SHORTEST && clean.contains(spelling) {
                    clean = clean.replace(spelling, &format!("[value of {name}]"));
                }
            }
        }
        clean
    }
}
