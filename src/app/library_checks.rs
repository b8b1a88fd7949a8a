//! Checks of the configuration by the libraries that use it.

use std::path::Path;

use secrecy::SecretString;

use crate::config::{LibraryChecks, Wrong, WrongCertificate, distance, wrong};
use crate::core::health::failure::chain;
use crate::core::time::ticks::Ticks;
use crate::kafka::KafkaError;
use crate::microsoft;
use crate::ports::Clock;
use crate::settings::{KafkaConnection, LedgerKind};
use crate::telemetry::clock::SystemClock;

/// The file of the systemd unit's variables, usually Kafka's password.
const SERVICE_ENVIRONMENT: &str = "/etc/incidentd/environment";
const MANUAL: &str = "see CONFIGURATION.md of librdkafka for all properties and their values";

/// Properties that operators usually set: librdkafka has no function that lists the names it knows.
const USUAL: [&str; 28] = [
    "allow.auto.create.topics",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "compression.codec",
    "compression.level",
    "compression.type",
    "debug",
    "enable.ssl.certificate.verification",
    "linger.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
];
/// A name this many letters apart is suggested.
const NEAR: usize = 3;

fn similar(name: &str) -> Option<&'static str> {
    let near = USUAL.iter().map(|usual| (distance(name, usual), *usual));
    let (apart, usual) = near.min()?;
    (apart <= NEAR).then_some(usual)
}

/// The remedy for properties that contradict each other. `service`: whether there are variables that only the service
/// has.
fn remedy_of_all(what: &str, service: bool) -> String {
    let lacks_log_in = what.contains("sasl.username") || what.contains("sasl.password");
    let hint = match lacks_log_in && service {
        true => format!(
            "; what stands in {SERVICE_ENVIRONMENT} only the service has: for a shell, type as root: set -a; . \
             {SERVICE_ENVIRONMENT}; set +a"
        ),
        false => String::new(),
    };
    format!("correct the property that this is about{hint}; {MANUAL}")
}

/// librdkafka, and the readers of certificates.
#[derive(Default)]
pub struct Libraries {
    /// A certificate has to be valid now. For the daemon it need not be: that is the failure of the tenants that use it, and
    /// must not keep the others from being read.
    now: Option<Ticks>,
}

impl Libraries {
    /// Checks dates, too.
    pub fn checking_dates() -> Self {
        let now = Some(SystemClock.now());
        Self { now }
    }
}

impl LibraryChecks for Libraries {
    fn property(&self, name: &str, value: &str) -> Result<(), Wrong> {
        KafkaConnection::check_property(name, value).map_err(|error| match error {
            KafkaError::UnknownProperty { .. } => {
                let meant = similar(name).map(|meant| format!("did you mean {meant}? "));
                wrong(
                    "librdkafka has no such property",
                    format!("{}{MANUAL}", meant.unwrap_or_default()),
                )
            }
            KafkaError::InvalidProperty { .. } => {
                wrong("librdkafka does not take its value", MANUAL)
            }
            other => wrong(other.to_string(), MANUAL),
        })
    }

    fn properties(&self, all: &[(String, SecretString)], ledger: LedgerKind) -> Result<(), Wrong> {
        let options = KafkaConnection {
            brokers: String::new(),
            properties: all.to_vec(),
            max_in_flight: 0,
        };
        options.check(ledger).map_err(|error| {
            let is_there = Path::new(SERVICE_ENVIRONMENT).exists();
            let what = error.to_string();
            let remedy = remedy_of_all(&what, is_there);
            wrong(what, remedy)
        })
    }

    fn certificate(&self, certificate: &[u8], key: &[u8]) -> Result<(), WrongCertificate> {
        microsoft::check_certificate(certificate, key, self.now).map_err(|error| WrongCertificate {
            of_key: error.is_of_key(),
            wrong: wrong(error.to_string(), error.remedy()),
        })
    }

    fn authorities(&self, pem: &[u8]) -> Result<(), Wrong> {
        microsoft::check_authorities(pem).map_err(|error| {
            wrong(
                chain(&error),
                "give a PEM file of the authorities to trust beside the system's, each between BEGIN and END CERTIFICATE",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lacks_kafka_s_log_in_in_a_shell_is_told_how_to_have_the_service_s() {
        let lacking = "`sasl.username` and `sasl.password` must be set";
        let hint = "set -a; . /etc/incidentd/environment; set +a";
        assert!(remedy_of_all(lacking, true).contains(hint));
        assert!(!remedy_of_all(lacking, false).contains(hint));
        assert!(!remedy_of_all("ssl.key.location failed", true).contains(hint));
        let unit = include_str!("../../systemd/incidentd.service");
        let line = format!("\nEnvironmentFile=-{SERVICE_ENVIRONMENT}\n");
        assert!(unit.contains(&line), "the unit has them from elsewhere");
    }
}
