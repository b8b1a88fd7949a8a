use proptest::prelude::*;

use super::*;

mod floor;

const HOUR: Duration = Duration::from_secs(3600);
const REACH: Reach = Reach {
    overlap: Duration::from_secs(900),
    reconcile_every: Duration::from_secs(6 * 3600),
    reconcile_window: Duration::from_secs(7 * 86_400),
    requests_per_minute: 25,
};
const NOW: Ticks = Ticks(17_000_000_000_000_000);

fn state() -> TenantState {
    TenantState {
        start: NOW.minus(1000 * 24 * HOUR),
        cursor: NOW.minus(HOUR),
        reconciled: NOW.minus(HOUR),
        backlog: Backlog::default(),
        paused: None,
    }
}

fn last_full(pages: u32) -> LastFull {
    LastFull {
        ended: Some(HOUR),
        pages,
        cursor: None,
        date: None,
    }
}

#[test]
fn the_first_range_starts_at_a_fixed_instant() {
    let first = TenantState::first(NOW, 24 * HOUR);
    let plan = plan(&first, &REACH, LastFull::default(), HOUR);
    assert_eq!(plan.kind, SweepKind::Full);
    assert_eq!(plan.from, NOW.minus(24 * HOUR));
}

#[test]
fn cheap_sweeps_are_always_full() {
    assert_eq!(
        plan(&state(), &REACH, last_full(1), HOUR).kind,
        SweepKind::Full
    );
}

#[test]
fn dear_full_sweeps_take_at_most_half_of_the_budget() {
    let spacing = Duration::from_secs(144);
    let at = |uptime| plan(&state(), &REACH, last_full(31), uptime);
    assert_eq!(
        at(HOUR + spacing - Duration::from_millis(1)),
        Plan {
            kind: SweepKind::Tip,
            from: Ticks(state().cursor.0 + 1)
        }
    );
    assert_eq!(at(HOUR + spacing).kind, SweepKind::Full);
}

#[test]
fn a_full_sweep_overlaps_the_full_one_before_whatever_tips_did_in_between() {
    let left = state().cursor;
    let last = LastFull {
        cursor: Some(left),
        ..last_full(300)
    };
    let mut moved = state();
    moved.cursor = left.plus(HOUR / 2);
    let plan_at = |uptime| plan(&moved, &REACH, last, uptime);
    assert_eq!(plan_at(HOUR).from, Ticks(moved.cursor.0 + 1));
    assert_eq!(
        plan_at(HOUR + HOUR / 2),
        Plan {
            kind: SweepKind::Full,
            from: left.minus(REACH.overlap)
        }
    );
}

#[test]
fn reconcile_is_due_after_its_interval_and_after_a_clock_was_set_back() {
    let due = NOW.minus(HOUR).plus(REACH.reconcile_every);
    let at = |now| reconcile(&state(), &REACH, last_full(1), now);
    assert_eq!(at(Ticks(due.0 - 1)), None);
    let begun = at(due).expect("due");
    assert_eq!(begun.reconciled, due);
    assert_eq!(
        begun.backlog.intervals(),
        [Interval::again(
            due.minus(REACH.reconcile_window),
            state().cursor.minus(REACH.overlap)
        )]
    );
    assert!(at(NOW.minus(2 * HOUR)).is_some());
}

#[test]
fn the_window_of_a_reconcile_does_not_go_ahead_with_a_clock_that_is_wrong() {
    let last = LastFull {
        date: Some(NOW),
        ..last_full(1)
    };
    let ahead = NOW.plus(100 * 24 * HOUR);
    let begun = reconcile(&state(), &REACH, last, ahead).expect("due");
    assert_eq!(
        begun.backlog.intervals(),
        [Interval::again(
            NOW.minus(REACH.reconcile_window),
            state().cursor.minus(REACH.overlap)
        )]
    );
}

#[test]
fn a_reconcile_reads_nothing_twice_and_leaves_what_was_never_read_unread() {
    let mut state = state();
    state.reconciled = NOW.minus(24 * HOUR);
    let unread = Interval::unread(NOW.minus(3 * HOUR), NOW.minus(2 * HOUR));
    state.backlog.open(unread);
    let begun = reconcile(&state, &REACH, last_full(1), NOW).expect("due");
    assert!(begun.backlog.intervals().contains(&unread));
    let mut quiet = state;
    quiet.cursor = NOW.minus(30 * 24 * HOUR);
    quiet.backlog = Backlog::default();
    let begun = reconcile(&quiet, &REACH, last_full(1), NOW).expect("due");
    assert!(begun.backlog.is_empty(), "a full sweep reads it all anyway");
}

#[test]
fn versions_are_forgotten_only_when_microsoft_has_deleted_them_and_nothing_reads_so_far_back() {
    let day = 24 * HOUR;
    let mut state = state();
    let before = |state: &TenantState, reach: &Reach, now| forgettable(state, reach, now);
    assert!(before(&state, &REACH, NOW) < NOW.minus(360 * day));
    assert_eq!(
        before(&state, &REACH, NOW.plus(900 * day)),
        before(&state, &REACH, NOW),
        "a clock that jumped ahead"
    );
    let long = Reach {
        reconcile_window: 500 * day,
        ..REACH
    };
    assert!(before(&state, &long, NOW) < NOW.minus(500 * day));
    let open = Interval::unread(NOW.minus(700 * day), NOW.minus(600 * day));
    state.backlog.open(open);
    assert_eq!(before(&state, &REACH, NOW), open.from);
}

#[test]
fn only_a_long_range_is_cut() {
    let long = Span::from(NOW.minus(24 * HOUR));
    assert_eq!(cut(long, &REACH, NOW), Some(NOW.minus(REACH.overlap)));
    assert_eq!(cut(Span::from(NOW.minus(HOUR / 3)), &REACH, NOW), None);
    assert_eq!(cut(Span::from(NOW.plus(HOUR)), &REACH, NOW), None);
    let bounded = Span::between(NOW.minus(24 * HOUR), NOW.minus(20 * HOUR));
    assert_eq!(cut(bounded, &REACH, NOW), bounded.to);
}

proptest! {
    #[test]
    fn windows_cover_an_interval_from_its_end_to_its_start(from in 0_i64..100, hours in 1_u32..3000, pages in prop::collection::vec(0_u32..40, 0..50)) {
        let mut length = WindowLength::default();
        let mut interval = Interval::unread(Ticks(from), Ticks(from).plus(hours * HOUR));
        let mut pages = pages.into_iter().chain(std::iter::repeat(1));
        for _ in 0..3000 {
            let (start, end) = length.window(&interval);
            prop_assert!(end == interval.to && start < end && start >= interval.from);
            interval.to = start;
            if interval.from >= interval.to {
                return Ok(());
            }
            length = length.after(pages.next().unwrap_or(1));
        }
        prop_assert!(false, "the windows never reached the start");
    }
}
