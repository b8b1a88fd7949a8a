//! The outlet with a topic that accepts only small records. A full ledger is tested with the sweeper.

use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::*;
use crate::core::health::failure::Reaction;
use crate::core::incident::version::ContentHash;
use crate::core::time::ticks::Ticks;
use crate::runtime::fakes::items::{incident, letter, short_encoder, tenant};
use crate::runtime::fakes::{Counts, FakeEncoder, MemoryLedger, Topic};

struct Scene {
    topic: Arc<Topic>,
    ledger: Arc<MemoryLedger>,
    counts: Arc<Counts>,
    outlet: LocalOutlet,
    lease: Box<dyn Lease>,
}

/// An outlet whose topic accepts records of 20 bytes.
fn scene() -> Scene {
    let topic = Arc::<Topic>::default();
    let (ledger, counts) = (Arc::<MemoryLedger>::default(), Arc::<Counts>::default());
    *topic.limit.lock() = Some(20);
    let outlet = LocalOutlet::new(topic.clone(), ledger.clone(), counts.clone());
    let lease = outlet.lease(tenant(), short_encoder("incidents"));
    Scene {
        lease: lease.expect("a lease"),
        topic,
        ledger,
        counts,
        outlet,
    }
}

impl Scene {
    async fn commit(&self, items: Vec<Item>) -> Committed {
        let batch = Batch {
            items,
            ..Batch::default()
        };
        self.lease.commit(batch).await
    }

    /// The incidents that the ledger has as published.
    fn marked(&self) -> Vec<u64> {
        let seen = self.ledger.seen.lock();
        let mut ids: Vec<u64> = seen.keys().map(|(_, id)| id.0).collect();
        ids.sort_unstable();
        ids
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_a_record_waits_to_be_acknowledged_is_known_until_it_is() {
    let scene = scene();
    assert_eq!(scene.outlet.waits_for(), None);
    scene.topic.away.send_replace(true);
    let minute = Duration::from_secs(60);
    let committed = scene.commit(vec![incident(1, "a")]);
    let watched = async {
        sleep(minute).await;
        assert_eq!(scene.outlet.waits_for(), Some(minute));
        scene.topic.away.send_replace(false);
    };
    let (committed, ()) = tokio::join!(committed, watched);
    assert_eq!(committed.published, 1);
    assert_eq!(scene.outlet.waits_for(), None);
}

#[tokio::test]
async fn an_incident_too_large_for_its_topic_is_published_in_parts_and_marked_once() {
    let scene = scene();
    let large = "one-of-three two-of-three three-of-three";
    let batch = vec![incident(1, "a"), incident(2, large), incident(3, "b")];
    let committed = scene.commit(batch).await;
    assert_eq!((committed.published, committed.result), (3, Ok(())));
    let words: Vec<&str> = large.split(' ').collect();
    assert_eq!(
        scene.topic.values("incidents"),
        [&["a", "b"], &words[..]].concat()
    );
    assert_eq!(scene.marked(), [1, 2, 3]);
    let published = *scene.counts.published.lock();
    let split = *scene.counts.split.lock();
    assert_eq!((published, split), (3, 1));
}

#[tokio::test]
async fn an_incident_that_has_no_parts_that_fit_is_held_back_and_says_why() {
    let scene = scene();
    let solid = "small-word a-word-that-no-part-has-room-for";
    let batch = vec![incident(1, solid), incident(2, "b"), incident(3, "c d")];
    let committed = scene.commit(batch).await;
    let failure = committed.result.expect_err("one does not fit");
    assert_eq!(failure.reaction, Reaction::HoldBack);
    assert!(failure.what.contains("no parts of 20 bytes"), "{failure}");
    assert_eq!(failure.remedy, "raise the limit");
    assert_eq!(scene.topic.values("incidents"), ["b", "c d"]);
    assert_eq!(scene.marked(), [2, 3]);
    assert_eq!(*scene.counts.split.lock(), 0);
}

#[tokio::test]
async fn an_incident_of_which_a_part_is_refused_is_not_marked_and_comes_again_whole() {
    let scene = scene();
    *scene.topic.refused.lock() = Some("two");
    let large = || vec![incident(1, "one-of-three two-of-three three-of-three")];
    let committed = scene.commit(large()).await;
    assert!(committed.result.is_err());
    assert_eq!(committed.published, 0);
    assert_eq!(scene.topic.values("incidents"), ["one-of-three"]);
    assert!(scene.marked().is_empty(), "marked without its parts");
    *scene.topic.refused.lock() = None;
    let committed = scene.commit(large()).await;
    assert_eq!(committed.result, Ok(()));
    let expected = [
        "one-of-three",
        "one-of-three",
        "two-of-three",
        "three-of-three",
    ];
    assert_eq!(scene.topic.values("incidents"), expected);
    assert_eq!(scene.marked(), [1]);
}

#[tokio::test]
async fn a_dead_letter_that_is_too_large_is_cut_and_arrives() {
    let scene = scene();
    let large = letter(9, "one-of-three two-of-three three-of-three");
    let committed = scene.commit(vec![large, incident(1, "a")]).await;
    assert_eq!((committed.published, committed.result), (1, Ok(())));
    // The topic accepts 20 bytes, and the key has one.
    assert_eq!(
        scene.topic.values("incidents"),
        ["a", "one-of-three two-of"]
    );
    let letters = scene.ledger.letters.lock();
    assert!(letters[&(tenant(), ContentHash(9))].accepted);
}

#[tokio::test]
async fn a_dead_letter_that_is_refused_is_not_marked_and_stops_nobody() {
    let scene = scene();
    *scene.topic.refused.lock() = Some("two");
    for (size, value) in [("small", "two"), ("large", "two-of-three three-of-three")] {
        let committed = scene.commit(vec![letter(9, value), incident(1, "a")]).await;
        assert_eq!(committed.result, Ok(()), "{size}");
        let letters = scene.ledger.letters.lock();
        assert!(letters.is_empty(), "{size}");
    }
    assert_eq!(scene.topic.values("incidents"), ["a", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_can_t_forget_fails_one_sweep_and_stops_no_publication() {
    let scene = scene();
    scene.ledger.full.store(true, Ordering::SeqCst);
    let forget = Batch {
        forget_before: Some(Ticks(1)),
        ..Batch::default()
    };
    let forgotten = timeout(Duration::from_secs(1), scene.lease.commit(forget)).await;
    let failed = forgotten.expect("it does not wait for the ledger").result;
    assert!(failed.is_err(), "the sweep learns of it");
    scene.ledger.full.store(false, Ordering::SeqCst);
    let published = timeout(
        Duration::from_millis(1),
        scene.commit(vec![incident(1, "a")]),
    );
    let published = published.await.expect("no commit waits for another");
    assert_eq!(published.published, 1);
}

#[tokio::test(start_paused = true)]
async fn an_incident_without_a_record_does_not_count_as_published() {
    let scene = scene();
    let encoder = FakeEncoder {
        encode: |_: &Item| None,
        takes_dead_letters: false,
    };
    let lease = scene.outlet.lease(tenant(), Arc::new(encoder));
    let batch = Batch {
        items: vec![incident(1, "a")],
        ..Batch::default()
    };
    let committed = lease.expect("a lease").commit(batch).await;
    assert!(committed.result.is_err() && committed.published == 0);
    assert!(
        scene.marked().is_empty(),
        "the ledger takes it for published"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_holds_nothing_is_not_written() {
    let scene = scene();
    scene.ledger.full.store(true, Ordering::SeqCst);
    let committed = scene.commit(Vec::new()).await;
    assert!(committed.result.is_ok(), "{committed:?}");
}

#[tokio::test]
async fn alerts_are_published_before_their_incident_each_once() {
    let scene = scene();
    let batch = vec![
        incident(1, "a +b +c +b"),
        incident(2, "d"),
        incident(3, "+e"),
    ];
    let committed = scene.commit(batch).await;
    assert_eq!((committed.published, committed.result), (3, Ok(())));
    assert_eq!(scene.topic.values("alerts"), ["+b", "+c", "+e"]);
    let last_alert = scene.topic.position("+e");
    assert!(
        last_alert < scene.topic.position("a +b +c +b"),
        "an incident came before"
    );
    assert_eq!(scene.marked(), [1, 2, 3]);
    assert_eq!(
        *scene.counts.published.lock(),
        3,
        "alerts count as incidents"
    );
}

#[tokio::test]
async fn an_incident_whose_alert_is_refused_is_held_back_and_its_other_alerts_are_not_published_again()
 {
    let scene = scene();
    *scene.topic.refused.lock() = Some("+bad");
    let held = || vec![incident(1, "a +b +bad"), incident(2, "d")];
    for _ in 0..3 {
        let committed = scene.commit(held()).await;
        let failure = committed.result.expect_err("one alert is refused");
        assert_eq!(failure.reaction, Reaction::HoldBack);
        assert_eq!(committed.published, 1);
    }
    assert_eq!(scene.topic.values("alerts"), ["+b"]);
    assert_eq!(scene.topic.values("incidents"), ["d", "d", "d"]);
    assert_eq!(scene.marked(), [2]);
    *scene.topic.refused.lock() = None;
    assert_eq!(scene.commit(held()).await.result, Ok(()));
    assert_eq!(scene.topic.values("alerts"), ["+b", "+bad"]);
    // Its next version is another incident's as far as alerts are concerned.
    assert_eq!(scene.commit(held()).await.result, Ok(()));
    assert_eq!(scene.topic.values("alerts"), ["+b", "+bad", "+b", "+bad"]);
}

#[tokio::test]
async fn alerts_of_an_incident_that_changes_while_it_is_held_back_are_published_with_its_new_version()
 {
    let scene = scene();
    *scene.topic.refused.lock() = Some("+bad");
    let version = |hash: u64| {
        let mut item = incident(1, "+b +bad");
        if let Item::Version { reading, .. } = &mut item {
            reading.hash = ContentHash(hash);
        }
        vec![item]
    };
    for hash in [7, 7, 8, 8, 7] {
        assert!(scene.commit(version(hash)).await.result.is_err());
    }
    assert_eq!(scene.topic.values("alerts"), ["+b", "+b", "+b"]);
}

#[tokio::test]
async fn alerts_of_an_incident_that_is_held_back_are_published_once() {
    let scene = scene();
    let solid = "+a a-word-that-no-part-has-room-for";
    for _ in 0..3 {
        assert!(scene.commit(vec![incident(1, solid)]).await.result.is_err());
    }
    assert_eq!(scene.topic.values("alerts"), ["+a"]);
    *scene.topic.limit.lock() = None;
    assert_eq!(scene.commit(vec![incident(1, solid)]).await.result, Ok(()));
    assert_eq!(scene.topic.values("alerts"), ["+a"]);
}

#[tokio::test]
async fn alerts_beyond_a_batch_s_records_are_sent_in_several_requests() {
    let scene = scene();
    *scene.topic.limit.lock() = None;
    let many: Vec<String> = (0..20_000)
        .map(|n| format!("+alert-of-some-length-{n}"))
        .collect();
    let text: &'static str = many.join(" ").leak();
    assert_eq!(scene.commit(vec![incident(1, text)]).await.result, Ok(()));
    assert_eq!(scene.topic.values("alerts"), many);
    let most = *scene.topic.most.lock();
    assert!(most < 20_000 / 2, "{most} records at once");
}
