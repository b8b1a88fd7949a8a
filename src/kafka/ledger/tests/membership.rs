use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::kafka::ledger::group_events::MembershipEvent;
use crate::kafka::ledger::membership::{Membership, MembershipSetup};

/// A member, and what it owns by its events. It confirms revocations at once.
struct Member {
    membership: Membership,
    events: mpsc::Receiver<MembershipEvent>,
    owned: BTreeSet<u16>,
    joined: bool,
}

impl Member {
    fn join(brokers: &str, topic: &str, group: &str) -> Self {
        let of = setup(brokers, topic, 0);
        let (sender, events) = mpsc::channel(64);
        let setup = MembershipSetup {
            connection: of.connection,
            kafka: of.kafka,
            topic: of.topic,
            group: Arc::from(group),
        };
        Self {
            membership: Membership::start(setup, sender).expect("a thread"),
            events,
            owned: BTreeSet::new(),
            joined: false,
        }
    }

    async fn next(&mut self) {
        let event = timeout(LIMIT, self.events.recv()).await.expect("in time");
        match event.expect("it lives") {
            MembershipEvent::Joined { .. } => self.joined = true,
            MembershipEvent::Assigned(new) => {
                for partition in new {
                    assert!(self.owned.insert(partition), "{partition} twice");
                }
            }
            MembershipEvent::Revoked { partitions, done } => {
                for partition in partitions {
                    assert!(self.owned.remove(&partition), "{partition} was not owned");
                    done.send(partition).expect("awaited");
                }
            }
            MembershipEvent::Lost(lost) => {
                for partition in lost {
                    self.owned.remove(&partition);
                }
            }
            MembershipEvent::Lapsed => self.joined = false,
            MembershipEvent::Failed(failure) => panic!("{failure:?}"),
        }
    }

    async fn owns(&mut self, count: usize) {
        while self.owned.len() != count {
            self.next().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_partitions_and_one_that_leaves_gives_them_back() {
    let (brokers, ledger, _) = topics().await;
    let group = unique("group");
    let mut first = Member::join(&brokers, &ledger, &group);
    first.owns(4).await;
    let mut second = Member::join(&brokers, &ledger, &group);
    tokio::join!(first.owns(2), second.owns(2));
    assert!(first.owned.is_disjoint(&second.owned));
    let left = Instant::now();
    first.membership.leave();
    tokio::join!(first.owns(0), second.owns(4));
    println!("taken over within {:?}", left.elapsed());
    assert!(
        left.elapsed() < Duration::from_secs(12),
        "{:?}",
        left.elapsed()
    );
    let mut beats = first.membership.beats();
    let ended = async { while beats.changed().await.is_ok() {} };
    timeout(LIMIT, ended).await.expect("the thread ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_joins_again_gets_partitions_again() {
    let (brokers, ledger, _) = topics().await;
    let mut member = Member::join(&brokers, &ledger, &unique("group"));
    member.owns(4).await;
    member.membership.rejoin();
    member.owns(0).await;
    member.owns(4).await;
    assert!(member.joined);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_beats_and_leaves_while_kafka_is_away() {
    let member = Member::join("127.0.0.1:1", "ledger", "group");
    let mut beats = member.membership.beats();
    for _ in 0..3 {
        timeout(LIMIT, beats.changed())
            .await
            .expect("in time")
            .expect("a beat");
    }
    member.membership.leave();
    let ended = async { while beats.changed().await.is_ok() {} };
    timeout(Duration::from_secs(20), ended)
        .await
        .expect("the thread ends");
}
