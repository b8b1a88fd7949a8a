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

struct PagerRun {
    shown: Vec<(u64, i64)>,
    pager: Pager,
    /// The list as it was at the first page, and what was touched since.
    before: List,
}

/// Reads `list`, which makes one of `moves` before each page except the first. `cap`: the server pages by nextLinks.
fn read_list(
    list: &mut List,
    from: Ticks,
    top: u32,
    cap: Option<usize>,
    moves: &mut impl Iterator<Item = Move>,
) -> PagerRun {
    let before = list.clone();
    let (mut pager, mut shown) = (Pager::new(Span::from(from), PageSize::of(top)), Vec::new());
    for _ in 0..10_000 {
        pager.begin_page();
        let skip = match pager.ask() {
            PageAsk::One(id) => panic!("asked for {id} alone"),
            PageAsk::Query(query) => query.skip as usize,
            PageAsk::Link(link) => link.parse().expect("our own link"),
        };
        let size = cap.unwrap_or(top as usize);
        let rows = list.page(from, skip, size);
        for (id, tick) in &rows {
            pager.note(IncidentId(*id), Ticks(*tick));
        }
        shown.extend(&rows);
        let more = !list.page(from, skip + size, 1).is_empty();
        let link = (cap.is_some() && more).then(|| (skip + size).to_string());
        if pager.end_page(link, Some(Ticks(list.now))) == NextStep::Done {
            return PagerRun {
                shown,
                pager,
                before,
            };
        }
        if let Some(change) = moves.next() {
            list.apply(&change);
        }
    }
    panic!("the sweep never ended: {pager:?}");
}

/// Pages of `top` from a server that is known to return as many as requested.
fn proven(top: u32) -> PageSize {
    let mut size = PageSize::of(top);
    size.proven = true;
    size
}

fn reached(pager: &Pager) -> SweepProgress {
    let mut reached = SweepProgress::default();
    reached.add(pager);
    reached
}

fn query(pager: &Pager) -> Query {
    match pager.ask() {
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
        let run = read_list(&mut list, Ticks(from), top, None, &mut moves.into_iter());
        if run.pager.trusted() {
            let untouched = run.before.page(Ticks(from), 0, usize::MAX).into_iter()
                .filter(|(id, tick)| list.incidents.get(id) == Some(tick));
            for incident in untouched {
                prop_assert!(run.shown.contains(&incident), "{incident:?} was jumped over");
            }
        }
    }

    #[test]
    fn along_links_and_in_pages_of_one_a_moved_list_is_not_trusted(
        order in orders(), ticks in ticks(), cap in prop::option::of(1_usize..30), moves in moves(false),
    ) {
        let mut list = List::new(order, &ticks);
        let run = read_list(&mut list, Ticks(0), 1, cap, &mut moves.into_iter());
        if run.pager.trusted() {
            for (id, tick) in run.before.incidents {
                if list.incidents.get(&id) == Some(&tick) {
                    prop_assert!(run.shown.contains(&(id, tick)), "{id} was jumped over");
                }
            }
        }
    }

    #[test]
    fn a_list_that_holds_still_is_read_whole_and_the_cursor_stands_at_its_newest(
        order in orders(), ticks in ticks(), from in 0_i64..6, top in 1_u32..=100, cap in prop::option::of(1_usize..30),
    ) {
        let mut list = List::new(order, &ticks);
        let run = read_list(&mut list, Ticks(from), top, cap, &mut std::iter::empty());
        let mut shown = run.shown;
        shown.sort_unstable();
        shown.dedup();
        let expected = list.page(Ticks(from), 0, usize::MAX);
        prop_assert_eq!(shown.len(), expected.len());
        prop_assert!(run.pager.trusted());
        let after = reached(&run.pager).cursor_after(Ticks(3), Ticks(5000), true);
        let newest = expected.iter().map(|(_, tick)| *tick).max().unwrap_or(0);
        prop_assert_eq!(after, Ticks(newest.max(3)));
    }

    #[test]
    fn the_cursor_passes_neither_the_date_nor_its_own_past_nor_our_clock_by_the_word_of_one_answer(
        date in 0_i64..20, cursor in 0_i64..20, newest in 0_i64..20, ours in 0_i64..20, confirmed in any::<bool>(),
    ) {
        let mut pager = Pager::new(ALL, proven(100));
        pager.begin_page();
        pager.note(IncidentId(1), Ticks(newest));
        pager.end_page(None, Some(Ticks(date)));
        let after = reached(&pager).cursor_after(Ticks(cursor), Ticks(ours), confirmed);
        let date = if confirmed { date } else { date.min(ours) };
        prop_assert_eq!(after.0, newest.min(date).max(cursor));
    }
}

#[test]
fn a_server_that_ignores_skip_ends_the_sweep_untrusted() {
    let mut pager = Pager::new(ALL, proven(2));
    for _ in 0..1000 {
        pager.begin_page();
        pager.note(IncidentId(1), Ticks(1));
        pager.note(IncidentId(2), Ticks(1));
        if pager.end_page(None, None) == NextStep::Done {
            assert!(!pager.trusted());
            return;
        }
    }
    panic!("the sweep goes in circles");
}

#[test]
fn a_page_beyond_a_jump_is_no_joint_for_the_next() {
    let mut list: Vec<u64> = (0..40).collect();
    let (mut pager, mut shown) = (Pager::new(ALL, proven(4)), BTreeSet::new());
    for page in 0..40 {
        if page == 3 {
            // Eight incidents that were read already move to the end, and all others move up by eight.
            list.rotate_left(8);
        }
        pager.begin_page();
        let skip = query(&pager).skip as usize;
        let rows = list.iter().skip(skip).take(4);
        for id in rows {
            let tick = if page >= 3 && *id < 8 { 2 } else { 1 };
            pager.note(IncidentId(*id), Ticks(tick));
            shown.insert(*id);
        }
        if pager.end_page(None, None) == NextStep::Done {
            break;
        }
    }
    assert!(pager.trusted());
    assert_eq!(shown.len(), 40, "jumped over some: {shown:?}");
}

#[test]
fn a_link_to_itself_ends_the_sweep_untrusted() {
    let mut pager = Pager::new(ALL, proven(2));
    pager.begin_page();
    assert_eq!(pager.end_page(Some("again".into()), None), NextStep::More);
    pager.begin_page();
    assert_eq!(pager.end_page(Some("again".into()), None), NextStep::Done);
    assert!(!pager.trusted());
}

#[test]
fn a_list_that_makes_up_what_cant_be_read_anew_for_each_request_comes_to_an_end() {
    for linked in [false, true] {
        let mut pager = Pager::new(ALL, proven(1));
        let mut pages = 0;
        loop {
            pager.begin_page();
            pager.note_malformed(ContentHash(pages));
            pages += 1;
            let step = pager.end_page(Some(pages.to_string()), None);
            if step == NextStep::Done {
                break;
            }
            if !linked && matches!(pager.ask(), PageAsk::Link(_)) {
                assert!(pager.link_refused());
            }
        }
        assert!(!pager.trusted() && pager.went_in_circles());
        assert!(pages < 50, "{pages} pages");
    }
}

#[test]
fn empty_pages_with_a_link_do_not_end_a_sweep_that_gets_on() {
    let mut pager = Pager::new(ALL, proven(100));
    for page in 0..200 {
        pager.begin_page();
        if page % 2 == 0 {
            pager.note(IncidentId(page), Ticks(1));
        }
        assert_eq!(pager.end_page(Some(page.to_string()), None), NextStep::More);
    }
    pager.begin_page();
    assert_eq!(pager.end_page(None, None), NextStep::Done);
    assert!(pager.trusted());
}

#[test]
fn what_stands_behind_any_number_of_empty_pages_is_reached() {
    for span in [ALL, Span::between(Ticks(0), Ticks(9))] {
        let mut pager = Pager::new(span, proven(100));
        for page in 0..500 {
            pager.begin_page();
            let link = Some(page.to_string());
            assert_eq!(pager.end_page(link, None), NextStep::More, "{page}");
        }
        assert_eq!(pager.ask(), PageAsk::Link("499".into()));
        pager.begin_page();
        pager.note(IncidentId(1), Ticks(1));
        assert_eq!(pager.end_page(None, None), NextStep::Done);
        assert!(pager.trusted() && !pager.went_in_circles());
    }
}

#[test]
fn empty_pages_that_name_one_another_end_the_sweep_untrusted() {
    for leads in [|page: u32| page % 3, |page: u32| page] {
        let mut pager = Pager::new(ALL, proven(100));
        let mut pages = 0;
        loop {
            pager.begin_page();
            let link = leads(pages).to_string();
            pages += 1;
            if pager.end_page(Some(link), None) == NextStep::Done {
                break;
            }
        }
        assert!(!pager.trusted() && pager.went_in_circles());
        assert!(pages < 1_100, "{pages} pages");
    }
}

#[test]
fn an_unreadable_incident_at_a_pages_edge_is_a_joint_too() {
    let mut pager = Pager::new(ALL, proven(2));
    pager.begin_page();
    pager.note(IncidentId(1), Ticks(1));
    pager.note_malformed(ContentHash(7));
    assert_eq!(pager.end_page(None, None), NextStep::More);
    pager.begin_page();
    pager.note_malformed(ContentHash(7));
    assert_eq!(pager.end_page(None, None), NextStep::Done);
    assert!(pager.trusted());
}

proptest! {
    #[test]
    fn a_server_that_gives_less_than_asked_for_is_read_whole_all_the_same(
        order in orders(), ticks in ticks(), limit in 2_usize..100,
    ) {
        let list = List::new(order, &ticks);
                let mut size = PageSize::of(100);
        for pass in 0..2 {
            let (mut pager, mut shown) = (Pager::new(ALL, size), Vec::new());
            loop {
                pager.begin_page();
                let skip = query(&pager).skip;
                let rows = list.page(Ticks(0), skip as usize, limit);
                for (id, tick) in &rows {
                    pager.note(IncidentId(*id), Ticks(*tick));
                }
                shown.extend(rows);
                if pager.end_page(None, None) == NextStep::Done {
                    break;
                }
            }
            shown.sort_unstable();
            shown.dedup();
            prop_assert_eq!(shown.len(), list.incidents.len(), "pass {}", pass);
            size = pager.page_size();
        }
    }
}

#[test]
fn what_a_short_page_means_is_asked_once() {
    let mut size = PageSize::of(100);
    let mut requests = Vec::new();
    for _ in 0..3 {
        let mut pager = Pager::new(ALL, size);
        loop {
            pager.begin_page();
            let skip = query(&pager).skip;
            (u64::from(skip)..3).for_each(|id| pager.note(IncidentId(id), Ticks(1)));
            if pager.end_page(None, None) == NextStep::Done {
                break;
            }
        }
        requests.push(pager.pages());
        size = pager.page_size();
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
            let (mut pager, mut failed) = (Pager::new(ALL, size), 0);
            loop {
                pager.begin_page();
                let Query { skip, top, .. } = query(&pager);
                let rows = list.page(Ticks(0), skip as usize, top as usize);
                if rows.len() > fits as usize {
                    failed += 1;
                    prop_assert!(pager.narrow());
                    continue;
                }
                for (id, tick) in &rows {
                    pager.note(IncidentId(*id), Ticks(*tick));
                }
                if pager.end_page(None, None) == NextStep::Done {
                    break;
                }
            }
            failures.push(failed);
            size = pager.page_size();
        }
        prop_assert_eq!(failures[1] + failures[2], 0, "{:?}", failures);
        prop_assert_eq!(size.anew(), PageSize::of(100));
    }

    #[test]
    fn a_nextlink_that_is_refused_is_done_without(order in orders(), ticks in ticks(), refused_from in 0_u32..5) {
        let list = List::new(order, &ticks);
        let (mut pager, mut shown) = (Pager::new(ALL, PageSize::of(10)), BTreeSet::new());
        loop {
            pager.begin_page();
            let skip = match pager.ask() {
                PageAsk::Link(_) if pager.pages() > refused_from => {
                    prop_assert!(pager.link_refused());
                    continue;
                }
                PageAsk::Link(link) => link.parse().expect("our own link"),
                _ => query(&pager).skip as usize,
            };
            let rows = list.page(Ticks(0), skip, 10);
            for (id, tick) in &rows {
                pager.note(IncidentId(*id), Ticks(*tick));
            }
            shown.extend(rows);
            let link = (!list.page(Ticks(0), skip + 10, 1).is_empty()).then(|| (skip + 10).to_string());
            if pager.end_page(link, None) == NextStep::Done {
                break;
            }
        }
        prop_assert_eq!(shown.len(), list.incidents.len());
        prop_assert!(pager.trusted());
    }
}
