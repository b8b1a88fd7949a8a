use super::worker::{answer, commit, worker};
use super::*;
use crate::core::ids::{IncidentId, TenantId};
use crate::kafka::ledger::look::committed_before;

/// A daemon that runs replaces rows, and Kafka removes the old ones between the question for the end and the read.
#[tokio::test(flavor = "multi_thread")]
async fn what_compaction_removes_meanwhile_is_read_from_the_rows_that_replaced_it() {
    let brokers = broker::shared();
    let (ledger, records) = (unique("ledger"), unique("records"));
    let compacted_at_once = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.0"),
    ];
    create_topic(&brokers, &ledger, 1, &compacted_at_once).await;
    create_topic(&brokers, &records, 1, &[]).await;
    let setup = setup(&brokers, &ledger, 0);
    let (worker, _) = worker(setup.clone()).await;
    let write = || commit(&worker.commits(), &records, 1, 1, 10);
    answer(write()).await.expect("committed");
    let last = ends(&brokers, &ledger)[0];
    let deadline = Instant::now() + LIMIT;
    let is_there = || {
        let (brokers, ledger) = (brokers.clone(), ledger.clone());
        blocking(move || {
            let rows = read_all(&brokers, &ledger);
            rows.iter()
                .any(|row| row.offset < last && row.key.len() > "partitions".len())
        })
    };
    while is_there().await {
        assert!(Instant::now() < deadline, "the old row is not removed");
        answer(write()).await.expect("committed");
    }
    let read = blocking(move || committed_before(&setup, last)).await;
    let memory = read.expect("all is read");
    let known = memory.known(TenantId::from_bytes([1; 16]), &[IncidentId(1)]);
    assert!(known[0].is_some(), "the row is lost");
}
