//! The whole ledger in one hand, for an import: every partition is fenced and restored as its owner does it.
//!
//! A daemon that starts meanwhile fences the import in its turn. Then a write fails, and nothing is written any more.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::log::PartitionLogError;
use super::log_error::of_row;
use super::look::{LedgerTopic, check_partitions, failure_of};
use super::partition::{Commit, PartitionError, PartitionLedger};
use super::setup::WorkerSetup;
use super::topic::{self, TopicError};
use super::transactional::TransactionalLog;
use crate::core::health::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::ports::LedgerEntry;

struct FencedPartition {
    setup: WorkerSetup,
    ledger: Mutex<PartitionLedger<TransactionalLog>>,
}

/// See the module's documentation.
pub(crate) struct FencedLedger {
    topic: LedgerTopic,
    partitions: Arc<Vec<FencedPartition>>,
}

impl LedgerTopic {
    /// Makes the topic when it is missing.
    pub(crate) async fn prepare(&self) -> Result<(), Failure> {
        let (connection, kafka) = (&self.setup.connection, &self.setup.kafka);
        let prepared = async {
            topic::prepare(&self.settings, connection, kafka).await?;
            check_partitions(self.setup.clone()).await
        };
        prepared.await.map_err(|error| match error {
            TopicError::Passing(failure) | TopicError::Unfit(failure) => failure,
        })
    }

    /// Fences every partition: whatever owns one writes nothing any more. Blocks.
    pub(crate) fn fence(self) -> Result<FencedLedger, Failure> {
        let partitions = thread::scope(|scope| {
            let open = |partition| {
                let setup = self.setup.partition(partition);
                scope.spawn(move || FencedPartition::open(setup))
            };
            // All at once: most of the time is spent waiting for Kafka.
            let opening: Vec<_> = (0..self.settings.partitions).map(open).collect();
            let opened = opening.into_iter().map(|thread| {
                let opened = thread.join();
                opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            opened.collect::<Result<Vec<_>, Failure>>()
        })?;
        let partitions = Arc::new(partitions);
        serve(Arc::downgrade(&partitions));
        Ok(FencedLedger {
            topic: self,
            partitions,
        })
    }
}

impl FencedPartition {
    fn open(setup: WorkerSetup) -> Result<Self, Failure> {
        let mut ledger = PartitionLedger::new(TransactionalLog::new(setup.clone()));
        let stopped = || setup.go_on().is_err();
        let opened = ledger.open(&stopped, &mut |_| {});
        let opened = opened.and_then(|()| match setup.partition {
            0 => ledger.pin(setup.count, &stopped),
            _ => Ok(()),
        });
        opened.map_err(|error| of_partition(&setup, error))?;
        Ok(Self {
            setup,
            ledger: Mutex::new(ledger),
        })
    }
}

impl FencedLedger {
    pub(crate) fn state(&self, tenant: TenantId) -> Option<TenantState> {
        self.partition(tenant)?
            .ledger
            .lock()
            .memory()
            .read()
            .state(tenant)
    }

    pub(crate) fn known(&self, tenant: TenantId, ids: &[IncidentId]) -> Vec<Option<Seen>> {
        let memory = self.partition(tenant).map(|it| it.ledger.lock().memory());
        memory.map_or_else(Vec::new, |memory| memory.read().known(tenant, ids))
    }

    pub(crate) fn letters(&self, tenant: TenantId) -> Vec<(ContentHash, Letter)> {
        let memory = self.partition(tenant).map(|it| it.ledger.lock().memory());
        memory.map_or_else(Vec::new, |memory| memory.read().letters(tenant))
    }

    /// Writes entries of different tenants, those of each partition in one transaction, and no record. Blocks.
    pub(crate) fn write(&self, entries: Vec<LedgerEntry>) -> Result<(), Failure> {
        let mut commits: Vec<Vec<Commit>> = Vec::new();
        commits.resize_with(self.partitions.len(), Vec::new);
        for entry in entries {
            let partition = usize::from(self.topic.partition_of(entry.tenant));
            if let Some(of) = commits.get_mut(partition) {
                let records = Vec::new();
                of.push(Commit { records, entry });
            }
        }
        let commits = self.partitions.iter().zip(commits);
        for (partition, commits) in commits.filter(|(_, commits)| !commits.is_empty()) {
            let written = partition.ledger.lock().commit(commits, &|| false);
            written.map_err(|error| of_partition(&partition.setup, error))?;
        }
        Ok(())
    }

    fn partition(&self, tenant: TenantId) -> Option<&FencedPartition> {
        let partition = self.topic.partition_of(tenant);
        self.partitions.get(usize::from(partition))
    }
}

fn of_partition(setup: &WorkerSetup, error: PartitionError) -> Failure {
    let error = match error {
        PartitionError::Log(error) => error,
        PartitionError::Row(error) => of_row(setup, &error),
        PartitionError::Refused { failure, .. } => PartitionLogError::Failed(failure),
        PartitionError::NotOpen => PartitionLogError::Stopped,
    };
    failure_of(setup, error)
}

/// Takes what librdkafka reports for as long as the ledger is fenced: an import may wait for its input, and the reports would fill
/// the memory.
fn serve(partitions: Weak<Vec<FencedPartition>>) {
    let serving = thread::Builder::new().name("ledger-import".to_owned());
    // Without a thread the import only needs more memory.
    let _ = serving.spawn(move || {
        while let Some(partitions) = partitions.upgrade() {
            for partition in &*partitions {
                if let Some(ledger) = partition.ledger.try_lock() {
                    // The next write finds what is wrong.
                    let _ = ledger.log().idle();
                }
            }
            drop(partitions);
            thread::park_timeout(Duration::from_secs(1));
        }
    });
}
