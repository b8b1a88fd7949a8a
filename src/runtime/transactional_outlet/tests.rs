//! The outlet with a ledger in memory whose topic accepts only small records.

use parking_lot::Mutex;
use std::collections::HashSet;

use super::*;
use crate::core::time::ticks::Ticks;
use crate::runtime::fakes::Counts;
use crate::runtime::fakes::items::{incident, letter, short_encoder, tenant};

/// The largest record that its topics accept.
const LIMIT: usize = 20;

/// What each transaction wrote, whole.
#[derive(Default)]
struct Transactions(Mutex<Vec<(Vec<Record>, LedgerEntry)>>);

#[derive(Default)]
struct FakeLedger {
    written: Arc<Transactions>,
    absent: Arc<Mutex<HashSet<&'static str>>>,
    /// Refuses what is written to it. Then it counts as absent.
    refuses: Arc<Mutex<Option<&'static str>>>,
    /// The failure of every commit.
    fails: Arc<Mutex<Option<Failure>>>,
}

struct FakeTenantLedger {
    written: Arc<Transactions>,
    absent: Arc<Mutex<HashSet<&'static str>>>,
    refuses: Arc<Mutex<Option<&'static str>>>,
    fails: Arc<Mutex<Option<Failure>>>,
}

impl TransactionalLedger for FakeLedger {
    fn open(&self, _: TenantId) -> Result<Box<dyn TenantLedger>, Failure> {
        Ok(Box::new(FakeTenantLedger {
            written: self.written.clone(),
            absent: self.absent.clone(),
            refuses: self.refuses.clone(),
            fails: self.fails.clone(),
        }))
    }

    fn accepts<'a>(&'a self, topic: &'a Arc<str>) -> BoxFuture<'a, Result<(), Failure>> {
        let absent = self.absent.lock().contains(&**topic);
        let answer = match absent {
            true => Err(no_topic()),
            false => Ok(()),
        };
        std::future::ready(answer).boxed()
    }

    fn limit<'a>(&'a self, _: &'a str) -> BoxFuture<'a, usize> {
        std::future::ready(LIMIT).boxed()
    }

    fn ownership(&self) -> watch::Receiver<Ownership> {
        watch::Sender::new(Ownership::All).subscribe()
    }

    fn at_rest(&self, _: u16) {}
}

impl TenantLedger for FakeTenantLedger {
    fn state(&self) -> Result<Option<TenantState>, Failure> {
        Ok(None)
    }

    fn known(&self, ids: &[IncidentId]) -> Result<Vec<Option<Seen>>, Failure> {
        Ok(vec![None; ids.len()])
    }

    fn outlines(&self, ids: &[IncidentId]) -> Result<Vec<Option<PackedOutline>>, Failure> {
        Ok(vec![None; ids.len()])
    }

    fn letters(&self) -> Result<Vec<(ContentHash, Letter)>, Failure> {
        Ok(Vec::new())
    }

    fn commit(
        &self,
        records: Vec<Record>,
        entry: LedgerEntry,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        let fails = self.fails.lock().clone();
        let refuses = *self.refuses.lock();
        let to = |topic| records.iter().any(|record| &*record.topic == topic);
        let result = match (fails, refuses) {
            (Some(failure), _) => Err(failure),
            (None, Some(topic)) if to(topic) => {
                self.absent.lock().insert(topic);
                Err(no_topic())
            }
            (None, _) => {
                self.written.0.lock().push((records, entry));
                Ok(())
            }
        };
        std::future::ready(result).boxed()
    }
}

fn no_topic() -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Backoff,
        "no topic",
        "create it",
    )
}

struct Scene {
    ledger: Arc<FakeLedger>,
    counts: Arc<Counts>,
    lease: Box<dyn Lease>,
}

fn scene() -> Scene {
    let (ledger, counts) = (Arc::<FakeLedger>::default(), Arc::<Counts>::default());
    let outlet = TransactionalOutlet::new(ledger.clone(), counts.clone());
    let lease = outlet.lease(tenant(), short_encoder("dead"));
    Scene {
        ledger,
        counts,
        lease: lease.expect("a lease"),
    }
}

impl Scene {
    async fn commit(&self, items: Vec<Item>) -> Committed {
        let state = Some(TenantState::first(Ticks(9), Duration::ZERO));
        let batch = Batch {
            items,
            state,
            ..Batch::default()
        };
        self.lease.commit(batch).await
    }

    /// The values of the records, by transaction.
    fn published(&self) -> Vec<Vec<String>> {
        let written = self.ledger.written.0.lock();
        let values = |records: &Vec<Record>| {
            let values = records
                .iter()
                .map(|record| String::from_utf8_lossy(&record.value).into_owned());
            values.collect()
        };
        written.iter().map(|(records, _)| values(records)).collect()
    }

    /// The incidents of the last transaction's entry, and whether it has the tenant's state.
    fn recorded(&self) -> (Vec<u64>, bool) {
        let written = self.ledger.written.0.lock();
        let (_, entry) = written.last().expect("a transaction");
        (
            entry.seen.iter().map(|(id, _)| id.0).collect(),
            entry.state.is_some(),
        )
    }
}

#[tokio::test]
async fn a_batch_is_one_transaction_with_its_records_its_versions_and_the_state() {
    let scene = scene();
    let committed = scene
        .commit(vec![incident(1, "a"), incident(2, "b"), letter(9, "c")])
        .await;
    assert_eq!((committed.published, committed.result), (2, Ok(())));
    assert_eq!(scene.published(), [["a", "b", "c"]]);
    assert_eq!(scene.recorded(), (vec![1, 2], true));
    assert_eq!(*scene.counts.published.lock(), 2);
}

#[tokio::test]
async fn a_large_incident_is_split_before_the_transaction_begins() {
    let scene = scene();
    let large = "one-of-three two-of-three three-of-three";
    let committed = scene
        .commit(vec![incident(1, "a"), incident(2, large)])
        .await;
    assert_eq!((committed.published, committed.result), (2, Ok(())));
    assert_eq!(
        scene.published(),
        [["a", "one-of-three", "two-of-three", "three-of-three"]]
    );
    assert_eq!(*scene.counts.split.lock(), 1);
}

#[tokio::test]
async fn an_item_that_can_t_be_published_is_left_out_and_the_cursor_waits_for_it() {
    let scene = scene();
    let solid = "a-word-that-no-part-has-room-for";
    let committed = scene
        .commit(vec![incident(1, solid), incident(2, "b")])
        .await;
    let failure = committed.result.expect_err("one does not fit");
    assert_eq!(failure.reaction, Reaction::HoldBack);
    assert_eq!(committed.published, 1);
    assert_eq!(scene.published(), [["b"]]);
    assert_eq!(scene.recorded(), (vec![2], false));
}

#[tokio::test]
async fn a_missing_topic_of_dead_letters_stops_no_incident() {
    let scene = scene();
    scene.ledger.absent.lock().insert("dead");
    let committed = scene.commit(vec![letter(9, "c"), incident(1, "a")]).await;
    assert_eq!((committed.published, committed.result), (1, Ok(())));
    assert_eq!(scene.published(), [["a"]]);
    let written = scene.ledger.written.0.lock();
    assert!(written[0].1.letters.is_empty(), "recorded as accepted");
}

#[tokio::test]
async fn a_topic_that_refuses_a_dead_letter_in_the_transaction_is_no_failure_of_the_tenant() {
    let scene = scene();
    *scene.ledger.refuses.lock() = Some("dead");
    let committed = scene.commit(vec![letter(9, "c"), incident(1, "a")]).await;
    let failure = committed.result.expect_err("nothing is committed");
    assert_eq!(failure.reaction, Reaction::Fenced, "{failure}");
    let committed = scene.commit(vec![letter(9, "c"), incident(1, "a")]).await;
    assert_eq!((committed.published, committed.result), (1, Ok(())));
    assert_eq!(scene.published(), [["a"]]);

    *scene.ledger.refuses.lock() = Some("incidents");
    let committed = scene.commit(vec![letter(9, "c"), incident(2, "b")]).await;
    assert_eq!(committed.result, Err(no_topic()), "of an incident");
}

#[tokio::test]
async fn after_a_transaction_that_fails_nothing_counts_as_published() {
    let scene = scene();
    let lost = Failure::new(Health::Unreachable, Reaction::Fenced, "fenced", "none");
    *scene.ledger.fails.lock() = Some(lost.clone());
    let committed = scene.commit(vec![incident(1, "a")]).await;
    assert_eq!((committed.published, committed.result), (0, Err(lost)));
    assert_eq!(*scene.counts.published.lock(), 0);
}

#[tokio::test]
async fn a_batch_that_holds_nothing_begins_no_transaction() {
    let scene = scene();
    let committed = scene.lease.commit(Batch::default()).await;
    assert_eq!((committed.published, committed.result), (0, Ok(())));
    assert!(scene.published().is_empty());
}

#[tokio::test]
async fn alerts_are_in_the_transaction_of_their_incident() {
    let scene = scene();
    let committed = scene
        .commit(vec![incident(1, "a +b +c +b"), incident(2, "d")])
        .await;
    assert_eq!((committed.published, committed.result), (2, Ok(())));
    assert_eq!(scene.published(), [["+b", "+c", "a +b +c +b", "d"]]);
    assert_eq!(scene.recorded(), (vec![1, 2], true));
}

#[tokio::test]
async fn an_incident_whose_alert_can_t_be_published_is_left_out_with_all_its_alerts() {
    let scene = scene();
    let large = "+b +an-alert-that-is-larger-than-its-topic-accepts";
    let committed = scene
        .commit(vec![incident(1, large), incident(2, "d +e")])
        .await;
    let failure = committed.result.expect_err("one alert is too large");
    assert_eq!(failure.reaction, Reaction::HoldBack);
    assert!(
        failure.what.contains("the topic alerts accepts"),
        "{failure}"
    );
    assert_eq!(scene.published(), [["+e", "d +e"]]);
    assert_eq!(scene.recorded(), (vec![2], false));
    scene.ledger.absent.lock().insert("alerts");
    let committed = scene
        .commit(vec![incident(3, "d +e"), incident(4, "f")])
        .await;
    assert_eq!(committed.result, Err(no_topic()));
    assert_eq!(scene.published()[1], ["f"]);
}

#[test]
fn records_of_alerts_have_a_limit_together_and_each_version_is_there_once() {
    let record = |key: &str| Record {
        topic: "alerts".into(),
        key: key.to_owned(),
        headers: Vec::new(),
        value: vec![0; 9],
        raw: 0..0,
    };
    let three = || ["a", "b", "a"].into_iter().map(record);
    let fit = within(three(), 20).expect("they fit");
    assert_eq!(fit, [record("a"), record("b")]);
    assert_eq!(within(three(), 19), None);
}
