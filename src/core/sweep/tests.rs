use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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

struct Swept {
    shown: Vec<(u64, i64)>,
    sweep: Sweep,
    /// The list as it stood at the first page, and what was touched since.
    before: List,
}

/// Sweeps `list`, which takes one of `moves` before each page but the first. `cap`: the server pages by nextLinks.
fn sweep(
    list: &mut List,
    from: Ticks,
    top: u32,
    cap: Option<usize>,
    moves: &mut impl Iterator<Item = Move>,
) -> Swept {
    let before = list.clone();
    let plan = Plan {
        kind: Kind::Full,
        from,
    };
    let (mut sweep, mut shown) = (Sweep::new(plan, PageSize::of(top)), Vec::new());
    for _ in 0..10_000 {
        sweep.begin_page();
        let skip = match sweep.ask() {
            PageAsk::Query { skip, .. } => *skip as usize,
            PageAsk::Link(link) => link.parse().expect("our own link"),
        };
        let size = cap.unwrap_or(top as usize);
        let rows = list.page(from, skip, size);
        for (id, tick) in &rows {
            sweep.note(IncidentId(*id), Ticks(*tick));
        }
        shown.extend(&rows);
        let more = !list.page(from, skip + size, 1).is_empty();
        let link = (cap.is_some() && more).then(|| (skip + size).to_string());
        if sweep.end_page(link, Some(Ticks(list.now))) == Step::Done {
            return Swept {
                shown,
                sweep,
                before,
            };
        }
        if let Some(change) = moves.next() {
            list.apply(&change);
        }
    }
    panic!("the sweep never ended: {sweep:?}");
}

/// Pages of `top` from a server that is known to give as many.
fn proven(top: u32) -> PageSize {
    PageSize {
        top,
        full: top,
        proven: true,
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
        let swept = sweep(&mut list, Ticks(from), top, None, &mut moves.into_iter());
        if swept.sweep.trusted() {
            let untouched = swept.before.page(Ticks(from), 0, usize::MAX).into_iter()
                .filter(|(id, tick)| list.incidents.get(id) == Some(tick));
            for incident in untouched {
                prop_assert!(swept.shown.contains(&incident), "{incident:?} was jumped over");
            }
        }
    }

    #[test]
    fn along_links_and_in_pages_of_one_a_moved_list_is_not_trusted(
        order in orders(), ticks in ticks(), cap in prop::option::of(1_usize..30), moves in moves(false),
    ) {
        let mut list = List::new(order, &ticks);
        let swept = sweep(&mut list, Ticks(0), 1, cap, &mut moves.into_iter());
        if swept.sweep.trusted() {
            for (id, tick) in swept.before.incidents {
                if list.incidents.get(&id) == Some(&tick) {
                    prop_assert!(swept.shown.contains(&(id, tick)), "{id} was jumped over");
                }
            }
        }
    }

    #[test]
    fn a_list_that_holds_still_is_read_whole_and_the_cursor_stands_at_its_newest(
        order in orders(), ticks in ticks(), from in 0_i64..6, top in 1_u32..=100, cap in prop::option::of(1_usize..30),
    ) {
        let mut list = List::new(order, &ticks);
        let swept = sweep(&mut list, Ticks(from), top, cap, &mut std::iter::empty());
        let mut shown = swept.shown;
        shown.sort_unstable();
        shown.dedup();
        let expected = list.page(Ticks(from), 0, usize::MAX);
        prop_assert_eq!(shown.len(), expected.len());
        let before = TenantState { cursor: Ticks(3), reconciled: Ticks(0) };
        let after = swept.sweep.state_after(&before, Ticks(5000)).expect("trusted");
        let newest = expected.iter().map(|(_, tick)| *tick).max().unwrap_or(0);
        prop_assert_eq!(after.cursor, Ticks(newest.max(3)));
    }

    #[test]
    fn the_cursor_passes_neither_the_date_nor_its_own_past(date in 0_i64..20, cursor in 0_i64..20, newest in 0_i64..20) {
        let mut sweep = Sweep::new(Plan { kind: Kind::Full, from: Ticks(0) }, proven(100));
        sweep.begin_page();
        sweep.note(IncidentId(1), Ticks(newest));
        sweep.end_page(None, Some(Ticks(date)));
        let before = TenantState { cursor: Ticks(cursor), reconciled: Ticks(0) };
        let after = sweep.state_after(&before, Ticks(1000)).expect("trusted").cursor.0;
        prop_assert_eq!(after, newest.min(date).max(cursor));
    }
}

#[test]
fn a_server_that_ignores_skip_ends_the_sweep_untrusted() {
    let mut sweep = Sweep::new(
        Plan {
            kind: Kind::Full,
            from: Ticks(0),
        },
        proven(2),
    );
    for _ in 0..1000 {
        sweep.begin_page();
        sweep.note(IncidentId(1), Ticks(1));
        sweep.note(IncidentId(2), Ticks(1));
        if sweep.end_page(None, None) == Step::Done {
            assert!(!sweep.trusted());
            return;
        }
    }
    panic!("the sweep goes in circles");
}

#[test]
fn a_link_to_itself_ends_the_sweep_untrusted() {
    let mut sweep = Sweep::new(
        Plan {
            kind: Kind::Full,
            from: Ticks(0),
        },
        proven(2),
    );
    sweep.begin_page();
    assert_eq!(sweep.end_page(Some("again".into()), None), Step::More);
    sweep.begin_page();
    assert_eq!(sweep.end_page(Some("again".into()), None), Step::Done);
    assert!(!sweep.trusted());
}

#[test]
fn empty_pages_with_a_link_do_not_end_a_sweep_that_gets_on() {
    let plan = Plan {
        kind: Kind::Full,
        from: Ticks(0),
    };
    let mut sweep = Sweep::new(plan, proven(100));
    for page in 0..200 {
        sweep.begin_page();
        if page % 2 == 0 {
            sweep.note(IncidentId(page), Ticks(1));
        }
        assert_eq!(sweep.end_page(Some(page.to_string()), None), Step::More);
    }
    sweep.begin_page();
    assert_eq!(sweep.end_page(None, None), Step::Done);
    assert!(sweep.trusted());
}

#[test]
fn an_unreadable_incident_at_a_pages_edge_is_a_joint_too() {
    let mut sweep = Sweep::new(
        Plan {
            kind: Kind::Full,
            from: Ticks(0),
        },
        proven(2),
    );
    sweep.begin_page();
    sweep.note(IncidentId(1), Ticks(1));
    sweep.note_malformed(ContentHash(7));
    assert_eq!(sweep.end_page(None, None), Step::More);
    sweep.begin_page();
    sweep.note_malformed(ContentHash(7));
    assert_eq!(sweep.end_page(None, None), Step::Done);
    assert!(sweep.trusted());
}

#[test]
fn only_a_reconcile_sweep_sets_its_time() {
    let before = TenantState {
        cursor: Ticks(5),
        reconciled: Ticks(1),
    };
    for (kind, reconciled) in [(Kind::Full, 1), (Kind::Tip, 1), (Kind::Reconcile, 99)] {
        let mut sweep = Sweep::new(
            Plan {
                kind,
                from: Ticks(0),
            },
            proven(2),
        );
        sweep.begin_page();
        sweep.end_page(None, None);
        let after = sweep.state_after(&before, Ticks(99)).expect("trusted");
        assert_eq!(
            after,
            TenantState {
                cursor: Ticks(5),
                reconciled: Ticks(reconciled)
            },
            "{kind:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_server_that_gives_less_than_asked_for_is_read_whole_all_the_same(
        order in orders(), ticks in ticks(), limit in 2_usize..100,
    ) {
        let list = List::new(order, &ticks);
        let plan = Plan { kind: Kind::Full, from: Ticks(0) };
        let mut size = PageSize::of(100);
        for pass in 0..2 {
            let (mut sweep, mut shown) = (Sweep::new(plan, size), Vec::new());
            loop {
                sweep.begin_page();
                let PageAsk::Query { skip, .. } = sweep.ask() else { panic!("a link from nowhere") };
                let rows = list.page(Ticks(0), *skip as usize, limit);
                for (id, tick) in &rows {
                    sweep.note(IncidentId(*id), Ticks(*tick));
                }
                shown.extend(rows);
                if sweep.end_page(None, None) == Step::Done {
                    break;
                }
            }
            shown.sort_unstable();
            shown.dedup();
            prop_assert_eq!(shown.len(), list.incidents.len(), "pass {}", pass);
            size = sweep.page_size();
        }
    }
}

#[test]
fn what_a_short_page_means_is_asked_once() {
    let plan = Plan {
        kind: Kind::Full,
        from: Ticks(0),
    };
    let mut size = PageSize::of(100);
    let mut requests = Vec::new();
    for _ in 0..3 {
        let mut sweep = Sweep::new(plan, size);
        loop {
            sweep.begin_page();
            let PageAsk::Query { skip, .. } = *sweep.ask() else {
                panic!("a link from nowhere")
            };
            (u64::from(skip)..3).for_each(|id| sweep.note(IncidentId(id), Ticks(1)));
            if sweep.end_page(None, None) == Step::Done {
                break;
            }
        }
        requests.push(sweep.pages());
        size = sweep.page_size();
    }
    assert_eq!(requests, [2, 1, 1]);
}
