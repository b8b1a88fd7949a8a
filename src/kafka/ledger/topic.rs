//! The ledger's topic: made when it is missing, and looked at before it is used.
//!
//! The topic is compacted: Kafka keeps the last row of each key. Its number of partitions never changes, because the
//! partition of a tenant follows from it ([`crate::core::ownership::partition_of`]): with another number, tenants would be
//! looked for where their rows are not, and all their incidents would be published again. So a topic with another number
//! than the configured one is refused.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::broker_version::{self, VersionEvents};
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::client::drop_apart;
use crate::kafka::connection::{Connection, REACH};
use crate::kafka::events::ClientEvents;
use crate::kafka::refusal;
use crate::settings::{KafkaConnection, KafkaLedgerSettings};

/// Time limit of one request.
const ASK: Duration = Duration::from_secs(5);
/// Replicas in the proposed command, where the cluster has as many brokers.
const REPLICAS: usize = 3;

/// The settings of a new topic, and why.
const SETTINGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    // Only closed segments are compacted. A day keeps a restore short also where little is written.
    ("segment.ms", "86400000"),
    ("segment.bytes", "104857600"),
    // Compaction begins when this part of the log is not compacted yet: less to read at each restore.
    ("min.cleanable.dirty.ratio", "0.2"),
    // A week: also where so little is written that this part is never reached.
    ("max.compaction.lag.ms", "604800000"),
];

/// Between two looks at a topic that was just made.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long librdkafka may take to say what it has learned of a broker.
const SAID: Duration = Duration::from_secs(1);

/// Why the topic can't be used.
pub(super) enum TopicError {
    /// It is worth asking again.
    Passing(Failure),
    /// The daemon must not use it.
    Unfit(Failure),
}

/// What Kafka has under the topic's name.
pub(super) struct TopicLook {
    pub(super) partitions: Option<usize>,
    error: Option<Code>,
    brokers: usize,
    /// The newest request for a producer's id that the brokers take, if librdkafka says so.
    pub(super) producer_ids: Option<i16>,
}

/// Looks at the topic, and makes it when it is missing.
pub(super) async fn prepare(
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<(), TopicError> {
    let admin = administration(connection, kafka).await?;
    let prepared = prepare_with(&admin, settings, connection, kafka).await;
    drop_apart(admin);
    prepared
}

async fn prepare_with(
    admin: &AdminClient<ClientEvents>,
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<(), TopicError> {
    let Some(brokers) = missing(admin, settings, connection, kafka).await? else {
        return Ok(());
    };
    create(admin, settings, kafka, brokers).await?;
    // Another replica may have been faster, with other settings. A new topic is not known to each broker at once.
    let began = Instant::now();
    while missing(admin, settings, connection, kafka).await?.is_some() {
        if began.elapsed() > ASK {
            return Err(passing(
                format!(
                    "the ledger's topic {} was made, and is not there yet",
                    settings.topic
                ),
                "nothing to do: incidentd looks again",
            ));
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Looks at the topic, and makes nothing. `Some`: it is missing, and this command makes it.
pub(super) async fn inspect(
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<Option<String>, TopicError> {
    let admin = administration(connection, kafka).await?;
    let brokers = missing(&admin, settings, connection, kafka).await;
    drop_apart(admin);
    Ok(brokers?.map(|brokers| create_command(settings, kafka, brokers)))
}

/// Its end blocks the thread that drops it.
async fn administration(
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<AdminClient<ClientEvents>, TopicError> {
    kafka.can_log_in().await.map_err(TopicError::Passing)?;
    let events = ClientEvents::asking(kafka);
    let made = connection.administration().create_with_context(events);
    let admin: AdminClient<_> = made.map_err(|error| no_client(connection, error))?;
    kafka.log_in(admin.inner());
    Ok(admin)
}

fn no_client(connection: &KafkaConnection, error: ClientError) -> TopicError {
    passing(
        connection.explain(error).to_string(),
        "correct [kafka.properties]",
    )
}

/// The number of brokers, when the topic is missing.
async fn missing(
    admin: &AdminClient<ClientEvents>,
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<Option<usize>, TopicError> {
    let found = look(settings, connection, kafka).await?;
    broker_version::check(found.producer_ids).map_err(TopicError::Passing)?;
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

pub(super) async fn look(
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
    kafka: &Arc<Connection>,
) -> Result<TopicLook, TopicError> {
    // Not the client of the administration: nobody serves its log.
    let mut config = connection.restoring_consumer("read_committed");
    VersionEvents::enable(&mut config);
    let events = VersionEvents::new(ClientEvents::asking(kafka));
    let consumer: BaseConsumer<VersionEvents> = config
        .create_with_context(events)
        .map_err(|error| no_client(connection, error))?;
    kafka.log_in(consumer.client());
    let topic = settings.topic.clone();
    let known = Arc::clone(kafka);
    let asked = spawn_blocking(move || {
        let asked = consumer.fetch_metadata(Some(&topic), ASK).map(|metadata| {
            let found = metadata.topics().first();
            let versions = consumer.context();
            poll_until(&consumer, || versions.newest().is_some());
            TopicLook {
                partitions: found.map(|topic| topic.partitions().len()),
                error: found.and_then(|topic| topic.error()).map(Code::from),
                brokers: metadata.brokers().len(),
                producer_ids: versions.newest(),
            }
        });
        if asked.is_err() {
            // The request ends before the client says why it can't connect.
            poll_until(&consumer, || known.problem().is_some());
        }
        drop_apart(consumer);
        asked
    });
    match asked.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            let what = "Kafka does not show the ledger's topic";
            Err(unanswered(kafka, what, &error.to_string()))
        }
        Err(_) => Err(passing("the daemon stops", "nothing to do")),
    }
}

/// Serves what librdkafka has to say, until it has said this.
fn poll_until(consumer: &BaseConsumer<VersionEvents>, is_said: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_said() && began.elapsed() < SAID {
        let _ = consumer.poll(LOOK_AGAIN);
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
    let unknown = |why: String| {
        let what = "Kafka does not show the settings of the ledger's topic";
        unanswered(kafka, what, &why)
    };
    let answers = match timeout(2 * ASK, asked).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return Err(unknown(error.to_string())),
        Err(_) => return Err(unknown("no answer".to_owned())),
    };
    let policy = match answers.into_iter().next() {
        Some(Ok(found)) => found.get("cleanup.policy").and_then(|it| it.value.clone()),
        Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) | None => None,
        Some(Err(code)) => return Err(unknown(code.to_string())),
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
            Some(Err((_, Code::TopicAlreadyExists))) => return Ok(()),
            Some(Ok(_)) | None => Ok(()),
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

/// Kafka did not answer. If the connection says why, that is said: the request itself only runs out of time.
fn unanswered(kafka: &Connection, what: &str, error: &str) -> TopicError {
    match kafka.problem() {
        Some(problem) => passing(format!("{what}: {}", problem.what), problem.remedy),
        None => passing(format!("{what}: {}", kafka.fit(error)), REACH),
    }
}

fn passing(what: impl Into<String>, remedy: impl Into<String>) -> TopicError {
    TopicError::Passing(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        what,
        remedy,
    ))
}
