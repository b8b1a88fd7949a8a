//! `[kafka]`: where records go.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use xxhash_rust::xxh3::xxh3_64;

use super::access;
use super::layers::read_regular;
use super::problems::{Wrong, require, wrong};
use super::section::Section;
use super::values::{is_host_name, quoted};
use crate::settings::oauth::{OauthSecret, OauthSettings};
use crate::settings::{KafkaConnection, KafkaSettings, LedgerKind, Settings, event_hubs, oauth};

mod promises;

/// Properties that name files. librdkafka reads them when a client is made, and never again (its CONFIGURATION.md); the
/// authorities of an identity provider are read once, too.
const FILES: [&str; 6] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    oauth::AUTHORITIES,
];
/// Some thousand certificates.
const MAX_FILE: u64 = 8 << 20;

/// The settings of the daemon. `None` only if a default can't be read.
pub(super) fn read(
    section: &mut Section<'_>,
    max_in_flight: usize,
    ledger: LedgerKind,
) -> Option<KafkaSettings> {
    let properties = read_properties(section.enter("properties"), ledger);
    let brokers = section.read("brokers", brokers)?;
    if event_hubs::is_among(&brokers) {
        warn_of_event_hubs(section, &properties, ledger);
    }
    Some(KafkaSettings {
        files: fingerprints(&properties),
        connection: KafkaConnection {
            brokers,
            properties,
            max_in_flight,
        },
        status_topic: section.own("status_topic", topic_name),
        dead_letter_topic: section.own("dead_letter_topic", topic_name),
    })
}

/// Kafka's own rule for topic names (`org.apache.kafka.common.internals.Topic`).
pub(super) fn topic_name(text: &str) -> Result<Arc<str>, Wrong> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_legal = text.bytes().all(legal) && !matches!(text, "" | "." | "..");
    let remedy = "use 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'";
    require(
        is_legal && text.len() <= 249,
        "it is no valid name of a topic",
        remedy,
    )?;
    Ok(text.into())
}

pub(super) fn brokers(text: &str) -> Result<String, Wrong> {
    let list: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_valid = list.iter().all(|broker| is_host_and_port(broker));
    let remedy = "give it as \"kafka1.example.net:9092,kafka2.example.net:9092\"; how to log in goes to [kafka.properties]";
    require(is_valid, "it is not a list of host:port", remedy)?;
    Ok(list.join(","))
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The topics of a tenant, or of all tenants without their own.
#[derive(Clone, Copy)]
pub(super) struct TenantTopics<'a> {
    pub incidents: &'a Arc<str>,
    pub alerts: Option<&'a Arc<str>>,
}

impl<'a> TenantTopics<'a> {
    fn with_keys(self) -> impl Iterator<Item = (&'static str, &'a Arc<str>)> {
        let alerts = self.alerts.into_iter().map(|topic| (ALERTS_TOPIC, topic));
        alerts.chain([("kafka.topic", self.incidents)])
    }
}

/// Every topic that is written to besides the ledger's, with its key.
fn topics<'a>(
    settings: &'a Settings,
    shared: TenantTopics<'a>,
) -> impl Iterator<Item = (&'static str, &'a Arc<str>)> {
    let KafkaSettings {
        status_topic,
        dead_letter_topic,
        ..
    } = &settings.kafka;
    let tenants = settings.tenants.iter();
    let own = tenants.map(|tenant| TenantTopics {
        incidents: &tenant.topic,
        alerts: tenant.alerts_topic.as_ref(),
    });
    let states = status_topic.iter();
    let letters = dead_letter_topic.iter();
    own.chain([shared])
        .flat_map(TenantTopics::with_keys)
        .chain(states.map(|topic| ("kafka.status_topic", topic)))
        .chain(letters.map(|topic| ("kafka.dead_letter_topic", topic)))
}

const ALERTS_TOPIC: &str = "kafka.alerts_topic";

/// The key of a topic to which something else than the ledger's rows is written, if it is the ledger's topic. A record among
/// rows can't be read as one.
pub(super) fn clashes_with_ledger(
    settings: &Settings,
    shared: TenantTopics<'_>,
) -> Option<&'static str> {
    let ledger = &settings.ledger;
    let clash = topics(settings, shared).find(|(_, topic)| **topic == ledger.kafka.topic);
    clash
        .filter(|_| ledger.kind == LedgerKind::Kafka)
        .map(|(key, _)| key)
}

/// A topic of alerts that is also a topic of something else, and the other key. An alert's record there would be taken for an
/// incident's, and the keys of both may be equal.
pub(super) fn clashes_with_alerts<'a>(
    settings: &'a Settings,
    shared: TenantTopics<'a>,
) -> Option<(&'static str, &'a Arc<str>)> {
    let of_alerts = |(key, _): &(&str, _)| *key == ALERTS_TOPIC;
    let alerts = topics(settings, shared).filter(of_alerts);
    let alerts: HashSet<&Arc<str>> = alerts.map(|(_, topic)| topic).collect();
    let mut others = topics(settings, shared).filter(|topic| !of_alerts(topic));
    others.find(|(_, topic)| alerts.contains(topic))
}

/// Reads librdkafka's properties. Names may be quoted or dotted (`"sasl.password" = …`, `sasl.password = …`,
/// `…__SASL__PASSWORD` in the environment).
fn read_properties(mut section: Section<'_>, ledger: LedgerKind) -> Vec<(String, SecretString)> {
    let checks = section.scope.context.checks;
    let before = section.diagnosis.problems.len();
    let mut all = Vec::new();
    for (name, value) in section.flatten() {
        let Some(value) = value else {
            let remedy = "give a text, a number or true or false";
            section.refuse(&name, wrong("it is not a single value", remedy));
            continue;
        };
        all.push((name, SecretString::from(value)));
    }
    let wants_token = oauth::is_wanted(&all);
    for (name, value) in &all {
        let value = value.expose_secret();
        if !(wants_token && oauth::is_own(name)) {
            check(&mut section, name, value);
        }
        let origin = section.origin_of(name);
        section.mean(&quoted(name), shown(name, value), origin);
    }
    check_log_in(&mut section, &all);
    let each_is_good = section.diagnosis.problems.len() == before;
    if each_is_good
        && !all.is_empty()
        && let Err(wrong) = checks.properties(&all, ledger)
    {
        section.refuse_whole(wrong);
    }
    all
}

/// Warns of what Azure Event Hubs does not offer (its documentation; `docs/azure-event-hubs.md`).
fn warn_of_event_hubs(
    section: &mut Section<'_>,
    properties: &[(String, SecretString)],
    ledger: LedgerKind,
) {
    for (name, value) in properties {
        let is_codec = matches!(
            name.strip_prefix("topic.").unwrap_or(name),
            "compression.type" | "compression.codec"
        );
        if is_codec && !matches!(value.expose_secret(), "none" | "gzip" | "inherit") {
            let text = "Azure Event Hubs takes no compression but gzip, and that in Premium and Dedicated only: records may be \
                 refused; remove it, or set it to \"gzip\"";
            section.enter("properties").warn(name, text);
        }
    }
    if ledger == LedgerKind::Kafka {
        let text = "they are Azure Event Hubs, whose transactions are a preview in Premium and Dedicated only, and a ledger in \
             Kafka needs them; set ledger.kind to \"local\"";
        section.warn("brokers", text);
    }
}

/// Checks the properties that incidentd takes itself, to get tokens for Kafka.
fn check_log_in(section: &mut Section<'_>, properties: &[(String, SecretString)]) {
    match oauth::read(properties) {
        Err(mistakes) => {
            for mistake in mistakes {
                let wrong = wrong(mistake.what, mistake.remedy);
                match mistake.lacks_secret {
                    true => drop(section.refuse_credential(&mistake.name, wrong)),
                    false => section.refuse(&mistake.name, wrong),
                }
            }
        }
        Ok(Some(OauthSettings {
            secret: OauthSecret::File(path),
            ..
        })) if access::others_may(&path, access::ANY) => {
            let what = format!("reach the secret in {}", path.display());
            section.warn(oauth::SECRET_FILE, access::everyone_can_read(&what, &path));
        }
        Ok(_) => {}
    }
}

/// A fingerprint of each file that the properties name. A folder of authorities, and `probe`, have none. librdkafka
/// reports files that can't be read.
fn fingerprints(properties: &[(String, SecretString)]) -> BTreeMap<PathBuf, Option<u64>> {
    let named = properties
        .iter()
        .filter(|(name, _)| FILES.contains(&&**name));
    let read = named.map(|(_, path)| {
        let path = PathBuf::from(path.expose_secret());
        let content = read_regular(&path, MAX_FILE).ok();
        (path, content.map(|content| xxh3_64(&content)))
    });
    read.collect()
}

/// The value as `incidentd config` shows it: words of properties that choose between words; numbers and switches,
/// unless the name suggests a secret.
fn shown(name: &str, value: &str) -> String {
    #[rustfmt::skip]
    const WORDS: [&str; 10] = [
        "compression.type", "compression.codec", "security.protocol", "sasl.mechanism", "sasl.mechanisms", "partitioner",
        "client.dns.lookup", "broker.address.family", "ssl.endpoint.identification.algorithm", "debug",
    ];
    #[rustfmt::skip]
    const SECRETS: [&str; 9] = [
        "password", "secret", "username", "key", "token", "pem", "jaas", "oauth", "sasl.",
    ];
    let is_number = value.parse::<f64>().is_ok() || value.parse::<bool>().is_ok();
    let speaks = SECRETS.iter().any(|word| name.contains(word));
    match WORDS.contains(&name) || (is_number && !speaks) {
        true if is_number => value.into(),
        true => quoted(value),
        false => quoted("(not shown)"),
    }
}

/// Refuses a property that would break a promise or run code, and one that librdkafka does not accept. A property that
/// is refused by name never reaches librdkafka, which loads libraries as soon as they are named.
fn check(section: &mut Section<'_>, name: &str, value: &str) {
    let broken = promises::broken(name, value).map(|rule| (rule.what, rule.remedy));
    if let Some((what, None)) = broken {
        section.warn(name, what);
    }
    let checked = match broken {
        Some((what, Some(remedy))) => Err(wrong(what, remedy)),
        _ => section.scope.context.checks.property(name, value),
    };
    if let Err(wrong) = checked {
        section.refuse(name, wrong);
    }
}
