use std::sync::atomic::AtomicU64;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;
use crate::core::ownership::Ownership;
use crate::kafka::ledger::commits::CommitError;
use crate::kafka::ledger::membership::{Membership, MembershipSetup};
use crate::kafka::ledger::owned::{Owned, OwnedPartition};
use crate::kafka::ledger::owner::{LedgerOwner, OwnerEvents, OwnerSetup};
use crate::kafka::ledger::worker::WorkerEvent;
use crate::kafka::ledger::workers::Workers;
use crate::ports::LedgerEntry;
use crate::settings::KafkaLedgerSettings;

/// How long a worker may make no step.
const STILL: Duration = Duration::from_secs(6);

/// Starts what owns the four partitions of the topic, until `closing`.
fn start(brokers: &str, topic: &str, closing: CancellationToken) -> Arc<Owned> {
    let worker = setup(brokers, topic, 0);
    let (members, membership) = mpsc::channel(64);
    let (workers, worker_events) = mpsc::channel(64);
    let (_, at_rest) = mpsc::channel(1);
    let member = MembershipSetup {
        connection: worker.connection.clone(),
        kafka: worker.kafka.clone(),
        topic: worker.topic.clone(),
        group: worker.group.clone(),
    };
    let owned = Arc::<Owned>::default();
    let owner = LedgerOwner::new(OwnerSetup {
        settings: KafkaLedgerSettings {
            topic: worker.topic.clone(),
            group: worker.group.clone(),
            partitions: worker.count,
        },
        worker,
        owned: owned.clone(),
        ownership: watch::Sender::new(Ownership::All),
        unfit: watch::Sender::new(None),
        membership: Membership::start(member, members).expect("a thread"),
        workers,
        still: STILL,
    });
    let events = OwnerEvents {
        membership,
        workers: worker_events,
        at_rest,
    };
    tokio::spawn(owner.run(events, closing));
    owned
}

/// The partition once it is active, in a later start than `after`.
async fn restored(owned: &Owned, partition: u16, after: u64) -> OwnedPartition {
    let found = async {
        loop {
            match owned.get(partition) {
                Some(found) if found.epoch > after => return found,
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    timeout(LIMIT, found).await.expect("in time")
}

async fn commit(owned: &OwnedPartition, topic: &str, key: usize) -> Result<(), CommitError> {
    let entry = LedgerEntry::of(TenantId::from_bytes([1; 16]));
    let records = vec![Arc::unwrap_or_clone(record(topic, key, 10))];
    let committed = owned.commits.commit(records, entry);
    timeout(LIMIT, committed).await.expect("in time")
}

/// The call that does not return is the lock of the memory, which a worker takes after a commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_is_replaced_and_what_it_has_not_answered_is_lost() {
    let (brokers, ledger, records) = topics().await;
    let closing = CancellationToken::new();
    let owned = start(&brokers, &ledger, closing.clone());
    let first = restored(&owned, 2, 0).await;
    let other = restored(&owned, 3, 0).await;
    commit(&first, &records, 1).await.expect("committed");

    let (hold, hangs) = std::sync::mpsc::channel::<()>();
    let (memory, held) = (first.memory.clone(), Instant::now());
    let holding = std::thread::spawn(move || {
        let _hangs = memory.read();
        let _ = hangs.recv();
    });
    let unanswered = commit(&first, &records, 2).await;
    assert!(
        matches!(unanswered, Err(CommitError::Lost)),
        "{unanswered:?}"
    );
    let after = held.elapsed();
    println!("the commit was lost after {after:?}");
    assert!(after >= STILL, "{after:?}");
    let problem = owned.view().problem.expect("it is shown");
    assert!(
        problem.what.contains("has not returned for 6 s"),
        "{problem:?}"
    );

    let second = restored(&owned, 2, first.epoch).await;
    commit(&second, &records, 3).await.expect("committed");
    assert_eq!(restored(&owned, 3, 0).await.epoch, other.epoch, "it moves");
    assert_eq!(owned.view().failed, 1);
    drop(hold);
    holding.join().expect("no panic");
    closing.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_starts_beside_too_many_threads_that_hang() {
    let mut workers = Workers::new(1);
    let (events, _news) = mpsc::channel(64);
    let mut start = || workers_start(&mut workers, &events);
    let first = start().expect("the first");
    let second = start().expect("its successor");
    let failure = start().expect_err("two have not ended");
    assert!(failure.remedy.contains("restart"), "{failure:?}");
    drop((first, second));
    let deadline = Instant::now() + LIMIT;
    while start().is_err() {
        assert!(Instant::now() < deadline, "no thread has ended");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Starts a worker in place of the one before. As long as what is returned is held, its thread seems to hang.
fn workers_start(
    workers: &mut Workers,
    events: &mpsc::Sender<WorkerEvent>,
) -> Result<Arc<AtomicU64>, Failure> {
    workers.plan(0, 1);
    workers.start(setup("127.0.0.1:1", "ledger", 0), events.clone())?;
    let thread = workers.running(0).expect("it runs").thread();
    Ok(thread.upgrade().expect("it has not ended"))
}
