//! Properties that librdkafka refuses, with a password or a key in each of them.

use incidentd::simulator::Simulator;

use crate::canary::refused::{OF_LIBRARY, Row, of_rows, situation};
use crate::canary::stage::{NOBODY, Situation, Stage};
use crate::canary::words::{CERTIFICATE, KAFKA, key_pem};

/// Properties without a password that incidentd knows and refuses itself.
const OWN_NAMES: [&str; 6] = [
    "transactional.id",
    "bootstrap.servers",
    "acks",
    "sasl.mechanism",
    "sasl.mechanisms",
    "ssl.providers",
];

/// Properties without a password that only librdkafka knows.
const NAMES: [&str; 7] = [
    "linger.ms",
    "security.protocol",
    "sasl.pasword",
    "sasl.jaas.config",
    "compression.type",
    "debug",
    "ssl.keystore.location",
];

/// Properties that librdkafka reads only when it uses TLS.
const NAMES_OF_TLS: [&str; 7] = [
    "ssl.key.pem",
    "ssl.certificate.pem",
    "ssl.ca.pem",
    "ssl.key.location",
    "ssl.certificate.location",
    "ssl.ca.location",
    "ssl.cipher.suites",
];

const PASSWORD: &str = "kafka.properties.\"sasl.password\"";

const OWN_ROWS: [Row; 3] = [
    (
        "brokers with a login",
        |stage| {
            let brokers = format!("user:{KAFKA}@kafka:9092");
            stage.property("metadata.broker.list", &brokers)
        },
        "the brokers have a key of their own",
    ),
    (
        "a password that is a list",
        |stage| stage.key(PASSWORD, &format!("[{KAFKA:?}]")),
        "it is not a single value",
    ),
    (
        "a password that is given twice",
        |stage| stage.key("kafka.properties.sasl.password", &format!("{KAFKA:?}")),
        "it is given at",
    ),
];

const ROWS: [Row; 7] = [
    (
        "a login as Java has it",
        |stage| {
            let login = format!("PlainLoginModule required username=\"a\" password={KAFKA:?};");
            stage.property("sasl.jaas.config", &login)
        },
        "kafka.properties.sasl.jaas.config",
    ),
    (
        "a login without a user",
        |stage| {
            let stage = stage.property("security.protocol", "sasl_ssl");
            stage.property("sasl.mechanism", "PLAIN")
        },
        "sasl.username",
    ),
    (
        "a private key that is broken",
        |stage| tls(stage).property("ssl.key.pem", &key_pem().replace("MC4C", "canary")),
        "ssl.key.pem",
    ),
    (
        "a private key alone",
        |stage| tls(stage).property("ssl.key.pem", &key_pem()),
        "librdkafka can't work",
    ),
    (
        "a private key that is another's",
        |stage| {
            let stage = tls(stage).property("ssl.certificate.pem", CERTIFICATE);
            // Its last six bits.
            stage.property("ssl.key.pem", &key_pem().replace("BwcH\n", "BwcI\n"))
        },
        "librdkafka can't work",
    ),
    (
        "a private key for a certificate",
        |stage| tls(stage).property("ssl.certificate.pem", &key_pem()),
        "ssl.certificate.pem",
    ),
    (
        "a secret for a keystore",
        |stage| {
            let stage = tls(stage).property("ssl.keystore.location", "client-secret");
            stage.property("ssl.keystore.password", KAFKA)
        },
        "ssl.keystore.location",
    ),
];

fn tls(stage: Stage) -> Stage {
    stage.property("security.protocol", "ssl")
}

pub fn situations(simulator: &Simulator) -> Vec<Situation> {
    let new = || Stage::new(simulator, NOBODY, "none");
    let in_name = |name: &&str| {
        let title = format!("a password in librdkafka's {name}");
        situation(&title, new().property(name, KAFKA), "kafka.properties")
    };
    let names_of_tls = NAMES_OF_TLS.iter().map(|name| {
        let title = format!("a password in librdkafka's {name}, over TLS");
        situation(
            &title,
            tls(new()).property(name, KAFKA),
            "librdkafka can't work",
        )
    });
    let names = NAMES.iter().map(in_name);
    let rows = of_rows(simulator, &ROWS);
    let of_library = names.chain(names_of_tls).chain(rows);
    let own = OWN_NAMES.iter().map(in_name);
    of_library
        .map(|it| it.with_codes(OF_LIBRARY))
        .chain(own)
        .chain(of_rows(simulator, &OWN_ROWS))
        .collect()
}
