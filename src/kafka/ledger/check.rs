//! What `incidentd check` finds out about a ledger in Kafka: its topic, the transactional ids and the consumer group.
//!
//! A running daemon is not disturbed. The transaction has an id of its own, which no partition has, so that it fences nobody; and
//! it is aborted, so that nobody reads its row. The group is only looked at: a member of it would get partitions.

use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureRecord, Producer};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use uuid::Uuid;

use super::log::PartitionLogError;
use super::log_error::{not_made, of_error};
use super::look::{LedgerTopic, failure_of, missing};
use super::setup::TRANSACTION_LIMIT;
use super::topic::{self, TopicError};
use crate::core::health::failure::Failure;
use crate::kafka::client::drop_apart;
use crate::kafka::events::ClientEvents;
use crate::kafka::inspect::{TopicSeen, Write};
use crate::kafka::queue::{Client, enqueue};
use crate::kafka::refusal;
use crate::settings::{KafkaConnection, KafkaLedgerSettings};

/// Time limit of one request.
const ASK: Duration = Duration::from_secs(10);
/// Marks the row of the transaction that is aborted.
const KEY: &[u8] = b"incidentd-check";

/// Ends within its own time limits.
pub(crate) async fn inspect_ledger(
    settings: &KafkaLedgerSettings,
    connection: &KafkaConnection,
) -> TopicSeen {
    let ledger = LedgerTopic::new(settings, connection);
    let mut seen = TopicSeen {
        name: settings.topic.clone(),
        failure: None,
        partitions: 0,
        max_record: None,
        write: Write::Unknown("the topic can't be used".to_owned()),
        notes: Vec::new(),
    };
    let kafka = &ledger.setup.kafka;
    match topic::inspect(settings, connection, kafka).await {
        Ok(None) => seen.partitions = settings.partitions.into(),
        Ok(Some(command)) => seen.failure = Some(missing(&settings.topic, &command)),
        Err(TopicError::Passing(failure) | TopicError::Unfit(failure)) => {
            seen.failure = Some(failure);
        }
    }
    if seen.failure.is_some() {
        return seen;
    }
    let id = ledger.check_id();
    match ledger.try_transaction(&id).await {
        Ok(()) => {
            seen.write = Write::Allowed;
            seen.notes.push(format!(
                "incidentd wrote to it in a transaction of its own ({id}), which it aborted: nothing is left that a daemon reads"
            ));
        }
        Err(failure) => {
            seen.write = Write::Refused;
            seen.failure = Some(failure);
            return seen;
        }
    }
    let others = spawn_blocking(move || ledger.may_read().and_then(|()| ledger.members()));
    if let Ok(Err(failure)) = others.await {
        seen.failure = Some(failure);
    }
    seen
}

impl LedgerTopic {
    /// No partition has this transactional id, and no other check.
    fn check_id(&self) -> String {
        format!("{}-check-{}", self.setup.group, Uuid::new_v4().simple())
    }

    async fn try_transaction(&self, id: &str) -> Result<(), Failure> {
        let setup = &self.setup;
        let config = setup
            .connection
            .transactional_producer(id, TRANSACTION_LIMIT);
        let made = config.create_with_context(ClientEvents::aside(&setup.kafka));
        let producer: Client = made.map_err(|error| failure_of(setup, not_made(setup, error)))?;
        setup.kafka.log_in(producer.client());
        let tried = self.write_and_abort(&producer).await;
        drop_apart(producer);
        tried.map_err(|error| failure_of(setup, error))
    }

    async fn write_and_abort(&self, producer: &Client) -> Result<(), PartitionLogError> {
        let setup = &self.setup;
        let meant = |error: &ClientError| match refusal::code(error) {
            Code::TopicAuthorizationFailed => PartitionLogError::Failed(refusal::of_topic(
                &setup.kafka,
                &setup.topic,
                refusal::code(error),
            )),
            code => {
                // librdkafka's fatal error says more, where there is one.
                let fatal = producer.client().fatal_error();
                let (code, why) = fatal.unwrap_or_else(|| (code, error.to_string()));
                of_error(setup, code, &why)
            }
        };
        let begun = blocking(producer, |producer| {
            producer.init_transactions(ASK)?;
            producer.begin_transaction()
        });
        begun.await.map_err(|error| meant(&error))?;
        let row = FutureRecord::to(&setup.topic).partition(0).key(KEY);
        let row: FutureRecord<'_, [u8], [u8]> = row.payload(&[]);
        let written = async {
            let delivery = enqueue(producer, row).await?;
            match timeout(TRANSACTION_LIMIT + ASK, delivery).await {
                Ok(Ok(Ok(_))) => Ok(()),
                Ok(Ok(Err((error, _)))) => Err(error),
                Ok(Err(_)) | Err(_) => Err(ClientError::Canceled),
            }
        };
        let written = written.await;
        let aborted = blocking(producer, |producer| producer.abort_transaction(ASK)).await;
        written.and(aborted).map_err(|error| meant(&error))
    }
}

async fn blocking(
    producer: &Client,
    work: impl FnOnce(&Client) -> Result<(), ClientError> + Send + 'static,
) -> Result<(), ClientError> {
    let producer = producer.clone();
    let done = spawn_blocking(move || work(&producer)).await;
    // Cancelled only when the runtime stops.
    done.unwrap_or(Err(ClientError::Canceled))
}
