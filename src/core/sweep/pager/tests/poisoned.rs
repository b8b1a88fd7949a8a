//! Unreadable incidents, alone or in groups, among readable ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;
use super::list::{List, Order, orders, ticks};
use super::{ALL, PagerRun};
use crate::core::sweep::pager::unreadable::DOUBTFUL;

/// Reads a list that does not move and in which a page with an unreadable incident fails. `thin`: a single place can be
/// requested without its alerts.
fn walk_poisoned(
    list: &List,
    top: u32,
    linked: bool,
    poison: &BTreeSet<u64>,
    thin: bool,
) -> PagerRun {
    let (mut pager, mut shown) = (Pager::new(ALL, PageSize::of(top)), Vec::new());
    let poisoned = |rows: &[(u64, i64)]| rows.iter().any(|(id, _)| poison.contains(id));
    for _ in 0..10_000 {
        pager.begin_page();
        let (skip, size) = match pager.ask() {
            PageAsk::Query(query) => (query.skip as usize, query.top as usize),
            PageAsk::Link(link) => (link.parse().expect("our own link"), top as usize),
            PageAsk::One(id) => panic!("asked for {id} alone"),
        };
        let rows = list.page(Ticks(0), skip, size);
        if poisoned(&rows) {
            if pager.narrow() {
                continue;
            }
            assert!(pager.ask_bare().is_some());
            assert_eq!(rows.len(), 1);
            if thin {
                pager.pass_single(Ticks(rows[0].1));
                shown.extend(rows);
                continue;
            }
            let comes = |proof: &PageAsk| match proof {
                PageAsk::Query(query) => {
                    let rows = list.page(Ticks(0), query.skip as usize, 1);
                    !rows.is_empty() && !poisoned(&rows)
                }
                _ => false,
            };
            match pager.pass_unseen() {
                Passed::IfOneComes(proofs) if !proofs.iter().any(comes) => break,
                Passed::InVain => break,
                _ => {}
            }
            continue;
        }
        for (id, tick) in &rows {
            pager.note(IncidentId(*id), Ticks(*tick));
        }
        shown.extend(&rows);
        let more = !list.page(Ticks(0), skip + size, 1).is_empty();
        let link = (linked && more).then(|| (skip + size).to_string());
        if pager.end_page(link, Some(Ticks(list.now))) == NextStep::Done {
            break;
        }
    }
    PagerRun {
        shown,
        pager,
        before: list.clone(),
    }
}

proptest! {
    #[test]
    fn a_poisonous_incident_costs_no_other_its_reading_and_its_place_in_time_is_known(
        order in orders(), ticks in ticks(), top in 1_u32..=100, linked in any::<bool>(), thin in any::<bool>(),
        poison in prop::collection::btree_set(1_u64..300, 1..3),
    ) {
        let list = List::new(order, &ticks);
        let run = walk_poisoned(&list, top, linked, &poison, thin);
        let in_order = list.page(Ticks(0), 0, usize::MAX).into_iter().map(|(id, _)| id);
        let first: BTreeSet<u64> = in_order.take_while(|id| poison.contains(id)).collect();
        for (id, tick) in &list.incidents {
            let poisonous = poison.contains(id);
            if thin || !poisonous {
                prop_assert!(run.shown.contains(&(*id, *tick)), "{} was not read", id);
            }
            let placed = match order {
                Order::NewestFirst => true,
                // An incident at the front of this list is taken for the newest, until another pager meets it.
                Order::OldestFirst => !first.contains(id),
                Order::Shuffled => false,
            };
            if poisonous && placed {
                let named = run.pager.unreadable().iter().any(|trouble| (trouble.from.0..trouble.to.0).contains(tick));
                prop_assert!(named, "{} is in none of {:?}", id, run.pager.unreadable());
            }
        }
        let met = poison.iter().any(|id| list.incidents.contains_key(id));
        prop_assert!(!met || !run.pager.trusted());
    }
}

#[test]
fn when_every_place_fails_it_is_the_service_and_not_the_incidents() {
    let list = List::new(Order::NewestFirst, &[1; 400]);
    let run = walk_poisoned(&list, 10, false, &(1..=400).collect(), false);
    assert!(run.shown.is_empty());
    assert_eq!(
        (run.pager.pages(), run.pager.position.passed),
        (0, DOUBTFUL)
    );
}

#[test]
fn a_crowd_of_neighbours_that_cannot_be_read_is_passed_when_others_can() {
    for (crowd, count) in [(101..=180_u64, 80), (1..=80, 80), (321..=400, 80)] {
        let list = List::new(Order::NewestFirst, &[1; 400]);
        let run = walk_poisoned(&list, 50, false, &crowd.clone().collect(), false);
        let shown: BTreeSet<u64> = run.shown.iter().map(|(id, _)| *id).collect();
        assert_eq!(shown.len(), 400 - count, "{crowd:?}");
        assert!(run.pager.unreadable().iter().all(|trouble| trouble.unseen));
    }
}
