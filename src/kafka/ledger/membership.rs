//! This process as a member of the consumer group that shares the ledger's partitions.
//!
//! librdkafka calls back on the thread that polls, so the member has a thread of its own. It reads nothing: each partition is
//! paused as soon as it is assigned. The group only says who works on what; it guards nothing.
//!
//! Invariants:
//! - A revoked partition is given back after the owner has confirmed it, or after [`PATIENCE`]. Its next owner fences it
//!   anyway, so a late confirmation costs a rejected transaction and no record.
//! - The cooperative protocol is the only one: a change of members touches only the partitions that move.
//! - Nobody waits without a limit for the end of a membership: librdkafka has hung in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::restart_pauses::RestartPauses;
use super::restore::passes;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::kafka::connection::Connection;
use crate::kafka::events::ClientEvents;
use crate::kafka::refusal;
use crate::settings::KafkaConnection;

/// Between two looks at what is wanted.
const POLL: Duration = Duration::from_millis(100);
/// How long a revocation waits for the sweeps of its tenants. The next owners wait for it, too. It is far below
/// `max.poll.interval.ms`, after which librdkafka would leave the group; heartbeats go on meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a membership may take before the next one begins without waiting for it.
const CLOSE: Duration = Duration::from_secs(15);
/// Pauses before the group is joined again, from the first one on. They count from this many in a row.
const REJOIN_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));
const REJOINS: u32 = 3;
/// Between two tries to make a client.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct MembershipSetup {
    pub(super) connection: KafkaConnection,
    pub(super) kafka: Arc<Connection>,
    pub(super) topic: Arc<str>,
    pub(super) group: Arc<str>,
}

pub(super) enum MembershipEvent {
    /// The group has answered, under this client id.
    Joined {
        member: String,
    },
    /// These partitions are given to this process, besides those that it has.
    Assigned(Vec<u16>),
    /// These are taken away. `done` gets each when nothing works on it any more.
    Revoked {
        partitions: Vec<u16>,
        done: SyncSender<u16>,
    },
    /// Others have these already.
    Lost(Vec<u16>),
    Failed(Failure),
}

const STAY: u8 = 0;
const REJOIN: u8 = 1;
const LEAVE: u8 = 2;

pub(super) struct Membership {
    wish: Arc<AtomicU8>,
    beats: watch::Receiver<u64>,
}

impl Membership {
    /// Joins the group, and stays in it until [`Membership::leave`].
    ///
    /// # Errors
    /// No thread can be made.
    pub(super) fn start(
        setup: MembershipSetup,
        events: mpsc::Sender<MembershipEvent>,
    ) -> std::io::Result<Self> {
        let wish = Arc::new(AtomicU8::new(STAY));
        let (beat, beats) = watch::channel(0);
        let member = Member {
            client_id: format!("incidentd-{}", Uuid::new_v4().simple()),
            setup,
            events,
            wish: wish.clone(),
            beat,
        };
        thread::Builder::new()
            .name("ledger-group".to_owned())
            .spawn(move || member.run())?;
        Ok(Self { wish, beats })
    }

    /// Leaves the group and joins it again: what it assigns then is new.
    pub(super) fn rejoin(&self) {
        // A stop is not undone.
        let _ = self
            .wish
            .compare_exchange(STAY, REJOIN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Leaves the group. [`Membership::beats`] ends when that is done.
    pub(super) fn leave(&self) {
        self.wish.store(LEAVE, Ordering::Release);
    }

    /// Waits until the group is left.
    pub(super) async fn left(&self) {
        let mut beats = self.beats();
        while beats.changed().await.is_ok() {}
    }

    /// Counts the member's polls.
    pub(super) fn beats(&self) -> watch::Receiver<u64> {
        self.beats.clone()
    }
}

/// The thread's own.
struct Member {
    setup: MembershipSetup,
    client_id: String,
    events: mpsc::Sender<MembershipEvent>,
    wish: Arc<AtomicU8>,
    beat: watch::Sender<u64>,
}

type GroupConsumer = BaseConsumer<GroupEvents>;

impl Member {
    fn run(self) {
        let mut rejoins = RestartPauses::new(REJOIN_PAUSE.0, REJOIN_PAUSE.1);
        while self.wish.load(Ordering::Acquire) != LEAVE {
            match self.join() {
                Ok(consumer) => {
                    self.poll(&consumer);
                    self.close(consumer);
                    if self.wish.load(Ordering::Acquire) == REJOIN {
                        let count = rejoins.count(0);
                        self.pause(count, rejoins.of(0));
                    }
                }
                Err(error) => {
                    let why = self.setup.connection.explain(error);
                    self.fail(to_mend(
                        format!("this process can't join a consumer group: {why}"),
                        "correct [kafka.properties]".to_owned(),
                    ));
                    self.rest(RETRY);
                }
            }
            let _ = self
                .wish
                .compare_exchange(REJOIN, STAY, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    fn join(&self) -> Result<GroupConsumer, ClientError> {
        let MembershipSetup {
            connection,
            kafka,
            topic,
            group,
        } = &self.setup;
        let context = GroupEvents {
            client: ClientEvents::aside(kafka),
            events: self.events.clone(),
            member: self.client_id.clone(),
        };
        let config = connection.group_member(group, &self.client_id);
        let consumer: GroupConsumer = config.create_with_context(context)?;
        consumer.subscribe(&[topic])?;
        Ok(consumer)
    }

    fn poll(&self, consumer: &GroupConsumer) {
        while self.wish.load(Ordering::Acquire) == STAY {
            // Rows that arrive before a partition is paused are dropped: the restore reads them.
            if let Some(Err(error)) = consumer.poll(POLL)
                && let Some(failure) = self.failure(&error)
            {
                self.fail(failure);
            }
            self.beat.send_modify(|beats| *beats += 1);
        }
    }

    /// What an operator has to mend. librdkafka tries again by itself.
    fn failure(&self, error: &ClientError) -> Option<Failure> {
        let MembershipSetup {
            kafka,
            topic,
            group,
            ..
        } = &self.setup;
        let (what, right) = match refusal::code(error) {
            code if passes(error) && code != Code::GroupAuthorizationFailed => return None,
            // What librdkafka reports while members come and go.
            Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::NoOffset
            | Code::AutoOffsetReset
            | Code::PollExceeded => return None,
            Code::GroupAuthorizationFailed => (
                format!("Kafka does not let incidentd join the consumer group {group}"),
                format!("--operation Read --group {group}"),
            ),
            Code::TopicAuthorizationFailed => (
                format!("Kafka does not let incidentd read the ledger's topic {topic}"),
                format!("--operation Read --operation Describe --topic {topic}"),
            ),
            code => {
                let remedy = match code {
                    Code::InconsistentGroupProtocol => format!(
                        "another application is in the consumer group {group}: set ledger.group to a name that only incidentd has"
                    ),
                    _ => "look into the brokers' logs; incidentd keeps trying".to_owned(),
                };
                let what = format!(
                    "this process can't join the consumer group {group}: {}",
                    kafka.fit(&error.to_string())
                );
                return Some(to_mend(what, remedy));
            }
        };
        let remedy = format!("grant it: {}", refusal::acls(kafka.brokers(), &right));
        Some(to_mend(what, remedy))
    }

    fn fail(&self, failure: Failure) {
        // Fails only after the owner has ended.
        let _ = self.events.blocking_send(MembershipEvent::Failed(failure));
    }

    /// Leaves the group. The revocation that this causes is reported as any other.
    fn close(&self, consumer: GroupConsumer) {
        let (closed, wait) = sync_channel(1);
        let closing = thread::Builder::new().name("ledger-group-end".to_owned());
        // If no thread can be made, the closure is dropped here, and the consumer with it.
        let _ = closing.spawn(move || {
            drop(consumer);
            // The member may have stopped waiting.
            let _: Result<(), _> = closed.send(());
        });
        let began = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(POLL) {
            if began.elapsed() > CLOSE {
                tracing::warn!(
                    "librdkafka does not leave the consumer group; the group drops this member by itself"
                );
                return;
            }
            self.beat.send_modify(|beats| *beats += 1);
        }
    }

    /// Who is fenced again and again by somebody whom the group does not know only disturbs.
    fn pause(&self, rejoins: u32, pause: Duration) {
        if rejoins < REJOINS {
            return;
        }
        let group = &self.setup.group;
        self.fail(to_mend(
            "another process takes over partitions of the ledger again and again, and the consumer group does not know it".to_owned(),
            format!(
                "look for another deployment that uses the group {group} with another ledger.topic, and give each a group and a topic of \
                 its own"
            ),
        ));
        self.rest(pause);
    }

    fn rest(&self, pause: Duration) {
        let began = Instant::now();
        while began.elapsed() < pause && self.wish.load(Ordering::Acquire) != LEAVE {
            thread::park_timeout(POLL);
            self.beat.send_modify(|beats| *beats += 1);
        }
    }
}

/// Receives librdkafka's events, on the thread that polls or closes the consumer.
struct GroupEvents {
    client: ClientEvents,
    events: mpsc::Sender<MembershipEvent>,
    member: String,
}

impl GroupEvents {
    fn tell(&self, event: MembershipEvent) {
        // Fails only after the owner has ended.
        let _ = self.events.blocking_send(event);
    }

    /// Waits until the owner has confirmed each of them.
    fn revoke(&self, partitions: Vec<u16>) {
        let mut left = partitions.len();
        let (done, confirmed) = sync_channel(left);
        self.tell(MembershipEvent::Revoked { partitions, done });
        let deadline = Instant::now() + PATIENCE;
        while left > 0 {
            let wait = deadline.saturating_duration_since(Instant::now());
            match confirmed.recv_timeout(wait) {
                Ok(_) => left -= 1,
                Err(RecvTimeoutError::Timeout) => {
                    tracing::warn!(
                        partitions = left,
                        "sweeps did not come to rest before their partitions of the ledger were given back; their next owner \
                         fences them, and nothing is published twice"
                    );
                    return;
                }
                // The owner has ended.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

impl ClientContext for GroupEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ConsumerContext for GroupEvents {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = change else {
            return;
        };
        let partitions = numbers(list);
        match consumer.assignment_lost() {
            true => self.tell(MembershipEvent::Lost(partitions)),
            false => self.revoke(partitions),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        match change {
            Rebalance::Assign(list) => {
                if let Err(error) = consumer.pause(list) {
                    // It costs what is read for nothing.
                    tracing::debug!(target: "incidentd::kafka", %error, "partitions are not paused");
                }
                let member = self.member.clone();
                self.tell(MembershipEvent::Joined { member });
                self.tell(MembershipEvent::Assigned(numbers(list)));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => {
                tracing::debug!(target: "incidentd::kafka", %error, "a rebalance failed");
            }
        }
    }
}

fn to_mend(what: String, remedy: String) -> Failure {
    Failure::new(Health::Misconfigured, Reaction::Slow, what, remedy)
}

fn numbers(list: &TopicPartitionList) -> Vec<u16> {
    let elements = list.elements();
    let numbers = elements
        .iter()
        .map(|element| u16::try_from(element.partition()));
    numbers.filter_map(Result::ok).collect()
}
