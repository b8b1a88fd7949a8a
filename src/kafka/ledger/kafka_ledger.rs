//! [`KafkaLedger`]: what `app` starts and the status shows.
//!
//! It waits until the topic can be used, joins the consumer group, and then owns what the group assigns ([`super::owner`]).
//! Sweeps read and write through [`super::tenant`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::look::check_partitions;
use super::membership::{Membership, MembershipSetup};
use super::owned::{Owned, OwnerView};
use super::owner::{LedgerOwner, OwnerEvents, OwnerSetup};
use super::tenant::{KafkaTenantLedger, TenantAccess};
use super::topic::{self, TopicError};
use super::unconfigured;
use super::worker::WorkerSetup;
use super::workers::STILL;
use crate::core::health::failure::Failure;
use crate::core::health::status::{
    OwnershipCounts, OwnershipStatus, PartState, PartStatus, PartitionStatus,
};
use crate::core::ids::TenantId;
use crate::core::ownership::{Ownership, PartitionStage};
use crate::kafka::KafkaPublisher;
use crate::ports::{Clock, Part, TenantLedger, TransactionalLedger};
use crate::settings::KafkaLedgerSettings;

/// Between two looks at a topic that can't be used yet.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Between two looks for tenants that left the configuration long ago.
const PRUNE: Duration = Duration::from_secs(3600);
/// After this time without the group, its coordinator is away.
const SILENT: Duration = Duration::from_secs(60);
/// Events that may wait for the owner. A thread that has more waits.
const EVENTS: usize = 64;

/// A ledger in a compacted topic of Kafka, shared by the members of a consumer group.
pub struct KafkaLedger {
    settings: KafkaLedgerSettings,
    access: Arc<TenantAccess>,
    ownership: watch::Sender<Ownership>,
    /// Partitions for whose tenants nothing runs any more, and their receiver until this runs.
    rested: mpsc::Sender<u16>,
    resting: Mutex<Option<mpsc::Receiver<u16>>>,
    /// Counts the polls of the group's thread.
    beats: watch::Sender<u64>,
    /// Why the topic can never be used as it is.
    unfit: watch::Sender<Option<Failure>>,
}

impl KafkaLedger {
    /// Uses no network; [`KafkaLedger::run`] does.
    pub fn new(settings: KafkaLedgerSettings, publisher: Arc<KafkaPublisher>) -> Self {
        let (rested, resting) = mpsc::channel(usize::from(settings.partitions));
        let none = Ownership::Partitions {
            count: settings.partitions,
            stages: BTreeMap::new(),
        };
        Self {
            access: Arc::new(TenantAccess::new(settings.partitions, publisher)),
            settings,
            ownership: watch::Sender::new(none),
            rested,
            resting: Mutex::new(Some(resting)),
            beats: watch::Sender::new(0),
            unfit: watch::Sender::new(None),
        }
    }

    /// Joins the consumer group, and owns what it assigns, until `closing`. That comes after the last sweep has ended.
    pub async fn run(&self, closing: CancellationToken) {
        self.owned().member(None);
        if closing.run_until_cancelled(self.prepare()).await != Some(true) {
            closing.cancelled().await;
            return;
        }
        let Some(at_rest) = self.resting.lock().take() else {
            return;
        };
        let (members, membership) = mpsc::channel(EVENTS);
        let (workers, worker_events) = mpsc::channel(EVENTS);
        let worker = self.worker();
        let setup = MembershipSetup {
            connection: worker.connection.clone(),
            kafka: worker.kafka.clone(),
            topic: worker.topic.clone(),
            group: worker.group.clone(),
        };
        let member = loop {
            match Membership::start(setup.clone(), members.clone()) {
                Ok(member) => break member,
                Err(error) => {
                    tracing::error!(%error, "no thread can be made for the consumer group")
                }
            }
            if closing
                .run_until_cancelled(sleep(LOOK_AGAIN))
                .await
                .is_none()
            {
                return;
            }
        };
        let events = OwnerEvents {
            membership,
            workers: worker_events,
            at_rest,
        };
        let mut polls = member.beats();
        let owner = LedgerOwner::new(OwnerSetup {
            worker,
            settings: self.settings.clone(),
            owned: self.owned().clone(),
            ownership: self.ownership.clone(),
            unfit: self.unfit.clone(),
            membership: member,
            workers,
            still: STILL,
        });
        let beats = async {
            while polls.changed().await.is_ok() {
                self.beats.send_replace(*polls.borrow_and_update());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = owner.run(events, closing) => {}
            () = beats => {}
        }
    }

    /// For the workers of all partitions.
    fn worker(&self) -> WorkerSetup {
        let (connection, kafka) = self.access.client_parts();
        let KafkaLedgerSettings {
            topic,
            group,
            partitions,
        } = self.settings.clone();
        WorkerSetup {
            connection,
            kafka,
            topic,
            group,
            partition: 0,
            count: partitions,
            epoch: 0,
            caution: Arc::default(),
            stop: CancellationToken::new(),
            steps: Arc::default(),
        }
    }

    /// Waits until the topic can be used. Returns whether it ever can.
    async fn prepare(&self) -> bool {
        loop {
            self.beats.send_modify(|beats| *beats += 1);
            let worker = self.worker();
            let prepared = topic::prepare(&self.settings, &worker.connection, &worker.kafka);
            let checked = async {
                prepared.await?;
                check_partitions(worker.clone()).await
            };
            match checked.await {
                Ok(()) => {
                    self.owned().show(None);
                    return true;
                }
                Err(TopicError::Passing(failure)) => self.owned().show(Some(failure)),
                Err(TopicError::Unfit(failure)) => {
                    self.owned().show(Some(failure.clone()));
                    self.unfit.send_replace(Some(failure));
                    return false;
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Removes tenants from the topic that left the configuration long ago, of the partitions that this process has.
    pub(crate) async fn prune(
        &self,
        mut configured: impl FnMut() -> HashSet<TenantId>,
        clock: Arc<dyn Clock>,
    ) {
        loop {
            sleep(PRUNE).await;
            let (configured, now) = (configured(), clock.now());
            for owned in self.owned().all() {
                let abandoned = owned.memory.read().abandoned(&configured, now);
                for tenant in abandoned {
                    tracing::info!(%tenant, "the ledger forgets a tenant that left the configuration long ago");
                    owned.commits.remove(tenant);
                }
            }
        }
    }

    /// Warns of tenants that this process has and that are not `configured`, after each restore.
    pub(crate) async fn warn_of_unconfigured(
        &self,
        configured: impl FnMut() -> HashSet<TenantId>,
        clock: Arc<dyn Clock>,
    ) {
        unconfigured::warn(self.owned(), self.ownership(), configured, &*clock).await;
    }

    /// What this process has now.
    pub(crate) fn ownership_status(&self) -> OwnershipStatus {
        let OwnerView {
            member,
            stages,
            fenced,
            failed,
            ..
        } = self.owned().view();
        let partitions = stages.into_iter();
        OwnershipStatus {
            partitions: partitions
                .map(|(id, state)| PartitionStatus { id, state })
                .collect(),
            member,
            counts: OwnershipCounts {
                all: self.settings.partitions,
                fenced,
                failed,
            },
        }
    }

    fn owned(&self) -> &Arc<Owned> {
        &self.access.owned
    }
}

impl TransactionalLedger for KafkaLedger {
    fn open(&self, tenant: TenantId) -> Result<Box<dyn TenantLedger>, Failure> {
        let tenant = KafkaTenantLedger::open(self.access.clone(), tenant)?;
        Ok(Box::new(tenant))
    }

    fn accepts<'a>(&'a self, topic: &'a Arc<str>) -> BoxFuture<'a, Result<(), Failure>> {
        self.access.accepts(topic).boxed()
    }

    fn limit<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, usize> {
        self.access.limit(topic).boxed()
    }

    fn ownership(&self) -> watch::Receiver<Ownership> {
        self.ownership.subscribe()
    }

    fn at_rest(&self, partition: u16) {
        // There is room for each partition. Fails only after the owner has ended.
        let _ = self.rested.try_send(partition);
    }
}

impl Part for KafkaLedger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn status(&self) -> PartStatus {
        let view = self.owned().view();
        let problem = view.outside.as_ref().or(view.problem.as_ref());
        let status = match (problem, waits_for(&view)) {
            _ if self.unfit.borrow().is_some() => {
                let unfit = self.unfit.borrow().clone();
                let (what, remedy) = unfit.map_or_else(Default::default, |it| (it.what, it.remedy));
                PartStatus::not_ok(PartState::Failed, what, remedy)
            }
            (Some(problem), _) => {
                let Failure { what, remedy, .. } = problem.clone();
                PartStatus::not_ok(PartState::Unavailable, what, remedy)
            }
            (None, Some(_)) if view.apart.is_some_and(|since| since.elapsed() > SILENT) => {
                PartStatus::not_ok(
                    PartState::Unavailable,
                    format!(
                        "the coordinator of the consumer group {} has not answered for more than {} s",
                        self.settings.group,
                        SILENT.as_secs()
                    ),
                    "see whether all brokers answer, and whether __consumer_offsets has a leader for each partition; nothing is lost, and \
                     it goes on by itself",
                )
            }
            (None, Some(what)) => PartStatus::not_ok(
                PartState::Starting,
                what,
                "nothing to do yet; if this lasts, see whether Kafka and its group coordinator answer",
            ),
            (None, None) => PartStatus::OK,
        };
        PartStatus {
            kind: Some("kafka"),
            versions: Some(self.owned().versions()),
            ..status
        }
    }

    fn ready(&self) -> Result<(), String> {
        let view = self.owned().view();
        let outside = view.outside.as_ref().map(|failure| failure.what.clone());
        match outside.or_else(|| waits_for(&view)) {
            Some(what) => Err(format!("waiting for the ledger: {what}")),
            None => Ok(()),
        }
    }

    /// The thread of the consumer group polls.
    fn alive(&self) -> BoxFuture<'_, bool> {
        let mut beats = self.beats.subscribe();
        async move { beats.changed().await.is_ok() }.boxed()
    }

    /// The topic is one that this process must not use.
    fn fatal(&self) -> BoxFuture<'_, String> {
        let mut unfit = self.unfit.subscribe();
        async move {
            let found = match unfit.wait_for(Option::is_some).await {
                Ok(failure) => failure.clone(),
                Err(_) => None,
            };
            match found {
                Some(failure) => format!("{}; {}", failure.what, failure.remedy),
                // Never: this holds the sender.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// What sweeps of this process wait for. `None`: nothing, also when it owns nothing.
fn waits_for(view: &OwnerView) -> Option<String> {
    if view.member.is_none() {
        return Some("this process has not joined the consumer group yet".to_owned());
    }
    let count = |stages: &[PartitionStage]| {
        let among = view
            .stages
            .iter()
            .filter(|(_, stage)| stages.contains(stage));
        among.count()
    };
    if count(&[PartitionStage::Lost]) > 0 {
        return Some(
            "another process took over; this one joins the consumer group again".to_owned(),
        );
    }
    let waiting = count(&[PartitionStage::Fencing, PartitionStage::Restoring]);
    if waiting == 0 {
        return None;
    }
    let (rows, end) = view
        .restoring
        .values()
        .fold((0, 0), |(rows, end), (r, e)| (rows + r, end + e));
    Some(format!(
        "{waiting} of {} partitions are being restored ({rows} rows read, up to offset {end})",
        view.stages.len()
    ))
}
