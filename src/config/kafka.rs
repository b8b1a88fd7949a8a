//! `[kafka]`: where records go.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use config::{Value, ValueKind};
use secrecy::SecretString;

use super::problems::{Wrong, scalar, wrong};
use super::section::Section;
use super::settings::{KafkaSettings, RecordFormat};

pub(super) const DEFAULT_TOPIC: &str = "security.incidents";

pub(super) fn read(section: &mut Section<'_>) -> (KafkaSettings, Arc<str>) {
    let brokers = section.parse("brokers", brokers);
    let topic = read_topic(section).unwrap_or_else(|| DEFAULT_TOPIC.into());
    let formats = [
        ("cloudevents", RecordFormat::CloudEvents),
        ("raw", RecordFormat::Raw),
    ];
    let settings = KafkaSettings {
        brokers: brokers.unwrap_or_else(|| "localhost:9092".into()),
        format: section
            .choice("format", &formats)
            .unwrap_or(RecordFormat::CloudEvents),
        status_topic: section.parse("status_topic", topic_name),
        dead_letter_topic: section.parse("dead_letter_topic", topic_name),
        properties: read_properties(&mut section.section("properties")),
    };
    (settings, topic)
}

pub(super) fn read_topic(section: &mut Section<'_>) -> Option<Arc<str>> {
    section.parse("topic", topic_name)
}

/// Kafka's own rule for topic names (`org.apache.kafka.common.internals.Topic`).
fn topic_name(text: &str) -> Result<Arc<str>, Wrong> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid =
        (1..=249).contains(&text.len()) && text.bytes().all(legal) && text != "." && text != "..";
    if !valid {
        return Err(wrong(
            "it is no valid name of a topic",
            "use 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'",
        ));
    }
    Ok(text.into())
}

fn brokers(text: &str) -> Result<String, Wrong> {
    let list: Vec<&str> = text.split(',').map(str::trim).collect();
    match list.iter().find(|broker| !is_host_and_port(broker)) {
        None => Ok(list.join(",")),
        Some(_) => Err(wrong(
            "it is not a list of host:port",
            "give it as \"kafka1.example.net:9092,kafka2.example.net:9092\"; how to log in goes to [kafka.properties]",
        )),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let host_is_valid = match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => (1..=253).contains(&host.len()) && host.bytes().all(named),
    };
    host_is_valid && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// One of librdkafka's properties, and where it was given.
struct Property {
    value: String,
    origin: Option<String>,
}

/// Names may be quoted or dotted (`"sasl.password" = …`, `sasl.password = …`, `…__SASL__PASSWORD` in the environment):
/// all mean the same.
fn read_properties(section: &mut Section<'_>) -> Vec<(String, SecretString)> {
    let mut properties = BTreeMap::new();
    let mut entries: Vec<_> = section.rest().into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in entries {
        flatten(section, name, value, &mut properties);
    }
    for (name, property) in &properties {
        check(section, name, property);
    }
    let secret = |(name, property): (String, Property)| (name, SecretString::from(property.value));
    properties.into_iter().map(secret).collect()
}

fn flatten(
    section: &mut Section<'_>,
    name: String,
    value: Value,
    into: &mut BTreeMap<String, Property>,
) {
    let origin = value.origin().map(str::to_owned);
    if let Some(value) = scalar(&value) {
        let twice = into
            .get(&name)
            .is_some_and(|other| other.origin.is_none() == origin.is_none());
        if twice {
            section.refuse_free(
                &name,
                origin.as_deref(),
                wrong("it is given twice", "remove one"),
            );
        } else if origin.is_some() || !into.contains_key(&name) {
            // The environment goes before the file.
            into.insert(name, Property { value, origin });
        }
        return;
    }
    match value.kind {
        ValueKind::Table(table) => {
            let mut entries: Vec<_> = table.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (part, value) in entries {
                flatten(section, format!("{name}.{part}"), value, into);
            }
        }
        _ => {
            let what = wrong(
                "it is not a single value",
                "give a text, a number or true or false",
            );
            section.refuse_free(&name, origin.as_deref(), what);
        }
    }
}

/// Refuses what would break a promise of the daemon's.
fn check(section: &mut Section<'_>, name: &str, property: &Property) {
    let is = |accepted: &[&str]| accepted.contains(&property.value.as_str());
    let refusal = match name {
        "bootstrap.servers" | "metadata.broker.list" => wrong(
            "the brokers have a key of their own",
            "remove it and set kafka.brokers",
        ),
        "enable.idempotence" if !is(&["true"]) => wrong(
            "without idempotence records would repeat and change order",
            "remove it",
        ),
        "acks" | "request.required.acks" if !is(&["all", "-1"]) => wrong(
            "without all acknowledgements records could be lost",
            "remove it, or set it to \"all\"",
        ),
        "transactional.id" => wrong("this ledger uses no transactions", "remove it"),
        "sasl.mechanism" | "sasl.mechanisms"
            if property.value.eq_ignore_ascii_case("OAUTHBEARER")
                || property.value.eq_ignore_ascii_case("GSSAPI") =>
        {
            wrong(
                "incidentd can't log in to Kafka this way",
                "use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or client certificates",
            )
        }
        "delivery.report.only.error" if !is(&["false"]) => wrong(
            "without delivery reports nothing would count as published",
            "remove it",
        ),
        "message.timeout.ms" | "delivery.timeout.ms" if !is(&["0"]) => {
            let text =
                "other than 0: after an outage of Kafka longer than this a record may be repeated";
            section.warn(name, text.into());
            return;
        }
        _ => return,
    };
    section.refuse_free(name, property.origin.as_deref(), refusal);
}
