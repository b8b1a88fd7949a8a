//! Properties of librdkafka that break the daemon's promises.
//!
//! Some properties make records repeat, change order or get lost. Some load libraries or run commands as the user that
//! reads the configuration, which may be root. All of them are refused here by name and value, before librdkafka
//! receives them. The list follows `CONFIGURATION.md` of librdkafka 2.12 and its hidden properties in `rdkafka_conf.c`.

/// Partitioners that are functions of the key. Every record has a key.
#[rustfmt::skip]
const BY_KEY: [&str; 6] = ["consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random"];
/// The largest value of `retries`, which means no limit.
const FOR_EVER: &str = "2147483647";
/// Longer waits get a warning. librdkafka accepts up to 900,000.
const LONGEST_LINGER_MS: f64 = 5000.0;

/// The accepted values of some properties, and what is wrong with all others.
pub(super) struct PropertyRule {
    /// A star stands for any letters.
    names: &'static [&'static str],
    accepts: fn(&str) -> bool,
    pub what: &'static str,
    /// `None`: the property is passed on, with a warning.
    pub remedy: Option<&'static str>,
}

const fn rule(
    names: &'static [&'static str],
    accepts: fn(&str) -> bool,
    what: &'static str,
    remedy: Option<&'static str>,
) -> PropertyRule {
    PropertyRule {
        names,
        accepts,
        what,
        remedy,
    }
}

fn nothing(_: &str) -> bool {
    false
}

/// librdkafka checks values that are no numbers.
fn is_short(linger: &str) -> bool {
    !linger
        .trim()
        .parse::<f64>()
        .is_ok_and(|value| value > LONGEST_LINGER_MS)
}

#[rustfmt::skip]
const RULES: &[PropertyRule] = &[
    rule(&["bootstrap.servers", "metadata.broker.list"], nothing,
        "the brokers have a key of their own", Some("remove it and set kafka.brokers")),
    rule(&["enable.idempotence"], |value| value == "true",
        "without idempotence records would repeat and change order", Some("remove it")),
    rule(&["acks", "request.required.acks"], |value| matches!(value, "all" | "-1"),
        "without all acknowledgements records could be lost", Some("remove it, or set it to \"all\"")),
    rule(&["partitioner"], |value| BY_KEY.contains(&value),
        "versions of one incident would change order: they stay in one partition only when the key alone chooses it",
        Some("remove it, or set it to consistent, murmur2 or fnv1a (or one of these with _random)")),
    rule(&["queuing.strategy"], |value| value == "fifo",
        "records of one incident would change order", Some("remove it")),
    rule(&["enable.gapless.guarantee"], |value| value == "false",
        "one refused record would stop the records of all tenants", Some("remove it")),
    rule(&["retries", "message.send.max.retries"], |value| value == FOR_EVER,
        "a record that is given up after some tries may have arrived, and would be repeated",
        Some("remove it: records are tried again for ever")),
    rule(&["statistics.interval.ms"], nothing,
        "incidentd tells by the statistics whether librdkafka lives, and has an interval of its own", Some("remove it")),
    rule(&["transactional.id"], nothing, "incidentd sets it itself, for a ledger in Kafka", Some("remove it")),
    // librdkafka, or this build of it, supports no others.
    rule(&["sasl.mechanism", "sasl.mechanisms"], |value| matches!(value, "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" | "OAUTHBEARER"),
        "incidentd can't log in to Kafka this way", Some("use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, or client certificates")),
    rule(&["delivery.report.only.error"], |value| value == "false",
        "without delivery reports nothing would count as published", Some("remove it")),
    rule(&["enabled_events", "log.queue", "log_level"], nothing,
        "incidentd itself decides what librdkafka tells it", Some("remove it; librdkafka's property debug has it say more")),
    // These load a library, run a command or raise a signal.
    rule(&["internal.termination.signal", "plugin.library.paths", "sasl.kerberos.kinit.cmd", "ssl.engine.id",
        "ssl.engine.location", "ssl.providers", "ssl_engine_callback_data"], nothing,
        "it would run code or a command of someone else's inside incidentd, or signal it", Some("remove it")),
    // These are for programs in C.
    rule(&["default_topic_conf", "interceptors", "msg_order_cmp", "opaque", "ssl_ca", "ssl_certificate", "ssl_key", "*_cb"], nothing,
        "its value is an address in a program's memory, which a file can't give", Some("remove it")),
    rule(&["test.*", "ut_*"], nothing,
        "it is for librdkafka's own tests: records would go to a broker that is not there", Some("remove it")),
    rule(&["message.timeout.ms", "delivery.timeout.ms"], |value| value == "0",
        "other than 0: after an outage of Kafka longer than this a record may be repeated; a ledger in Kafka sets it itself; remove it",
        None),
    rule(&["auto.offset.reset", "group.*", "heartbeat.interval.ms", "isolation.level", "partition.assignment.strategy",
        "session.timeout.ms", "transaction.timeout.ms"], nothing,
        "it has no effect: incidentd sets it itself where it needs it; remove it", None),
    rule(&["enable.ssl.certificate.verification"], |value| matches!(value, "true" | "t" | "1"),
        "the brokers' certificates are not verified: anyone on the way can read the records and the password; remove \
         it, and name the CA in ssl.ca.location", None),
    rule(&["ssl.endpoint.identification.algorithm"], |value| value == "https",
        "the name in the brokers' certificates is not verified: any holder of a certificate of the same CA can read \
         the records and the password; remove it, and use the names in the certificates in kafka.brokers", None),
    rule(&["enable.sasl.oauthbearer.unsecure.jwt"], |value| matches!(value, "false" | "f" | "0"),
        "it makes tokens that nobody has signed, for tests alone: they prove to the brokers nothing at all; remove it", None),
    rule(&["linger.ms", "queue.buffering.max.ms"], is_short,
        "more than 5 s: every record waits so long before it is sent; remove it, or set some milliseconds", None),
    rule(&["debug"], |value| value.trim().is_empty(),
        "librdkafka then tells of every request and every record, if the log's level shows it, and of how it logs in; \
         the values of these properties are cut out, other secrets are not; remove it when you have seen enough", None),
];

impl PropertyRule {
    fn is_about(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|pattern| match pattern.split_once('*') {
                Some((before, behind)) => name.starts_with(before) && name.ends_with(behind),
                None => *pattern == name,
            })
    }
}

/// The rule that a property breaks by its name and value. librdkafka checks the others.
pub(super) fn broken(name: &str, value: &str) -> Option<&'static PropertyRule> {
    // librdkafka accepts properties of topics with this prefix, too.
    let name = name.strip_prefix("topic.").unwrap_or(name);
    RULES
        .iter()
        .find(|rule| rule.is_about(name) && !(rule.accepts)(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(name: &str, value: &str) -> bool {
        broken(name, value).is_some_and(|rule| rule.remedy.is_some())
    }

    #[test]
    fn whatever_loads_a_library_or_runs_a_command_is_refused_with_or_without_the_topic_prefix() {
        for name in [
            "plugin.library.paths",
            "ssl.engine.location",
            "ssl.engine.id",
            "ssl.providers",
            "internal.termination.signal",
            "sasl.kerberos.kinit.cmd",
            "interceptors",
            "opaque",
            "default_topic_conf",
            "dr_msg_cb",
            "partitioner_cb",
            "open_cb",
            "test.mock.num.brokers",
            "ut_handle_ProduceResponse",
        ] {
            assert!(is_refused(name, "1"), "{name}");
            assert!(is_refused(&format!("topic.{name}"), "1"), "topic.{name}");
        }
    }

    #[test]
    fn a_partitioner_is_accepted_only_when_the_key_alone_chooses_the_partition() {
        for good in BY_KEY {
            assert!(!is_refused("partitioner", good), "{good}");
        }
        for bad in ["random", "murmur", "", "RANDOM", "consistent "] {
            assert!(is_refused("partitioner", bad), "{bad}");
            assert!(is_refused("topic.partitioner", bad), "{bad}");
        }
    }

    #[test]
    fn what_is_free_or_warned_of_is_passed_on() {
        for (name, value) in [
            ("linger.ms", "5"),
            ("linger.ms", "5000"),
            ("linger.ms", "soon"),
            ("debug", ""),
            ("enable.sasl.oauthbearer.unsecure.jwt", "false"),
            ("retries", FOR_EVER),
            ("queuing.strategy", "fifo"),
            ("ssl.ca.location", "/a"),
            ("enable.ssl.certificate.verification", "true"),
            ("topic.metadata.refresh.interval.ms", "1000"),
            ("ssl.key.location", "/a"),
        ] {
            assert!(broken(name, value).is_none(), "{name}");
        }
        for (name, value) in [
            ("enable.ssl.certificate.verification", "false"),
            ("enable.ssl.certificate.verification", "0"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("delivery.timeout.ms", "1"),
            ("session.timeout.ms", "45000"),
            ("group.instance.id", "a"),
            ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
            ("enable.sasl.oauthbearer.unsecure.jwt", "TRUE"),
            ("linger.ms", "5000.5"),
            ("linger.ms", "900000"),
            ("queue.buffering.max.ms", "60000"),
            ("debug", "all"),
            ("debug", "security,broker"),
        ] {
            let rule = broken(name, value);
            assert!(rule.is_some_and(|rule| rule.remedy.is_none()), "{name}");
        }
        for (name, value) in [
            ("queuing.strategy", "lifo"),
            ("retries", "3"),
            ("message.send.max.retries", "0"),
            ("enable.gapless.guarantee", "true"),
            ("topic.acks", "1"),
            ("log.queue", "true"),
        ] {
            assert!(is_refused(name, value), "{name}");
        }
    }
}
