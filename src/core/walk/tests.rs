use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::trouble::DOUBTFUL;
use super::*;

const ALL: Span = Span {
    from: Ticks(0),
    to: None,
};

/// A list on a server, in an order that incidents keep while nobody touches them.
#[derive(Debug, Clone)]
struct List {
    order: Order,
    incidents: BTreeMap<u64, i64>,
    now: i64,
    next_id: u64,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    NewestFirst,
    OldestFirst,
    Shuffled,
}

/// What happens to the list between two requests.
#[derive(Debug, Clone)]
enum Move {
    Update(Vec<u16>),
    Create(u8),
    Delete(u16),
}

impl List {
    /// `ticks` are few and small, so that many incidents share one: ties.
    fn new(order: Order, ticks: &[i64]) -> Self {
        let incidents = (1..).zip(ticks.iter().copied()).collect();
        Self {
            order,
            incidents,
            now: 1000,
            next_id: 10_000,
        }
    }

    fn apply(&mut self, change: &Move) {
        self.now += 1;
        let now = self.now;
        let pick = |list: &Self, n: u16| {
            list.incidents
                .keys()
                .nth(usize::from(n) % list.incidents.len().max(1))
                .copied()
        };
        match change {
            Move::Update(which) => {
                for n in which {
                    if let Some(id) = pick(self, *n) {
                        self.incidents.insert(id, now);
                    }
                }
            }
            Move::Create(count) => {
                for _ in 0..*count {
                    self.next_id += 1;
                    self.incidents.insert(self.next_id, now);
                }
            }
            Move::Delete(n) => {
                if let Some(id) = pick(self, *n) {
                    self.incidents.remove(&id);
                }
            }
        }
    }

    fn page(&self, from: Ticks, skip: usize, count: usize) -> Vec<(u64, i64)> {
        let mut rows: Vec<_> = self
            .incidents
            .iter()
            .map(|(id, tick)| (*id, *tick))
            .collect();
        rows.retain(|(_, tick)| *tick >= from.0);
        rows.sort_by_key(|(id, tick)| match self.order {
            Order::NewestFirst => (-tick, *id),
            Order::OldestFirst => (*tick, *id),
            Order::Shuffled => (
                (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (*tick as u64) << 7).cast_signed(),
                *id,
            ),
        });
        rows.into_iter().skip(skip).take(count).collect()
    }
}

struct Walked {
    shown: Vec<(u64, i64)>,
    walk: Walk,
    /// The list as it stood at the first page, and what was touched since.
    before: List,
}

/// Walks `list`, which takes one of `moves` before each page but the first. `cap`: the server pages by nextLinks.
fn walk(
    list: &mut List,
    from: Ticks,
    top: u32,
    cap: Option<usize>,
    moves: &mut impl Iterator<Item = Move>,
) -> Walked {
    let before = list.clone();
    let (mut walk, mut shown) = (Walk::new(Span::from(from), PageSize::of(top)), Vec::new());
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
        if walk.end_page(link, Some(Ticks(list.now))) == Step::Done {
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

/// Pages of `top` from a server that is known to give as many.
fn proven(top: u32) -> PageSize {
    let mut size = PageSize::of(top);
    size.proven = true;
    size
}

fn reached(walk: &Walk) -> Reached {
    let mut reached = Reached::default();
    reached.add(walk);
    reached
}

fn query(walk: &Walk) -> Query {
    match walk.ask() {
        PageAsk::Query(query) => query,
        other => panic!("expected a query, not {other:?}"),
    }
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::NewestFirst),
        Just(Order::OldestFirst),
        Just(Order::Shuffled)
    ]
}

fn moves(deletions: bool) -> impl Strategy<Value = Vec<Move>> {
    let update = prop::collection::vec(any::<u16>(), 1..5).prop_map(Move::Update);
    let create = (1_u8..4).prop_map(Move::Create);
    let delete = if deletions {
        any::<u16>().prop_map(Move::Delete).boxed()
    } else {
        Just(Move::Create(1)).boxed()
    };
    prop::collection::vec(prop_oneof![3 => update, 2 => create, 1 => delete], 0..40)
}

/// Ticks in few distinct values: groups of up to 60 incidents share one.
fn ticks() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec((0_i64..12, 1_usize..60), 0..12).prop_map(|groups| {
        groups
            .into_iter()
            .flat_map(|(tick, n)| std::iter::repeat_n(tick, n))
            .collect()
    })
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
        let after = reached(&walked.walk).cursor_after(Ticks(3), Ticks(5000));
        let newest = expected.iter().map(|(_, tick)| *tick).max().unwrap_or(0);
        prop_assert_eq!(after, Ticks(newest.max(3)));
    }

    #[test]
    fn the_cursor_passes_neither_the_date_nor_its_own_past(date in 0_i64..20, cursor in 0_i64..20, newest in 0_i64..20) {
        let mut walk = Walk::new(ALL, proven(100));
        walk.begin_page();
        walk.note(IncidentId(1), Ticks(newest));
        walk.end_page(None, Some(Ticks(date)));
        let after = reached(&walk).cursor_after(Ticks(cursor), Ticks(1000));
        prop_assert_eq!(after.0, newest.min(date).max(cursor));
    }
}

#[test]
fn a_server_that_ignores_skip_ends_the_sweep_untrusted() {
    let mut walk = Walk::new(ALL, proven(2));
    for _ in 0..1000 {
        walk.begin_page();
        walk.note(IncidentId(1), Ticks(1));
        walk.note(IncidentId(2), Ticks(1));
        if walk.end_page(None, None) == Step::Done {
            assert!(!walk.trusted());
            return;
        }
    }
    panic!("the sweep goes in circles");
}

#[test]
fn a_page_beyond_a_jump_is_no_joint_for_the_next() {
    let mut list: Vec<u64> = (0..40).collect();
    let (mut walk, mut shown) = (Walk::new(ALL, proven(4)), BTreeSet::new());
    for page in 0..40 {
        if page == 3 {
            // Eight that were read already go to the end, and all others move up by eight.
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
        if walk.end_page(None, None) == Step::Done {
            break;
        }
    }
    assert!(walk.trusted());
    assert_eq!(shown.len(), 40, "jumped over some: {shown:?}");
}

#[test]
fn a_link_to_itself_ends_the_sweep_untrusted() {
    let mut walk = Walk::new(ALL, proven(2));
    walk.begin_page();
    assert_eq!(walk.end_page(Some("again".into()), None), Step::More);
    walk.begin_page();
    assert_eq!(walk.end_page(Some("again".into()), None), Step::Done);
    assert!(!walk.trusted());
}

#[test]
fn empty_pages_with_a_link_do_not_end_a_sweep_that_gets_on() {
    let mut walk = Walk::new(ALL, proven(100));
    for page in 0..200 {
        walk.begin_page();
        if page % 2 == 0 {
            walk.note(IncidentId(page), Ticks(1));
        }
        assert_eq!(walk.end_page(Some(page.to_string()), None), Step::More);
    }
    walk.begin_page();
    assert_eq!(walk.end_page(None, None), Step::Done);
    assert!(walk.trusted());
}

#[test]
fn an_unreadable_incident_at_a_pages_edge_is_a_joint_too() {
    let mut walk = Walk::new(ALL, proven(2));
    walk.begin_page();
    walk.note(IncidentId(1), Ticks(1));
    walk.note_malformed(ContentHash(7));
    assert_eq!(walk.end_page(None, None), Step::More);
    walk.begin_page();
    walk.note_malformed(ContentHash(7));
    assert_eq!(walk.end_page(None, None), Step::Done);
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
            let (mut walk, mut shown) = (Walk::new(ALL, size), Vec::new());
            loop {
                walk.begin_page();
                let skip = query(&walk).skip;
                let rows = list.page(Ticks(0), skip as usize, limit);
                for (id, tick) in &rows {
                    walk.note(IncidentId(*id), Ticks(*tick));
                }
                shown.extend(rows);
                if walk.end_page(None, None) == Step::Done {
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
        let mut walk = Walk::new(ALL, size);
        loop {
            walk.begin_page();
            let skip = query(&walk).skip;
            (u64::from(skip)..3).for_each(|id| walk.note(IncidentId(id), Ticks(1)));
            if walk.end_page(None, None) == Step::Done {
                break;
            }
        }
        requests.push(walk.pages());
        size = walk.page_size();
    }
    assert_eq!(requests, [2, 1, 1]);
}

/// Walks a list that holds still and in which pages with a poisonous incident fail. `thin`: what a single place holds can
/// be asked for without its alerts.
fn walk_poisoned(
    list: &List,
    top: u32,
    linked: bool,
    poison: &BTreeSet<u64>,
    thin: bool,
) -> Walked {
    let (mut walk, mut shown) = (Walk::new(ALL, PageSize::of(top)), Vec::new());
    let poisoned = |rows: &[(u64, i64)]| rows.iter().any(|(id, _)| poison.contains(id));
    for _ in 0..10_000 {
        walk.begin_page();
        let (skip, size) = match walk.ask() {
            PageAsk::Query(query) => (query.skip as usize, query.top as usize),
            PageAsk::Link(link) => (link.parse().expect("our own link"), top as usize),
            PageAsk::One(id) => panic!("asked for {id} alone"),
        };
        let rows = list.page(Ticks(0), skip, size);
        if poisoned(&rows) {
            if walk.narrow() {
                continue;
            }
            assert!(walk.ask_bare().is_some());
            assert_eq!(rows.len(), 1);
            if thin {
                walk.pass_single(Ticks(rows[0].1));
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
            match walk.pass_unseen() {
                Passed::IfOneComes(proofs) if !proofs.iter().any(comes) => break,
                Passed::InVain => break,
                _ => {}
            }
            continue;
        }
        for (id, tick) in &rows {
            walk.note(IncidentId(*id), Ticks(*tick));
        }
        shown.extend(&rows);
        let more = !list.page(Ticks(0), skip + size, 1).is_empty();
        let link = (linked && more).then(|| (skip + size).to_string());
        if walk.end_page(link, Some(Ticks(list.now))) == Step::Done {
            break;
        }
    }
    Walked {
        shown,
        walk,
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
        let walked = walk_poisoned(&list, top, linked, &poison, thin);
        let in_order = list.page(Ticks(0), 0, usize::MAX).into_iter().map(|(id, _)| id);
        let first: BTreeSet<u64> = in_order.take_while(|id| poison.contains(id)).collect();
        for (id, tick) in &list.incidents {
            let poisonous = poison.contains(id);
            if thin || !poisonous {
                prop_assert!(walked.shown.contains(&(*id, *tick)), "{} was not read", id);
            }
            let placed = match order {
                Order::NewestFirst => true,
                // What stands first there is taken for the newest, until another walk meets it by itself.
                Order::OldestFirst => !first.contains(id),
                Order::Shuffled => false,
            };
            if poisonous && placed {
                let named = walked.walk.troubles().iter().any(|trouble| (trouble.from.0..trouble.to.0).contains(tick));
                prop_assert!(named, "{} is in none of {:?}", id, walked.walk.troubles());
            }
        }
        let met = poison.iter().any(|id| list.incidents.contains_key(id));
        prop_assert!(!met || !walked.walk.trusted());
    }

    #[test]
    fn pages_that_are_too_large_as_a_whole_are_asked_for_smaller_from_the_start_next_time(ticks in ticks(), fits in 1_u32..100) {
        let list = List::new(Order::NewestFirst, &ticks);
        let mut size = PageSize::of(100);
        let mut failures = Vec::new();
        for _ in 0..3 {
            let (mut walk, mut failed) = (Walk::new(ALL, size), 0);
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
                if walk.end_page(None, None) == Step::Done {
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
        let (mut walk, mut shown) = (Walk::new(ALL, PageSize::of(10)), BTreeSet::new());
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
            if walk.end_page(link, None) == Step::Done {
                break;
            }
        }
        prop_assert_eq!(shown.len(), list.incidents.len());
        prop_assert!(walk.trusted());
    }
}

#[test]
fn when_every_place_fails_it_is_the_service_and_not_the_incidents() {
    let list = List::new(Order::NewestFirst, &[1; 400]);
    let walked = walk_poisoned(&list, 10, false, &(1..=400).collect(), false);
    assert!(walked.shown.is_empty());
    assert_eq!((walked.walk.pages(), walked.walk.passed), (0, DOUBTFUL));
}

#[test]
fn a_crowd_of_neighbours_that_cannot_be_read_is_passed_when_others_can() {
    for (crowd, count) in [(101..=180_u64, 80), (1..=80, 80), (321..=400, 80)] {
        let list = List::new(Order::NewestFirst, &[1; 400]);
        let walked = walk_poisoned(&list, 50, false, &crowd.clone().collect(), false);
        let shown: BTreeSet<u64> = walked.shown.iter().map(|(id, _)| *id).collect();
        assert_eq!(shown.len(), 400 - count, "{crowd:?}");
        assert!(walked.walk.troubles().iter().all(|trouble| trouble.unseen));
    }
}
