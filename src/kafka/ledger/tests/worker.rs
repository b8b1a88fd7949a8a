use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::*;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::version::{ContentHash, Forms, Phase, Seen};
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::kafka::ledger::commits::{CommitError, CommitQueue, CommitRequest};
use crate::kafka::ledger::worker::{Worker, WorkerEvent, WorkerNews};
use crate::ports::LedgerEntry;

pub(super) type Answer = oneshot::Receiver<Result<(), CommitError>>;

fn tenant(number: u8) -> TenantId {
    TenantId::from_bytes([number; 16])
}

fn id(number: u64) -> IncidentId {
    IncidentId(number)
}

/// One version of a tenant, and its record.
fn request(topic: &str, of: u8, incident: u64, size: usize) -> (CommitRequest, Answer) {
    let (reply, answer) = oneshot::channel();
    let mut entry = LedgerEntry::of(tenant(of));
    let seen = Seen {
        updated: Ticks(1),
        phase: Phase::Open,
        forms: Forms::NONE.and(ContentHash(incident)),
        origin: SourceKind::Graph,
        whole: true,
    };
    entry.seen.push((id(incident), seen));
    let record = Arc::unwrap_or_clone(record(topic, usize::from(of), size));
    let request = CommitRequest {
        records: vec![record],
        entry,
        reply,
    };
    (request, answer)
}

pub(super) fn commit(
    queue: &CommitQueue,
    topic: &str,
    of: u8,
    incident: u64,
    size: usize,
) -> Answer {
    let (request, answer) = request(topic, of, incident, size);
    queue.send(request).expect("the worker lives");
    answer
}

pub(super) async fn answer(answer: Answer) -> Result<(), CommitError> {
    let answered = timeout(LIMIT, answer).await.expect("in time");
    answered.unwrap_or(Err(CommitError::Lost))
}

pub(super) type Events = mpsc::Receiver<WorkerEvent>;

async fn next(events: &mut Events) -> WorkerNews {
    loop {
        let event = timeout(LIMIT, events.recv()).await.expect("in time");
        match event.expect("an event").news {
            WorkerNews::Progress { .. } => {}
            news => return news,
        }
    }
}

/// A worker that has restored.
pub(super) async fn worker(setup: WorkerSetup) -> (Worker, Events) {
    let (sender, mut events) = mpsc::channel(64);
    let worker = Worker::start(setup, sender).expect("a thread");
    let news = next(&mut events).await;
    assert!(matches!(news, WorkerNews::Fenced), "{news:?}");
    let news = next(&mut events).await;
    assert!(matches!(news, WorkerNews::Restored), "{news:?}");
    (worker, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_in_the_memory_of_the_next_worker_which_takes_over() {
    let (brokers, ledger, records) = topics().await;
    let setup = setup(&brokers, &ledger, 3);
    let (first, mut events) = worker(setup.clone()).await;
    let answers: Vec<Answer> = (0..20)
        .map(|n| commit(&first.commits(), &records, n % 5, u64::from(n), 500))
        .collect();
    for one in answers {
        answer(one).await.expect("committed");
    }
    assert_eq!(first.memory().read().versions(), 20);
    let (second, _) = worker(setup).await;
    assert_eq!(second.memory().read().versions(), 20);
    let known = second.memory().read().known(tenant(3), &[id(3), id(4)]);
    assert!(known[0].is_some() && known[1].is_none(), "{known:?}");
    answer(commit(&second.commits(), &records, 1, 100, 10))
        .await
        .expect("committed");
    let late = answer(commit(&first.commits(), &records, 1, 101, 10)).await;
    assert!(matches!(late, Err(CommitError::Lost)), "{late:?}");
    let news = next(&mut events).await;
    assert!(matches!(news, WorkerNews::TakenOver(_)), "{news:?}");
    assert_eq!(first.memory().read().versions(), 20, "it was not committed");
    let found = blocking(move || read_all(&brokers, &records)).await;
    assert_eq!(found.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commit_is_told_why_and_the_others_of_its_transaction_are_lost() {
    let (brokers, ledger, records) = topics().await;
    let small = unique("small");
    create_topic(&brokers, &small, 1, &[("max.message.bytes", "2000")]).await;
    let (worker, mut events) = worker(setup(&brokers, &ledger, 0)).await;
    let good = commit(&worker.commits(), &records, 1, 1, 10);
    let bad = commit(&worker.commits(), &small, 2, 2, 5000);
    let refused = answer(bad).await;
    let Err(CommitError::Refused {
        topic,
        size,
        oversize: true,
        failure,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(*topic, *small);
    assert!(size > 5000, "{size}");
    assert!(failure.remedy.contains("max.message.bytes"), "{failure:?}");
    let news = next(&mut events).await;
    assert!(matches!(news, WorkerNews::Failed(_)), "{news:?}");
    // It was in the same transaction, or in one before.
    let known = worker.memory().read().known(tenant(1), &[id(1)])[0].is_some();
    assert_eq!(answer(good).await.is_ok(), known);
    assert!(worker.memory().read().known(tenant(2), &[id(2)])[0].is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_named_and_not_taken_for_a_slow_link() {
    let (brokers, ledger, records) = topics().await;
    let setup = setup(&brokers, &ledger, 0);
    let (worker, _) = worker(setup.clone()).await;
    let first = commit(&worker.commits(), &records, 1, 1, 10);
    answer(first).await.expect("committed");
    // Only a record that is alone on its way is known to be the reason.
    setup.become_careful();
    broker::delete_topic(&brokers, &records).await;
    let began = Instant::now();
    let refused = answer(commit(&worker.commits(), &records, 1, 2, 10)).await;
    println!("refused after {:?}", began.elapsed());
    let Err(CommitError::Refused {
        oversize: false,
        failure,
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    let create = format!("--create --topic {records}");
    assert!(failure.remedy.contains(&create), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_within_seconds_while_kafka_is_away() {
    let (sender, mut events) = mpsc::channel(64);
    let worker = Worker::start(setup("127.0.0.1:1", "ledger", 0), sender).expect("a thread");
    let queue = worker.commits();
    let waiting = commit(&queue, "t", 1, 1, 10);
    sleep(Duration::from_secs(1)).await;
    drop(worker);
    let lost = timeout(Duration::from_secs(5), waiting).await;
    assert!(lost.expect("in time").is_err());
    assert!(queue.send(request("t", 1, 1, 10).0).is_err());
    assert!(
        events.recv().await.is_none(),
        "an end that was asked for is no news"
    );
}

/// Threads and resident memory of this process, in kilobytes.
fn usage() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let number = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value
            .and_then(|value| value.parse().ok())
            .expect("a number")
    };
    (number("Threads:"), number("VmRSS:"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run it alone"]
async fn threads_and_memory_of_32_partitions() {
    let brokers = broker::shared();
    let (ledger, records) = (unique("ledger"), unique("records"));
    create_topic(&brokers, &ledger, 32, &[("cleanup.policy", "compact")]).await;
    create_topic(&brokers, &records, 4, &[]).await;
    let before = usage();
    let started = Instant::now();
    let mut workers = Vec::new();
    let (sender, mut events) = mpsc::channel(64);
    for partition in 0..32 {
        let setup = setup(&brokers, &ledger, partition);
        workers.push(Worker::start(setup, sender.clone()).expect("a thread"));
    }
    let mut restored = 0;
    while restored < 32 {
        restored += usize::from(matches!(next(&mut events).await, WorkerNews::Restored));
    }
    println!("32 partitions owned within {:?}", started.elapsed());
    sleep(Duration::from_secs(5)).await;
    let idle = usage();
    let started = Instant::now();
    let commits = 20;
    for n in 0..commits {
        let all: Vec<Answer> = workers
            .iter()
            .map(|worker| commit(&worker.commits(), &records, 1, n, 1000))
            .collect();
        for one in all {
            answer(one).await.expect("committed");
        }
    }
    println!(
        "{} commits of 32 partitions in {:?}",
        32 * commits,
        started.elapsed()
    );
    let busy = usage();
    println!(
        "threads: {} before, {} owning, {} busy",
        before.0, idle.0, busy.0
    );
    println!(
        "resident: {} kB before, {} kB owning, {} kB busy",
        before.1, idle.1, busy.1
    );
    let started = Instant::now();
    drop(workers);
    while usage().0 > before.0 + 8 && started.elapsed() < LIMIT {
        sleep(Duration::from_millis(50)).await;
    }
    println!("all ended within {:?}: {:?}", started.elapsed(), usage());
}
