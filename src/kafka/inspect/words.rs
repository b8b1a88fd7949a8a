//! What keeps Kafka from answering, in the operator's words.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::FIRST_ANSWER;
use crate::core::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::link::Link;

/// Why no broker answers, and what to do, by the kind of the last failure.
pub(super) fn out_of_reach(link: &Link) -> Failure {
    let (code, why) = match link.trouble() {
        Some((code, why)) => (Some(code), why),
        None => (None, format!("no answer within {FIRST_ANSWER:?}")),
    };
    // Where a connection was made, what is wrong is what came after it.
    let connecting = why.contains("Connect to ");
    let (health, remedy) = match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => (
            Health::Misconfigured,
            "check sasl.mechanism, sasl.username and sasl.password under [kafka.properties]; Kafka's own log says more",
        ),
        // Cut in the middle of a handshake is what a port does that speaks no TLS, and a broker that is going down.
        Some(code) if code == Code::SSL || why.contains("SSL handshake") => (
            match code {
                Code::SSL => Health::Misconfigured,
                _ => Health::Unreachable,
            },
            "check that the port speaks TLS, that kafka.brokers uses the name in the broker's certificate, and that \
             ssl.ca.location under [kafka.properties] names the CA (PEM) that issued it",
        ),
        Some(Code::Resolve) => (
            Health::Unreachable,
            "check the host names in kafka.brokers, and this machine's DNS",
        ),
        _ if !connecting => (
            Health::Unreachable,
            "a firewall may swallow what is sent, or the port may want TLS or a login (set security.protocol and sasl.* under \
             [kafka.properties]), or something else than Kafka may be there; check kafka.brokers, too",
        ),
        _ => (
            Health::Unreachable,
            "check that Kafka runs, kafka.brokers, and the network and firewalls on the way; the daemon itself would wait",
        ),
    };
    let what = format!("Kafka can't be reached at {}: {why}", link.brokers());
    Failure::new(health, Reaction::Backoff, what, remedy)
}

/// A topic that nothing was heard of, though Kafka answers.
pub(super) fn no_answer(link: &Link, name: &str, error: &ClientError) -> Failure {
    let (why, remedy) = match link.trouble() {
        Some((_, why)) => (
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
