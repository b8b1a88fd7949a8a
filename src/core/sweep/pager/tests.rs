mod filter;
mod list;
mod poisoned;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use list::{List, Move, Order, moves, orders, ticks};

const ALL: Span = Span {
    from: Ticks(0),
    to: None,
};

struct Walked {
    shown: Vec<(u64, i64)>,
    walk: Pager,
    /// The list as it was at the first page, and what was touched since.
    before: List,
}

/// Reads `list`, which makes one of `moves` before each page except the first. `cap`: the server pages by nextLinks.
fn walk(
    list: &mut List,
    from: Ticks,
    top: u32,
    cap: Option<usize>,
    moves: &mut impl Iterator<Item = Move>,
) -> Walked {
    let before = list.clone();
    let (mut walk, mut shown) = (Pager::new(Span::from(from), PageSize::of(top)), Vec::new());
    for _ in 0..10_000 {
        walk.begin_page();
        let skip = match walk.ask() {
            PageAsk::One(id) => panic!("asked for {id} alone"),
            PageAsk::Query(query) => query.skip as usize,
            PageAsk::Link(link) => link.parse().expect("our own link"),
        };
        let size = cap.unwrap_or(top as usize);
        let rows = list.page(from, skip, size);
        for (id, tick) in &rows {
            walk.note(IncidentId(*id), Ticks(*tick));
        }
        shown.extend(&rows);
        let more = !list.page(from, skip + size, 1).is_empty();
        let link = (cap.is_some() && more).then(|| (skip + size).to_string());
        if walk.end_page(link, Some(Ticks(list.now))) == NextStep::Done {
            return Walked {
                shown,
                walk,
                before,
            };
        }
        if let Some(change) = moves.next() {
            list.apply(&change);
        }
    }
    panic!("the sweep never ended: {walk:?}");
}

/// Pages of `top` from a server that is known to return as many as requested.
fn proven(top: u32) -> PageSize {
    let mut size = PageSize::of(top);
    size.proven = true;
    size
}

fn reached(walk: &Pager) -> SweepProgress {
    let mut reached = SweepProgress::default();
    reached.add(walk);
    reached
}

fn query(walk: &Pager) -> Query {
    match walk.ask() {
        PageAsk::Query(query) => query,
        other => panic!("expected a query, not {other:?}"),
    }
}

proptest! {
    #[test]
    fn a_trusted_sweep_saw_everything_that_nobody_touched(
        order in orders(), ticks in ticks(), from in 0_i64..6, top in 2_u32..=100, moves in moves(true),
    ) {
        let mut list = List::new(order, &ticks);
        let walked = walk(&mut list, Ticks(from), top, None, &mut moves.into_iter());
        if walked.walk.trusted() {
            let untouched = walked.before.page(Ticks(from), 0, usize::MAX).into_iter()
                .filter(|(id, tick)| list.incidents.get(id) == Some(tick));
            for incident in untouched {
                prop_assert!(walked.shown.contains(&incident), "{incident:?} was jumped over");
            }
        }
    }

    #[test]
    fn along_links_and_in_pages_of_one_a_moved_list_is_not_trusted(
        order in orders(), ticks in ticks(), cap in prop::option::of(1_usize..30), moves in moves(false),
    ) {
        let mut list = List::new(order, &ticks);
        let walked = walk(&mut list, Ticks(0), 1, cap, &mut moves.into_iter());
        if walked.walk.trusted() {
            for (id, tick) in walked.before.incidents {
                if list.incidents.get(&id) == Some(&tick) {
                    prop_assert!(walked.shown.contains(&(id, tick)), "{id} was jumped over");
                }
            }
        }
    }

    #[test]
    fn a_list_that_holds_still_is_read_whole_and_the_cursor_stands_at_its_newest(
        order in orders(), ticks in ticks(), from in 0_i64..6, top in 1_u32..=100, cap in prop::option::of(1_usize..30),
    ) {
        let mut list = List::new(order, &ticks);
        let walked = walk(&mut list, Ticks(from), top, cap, &mut std::iter::empty());
        let mut shown = walked.shown;
        shown.sort_unstable();
        shown.dedup();
        let expected = list.page(Ticks(from), 0, usize::MAX);
        prop_assert_eq!(shown.len(), expected.len());
        prop_assert!(walked.walk.trusted());
        let after = reached(&walked.walk).cursor_after(Ticks(3), Ticks(5000), true);
        let newest = expected.iter().map(|(_, tick)| *tick).max().unwrap_or(0);
        prop_assert_eq!(after, Ticks(newest.max(3)));
    }

    #[test]
    fn the_cursor_passes_neither_the_date_nor_its_own_past_nor_our_clock_by_the_word_of_one_answer(
        date in 0_i64..20, cursor in 0_i64..20, newest in 0_i64..20, ours in 0_i64..20, confirmed in any::<bool>(),
    ) {
        let mut walk = Pager::new(ALL, proven(100));
        walk.begin_page();
        walk.note(IncidentId(1), Ticks(newest));
        walk.end_page(None, Some(Ticks(date)));
        let after = reached(&walk).cursor_after(Ticks(cursor), Ticks(ours), confirmed);
        let date = if confirmed { date } else { date.min(ours) };
        prop_assert_eq!(after.0, newest.min(date).max(cursor));
    }
}

#[test]
fn a_server_that_ignores_skip_ends_the_sweep_untrusted() {
    let mut walk = Pager::new(ALL, proven(2));
    for _ in 0..1000 {
        walk.begin_page();
        walk.note(IncidentId(1), Ticks(1));
        walk.note(IncidentId(2), Ticks(1));
        if walk.end_page(None, None) == NextStep::Done {
            assert!(!walk.trusted());
            return;
        }
    }
    panic!("the sweep goes in circles");
}

#[test]
fn a_page_beyond_a_jump_is_no_joint_for_the_next() {
    let mut list: Vec<u64> = (0..40).collect();
    let (mut walk, mut shown) = (Pager::new(ALL, proven(4)), BTreeSet::new());
    for page in 0..40 {
        if page == 3 {
            // Eight incidents that were read already move to the end, and all others move up by eight.
            list.rotate_left(8);
        }
        walk.begin_page();
        let skip = query(&walk).skip as usize;
        let rows = list.iter().skip(skip).take(4);
        for id in rows {
            let tick = if page >= 3 && *id < 8 { 2 } else { 1 };
            walk.note(IncidentId(*id), Ticks(tick));
            shown.insert(*id);
        }
        if walk.end_page(None, None) == NextStep::Done {
            break;
        }
    }
    assert!(walk.trusted());
    assert_eq!(shown.len(), 40, "jumped over some: {shown:?}");
}

#[test]
fn a_link_to_itself_ends_the_sweep_untrusted() {
    let mut walk = Pager::new(ALL, proven(2));
    walk.begin_page();
    assert_eq!(walk.end_page(Some("again".into()), None), NextStep::More);
    walk.begin_page();
    assert_eq!(walk.end_page(Some("again".into()), None), NextStep::Done);
    assert!(!walk.trusted());
}

#[test]
fn a_list_that_makes_up_what_cant_be_read_anew_for_each_request_comes_to_an_end() {
    for linked in [false, true] {
        let mut walk = Pager::new(ALL, proven(1));
        let mut pages = 0;
        loop {
            walk.begin_page();
            walk.note_malformed(ContentHash(pages));
            pages += 1;
            let step = walk.end_page(Some(pages.to_string()), None);
            if step == NextStep::Done {
                break;
            }
            if !linked && matches!(walk.ask(), PageAsk::Link(_)) {
                assert!(walk.link_refused());
            }
        }
        assert!(!walk.trusted() && walk.went_in_circles());
        assert!(pages < 50, "{pages} pages");
    }
}

#[test]
fn empty_pages_with_a_link_do_not_end_a_sweep_that_gets_on() {
    let mut walk = Pager::new(ALL, proven(100));
    for page in 0..200 {
        walk.begin_page();
        if page % 2 == 0 {
            walk.note(IncidentId(page), Ticks(1));
        }
        assert_eq!(walk.end_page(Some(page.to_string()), None), NextStep::More);
    }
    walk.begin_page();
    assert_eq!(walk.end_page(None, None), NextStep::Done);
    assert!(walk.trusted());
}

#[test]
fn what_stands_behind_any_number_of_empty_pages_is_reached() {
    for span in [ALL, Span::between(Ticks(0), Ticks(9))] {
        let mut walk = Pager::new(span, proven(100));
        for page in 0..500 {
            walk.begin_page();
            let link = Some(page.to_string());
            assert_eq!(walk.end_page(link, None), NextStep::More, "{page}");
        }
        assert_eq!(walk.ask(), PageAsk::Link("499".into()));
        walk.begin_page();
        walk.note(IncidentId(1), Ticks(1));
        assert_eq!(walk.end_page(None, None), NextStep::Done);
        assert!(walk.trusted() && !walk.went_in_circles());
    }
}

#[test]
fn empty_pages_that_name_one_another_end_the_sweep_untrusted() {
    for leads in [|page: u32| page % 3, |page: u32| page] {
        let mut walk = Pager::new(ALL, proven(100));
        let mut pages = 0;
        loop {
            walk.begin_page();
            let link = leads(pages).to_string();
            pages += 1;
            if walk.end_page(Some(link), None) == NextStep::Done {
                break;
            }
        }
        assert!(!walk.trusted() && walk.went_in_circles());
        assert!(pages < 1_100, "{pages} pages");
    }
}

#[test]
fn an_unreadable_incident_at_a_pages_edge_is_a_joint_too() {
    let mut walk = Pager::new(ALL, proven(2));
    walk.begin_page();
    walk.note(IncidentId(1), Ticks(1));
    walk.note_malformed(ContentHash(7));
    assert_eq!(walk.end_page(None, None), NextStep::More);
    walk.begin_page();
    walk.note_malformed(ContentHash(7));
    assert_eq!(walk.end_page(None, None), NextStep::Done);
    assert!(walk.trusted());
}

proptest! {
    #[test]
    fn a_server_that_gives_less_than_asked_for_is_read_whole_all_the_same(
        order in orders(), ticks in ticks(), limit in 2_usize..100,
    ) {
        let list = List::new(order, &ticks);
                let mut size = PageSize::of(100);
        for pass in 0..2 {
            let (mut walk, mut shown) = (Pager::new(ALL, size), Vec::new());
            loop {
                walk.begin_page();
                let skip = query(&walk).skip;
                let rows = list.page(Ticks(0), skip as usize, limit);
                for (id, tick) in &rows {
                    walk.note(IncidentId(*id), Ticks(*tick));
                }
                shown.extend(rows);
                if walk.end_page(None, None) == NextStep::Done {
                    break;
                }
            }
            shown.sort_unstable();
            shown.dedup();
            prop_assert_eq!(shown.len(), list.incidents.len(), "pass {}", pass);
            size = walk.page_size();
        }
    }
}

#[test]
fn what_a_short_page_means_is_asked_once() {
    let mut size = PageSize::of(100);
    let mut requests = Vec::new();
    for _ in 0..3 {
        let mut walk = Pager::new(ALL, size);
        loop {
            walk.begin_page();
            let skip = query(&walk).skip;
            (u64::from(skip)..3).for_each(|id| walk.note(IncidentId(id), Ticks(1)));
            if walk.end_page(None, None) == NextStep::Done {
                break;
            }
        }
        requests.push(walk.pages());
        size = walk.page_size();
    }
    assert_eq!(requests, [2, 1, 1]);
}

proptest! {
    #[test]
    fn pages_that_are_too_large_as_a_whole_are_asked_for_smaller_from_the_start_next_time(ticks in ticks(), fits in 1_u32..100) {
        let list = List::new(Order::NewestFirst, &ticks);
        let mut size = PageSize::of(100);
        let mut failures = Vec::new();
        for _ in 0..3 {
            let (mut walk, mut failed) = (Pager::new(ALL, size), 0);
            loop {
                walk.begin_page();
                let Query { skip, top, .. } = query(&walk);
                let rows = list.page(Ticks(0), skip as usize, top as usize);
                if rows.len() > fits as usize {
                    failed += 1;
                    prop_assert!(walk.narrow());
                    continue;
                }
                for (id, tick) in &rows {
                    walk.note(IncidentId(*id), Ticks(*tick));
                }
                if walk.end_page(None, None) == NextStep::Done {
                    break;
                }
            }
            failures.push(failed);
            size = walk.page_size();
        }
        prop_assert_eq!(failures[1] + failures[2], 0, "{:?}", failures);
        prop_assert_eq!(size.anew(), PageSize::of(100));
    }

    #[test]
    fn a_nextlink_that_is_refused_is_done_without(order in orders(), ticks in ticks(), refused_from in 0_u32..5) {
        let list = List::new(order, &ticks);
        let (mut walk, mut shown) = (Pager::new(ALL, PageSize::of(10)), BTreeSet::new());
        loop {
            walk.begin_page();
            let skip = match walk.ask() {
                PageAsk::Link(_) if walk.pages() > refused_from => {
                    prop_assert!(walk.link_refused());
                    continue;
                }
                PageAsk::Link(link) => link.parse().expect("our own link"),
                _ => query(&walk).skip as usize,
            };
            let rows = list.page(Ticks(0), skip, 10);
            for (id, tick) in &rows {
                walk.note(IncidentId(*id), Ticks(*tick));
            }
            shown.extend(rows);
            let link = (!list.page(Ticks(0), skip + 10, 1).is_empty()).then(|| (skip + 10).to_string());
            if walk.end_page(link, None) == NextStep::Done {
                break;
            }
        }
        prop_assert_eq!(shown.len(), list.incidents.len());
        prop_assert!(walk.trusted());
    }
}
