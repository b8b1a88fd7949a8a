//! The outlet against a topic that takes only small records. What a full ledger does is tested with the sweeper.

use super::*;
use crate::core::health::failure::Reaction;
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{Change, Forms, Origin, Phase};
use crate::core::time::ticks::Ticks;
use crate::runtime::fakes::{Counts, MemoryLedger, Topic, WordSplitter};

fn tenant() -> TenantId {
    TenantId::from_bytes([1; 16])
}

struct Scene {
    topic: Arc<Topic>,
    ledger: Arc<MemoryLedger>,
    counts: Arc<Counts>,
    outlet: LocalOutlet,
}

/// An outlet whose topic takes records of 20 bytes.
fn scene() -> Scene {
    let topic = Arc::<Topic>::default();
    let (ledger, counts) = (Arc::<MemoryLedger>::default(), Arc::<Counts>::default());
    *topic.limit.lock() = Some(20);
    let outlet = LocalOutlet::new(
        topic.clone(),
        Arc::new(WordSplitter),
        ledger.clone(),
        counts.clone(),
    );
    Scene {
        topic,
        ledger,
        counts,
        outlet,
    }
}

fn record(id: u64, value: &str) -> Record {
    Record {
        topic: "incidents".into(),
        key: id.to_string(),
        headers: Vec::new(),
        value: value.as_bytes().to_vec(),
    }
}

fn incident(id: u64, value: &str) -> Outgoing {
    let seen = Seen {
        updated: Ticks(5),
        phase: Phase::Open,
        forms: Forms::NONE.and(ContentHash(id)),
        origin: Origin::Defender,
        whole: true,
    };
    Outgoing {
        record: Some(record(id, value)),
        mark: Mark::Seen(IncidentId(id), seen, Change::Created),
    }
}

impl Scene {
    async fn commit(&self, outgoing: Vec<Outgoing>) -> Committed {
        self.outlet.commit(tenant(), outgoing, None).await
    }

    /// The incidents that the ledger takes for published.
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

/// A dead letter's record, which marks its content as accepted.
fn letter(content: u64, value: &str) -> Outgoing {
    let letter = Letter {
        met: Ticks(5),
        accepted: true,
    };
    Outgoing {
        record: Some(record(content, value)),
        mark: Mark::Dead(ContentHash(content), letter),
    }
}

#[tokio::test]
async fn a_dead_letter_that_is_too_large_is_cut_and_arrives() {
    let scene = scene();
    let large = letter(9, "one-of-three two-of-three three-of-three");
    let committed = scene.commit(vec![large, incident(1, "a")]).await;
    assert_eq!((committed.published, committed.result), (1, Ok(())));
    // The topic takes 20 bytes, and the key has one.
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
