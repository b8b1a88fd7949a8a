//! No sweep reads anything older than the start of the first range.

use super::*;

const DAY: u32 = 24;

fn minutes(range: std::ops::Range<u32>) -> impl Strategy<Value = Duration> {
    range.prop_map(|minutes| minutes * Duration::from_secs(60))
}

/// A first range that begins up to 60 days ago, and a cursor at or after its start.
fn anywhere() -> impl Strategy<Value = TenantState> {
    let span = minutes(1..60 * 1440);
    (span, 0.0..=1.0, minutes(0..60 * 1440), any::<bool>()).prop_map(
        |(ago, read, reconciled, deep)| {
            let start = NOW.minus(ago);
            let cursor = start.plus(ago.mul_f64(read));
            let mut backlog = Backlog::default();
            if deep {
                backlog.open(Interval::unread(start, start.plus(ago.mul_f64(read / 2.0))));
            }
            TenantState {
                start,
                cursor,
                reconciled: NOW.minus(reconciled),
                backlog,
                paused: None,
            }
        },
    )
}

fn reach() -> impl Strategy<Value = Reach> {
    let reach = (minutes(1..1440), minutes(1..1440), minutes(1..180 * 1440));
    reach.prop_map(|(overlap, every, window)| Reach {
        overlap,
        reconcile_every: every,
        reconcile_window: window.max(overlap),
        ..REACH
    })
}

/// This machine's clock: right, set back, or ahead, by up to a year.
fn clock() -> impl Strategy<Value = Ticks> {
    let year = 365 * 1440;
    prop_oneof![
        Just(NOW),
        minutes(0..year).prop_map(|off| NOW.minus(off)),
        minutes(0..year).prop_map(|off| NOW.plus(off)),
    ]
}

/// The last full sweep left the cursor up to `back` behind its present place.
fn full_sweep(state: &TenantState, back: Duration) -> LastFull {
    LastFull {
        cursor: Some(state.cursor.minus(back).max(state.start)),
        ..LastFull::default()
    }
}

proptest! {
    #[test]
    fn neither_overlap_nor_reconcile_reads_anything_older_than_the_first_range_however_wrong_the_clock(
        state in anywhere(), reach in reach(), back in minutes(0..1440), now in clock(),
    ) {
        let last = full_sweep(&state, back);
        let full = plan(&state, &reach, last, HOUR);
        prop_assert!(full.from >= state.start && full.from <= state.cursor);
        if let Some(begun) = reconcile(&state, &reach, last, now) {
            prop_assert_eq!(begun.start, state.start);
            prop_assert!(begun.backlog.intervals().iter().all(|open| open.from >= state.start));
        }
    }

    #[test]
    fn a_reconcile_reaches_back_no_further_than_its_window_from_what_microsoft_has_shown(
        mut state in anywhere(), reach in reach(), back in minutes(0..1440), now in clock(),
    ) {
        // The same holds for a tenant whose start is not known.
        state.start = Ticks::MIN;
        state.backlog = Backlog::default();
        if let Some(begun) = reconcile(&state, &reach, full_sweep(&state, back), now) {
            let furthest = state.cursor.minus(reach.reconcile_window);
            prop_assert!(begun.backlog.intervals().iter().all(|open| open.from >= furthest));
        }
    }

    #[test]
    fn within_the_first_range_the_whole_window_is_compared(
        state in anywhere(), reach in reach(), back in minutes(0..1440),
    ) {
        let last = full_sweep(&state, back);
        if let Some(begun) = reconcile(&state, &reach, last, NOW) {
            let from = NOW.minus(reach.reconcile_window).max(state.start);
            // What neither the backlog nor the full sweep covers lies before the window or before the first range.
            let live = plan(&state, &reach, last, HOUR).from;
            let unread = if from < live { begun.backlog.outside(Span::between(from, live)) } else { Vec::new() };
            prop_assert_eq!(unread, []);
        }
    }

    #[test]
    fn a_longer_lookback_later_on_moves_no_start(
        mut state in anywhere(), lookback in minutes(1..180 * 1440), ahead in minutes(0..365 * 1440), fresh in any::<bool>(),
    ) {
        // The cursor may be anywhere, and no fast clock made the start.
        state.cursor = state.cursor.plus(ahead);
        let fresh = fresh && state.is_first(lookback);
        if let Some(corrected) = state.corrected(NOW, NOW, lookback, fresh) {
            prop_assert_eq!(corrected.start, state.start);
            prop_assert!(corrected.cursor >= state.start && corrected.cursor <= NOW);
        }
    }

    #[test]
    fn a_first_range_that_a_fast_clock_began_too_late_is_moved_with_its_floor(
        lookback in minutes(1..180 * 1440), ahead in minutes(2..365 * 1440),
    ) {
        let first = TenantState::first(NOW.plus(ahead), lookback);
        prop_assert!(first.is_first(lookback));
        let ours = NOW.plus(ahead);
        let corrected = first.corrected(NOW, ours, lookback, true);
        let corrected = corrected.expect("it is too late");
        prop_assert_eq!((corrected.start, corrected.cursor), (NOW.minus(lookback), NOW.minus(lookback)));
        prop_assert_eq!(corrected.corrected(NOW, ours, lookback, false), None, "once");
    }
}

proptest! {
    #[test]
    fn what_microsoft_has_shown_is_moved_by_no_date_unless_our_clock_says_the_same(
        mut state in anywhere(), date in clock(), ours in clock(), lookback in minutes(1..180 * 1440), ahead in minutes(0..365 * 1440),
    ) {
        // The incidents shown have moved the cursor, perhaps too far.
        state.cursor = state.cursor.plus(ahead).max(Ticks(state.start.0 + 1));
        if let Some(corrected) = state.corrected(date, ours, lookback, false) {
            let latest = date.max(ours);
            prop_assert!(state.cursor > latest, "{} was moved, and is not after {latest}", state.cursor);
            prop_assert!(corrected.start == state.start || state.start > latest);
        }
    }
}

#[test]
fn a_start_in_the_future_is_moved_whatever_lookback_is_by_then() {
    let ahead = TenantState::first(NOW.plus(30 * DAY * HOUR), DAY * HOUR);
    let fresh = ahead.is_first(2 * DAY * HOUR);
    let corrected = ahead.corrected(NOW, NOW.plus(30 * DAY * HOUR), 2 * DAY * HOUR, fresh);
    let corrected = corrected.expect("it is too late");
    assert_eq!(
        (fresh, corrected.start, corrected.cursor),
        (false, NOW.minus(2 * DAY * HOUR), NOW.minus(2 * DAY * HOUR))
    );
}

#[test]
fn of_a_tenant_that_has_shown_nothing_there_is_nothing_to_compare() {
    let first = TenantState::first(NOW, DAY * HOUR);
    // No matter how late it is, or how far the clock was set back.
    for now in [NOW.plus(30 * DAY * HOUR), NOW.minus(30 * DAY * HOUR)] {
        assert_eq!(reconcile(&first, &REACH, LastFull::default(), now), None);
    }
}

#[test]
fn a_state_from_before_the_start_was_kept_reads_as_far_back_as_it_did() {
    let mut old = TenantState::first(NOW, DAY * HOUR);
    old.start = Ticks::MIN;
    assert!(old.is_first(DAY * HOUR) && !old.is_first(2 * DAY * HOUR));
    let full = plan(&old, &REACH, LastFull::default(), HOUR);
    assert_eq!(full.from, old.cursor.minus(REACH.overlap));
    let due = NOW.plus(REACH.reconcile_every);
    let begun = reconcile(&old, &REACH, LastFull::default(), due).expect("due");
    assert_eq!(
        begun.backlog.intervals(),
        [Interval::again(
            due.minus(REACH.reconcile_window),
            full.from
        )]
    );
}
