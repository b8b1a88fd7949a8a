//! Owns partitions of the ledger's topic: follows the consumer group and the workers, and does what
//! [`OwnershipMachine`] decides.
//!
//! One task does this. Everybody else reads: a sweep asks [`Owned`] for its tenant's partition, and the runtime follows
//! [`Ownership`].
//!
//! Failure modes: a worker whose transaction fails is replaced by one that fences and restores again, after a pause that
//! grows while this goes on. So is one that hangs in a call of librdkafka. One that another process has fenced is not replaced:
//! the process leaves the group and joins it again. While Kafka is away, workers wait in their fence, and no tenant is swept.
//! The topic is looked at before a worker starts, and once a minute: nothing may be written to one that has been deleted or
//! altered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::group_events::MembershipEvent;
use super::log_error::hanging;
use super::look::{check_partitions, gone};
use super::membership::Membership;
use super::owned::{Owned, OwnedPartition};
use super::topic::{self, TopicError};
use super::worker::{WorkerEvent, WorkerNews, WorkerSetup};
use super::workers::{Workers, between_looks};
use crate::core::health::failure::{Failure, Health};
use crate::core::ownership::{
    Ownership, OwnershipAction, OwnershipInput, OwnershipMachine, PartitionStage,
};
use crate::settings::KafkaLedgerSettings;

/// Between two log lines about a restore.
const TELL: Duration = Duration::from_secs(10);
/// How long the process waits until it has left the group. If it ends before, its partitions wait for the session timeout.
const LEAVING: Duration = Duration::from_secs(3);
/// Between two looks at a topic that is in use: somebody may let Kafka delete rows from it, and no transaction shows that.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks at a topic that can't be used now.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What an owner is made of.
pub(super) struct OwnerSetup {
    pub(super) worker: WorkerSetup,
    pub(super) settings: KafkaLedgerSettings,
    pub(super) owned: Arc<Owned>,
    pub(super) ownership: watch::Sender<Ownership>,
    /// Why the topic can never be used as it is.
    pub(super) unfit: watch::Sender<Option<Failure>>,
    pub(super) membership: Membership,
    pub(super) workers: mpsc::Sender<WorkerEvent>,
    /// How long a worker may make no step.
    pub(super) still: Duration,
}

pub(super) struct LedgerOwner {
    setup: OwnerSetup,
    machine: OwnershipMachine,
    workers: Workers,
    /// The look at the topic before workers start: it may have been deleted or altered since the last one.
    looking: JoinSet<Result<Option<String>, TopicError>>,
    /// When the log last had the progress of a restore.
    told: Instant,
    /// Confirmations that the group waits for.
    revocations: HashMap<u16, std::sync::mpsc::SyncSender<u16>>,
}

/// What the owner's task receives.
pub(super) struct OwnerEvents {
    pub(super) membership: mpsc::Receiver<MembershipEvent>,
    pub(super) workers: mpsc::Receiver<WorkerEvent>,
    /// Partitions for whose tenants nothing runs any more.
    pub(super) at_rest: mpsc::Receiver<u16>,
}

impl LedgerOwner {
    pub(super) fn new(setup: OwnerSetup) -> Self {
        Self {
            workers: Workers::new(setup.settings.partitions),
            setup,
            machine: OwnershipMachine::default(),
            looking: JoinSet::new(),
            told: Instant::now(),
            revocations: HashMap::new(),
        }
    }

    /// Runs until `closing`, which comes after the last sweep has ended. Then gives everything up, so that others can take
    /// it over at once.
    pub(super) async fn run(mut self, mut events: OwnerEvents, closing: CancellationToken) {
        let mut watch = interval(between_looks(self.setup.still));
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first look was before the group was joined.
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.next_start();
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                Some(event) = events.membership.recv() => self.member_event(event),
                Some(event) = events.workers.recv() => self.worker_event(event),
                Some(partition) = events.at_rest.recv() => self.feed(OwnershipInput::AtRest { partition }),
                Some(looked) = self.looking.join_next() => self.looked(looked),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.look(),
                _ = watch.tick() => self.watch(),
                _ = look.tick(), if self.looking.is_empty() => self.look(),
            }
            self.publish();
        }
        self.feed(OwnershipInput::Stop);
        for (partition, _) in self.machine.stages() {
            self.feed(OwnershipInput::AtRest { partition });
        }
        // Nobody confirms a revocation any more.
        drop(events);
        self.setup.membership.leave();
        if timeout(LEAVING, self.setup.membership.left())
            .await
            .is_err()
        {
            tracing::debug!(target: "incidentd::kafka", "the process ends before it has left the consumer group");
        }
    }

    fn member_event(&mut self, event: MembershipEvent) {
        match event {
            MembershipEvent::Joined { member } => {
                self.setup.owned.member(Some(member));
            }
            MembershipEvent::Assigned(partitions) => {
                if !partitions.is_empty() {
                    tracing::info!(
                        ?partitions,
                        "the consumer group assigned partitions of the ledger"
                    );
                }
                self.setup.owned.show(None);
                self.feed(OwnershipInput::Assigned(partitions));
            }
            MembershipEvent::Revoked { partitions, done } => {
                if !partitions.is_empty() {
                    tracing::info!(
                        ?partitions,
                        "the consumer group takes partitions of the ledger back"
                    );
                }
                let waits = partitions
                    .iter()
                    .map(|partition| (*partition, done.clone()));
                self.revocations.extend(waits);
                self.feed(OwnershipInput::Revoked(partitions));
            }
            MembershipEvent::Lost(partitions) => {
                tracing::warn!(
                    ?partitions,
                    "the consumer group gave partitions of the ledger to others: this process was away for longer than the \
                     session timeout; nothing is lost, and it joins again"
                );
                self.setup.owned.member(None);
                self.feed(OwnershipInput::Lost(partitions));
            }
            // What it owns it keeps until the group says otherwise.
            MembershipEvent::Lapsed if self.machine.stages().is_empty() => {
                self.setup.owned.member(None);
            }
            MembershipEvent::Lapsed => {}
            MembershipEvent::Failed(failure) => self.setup.owned.show(Some(failure)),
        }
    }

    fn worker_event(&mut self, event: WorkerEvent) {
        let WorkerEvent {
            partition,
            epoch,
            news,
        } = event;
        if self.machine.epoch(partition) != Some(epoch) {
            return;
        }
        match news {
            WorkerNews::Fenced => self.feed(OwnershipInput::Fenced { partition, epoch }),
            WorkerNews::Progress { rows, end } => {
                let mut view = self.setup.owned.view.write();
                view.restoring.insert(partition, (rows, end));
                if self.told.elapsed() > TELL {
                    self.told = Instant::now();
                    let rows: u64 = view.restoring.values().map(|(rows, _)| rows).sum();
                    tracing::info!(
                        partitions = view.restoring.len(),
                        rows,
                        "partitions of the ledger are being read"
                    );
                }
            }
            WorkerNews::Restored => {
                if let Some(worker) = self.workers.running(partition) {
                    let owned = OwnedPartition {
                        epoch,
                        memory: worker.memory(),
                        commits: worker.commits(),
                    };
                    self.setup.owned.partitions.write().insert(partition, owned);
                }
                self.feed(OwnershipInput::Restored { partition, epoch });
            }
            WorkerNews::HeldUp(failure) => self.note(failure),
            WorkerNews::Unfit(failure) => {
                self.setup.unfit.send_replace(Some(failure.clone()));
                self.failed(partition, epoch, failure);
            }
            WorkerNews::Failed(failure) => self.failed(partition, epoch, failure),
            WorkerNews::TakenOver(why) => {
                tracing::warn!(
                    partition,
                    why,
                    "another process has fenced a partition of the ledger; nothing is published twice or lost, and this process \
                     joins the consumer group again"
                );
                self.setup.owned.view.write().fenced += 1;
                self.feed(OwnershipInput::TakenOver { partition, epoch });
            }
        }
    }

    fn feed(&mut self, input: OwnershipInput) {
        for action in self.machine.on(input) {
            match action {
                OwnershipAction::Start { partition, epoch } => {
                    self.give_up(partition);
                    self.workers.plan(partition, epoch);
                }
                OwnershipAction::End { partition } => self.give_up(partition),
                // The runtime follows the stage.
                OwnershipAction::Release { .. } => {}
                OwnershipAction::Confirm { partition } => {
                    if let Some(done) = self.revocations.remove(&partition) {
                        // The group may have stopped waiting.
                        let _ = done.send(partition);
                    }
                }
                OwnershipAction::Rejoin => {
                    self.setup.owned.member(None);
                    self.setup.membership.rejoin();
                }
            }
        }
    }

    /// Readers first: nobody may begin to write with a worker that ends.
    fn give_up(&mut self, partition: u16) {
        self.setup.owned.partitions.write().remove(&partition);
        self.workers.end(partition);
    }

    /// When a partition may start. `None` also while the topic is looked at.
    fn next_start(&self) -> Option<Instant> {
        match self.looking.is_empty() {
            true => self.workers.next_start(),
            false => None,
        }
    }

    /// Replaces workers that hang.
    fn watch(&mut self) {
        for partition in self.workers.hanging() {
            if let Some(epoch) = self.machine.epoch(partition) {
                let failure = hanging(&self.setup.worker, partition, self.setup.still);
                self.failed(partition, epoch, failure);
            }
        }
    }

    fn look(&mut self) {
        let (settings, worker) = (self.setup.settings.clone(), self.setup.worker.clone());
        self.looking.spawn(async move {
            let missing = topic::inspect(&settings, &worker.connection, &worker.kafka).await?;
            if missing.is_none() {
                check_partitions(worker).await?;
            }
            Ok(missing)
        });
    }

    fn looked(&mut self, looked: Result<Result<Option<String>, TopicError>, JoinError>) {
        let failure = match looked {
            Ok(Ok(None)) => return self.start_due(),
            Ok(Ok(Some(command))) => gone(&self.setup.settings.topic, &command),
            Ok(Err(TopicError::Passing(failure))) => failure,
            Ok(Err(TopicError::Unfit(failure))) => {
                self.setup.unfit.send_replace(Some(failure.clone()));
                failure
            }
            // The daemon stops.
            Err(_) => return,
        };
        // What passes does not disturb partitions that work.
        if self.workers.next_start().is_none() {
            return;
        }
        self.workers.not_before(Instant::now() + LOOK_AGAIN);
        // While Kafka is away, the last failure of a partition says more, and stays the same.
        let is_known = self.setup.owned.view.read().problem.is_some();
        if !is_known || failure.health == Health::Misconfigured {
            self.note(failure);
        }
    }

    fn start_due(&mut self) {
        for (partition, epoch) in self.workers.due() {
            let setup = WorkerSetup {
                partition,
                epoch,
                ..self.setup.worker.clone()
            };
            if let Err(failure) = self.workers.start(setup, self.setup.workers.clone()) {
                self.setup.owned.view.write().failed += 1;
                self.note(failure);
            }
        }
    }

    fn failed(&mut self, partition: u16, epoch: u64, failure: Failure) {
        self.setup.owned.view.write().failed += 1;
        self.workers.count_failure(partition);
        self.note(failure);
        self.feed(OwnershipInput::Failed { partition, epoch });
    }

    /// Shows a failure, and logs it when it is a new one.
    fn note(&mut self, failure: Failure) {
        let mut view = self.setup.owned.view.write();
        if view.problem.as_ref().map(|known| &known.what) != Some(&failure.what) {
            tracing::warn!(error = %failure, remedy = failure.remedy,
                "a partition of the ledger does not work");
        }
        view.problem = Some(failure);
    }

    /// Shows the stages to the runtime and the status.
    fn publish(&mut self) {
        let stages = self.machine.stages();
        {
            let mut view = self.setup.owned.view.write();
            if view.stages != stages {
                let waits =
                    |stage| matches!(stage, PartitionStage::Fencing | PartitionStage::Restoring);
                let waited = view.stages.iter().any(|(_, stage)| waits(*stage));
                if waited && self.machine.all_restored() && !stages.is_empty() {
                    tracing::info!(
                        partitions = stages.len(),
                        versions = self.setup.owned.versions(),
                        "all partitions of the ledger that this process has are restored"
                    );
                }
                view.restoring.retain(|partition, _| {
                    stages
                        .iter()
                        .any(|(of, stage)| of == partition && waits(*stage))
                });
                view.stages.clone_from(&stages);
            }
            if self.machine.all_restored() {
                view.problem = None;
            }
        }
        let now = Ownership::Partitions {
            count: self.setup.settings.partitions,
            stages: stages.into_iter().collect(),
        };
        self.setup.ownership.send_if_modified(|was| {
            let changed = *was != now;
            *was = now;
            changed
        });
    }
}
