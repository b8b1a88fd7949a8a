//! Servers that ignore `$filter`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::filter::TOLERANCE;
use super::super::*;
use crate::core::time::ticks::PER_SECOND;

/// The tick `hours` hours after the beginning of the list.
fn hour(hours: i64) -> Ticks {
    Ticks(hours * 3600 * PER_SECOND)
}

/// Reads `span` of an unfiltered list. Returns the pager and the incidents of the span that it showed.
fn read(rows: &[(u64, Ticks)], span: Span, top: u32) -> (Pager, BTreeSet<u64>) {
    let (mut pager, mut shown) = (Pager::new(span, PageSize::of(top)), BTreeSet::new());
    for _ in 0..10_000 {
        pager.begin_page();
        let PageAsk::Query(query) = pager.ask() else {
            panic!("{:?}", pager.ask());
        };
        let page = rows
            .iter()
            .skip(query.skip as usize)
            .take(query.top as usize);
        for (id, at) in page {
            pager.note(IncidentId(*id), *at);
            if *at >= span.from && span.to.is_none_or(|to| *at < to) {
                shown.insert(*id);
            }
        }
        if pager.end_page(None, None) == NextStep::Done {
            return (pager, shown);
        }
    }
    panic!("no end: {pager:?}");
}

proptest! {
    #[test]
    fn of_a_list_that_is_newest_first_what_was_asked_for_is_read_and_little_more(
        hours in prop::collection::vec(0_i64..2000, 0..400), from in 0_i64..2000, length in prop::option::of(1_i64..500), top in 2_u32..100,
    ) {
        let mut rows: Vec<_> = (0..).zip(hours.into_iter().map(hour)).collect();
        rows.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let span = Span { from: hour(from), to: length.map(|length| hour(from + length)) };
        let (pager, shown) = read(&rows, span, top);
        let expected: BTreeSet<_> = rows.iter().filter(|(_, at)| *at >= span.from && span.to.is_none_or(|to| *at < to)).map(|(id, _)| *id).collect();
        prop_assert_eq!(&shown, &expected);
        prop_assert!(pager.trusted());
        let before = rows.iter().filter(|(_, at)| *at >= span.from).count() as u32;
        // Each page except the first shows all but one of its places for the first time.
        prop_assert!(pager.pages() <= before / (top - 1) + 4, "{} pages for {} newer", pager.pages(), before);
    }

    #[test]
    fn of_any_other_list_all_is_read(
        hours in prop::collection::vec(0_i64..2000, 0..400), from in 0_i64..2000, top in 2_u32..100,
    ) {
        let rows: Vec<_> = (0..).zip(hours.into_iter().map(hour)).collect();
        prop_assume!(!rows.is_sorted_by(|one, other| one.1 >= other.1));
        let (pager, shown) = read(&rows, Span::from(hour(from)), top);
        if pager.shown.newest_first {
            // The list was sorted as far as it was read.
            return Ok(());
        }
        let expected: BTreeSet<_> = rows.iter().filter(|(_, at)| *at >= hour(from)).map(|(id, _)| *id).collect();
        prop_assert_eq!(shown, expected);
        prop_assert!(pager.trusted());
    }
}

#[test]
fn a_few_that_are_odd_and_a_rounded_time_are_no_habit_of_the_servers() {
    let span = Span::between(hour(100), hour(200));
    let mut pager = Pager::new(span, PageSize::of(50));
    pager.begin_page();
    for id in 0..20 {
        pager.note(IncidentId(id), span.from.minus(TOLERANCE));
        pager.note(IncidentId(100 + id), hour(150));
    }
    pager.note(IncidentId(50), hour(1));
    pager.note(IncidentId(51), hour(2));
    // These changed after the window was requested.
    (200..230).for_each(|id| pager.note(IncidentId(id), hour(300)));
    assert!(!pager.unfiltered());
    pager.note(IncidentId(52), hour(3));
    assert!(pager.unfiltered());
}
