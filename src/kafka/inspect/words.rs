//! What keeps Kafka from answering, in the operator's words.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::FIRST_ANSWER;
use crate::core::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::KafkaError;
use crate::kafka::link::{GOES_ON, Link, PROTOCOL, Trouble};

/// Why no broker answers, and what to do, by the kind of the last failure.
pub(super) fn out_of_reach(link: &Link) -> Failure {
    let Trouble { code, what, remedy } = link.trouble().unwrap_or_else(|| Trouble {
        code: None,
        what: format!("no answer within {FIRST_ANSWER:?}"),
        remedy: PROTOCOL,
    });
    let health = match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
            Health::Misconfigured
        }
        _ => Health::Unreachable,
    };
    let remedy = for_who_looks(remedy);
    let what = format!("Kafka can't be reached at {}: {what}", link.brokers());
    Failure::new(health, Reaction::Backoff, what, remedy)
}

/// Who only looks has nothing to lose, and does not go on.
fn for_who_looks(remedy: &str) -> &str {
    remedy.strip_suffix(GOES_ON).unwrap_or(remedy)
}

/// A topic that nothing was heard of, though Kafka answers.
pub(super) fn no_answer(link: &Link, name: &str, error: &ClientError) -> Failure {
    let (why, remedy) = match link.trouble() {
        Some(Trouble { what: why, .. }) => (
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

/// librdkafka can't work with its properties: since they were judged, a file that they name has changed, say.
pub(super) fn unusable(error: &KafkaError) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        error.to_string(),
        "correct the property that this is about under [kafka.properties]",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::link::REACH;

    #[test]
    fn who_only_looks_is_not_told_that_it_goes_on() {
        let remedy = for_who_looks(REACH);
        assert!(remedy.ends_with("on the way"), "{remedy}");
        assert_eq!(for_who_looks(PROTOCOL), PROTOCOL);
    }
}
