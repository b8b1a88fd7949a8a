use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::core::health::failure::{Health, Reaction};
use crate::core::sweep::backlog::Span;
use crate::core::sweep::cursor::plan;
use crate::core::sweep::pause::MOST_REASON;

const NOW: Ticks = Ticks(17_000_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const REACH: Reach = Reach {
    overlap: HOUR,
    reconcile_every: HOUR,
    reconcile_window: HOUR,
    requests_per_minute: 25,
};

fn after(state: &TenantState, command: TenantCommand) -> Result<TenantState, CommandRefused> {
    command.apply(state, &REACH, LastFull::default(), NOW)
}

fn pause(reason: &str) -> TenantCommand {
    TenantCommand::Pause(PauseReason::new(reason))
}

#[test]
fn a_pause_and_its_end_leave_everything_else_as_it_was() {
    let state = TenantState::first(NOW.minus(HOUR), 24 * HOUR);
    let paused = after(&state, pause("handed over")).expect("paused");
    let expected = Pause {
        since: NOW,
        reason: PauseReason::new("handed over"),
    };
    assert_eq!(paused.paused, Some(expected));
    assert_eq!(after(&paused, TenantCommand::Resume), Ok(state.clone()));
    assert_eq!(
        after(&state, TenantCommand::Resume),
        Ok(state),
        "not paused"
    );
}

#[test]
fn a_second_pause_keeps_its_begin_and_takes_a_new_reason() {
    let state = TenantState::first(NOW.minus(HOUR), 24 * HOUR);
    let first = after(&state, pause("one")).expect("paused");
    let later = NOW.plus(HOUR);
    let again = |reason| pause(reason).apply(&first, &REACH, LastFull::default(), later);
    assert_eq!(again(""), Ok(first.clone()));
    let second = again("two").expect("paused").paused.expect("paused");
    assert_eq!((second.since, second.reason.as_str()), (NOW, "two"));
}

#[test]
fn a_reason_is_one_short_line() {
    let reason = PauseReason::new(&"a\u{1b}\n".repeat(1000));
    assert_eq!(reason.as_str().chars().count(), MOST_REASON);
    assert!(!reason.as_str().contains(['\u{1b}', '\n']));
}

#[test]
fn what_microsoft_can_not_have_is_refused_with_the_limit() {
    let state = TenantState::first(NOW, 24 * HOUR);
    let backfill = |since| after(&state, TenantCommand::Backfill(since));
    let future = NOW.plus(HOUR);
    assert_eq!(
        backfill(future),
        Err(CommandRefused::Future {
            since: future,
            now: NOW
        })
    );
    let oldest = NOW.minus(RETENTION);
    let since = oldest.minus(HOUR);
    assert_eq!(
        backfill(since),
        Err(CommandRefused::TooOld { since, oldest })
    );
    assert!(backfill(oldest).is_ok() && backfill(NOW).is_ok());
}

#[test]
fn the_operator_reads_what_has_changed() {
    let said = |before: &TenantState, command: TenantCommand| {
        let after = after(before, command.clone()).expect("possible");
        (command.done("a b", "ID", before, &after), after)
    };
    let state = TenantState::first(Ticks(NOW.0 + 1_234_567), 24 * HOUR);
    let (first, paused) = said(&state, pause("one"));
    assert!(first.ends_with(": incidentd resume ID"), "{first}");
    assert!(!first.contains('.'), "seconds are enough: {first}");
    let (same, _) = said(&paused, pause("one"));
    assert!(!same.contains("reason"), "{same}");
    let (other, _) = said(&paused, pause("two"));
    assert!(other.ends_with("; the reason is now: two"), "{other}");

    let since = NOW.minus(100 * HOUR);
    let mut read = state.clone();
    read.cursor = NOW;
    let (opened, open) = said(&read, TenantCommand::Backfill(since));
    assert!(opened.contains("is read again from"), "{opened}");
    let (again, same) = said(&open, TenantCommand::Backfill(since));
    assert_eq!(same, open);
    assert!(again.contains("already"), "{again}");
    let (nothing, _) = said(&read, TenantCommand::Backfill(NOW));
    assert!(nothing.contains("nothing to fill in"), "{nothing}");
}

#[test]
fn a_remedy_that_asks_for_nothing_does_not_contradict_the_repetition() {
    let failure = |remedy: &str| {
        let failure = Failure::new(Health::Unreachable, Reaction::Fenced, "it is lost", remedy);
        CommandRefused::Ledger(failure).to_string()
    };
    let passing = failure("nothing to do: another process has it");
    assert!(!passing.contains("nothing to do"), "{passing}");
    assert!(passing.ends_with("; repeat the command in a moment"));
    assert!(failure("free some space").ends_with("; free some space; then repeat the command"));
}

proptest! {
    /// The time before the first range was never read; the rest was.
    #[test]
    fn all_since_then_is_read_by_the_back_fill_or_by_the_next_full_sweep(
        lookback in 0..400_u32, read in 0.0..1.0, ago in 0..4000_u32,
    ) {
        let ago = HOUR * ago;
        let mut state = TenantState::first(NOW, HOUR * lookback);
        state.cursor = state.start.plus((HOUR * lookback).mul_f64(read));
        let since = NOW.minus(ago);
        let filled = after(&state, TenantCommand::Backfill(since)).expect("possible");
        prop_assert_eq!(filled.cursor, state.cursor);
        prop_assert_eq!(filled.start, state.start.min(since));
        let swept = plan(&filled, &REACH, LastFull::default(), HOUR).from;
        let left = filled.backlog.outside(Span::between(since.min(swept), swept));
        let unread = left.iter().filter(|part| part.from >= since);
        prop_assert_eq!(unread.count(), 0, "{:?}", left);
        for open in filled.backlog.intervals() {
            prop_assert_eq!(open.again, open.from >= state.start);
            prop_assert!(open.from >= since && open.to <= state.cursor);
        }
    }
}
