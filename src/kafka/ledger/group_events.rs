//! What the consumer group does with this process, as librdkafka tells it on the thread that polls or closes the consumer.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::core::health::failure::Failure;
use crate::kafka::events::{ClientEvents, GivenToken};

/// How long a revocation waits for the sweeps of its tenants. The next owners wait for it, too. It is far below
/// `max.poll.interval.ms`, after which librdkafka would leave the group; heartbeats go on meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a rebalance may take. It waits for members that are away until their session times out, after 15 s.
const REBALANCE: Duration = Duration::from_secs(30);

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
    /// The group has not counted this process among its members for a while.
    Lapsed,
    Failed(Failure),
}

/// Receives librdkafka's events.
pub(super) struct GroupEvents {
    pub(super) client: ClientEvents,
    pub(super) events: mpsc::Sender<MembershipEvent>,
    pub(super) member: String,
    pub(super) place: Mutex<GroupPlace>,
}

/// Whether this process has its place in the group. librdkafka calls back about partitions only: a member that has none would
/// not learn that the group is gone.
#[derive(Default)]
pub(super) struct GroupPlace {
    without_since: Option<Instant>,
    is_lapsed: bool,
}

impl GroupPlace {
    /// Takes what librdkafka shows now. Returns what has changed: whether there is a place.
    fn look(&mut self, is_member: bool) -> Option<bool> {
        if is_member {
            self.without_since = None;
            return std::mem::take(&mut self.is_lapsed).then_some(true);
        }
        let since = *self.without_since.get_or_insert_with(Instant::now);
        if self.is_lapsed || since.elapsed() < REBALANCE {
            return None;
        }
        self.is_lapsed = true;
        Some(false)
    }
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
    fn generate_oauth_token(&self, config: Option<&str>) -> GivenToken {
        self.client.generate_oauth_token(config)
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.client.stats_raw(statistics);
        let is_member = self.client.statistics().now().is_member;
        let changed = self.place.lock().look(is_member);
        match changed {
            Some(true) => self.tell(MembershipEvent::Joined {
                member: self.member.clone(),
            }),
            Some(false) => self.tell(MembershipEvent::Lapsed),
            None => {}
        }
    }

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

fn numbers(list: &TopicPartitionList) -> Vec<u16> {
    let elements = list.elements();
    let numbers = elements
        .iter()
        .map(|element| u16::try_from(element.partition()));
    numbers.filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_lapses_after_a_long_rebalance_and_comes_back() {
        let mut place = GroupPlace::default();
        assert_eq!(place.look(false), None, "the first join");
        assert_eq!(place.look(true), None);
        assert_eq!(place.look(false), None, "a rebalance");
        advance(REBALANCE / 2).await;
        assert_eq!(place.look(false), None);
        advance(REBALANCE / 2).await;
        assert_eq!(place.look(false), Some(false));
        assert_eq!(place.look(false), None, "once");
        assert_eq!(place.look(true), Some(true));
        assert_eq!(place.look(true), None, "once");
    }
}
