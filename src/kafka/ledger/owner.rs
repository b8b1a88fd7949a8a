//! Owns partitions of the ledger's topic: follows the consumer group and the workers, and does what
//! [`OwnershipMachine`] decides.
//!
//! One task does this. Everybody else reads: a sweep asks [`Owned`] for its tenant's partition, and the runtime follows
//! [`Ownership`].
//!
//! Failure modes: a worker whose transaction fails is replaced by one that fences and restores again, after a pause that
//! grows while this goes on. One that another process has fenced is not replaced: the process leaves the group and joins it
//! again. While Kafka is away, workers wait in their fence, and no tenant is swept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::membership::{Membership, MembershipEvent};
use super::owned::{Owned, OwnedPartition};
use super::worker::{Worker, WorkerEvent, WorkerNews, WorkerSetup};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ownership::{
    Ownership, OwnershipAction, OwnershipInput, OwnershipMachine, PartitionStage,
};

/// The pauses between a failed worker and the next: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long the process waits until it has left the group. If it ends before, its partitions wait for the session timeout.
const LEAVING: Duration = Duration::from_secs(3);
/// After this time without a failure, the next one counts as the first.
const CALM: Duration = Duration::from_secs(120);

/// A worker that is at work, or that is started when its pause is over.
enum PartitionWork {
    Running(Worker),
    Paused { epoch: u64, until: Instant },
}

pub(super) struct LedgerOwner {
    setup: WorkerSetup,
    count: u16,
    machine: OwnershipMachine,
    owned: Arc<Owned>,
    ownership: watch::Sender<Ownership>,
    work: HashMap<u16, PartitionWork>,
    /// How often each partition has failed in a row, and when it last did.
    failures: HashMap<u16, (u32, Instant)>,
    /// Confirmations that the group waits for.
    revocations: HashMap<u16, std::sync::mpsc::SyncSender<u16>>,
    membership: Membership,
    workers: mpsc::Sender<WorkerEvent>,
}

/// What the owner's task receives.
pub(super) struct OwnerEvents {
    pub(super) membership: mpsc::Receiver<MembershipEvent>,
    pub(super) workers: mpsc::Receiver<WorkerEvent>,
    /// Partitions for whose tenants nothing runs any more.
    pub(super) at_rest: mpsc::Receiver<u16>,
}

impl LedgerOwner {
    pub(super) fn new(
        setup: WorkerSetup,
        count: u16,
        shared: (Arc<Owned>, watch::Sender<Ownership>),
        membership: Membership,
        workers: mpsc::Sender<WorkerEvent>,
    ) -> Self {
        let (owned, ownership) = shared;
        Self {
            setup,
            count,
            machine: OwnershipMachine::default(),
            owned,
            ownership,
            work: HashMap::new(),
            failures: HashMap::new(),
            revocations: HashMap::new(),
            membership,
            workers,
        }
    }

    /// Runs until `closing`, which comes after the last sweep has ended. Then gives everything up, so that others can take
    /// it over at once.
    pub(super) async fn run(mut self, mut events: OwnerEvents, closing: CancellationToken) {
        loop {
            let due = self.next_start();
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                Some(event) = events.membership.recv() => self.member_event(event),
                Some(event) = events.workers.recv() => self.worker_event(event),
                Some(partition) = events.at_rest.recv() => self.feed(OwnershipInput::AtRest { partition }),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.start_due(),
            }
            self.publish();
        }
        self.feed(OwnershipInput::Stop);
        for (partition, _) in self.machine.stages() {
            self.feed(OwnershipInput::AtRest { partition });
        }
        // Nobody confirms a revocation any more.
        drop(events);
        self.membership.leave();
        if timeout(LEAVING, self.membership.left()).await.is_err() {
            tracing::debug!(target: "incidentd::kafka", "the process ends before it has left the consumer group");
        }
    }

    fn member_event(&mut self, event: MembershipEvent) {
        match event {
            MembershipEvent::Joined { member } => {
                self.owned.view.write().member = Some(member);
            }
            MembershipEvent::Assigned(partitions) => {
                if !partitions.is_empty() {
                    tracing::info!(
                        ?partitions,
                        "the consumer group assigned partitions of the ledger"
                    );
                }
                self.owned.show(None);
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
                self.feed(OwnershipInput::Lost(partitions));
            }
            MembershipEvent::Failed(failure) => self.owned.show(Some(failure)),
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
                self.owned
                    .view
                    .write()
                    .restoring
                    .insert(partition, (rows, end));
            }
            WorkerNews::Restored => {
                if let Some(PartitionWork::Running(worker)) = self.work.get(&partition) {
                    let owned = OwnedPartition {
                        epoch,
                        memory: worker.memory(),
                        commits: worker.commits(),
                    };
                    self.owned.partitions.write().insert(partition, owned);
                }
                self.feed(OwnershipInput::Restored { partition, epoch });
            }
            WorkerNews::Failed(failure) => {
                self.count_failure(partition);
                self.note(failure);
                self.feed(OwnershipInput::Failed { partition, epoch });
            }
            WorkerNews::TakenOver(why) => {
                tracing::warn!(
                    partition,
                    why,
                    "another process has fenced a partition of the ledger; nothing is published twice or lost, and this process \
                     joins the consumer group again"
                );
                self.owned.view.write().fenced += 1;
                self.feed(OwnershipInput::TakenOver { partition, epoch });
            }
        }
    }

    fn feed(&mut self, input: OwnershipInput) {
        for action in self.machine.on(input) {
            match action {
                OwnershipAction::Start { partition, epoch } => {
                    self.give_up(partition);
                    let until = Instant::now() + self.pause(partition);
                    self.work
                        .insert(partition, PartitionWork::Paused { epoch, until });
                    self.start_due();
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
                OwnershipAction::Rejoin => self.membership.rejoin(),
            }
        }
    }

    /// Readers first: nobody may begin to write with a worker that ends.
    fn give_up(&mut self, partition: u16) {
        self.owned.partitions.write().remove(&partition);
        if let Some(PartitionWork::Running(worker)) = self.work.remove(&partition) {
            worker.end();
        }
    }

    fn next_start(&self) -> Option<Instant> {
        let paused = self.work.values().filter_map(|work| match work {
            PartitionWork::Paused { until, .. } => Some(*until),
            PartitionWork::Running(_) => None,
        });
        paused.min()
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        let due: Vec<(u16, u64)> = self
            .work
            .iter()
            .filter_map(|(partition, work)| match work {
                PartitionWork::Paused { epoch, until } if *until <= now => {
                    Some((*partition, *epoch))
                }
                _ => None,
            })
            .collect();
        for (partition, epoch) in due {
            let setup = WorkerSetup {
                partition,
                epoch,
                ..self.setup.clone()
            };
            match Worker::start(setup, self.workers.clone()) {
                Ok(worker) => {
                    self.work.insert(partition, PartitionWork::Running(worker));
                }
                Err(error) => {
                    // No thread can be made.
                    self.count_failure(partition);
                    let until = now + self.pause(partition);
                    self.work
                        .insert(partition, PartitionWork::Paused { epoch, until });
                    self.note(no_thread(&error));
                }
            }
        }
    }

    fn count_failure(&mut self, partition: u16) {
        self.owned.view.write().failed += 1;
        let now = Instant::now();
        let (count, last) = self.failures.entry(partition).or_insert((0, now));
        if now - *last > CALM {
            *count = 0;
        }
        (*count, *last) = (*count + 1, now);
    }

    fn pause(&self, partition: u16) -> Duration {
        let (first, longest) = PAUSE;
        match self.failures.get(&partition) {
            Some((count, last)) if last.elapsed() <= CALM => {
                longest.min(first * 2_u32.saturating_pow(count - 1))
            }
            _ => Duration::ZERO,
        }
    }

    /// Shows a failure, and logs it when it is a new one.
    fn note(&mut self, failure: Failure) {
        let mut view = self.owned.view.write();
        if view.problem.as_ref().map(|known| &known.what) != Some(&failure.what) {
            tracing::warn!(error = %failure, remedy = failure.remedy,
                "a partition of the ledger failed; it is fenced and read again, and nothing is lost");
        }
        view.problem = Some(failure);
    }

    /// Shows the stages to the runtime and the status.
    fn publish(&mut self) {
        let stages = self.machine.stages();
        {
            let mut view = self.owned.view.write();
            if view.stages != stages {
                let waits =
                    |stage| matches!(stage, PartitionStage::Fencing | PartitionStage::Restoring);
                let waited = view.stages.iter().any(|(_, stage)| waits(*stage));
                if waited && self.machine.all_restored() && !stages.is_empty() {
                    tracing::info!(
                        partitions = stages.len(),
                        versions = self.owned.versions(),
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
            count: self.count,
            stages: stages.into_iter().collect(),
        };
        self.ownership.send_if_modified(|was| {
            let changed = *was != now;
            *was = now;
            changed
        });
    }
}

fn no_thread(error: &std::io::Error) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("no thread can be made for a partition of the ledger: {error}"),
        "raise the limit on threads (TasksMax= of systemd, ulimit -u, or pids.max of the container)",
    )
}
