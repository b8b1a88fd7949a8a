use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::core::codec::{decode_seen, encode_seen};
use crate::core::sources::SourceKind;

fn reading(updated: i64, phase: Phase, hash: u64) -> Reading {
    Reading {
        id: IncidentId(1),
        updated: Ticks(updated),
        phase,
        hash: ContentHash(hash),
        origin: SourceKind::Defender,
        whole: true,
    }
}

fn by_graph(reading: Reading) -> Reading {
    Reading {
        origin: SourceKind::Graph,
        ..reading
    }
}

fn bare(reading: Reading) -> Reading {
    reading.without_alerts()
}

fn judged(seen: Reading, now: Reading) -> Decision {
    decide(&now, Some(&seen.seen(None)), Deduplicate::Version)
}

#[test]
fn an_unknown_id_is_created_whatever_its_status() {
    for phase in [Phase::Open, Phase::Resolved, Phase::Redirected] {
        let verdict = decide(&reading(1, phase, 1), None, Deduplicate::Version);
        assert_eq!(verdict, Decision::Publish(Change::Created), "{phase:?}");
    }
}

#[test]
fn the_same_tick_with_other_content_is_a_new_version() {
    let verdict = judged(reading(5, Phase::Open, 1), reading(5, Phase::Open, 2));
    assert_eq!(verdict, Decision::Publish(Change::Updated));
}

#[test]
fn the_same_content_at_a_later_tick_is_a_new_version() {
    let verdict = judged(reading(5, Phase::Open, 1), reading(6, Phase::Open, 1));
    assert_eq!(verdict, Decision::Publish(Change::Updated));
}

#[test]
fn an_equal_reading_is_unchanged_and_an_older_one_is_stale() {
    let seen = reading(5, Phase::Open, 1);
    assert_eq!(judged(seen, seen), Decision::Unchanged);
    assert_eq!(judged(seen, reading(4, Phase::Open, 9)), Decision::Stale);
}

#[test]
fn the_change_follows_the_transition_of_the_status() {
    use Phase::{Open, Redirected, Resolved};
    for (before, after, change) in [
        (Open, Open, Change::Updated),
        (Open, Resolved, Change::Resolved),
        (Open, Redirected, Change::Redirected),
        (Resolved, Resolved, Change::Updated),
        (Resolved, Open, Change::Reopened),
        (Resolved, Redirected, Change::Redirected),
        (Redirected, Redirected, Change::Updated),
        (Redirected, Open, Change::Reopened),
        (Redirected, Resolved, Change::Resolved),
    ] {
        let verdict = judged(reading(5, before, 1), reading(6, after, 2));
        assert_eq!(
            verdict,
            Decision::Publish(change),
            "{before:?} -> {after:?}"
        );
    }
}

#[test]
fn a_tenant_that_moves_to_the_other_api_publishes_nothing_again_and_every_later_change() {
    let (seen, open) = (3_333_333, Phase::Open);
    let published = reading(seen, open, 1);
    for (updated, verdict) in [
        (3_333_333, Decision::Adopt),
        (3_330_000, Decision::Adopt),
        (3_340_000, Decision::Publish(Change::Updated)),
        (3_320_000, Decision::Stale),
    ] {
        let now = by_graph(reading(updated, open, 2));
        assert_eq!(judged(published, now), verdict, "{updated} after {seen}");
    }
    let adopted = by_graph(reading(3_330_000, open, 2));
    let alerts_changed = by_graph(reading(3_330_000, open, 3));
    assert_eq!(judged(adopted, adopted), Decision::Unchanged);
    assert_eq!(
        judged(adopted, alerts_changed),
        Decision::Publish(Change::Updated)
    );
    assert_eq!(judged(adopted, published), Decision::Adopt, "and back");
}

#[test]
fn an_incident_published_without_its_alerts_is_published_whole_once_they_come() {
    let (whole, open) = (reading(5, Phase::Open, 1), Phase::Open);
    let without = bare(reading(5, open, 2));
    assert_eq!(judged(without, without), Decision::Unchanged);
    assert_eq!(judged(without, whole), Decision::Publish(Change::Updated));
    assert_eq!(
        judged(without, by_graph(whole)),
        Decision::Publish(Change::Updated)
    );
    assert_eq!(judged(whole, without), Decision::Unchanged);
    assert_eq!(
        judged(whole, bare(reading(6, open, 2))),
        Decision::Publish(Change::Updated)
    );
}

#[test]
fn by_id_each_incident_is_published_once_for_ever() {
    let seen = reading(5, Phase::Open, 1).seen(None);
    let verdict = decide(
        &reading(9, Phase::Resolved, 2),
        Some(&seen),
        Deduplicate::Id,
    );
    assert_eq!(verdict, Decision::Unchanged);
}

/// The reading as a former release recorded it.
fn former(reading: Reading) -> Seen {
    Seen {
        forms: Forms::NONE,
        ..reading.seen(None)
    }
}

#[test]
fn what_a_former_release_recorded_is_adopted_at_its_tick_and_published_when_it_moves() {
    let open = Phase::Open;
    for (seen, now, verdict) in [
        (reading(5, open, 1), reading(5, open, 2), Decision::Adopt),
        (
            bare(reading(5, open, 1)),
            bare(reading(5, open, 2)),
            Decision::Adopt,
        ),
        (
            bare(reading(5, open, 1)),
            reading(5, open, 2),
            Decision::Publish(Change::Updated),
        ),
        (
            reading(5, open, 1),
            bare(reading(5, open, 2)),
            Decision::Unchanged,
        ),
        (
            reading(5, open, 1),
            reading(6, open, 1),
            Decision::Publish(Change::Updated),
        ),
        (reading(5, open, 1), reading(4, open, 1), Decision::Stale),
        (
            reading(5, open, 1),
            by_graph(reading(5, open, 1)),
            Decision::Adopt,
        ),
    ] {
        let judged = decide(&now, Some(&former(seen)), Deduplicate::Version);
        assert_eq!(judged, verdict, "{seen:?} then {now:?}");
    }
}

#[test]
fn the_incident_without_alerts_is_another_version_than_the_one_that_has_none() {
    let whole = reading(5, Phase::Open, 1);
    assert_ne!(bare(whole).hash, whole.hash);
}

/// A ledger row of one incident, and what was published of it.
struct Line {
    row: Option<Vec<u8>>,
    published: Vec<Reading>,
}

impl Line {
    fn show(&mut self, reading: Reading) -> Decision {
        let seen = self
            .row
            .as_deref()
            .map(|row| decode_seen(row).expect("a row"));
        let verdict = decide(&reading, seen.as_ref(), Deduplicate::Version);
        if matches!(verdict, Decision::Publish(_) | Decision::Adopt) {
            self.row = Some(encode_seen(&reading.seen(seen.as_ref())).to_vec());
        }
        if let Decision::Publish(_) = verdict {
            self.published.push(reading);
        }
        verdict
    }
}

fn shown() -> impl Strategy<Value = Reading> {
    (1..4_i64, 1..3_u64, any::<bool>(), 0..3_usize).prop_map(|(at, hash, graph, phase)| {
        let phase = [Phase::Open, Phase::Resolved, Phase::Redirected][phase];
        let reading = reading(at, phase, hash);
        if graph { by_graph(reading) } else { reading }
    })
}

/// A row of a former release, in format 3.
fn format_3(at: i64) -> Vec<u8> {
    let mut row = vec![3];
    row.extend(at.to_be_bytes());
    row.push(0);
    row.extend(0xdead_u64.to_be_bytes());
    row
}

proptest! {
    #[test]
    fn of_as_many_forms_at_one_tick_as_are_kept_each_is_published_once(
        count in 1..=Forms::MOST as u64, shown in prop::collection::vec((any::<u64>(), 0..20_u8), 1..100),
    ) {
        let mut line = Line { row: None, published: Vec::new() };
        let mut now = 1;
        let mut expected = HashSet::new();
        for (form, moves) in shown {
            // Sometimes the last update moves, and all forms are news again.
            now += i64::from(moves == 0);
            let reading = reading(now, Phase::Open, form % count);
            let verdict = line.show(reading);
            let is_news = expected.insert((now, reading.hash));
            prop_assert_eq!(matches!(verdict, Decision::Publish(_)), is_news, "{:?} in {:?}", reading, line.published);
        }
        prop_assert_eq!(line.published.len(), expected.len());
    }

    #[test]
    fn forms_that_follow_any_number_of_others_at_one_tick_are_published_once_each(
        before in prop::collection::vec(0..40_u64, 0..60), count in 1..=Forms::MOST as u64,
    ) {
        let mut line = Line { row: None, published: Vec::new() };
        for form in before {
            line.show(reading(1, Phase::Open, form));
        }
        line.published.clear();
        for form in (100..100 + count).cycle().take(50) {
            line.show(reading(1, Phase::Open, form));
        }
        let published: Vec<_> = line.published.iter().map(|it| it.hash.0).collect();
        prop_assert_eq!(published, (100..100 + count).collect::<Vec<_>>());
    }

    #[test]
    fn a_form_that_was_never_shown_is_published_however_many_there_were(forms in prop::collection::vec(0..40_u64, 0..60)) {
        let mut line = Line { row: None, published: Vec::new() };
        for form in forms {
            line.show(reading(1, Phase::Open, form));
        }
        let verdict = line.show(reading(1, Phase::Open, 100));
        prop_assert!(matches!(verdict, Decision::Publish(_)), "{verdict:?}");
    }

    #[test]
    fn a_ledger_publishes_each_version_and_adopts_what_it_can_not_compare(
        recorded in prop::option::of(1..4_i64), readings in prop::collection::vec(shown(), 1..20),
    ) {
        let mut line = Line { row: recorded.map(format_3), published: Vec::new() };
        let mut newest = recorded;
        let mut last: Option<Reading> = None;
        for now in readings {
            let verdict = line.show(now);
            let tick = now.updated.0;
            match newest {
                None => prop_assert_eq!(verdict, Decision::Publish(Change::Created)),
                // The precisions of the two APIs differ; all these ticks have the finest.
                Some(known) if tick > known => prop_assert!(matches!(verdict, Decision::Publish(_)), "{verdict:?}"),
                Some(known) if tick < known => prop_assert_eq!(verdict, Decision::Stale),
                Some(_) => match last {
                    None => prop_assert_eq!(verdict, Decision::Adopt),
                    Some(last) if last.origin != now.origin => prop_assert_eq!(verdict, Decision::Adopt),
                    Some(last) if last.hash == now.hash => prop_assert_eq!(verdict, Decision::Unchanged),
                    Some(_) => prop_assert!(matches!(verdict, Decision::Publish(_) | Decision::Unchanged), "{verdict:?}"),
                },
            }
            // The same reading again is never news.
            if verdict != Decision::Stale {
                prop_assert_eq!(line.show(now), Decision::Unchanged);
                newest = Some(tick);
            }
            if matches!(verdict, Decision::Publish(_) | Decision::Adopt) {
                last = Some(now);
            }
        }
    }
}
