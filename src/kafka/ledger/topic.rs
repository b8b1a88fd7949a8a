//! The ledger's topic: made when it is missing, and looked at before it is used.
//!
//! The topic is compacted: Kafka keeps the last row of each key. Its number of partitions never changes, because the
//! partition of a tenant follows from it ([`crate::core::ownership::partition_of`]): with another number, tenants would be
//! looked for where their rows are not, and all their incidents would be published again. So a topic with another number
//! than the configured one is refused.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::connection::{Connection, REACH};
use crate::kafka::events::ClientEvents;
use crate::kafka::refusal;
use crate::settings::{KafkaConnection, KafkaLedgerSettings};

/// Time limit of one request.
const ASK: Duration = Duration::from_secs(5);
/// Replicas in the proposed command, where the cluster has as many brokers.
const REPLICAS: usize = 3;

/// The settings of a new topic, and why.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    // Only closed segments are compacted. A day keeps a restore short also where little is written.
    ("segment.ms", "86400000"),
    ("segment.bytes", "104857600"),
    // Compaction begins when this part of the log is not compacted yet: less to read at each restore.
    ("min.cleanable.dirty.ratio", "0.2"),
];

/// Why the topic can't be used.
pub(super) enum TopicError {
    /// It is worth asking again.
    Passing(Failure),
    /// The daemon must not use it.
    Unfit(Failure),
}

/// What Kafka has under the topic's name.
struct TopicLook {
    partitions: Option<usize>,
    error: Option<Code>,
    brokers: usize,
}

/// Looks at the topic, and makes it when it is missing.
pub(super) async fn prepare(
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<(), TopicError> {
    let admin = administration(connection, kafka)?;
    match missing(&admin, settings, kafka).await? {
        Some(brokers) => create(&admin, settings, kafka, brokers).await,
        None => Ok(()),
    }
}

/// Looks at the topic, and makes nothing. `Some`: it is missing, and this command makes it.
pub(super) async fn inspect(
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<Option<String>, TopicError> {
    let admin = administration(connection, kafka)?;
    let brokers = missing(&admin, settings, kafka).await?;
    Ok(brokers.map(|brokers| create_command(settings, kafka, brokers)))
}

fn administration(
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<Arc<AdminClient<ClientEvents>>, TopicError> {
    let events = ClientEvents::aside(kafka);
    let admin = connection.administration().create_with_context(events);
    admin.map(Arc::new).map_err(|error| {
        passing(
            connection.explain(error).to_string(),
            "correct [kafka.properties]",
        )
    })
}

/// The number of brokers, when the topic is missing.
async fn missing(
    admin: &Arc<AdminClient<ClientEvents>>,
    settings: &KafkaLedgerSettings,
    kafka: &Arc<Connection>,
) -> Result<Option<usize>, TopicError> {
    let found = look(admin, settings, kafka).await?;
    match (found.error, found.partitions) {
        (None, Some(partitions)) => check_count(settings, partitions)?,
        (Some(code), _) if !refusal::is_unknown_topic(code) => {
            let of = refusal::of_topic(kafka, &settings.topic, code);
            return Err(TopicError::Passing(of));
        }
        _ => return Ok(Some(found.brokers)),
    }
    check_policy(admin, settings, kafka).await.map(|()| None)
}

async fn look(
    admin: &Arc<AdminClient<ClientEvents>>,
    settings: &KafkaLedgerSettings,
    kafka: &Connection,
) -> Result<TopicLook, TopicError> {
    let (admin, topic) = (admin.clone(), settings.topic.clone());
    let asked = spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), ASK)?;
        let found = metadata.topics().first();
        Ok::<_, ClientError>(TopicLook {
            partitions: found.map(|topic| topic.partitions().len()),
            error: found.and_then(|topic| topic.error()).map(Code::from),
            brokers: metadata.brokers().len(),
        })
    });
    match asked.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            let why = kafka.fit(&error.to_string());
            Err(passing(
                format!("Kafka does not show the ledger's topic: {why}"),
                REACH,
            ))
        }
        Err(_) => Err(passing("the daemon stops", "nothing to do")),
    }
}

fn check_count(settings: &KafkaLedgerSettings, found: usize) -> Result<(), TopicError> {
    let wanted = usize::from(settings.partitions);
    if found == wanted {
        return Ok(());
    }
    let topic = &settings.topic;
    Err(TopicError::Unfit(Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!(
            "the ledger's topic {topic} has {found} partitions, and ledger.partitions is {wanted}: with another number, tenants \
             would be looked for where their rows are not, and all their incidents would be published again"
        ),
        format!(
            "set ledger.partitions to {found} if the topic has always had as many; to change the number, export the ledger, and \
             import it into a new topic of {wanted} partitions (docs/operations.md)"
        ),
    )))
}

async fn check_policy(
    admin: &AdminClient<ClientEvents>,
    settings: &KafkaLedgerSettings,
    kafka: &Connection,
) -> Result<(), TopicError> {
    let topic = &*settings.topic;
    let wait = AdminOptions::new().request_timeout(Some(ASK));
    let of_topic = ResourceSpecifier::Topic(topic);
    let asked = admin.describe_configs([&of_topic], &wait);
    let policy = match timeout(2 * ASK, asked).await {
        Ok(Ok(answers)) => answers.into_iter().find_map(|answer| {
            let found = answer.ok()?;
            found.get("cleanup.policy")?.value.clone()
        }),
        _ => None,
    };
    let Some(policy) = policy else {
        tracing::info!(
            topic,
            "Kafka does not show the cleanup.policy of the ledger's topic; it has to be compact"
        );
        return Ok(());
    };
    let has = |wanted: &str| policy.split(',').any(|part| part.trim() == wanted);
    let (harm, mend) = match (has("compact"), has("delete")) {
        (true, false) => return Ok(()),
        (false, _) => (
            "Kafka would delete its rows, and their incidents would be published again",
            "compact it",
        ),
        (true, true) => ("Kafka would delete old rows, too", "only compact it"),
    };
    let brokers = kafka.brokers();
    Err(TopicError::Unfit(Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!("the ledger's topic {topic} has cleanup.policy={policy}: {harm}"),
        format!(
            "{mend}: kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topic} --add-config cleanup.policy=compact"
        ),
    )))
}

async fn create(
    admin: &AdminClient<ClientEvents>,
    settings: &KafkaLedgerSettings,
    kafka: &Connection,
    brokers: usize,
) -> Result<(), TopicError> {
    let topic = &*settings.topic;
    let partitions = i32::from(settings.partitions);
    // The brokers' default.replication.factor, as an operator has chosen it (KIP-464, Kafka 2.4).
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    for (name, value) in SETTINGS {
        new = new.set(name, value);
    }
    let wait = AdminOptions::new()
        .request_timeout(Some(ASK))
        .operation_timeout(Some(ASK));
    let made = match timeout(3 * ASK, admin.create_topics([&new], &wait)).await {
        Ok(Ok(results)) => match results.into_iter().next() {
            // Another replica was faster.
            Some(Err((_, Code::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
            Some(Err((_, code))) => Err(code.to_string()),
        },
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    };
    match made {
        Ok(()) => {
            tracing::info!(topic, partitions, "the ledger's topic was made");
            Ok(())
        }
        Err(why) => Err(passing(
            format!(
                "the ledger's topic {topic} does not exist, and Kafka does not let incidentd make it: {}",
                one_line(&why, 200)
            ),
            format!("create it: {}", create_command(settings, kafka, brokers)),
        )),
    }
}

/// The command that makes the topic.
pub(super) fn create_command(
    settings: &KafkaLedgerSettings,
    kafka: &Connection,
    brokers: usize,
) -> String {
    let configs = SETTINGS.iter();
    let configs: String = configs
        .map(|(name, value)| format!(" --config {name}={value}"))
        .collect();
    format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} --replication-factor {}{configs}",
        kafka.brokers(),
        settings.topic,
        settings.partitions,
        brokers.clamp(1, REPLICAS),
    )
}

fn passing(what: impl Into<String>, remedy: impl Into<String>) -> TopicError {
    TopicError::Passing(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        what,
        remedy,
    ))
}
