//! This process as a member of the consumer group that shares the ledger's partitions.
//!
//! librdkafka calls back on the thread that polls, so the member has a thread of its own. It reads nothing: each partition is
//! paused as soon as it is assigned. The group only says who works on what; it guards nothing.
//!
//! Invariants:
//! - A revoked partition is given back after the owner has confirmed it, or after a while. Its next owner fences it
//!   anyway, so a late confirmation costs a rejected transaction and no record.
//! - The cooperative protocol is the only one: a change of members touches only the partitions that move.
//! - Nobody waits without a limit for the end of a membership: librdkafka has hung in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::group_events::{GroupEvents, MembershipEvent};
use super::restart_pauses::RestartPauses;
use super::restore::passes;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::kafka::connection::Connection;
use crate::kafka::events::ClientEvents;
use crate::kafka::refusal;
use crate::settings::KafkaConnection;

/// Between two looks at what is wanted.
const POLL: Duration = Duration::from_millis(100);
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
            place: Mutex::default(),
        };
        let config = connection.group_member(group, &self.client_id);
        let consumer: GroupConsumer = config.create_with_context(context)?;
        kafka.log_in(consumer.client());
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
                let look = || "look into the brokers' logs; incidentd keeps trying".to_owned();
                let remedy = match code {
                    // The same as for the connections that decide Kafka's state.
                    Code::Authentication | Code::SaslAuthenticationFailed => kafka
                        .problem()
                        .map_or_else(look, |problem| problem.remedy.into_owned()),
                    Code::InconsistentGroupProtocol => format!(
                        "another application is in the consumer group {group}: set ledger.group to a name that only incidentd has"
                    ),
                    _ => look(),
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

fn to_mend(what: String, remedy: String) -> Failure {
    Failure::new(Health::Misconfigured, Reaction::Slow, what, remedy)
}
