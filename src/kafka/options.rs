//! librdkafka's configuration: defaults that the promises need, then the operator's properties over them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaConfRes;
use secrecy::{ExposeSecret, SecretString};

use super::KafkaError;
use super::authorities;
use super::events::ClientEvents;
use super::queue::Client;
use super::scrub::Scrubber;
use crate::kafka::connection::Connection;
use crate::kafka::oauth::SASL_QUEUE;
use crate::settings::{KafkaConnection, LedgerKind, event_hubs, oauth};

/// Room in librdkafka's queue for what encoding adds to incidents, beyond the doubling.
const QUEUE_SLACK: usize = 32 << 20;
/// librdkafka's largest value of `queue.buffering.max.kbytes`.
const QUEUE_MOST_KBYTES: usize = i32::MAX as usize;
/// Large enough to let the topic decide about a record's size (librdkafka measures before compression), and well below
/// `socket.request.max.bytes`, beyond which a broker closes the connection without an answer.
pub(super) const MESSAGE_MOST_BYTES: usize = 16 << 20;

/// A default, and the property's other name. An operator may set either.
struct DefaultProperty {
    name: &'static str,
    alias: Option<&'static str>,
    value: &'static str,
}

/// librdkafka's default of `batch.size`, in bytes. A produce request holds one batch of one partition: up to this many
/// bytes before compression, or one larger record.
const BATCH_BYTES: usize = 1_000_000;
/// The largest request that Azure Event Hubs accepts, in bytes (its quotas page). Beyond it, it closes the connection.
pub(super) const EVENT_HUBS_REQUEST: usize = 1_046_528;

/// The limit of a transaction in checks.
const TRANSACTION: Duration = Duration::from_secs(15);

/// The thread that delivers acknowledgements also delivers statistics, so each proves that it lives. They also count
/// closed connections, so they have to come often.
const STATISTICS: &str = "statistics.interval.ms";

const DEFAULTS: [DefaultProperty; 8] = [
    DefaultProperty {
        name: STATISTICS,
        alias: None,
        value: "1000",
    },
    // Shorter than Azure's balancers (4 min) and Kafka's brokers (10 min) allow. So this side closes idle connections,
    // without an error event, and no record is sent into one that is already closed.
    DefaultProperty {
        name: "connections.max.idle.ms",
        alias: None,
        value: "180000",
    },
    DefaultProperty {
        name: "client.id",
        alias: None,
        value: "incidentd",
    },
    // No time limit. If librdkafka gave a record up, it would be unknown whether it has arrived.
    DefaultProperty {
        name: "message.timeout.ms",
        alias: Some("delivery.timeout.ms"),
        value: "0",
    },
    // A misspelt topic must be an error, not a new topic.
    DefaultProperty {
        name: "allow.auto.create.topics",
        alias: None,
        value: "false",
    },
    // No limit by count: bytes decide.
    DefaultProperty {
        name: "queue.buffering.max.messages",
        alias: None,
        value: "0",
    },
    DefaultProperty {
        name: "reconnect.backoff.max.ms",
        alias: None,
        value: "2000",
    },
    DefaultProperty {
        name: "socket.keepalive.enable",
        alias: None,
        value: "true",
    },
];

impl KafkaConnection {
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
        for (name, value) in oauth::others(&self.properties) {
            config.set(name, value.expose_secret());
        }
        if self.wants_authorities()
            && let Some(place) = authorities::of_the_system()
        {
            config.set("ssl.ca.location", place.display().to_string());
        }
        config.set(SASL_QUEUE, oauth::is_wanted(&self.properties).to_string());
        // After the operator's properties: the promises need these two.
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

    /// The same with batches of at most `batch` bytes, each of which makes a request.
    pub(super) fn producer_of_batches(&self, batch: usize) -> ClientConfig {
        let mut config = self.producer();
        config.set("batch.size", batch.to_string());
        config
    }

    /// The same with one record to a request.
    pub(super) fn producer_of_single_records(&self) -> ClientConfig {
        let mut config = self.producer();
        config.set("batch.num.messages", "1");
        config
    }

    /// For a record over which the broker may close the connection: statistics several times a second, and a new
    /// attempt at once.
    pub(super) fn producer_of_large_records(&self) -> ClientConfig {
        let mut config = self.producer_of_single_records();
        for (name, value) in [
            (STATISTICS, "250"),
            ("linger.ms", "0"),
            ("reconnect.backoff.max.ms", "500"),
        ] {
            config.set(name, value);
        }
        config.remove("queue.buffering.max.ms");
        config
    }

    /// For a client that asks brokers for settings. It needs no producer's id and no statistics.
    pub(super) fn administration(&self) -> ClientConfig {
        let mut config = self.producer();
        for name in [STATISTICS, "enable.idempotence", "transactional.id"] {
            config.remove(name);
        }
        config
    }

    /// For one partition of the ledger: everything that it sends is in a transaction of at most this time.
    pub(super) fn transactional_producer(&self, id: &str, limit: Duration) -> ClientConfig {
        let mut config = self.producer();
        // With another name for what is set below, or longer than a transaction may take.
        for other_name in [
            "delivery.timeout.ms",
            "queue.buffering.max.ms",
            "socket.timeout.ms",
        ] {
            config.remove(other_name);
        }
        let limit = limit.as_millis().to_string();
        for (name, value) in [
            ("transactional.id", id),
            ("transaction.timeout.ms", &limit),
            // An error of its transaction is no loss: the records are read and sent again.
            ("message.timeout.ms", &limit),
            // A topic that does not exist is an error before the transaction's time is over.
            ("topic.metadata.propagation.max.ms", "5000"),
            // A commit waits for its last record.
            ("linger.ms", "1"),
        ] {
            config.set(name, value);
        }
        config
    }

    /// For reading one partition of the ledger from its first row. It joins no group, although librdkafka asks for a name.
    pub(super) fn restoring_consumer(&self, isolation: &str) -> ClientConfig {
        let mut config = self.consumer();
        for (name, value) in [
            ("group.id", "incidentd-ledger-restore"),
            ("isolation.level", isolation),
            ("auto.offset.reset", "earliest"),
            ("enable.partition.eof", "false"),
            // Many partitions may be read at once, and librdkafka holds this much of each, and as much again for each row.
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "4096"),
            // When that much is held, it looks again after this time. Its default of a second makes a restore slow.
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.wait.max.ms", "100"),
            // With them comes the next token for Kafka.
            (STATISTICS, "1000"),
        ] {
            config.set(name, value);
        }
        config
    }

    /// For a member of the group that shares the ledger's partitions. It reads nothing.
    pub(super) fn group_member(&self, group: &str, client_id: &str) -> ClientConfig {
        let mut config = self.consumer();
        for (name, value) in [
            ("group.id", group),
            // Members with one client id can send the assignor into an endless loop.
            ("client.id", client_id),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "15000"),
            ("heartbeat.interval.ms", "3000"),
            ("auto.offset.reset", "latest"),
            ("queued.min.messages", "1"),
            // They show whether the group still counts this process among its members.
            (STATISTICS, "3000"),
        ] {
            config.set(name, value);
        }
        config
    }

    /// A client that consumes, without what only a producer knows.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.administration();
        for name in [
            "message.timeout.ms",
            "delivery.timeout.ms",
            "message.max.bytes",
            "queue.buffering.max.messages",
            "queue.buffering.max.kbytes",
            "group.instance.id",
            "group.remote.assignor",
        ] {
            config.remove(name);
        }
        for (name, value) in [
            ("group.protocol", "classic"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
        ] {
            config.set(name, value);
        }
        config
    }

    /// Bytes of the largest batch, and so of the largest request of small records.
    pub(super) fn batch_bytes(&self) -> usize {
        self.number("batch.size", BATCH_BYTES)
            .min(self.message_max_bytes())
    }

    /// The largest request, if the brokers' names show it.
    pub(super) fn request_limit_by_name(&self) -> Option<usize> {
        event_hubs::is_among(&self.brokers).then_some(EVENT_HUBS_REQUEST)
    }

    /// Whether records are compressed, so that a request may be smaller than its records.
    pub(super) fn compresses(&self) -> bool {
        ["compression.type", "compression.codec"]
            .iter()
            .filter_map(|name| self.value(name))
            .any(|codec| codec != "none")
    }

    /// Whether TLS is used, and no property names the authorities to trust.
    fn wants_authorities(&self) -> bool {
        let protocol = self.value("security.protocol").unwrap_or_default();
        let speaks_tls = protocol.to_ascii_lowercase().ends_with("ssl");
        speaks_tls && !self.names("ssl.ca.location") && !self.names("ssl.ca.pem")
    }

    /// Why no broker's certificate can be verified, and what to do; `None` if authorities are known or not needed.
    pub(super) fn lacks_authorities(&self) -> Option<(&'static str, &'static str)> {
        (self.wants_authorities() && authorities::of_the_system().is_none()).then_some((
            "no certificate authorities were found on this system, so that no broker's certificate can be verified",
            "install the package ca-certificates, or name the CA's file in ssl.ca.location under [kafka.properties] or in \
             the variable SSL_CERT_FILE",
        ))
    }

    /// Checks that librdkafka accepts all of these properties together, for each client that the `ledger` needs, too. It reads
    /// the files that they name, and connects to no broker, so that `brokers` may be empty.
    pub(crate) fn check(&self, ledger: LedgerKind) -> Result<(), KafkaError> {
        self.check_client::<Client>(self.producer())?;
        if ledger == LedgerKind::Kafka {
            self.check_client::<Client>(self.transactional_producer("check", TRANSACTION))?;
            for consumer in [
                self.restoring_consumer("read_committed"),
                self.group_member("check", "check"),
            ] {
                self.check_client::<BaseConsumer<_>>(consumer)?;
            }
        }
        Ok(())
    }

    fn check_client<C: FromClientConfigAndContext<ClientEvents>>(
        &self,
        mut config: ClientConfig,
    ) -> Result<(), KafkaError> {
        let connection = Arc::new(Connection::new(self.brokers.clone(), self.scrubber()));
        config.remove("bootstrap.servers");
        // Silence librdkafka's log: the error says what is wrong.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let made = config.create_with_context::<_, C>(ClientEvents::of(&connection));
        made.map(drop).map_err(|error| self.explain(error))
    }

    /// Checks that librdkafka knows this property and accepts the value.
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

    /// The largest message that the producer accepts.
    pub(super) fn message_max_bytes(&self) -> usize {
        self.number("message.max.bytes", MESSAGE_MOST_BYTES)
    }

    fn number(&self, property: &str, otherwise: usize) -> usize {
        let given = self.value(property).and_then(|value| value.parse().ok());
        given.unwrap_or(otherwise)
    }

    /// The value that the operator set.
    fn value(&self, property: &str) -> Option<&str> {
        let mut all = self.properties.iter();
        let (_, value) = all.find(|(name, _)| name == property)?;
        Some(value.expose_secret())
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
        Scrubber::new(&self.properties)
    }

    /// An error of client creation, without secrets.
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
