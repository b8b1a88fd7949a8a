//! Failures and notes of an inspection.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::{FIRST_ANSWER, TopicSeen, Write};
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::KafkaError;
use crate::kafka::connection::{Connection, ConnectionProblem, GOES_ON, PROTOCOL};
use crate::kafka::limit::DEFAULT_MAX_MESSAGE;
use crate::kafka::options::EVENT_HUBS_REQUEST;
use crate::settings::KafkaConnection;

/// Why no broker answers, and what to do, by the kind of the last failure.
pub(super) fn out_of_reach(connection: &Connection) -> Failure {
    let ConnectionProblem { code, what, remedy } =
        connection.problem().unwrap_or_else(|| ConnectionProblem {
            code: None,
            what: format!("no answer within {FIRST_ANSWER:?}"),
            remedy: PROTOCOL.into(),
        });
    let health = match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
            Health::Misconfigured
        }
        _ => Health::Unreachable,
    };
    let remedy = for_who_looks(&remedy);
    let what = format!("Kafka can't be reached at {}: {what}", connection.brokers());
    Failure::new(health, Reaction::Backoff, what, remedy)
}

/// An inspection loses nothing and does not go on, so that half of the remedy is left out.
fn for_who_looks(remedy: &str) -> &str {
    remedy.strip_suffix(GOES_ON).unwrap_or(remedy)
}

/// Kafka answers, but not about this topic.
pub(super) fn no_answer(connection: &Connection, name: &str, error: &ClientError) -> Failure {
    let (why, remedy) = match connection.problem() {
        Some(ConnectionProblem { what: why, .. }) => (
            why,
            "a broker that Kafka itself names may be out of reach from here: check advertised.listeners of the brokers, \
             DNS and firewalls",
        ),
        None => (
            one_line(&error.to_string(), 200),
            "look at Kafka's brokers: the topic may have fewer replicas in sync than its min.insync.replicas, or its \
             leaders are overloaded",
        ),
    };
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("Kafka gave no answer about the topic {name}: {why}"),
        remedy,
    )
}

/// librdkafka does not accept its properties. They were accepted before, so a file that they name may have changed.
pub(super) fn unusable(error: &KafkaError) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        error.to_string(),
        "correct the property that this is about under [kafka.properties]",
    )
}

/// Notes about the cluster. `request`: the largest request, once brokers were asked.
pub(super) fn notes(
    options: &KafkaConnection,
    request: Option<&Result<usize, String>>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((what, remedy)) = options.lacks_authorities() {
        notes.push(format!("{what}: {remedy}"));
    }
    if let Some(Err(why)) = request {
        notes.push(format!(
            "the brokers do not tell their socket.request.max.bytes ({why}): incidentd sends what makes a request of more than \
             {EVENT_HUBS_REQUEST} bytes apart from other records, and learns the limit when a broker closes the connection; \
             granting its Kafka user DescribeConfigs on the cluster shows it"
        ));
    }
    notes
}

/// Sets the largest record, and notes what limits it.
pub(super) fn note_limit(
    options: &KafkaConnection,
    seen: &mut TopicSeen,
    limit: usize,
    request: &Result<usize, String>,
) {
    let ours = options.message_max_bytes();
    let theirs = request.as_ref().copied().unwrap_or(usize::MAX);
    let effective = limit.min(ours).min(theirs);
    seen.max_record = Some(effective);
    if effective < DEFAULT_MAX_MESSAGE {
        let key = match effective {
            _ if effective == theirs => "socket.request.max.bytes of the brokers",
            _ if effective == ours => "message.max.bytes under [kafka.properties]",
            _ => "max.message.bytes of the topic",
        };
        seen.notes.push(format!(
                "{key} is {effective}, less than Kafka's default of {DEFAULT_MAX_MESSAGE}: incidents larger than that \
                 (compressed) are split between their alerts, and one whose single alert is larger is held back"
            ));
    } else if theirs < limit {
        seen.notes.push(format!(
                "socket.request.max.bytes of the brokers is {theirs}, less than the topic's max.message.bytes of {limit}: what is \
                 larger (compressed) is split between its alerts, and an incident whose single alert is larger is held back"
            ));
    }
}

/// Notes that the topic's limit is unknown.
pub(super) fn not_told(seen: &mut TopicSeen, why: &str) {
    seen.write = Write::Unknown("the topic's max.message.bytes is not known".to_owned());
    seen.notes.push(format!(
        "Kafka does not tell max.message.bytes of the topic ({why}): incidentd takes the default of {DEFAULT_MAX_MESSAGE} \
         for granted, and whether it may write was not tried. Granting its Kafka user DescribeConfigs on the topic shows both"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::connection::REACH;

    #[test]
    fn who_only_looks_is_not_told_that_it_goes_on() {
        let remedy = for_who_looks(REACH);
        assert!(remedy.ends_with("on the way"), "{remedy}");
        assert_eq!(for_who_looks(PROTOCOL), PROTOCOL);
    }
}
