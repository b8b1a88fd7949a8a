use super::*;
use proptest::prelude::*;

fn schedule(text: &str) -> Schedule {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} did not parse: {error}"))
}

fn instant(text: &str) -> Ticks {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no instant"))
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let interval = (1_u32..=DAY).prop_map(|seconds| schedule(&format!("every {seconds}s")));
    let cron = prop::sample::select(vec![
        "*/30 * * * * *",
        "*/37 * * * * *",
        "* * * * * *",
        "0 */5 * * * *",
        "15,45 10-20 3 * * *",
        "0 0 0 L * *",
        "0 0 0 31 * *",
        "0 0 12 * * MON-FRI",
        "0 0 12 ? JAN,JUL FRI#2",
        "0 0 0 15W * *",
        "0 0 0 29 2 *",
        "0 0 0 13 * FRI",
    ]);
    prop_oneof![interval, cron.prop_map(schedule)]
}

fn any_instant() -> impl Strategy<Value = Ticks> {
    // Up to the year 4949: rare schedules need the years that follow to fire again.
    let sensible = -1_000_000_000 * PER_SECOND..94_000_000_000 * PER_SECOND;
    sensible.prop_map(Ticks)
}

#[test]
fn an_interval_fires_at_multiples_since_the_epoch() {
    let every = schedule("every 45s");
    let at = instant("2026-03-01T00:00:00Z");
    let next = every.next_after(at).expect("a firing");
    assert_eq!(next.unix_seconds() % 45, 0, "{next}");
    assert_eq!(every.period_after(at), Duration::from_secs(45));
}

#[test]
fn cron_is_read_in_utc_and_with_seconds() {
    let daily = schedule("30 15 6 * * *");
    assert_eq!(
        daily.next_after(instant("2026-02-28T06:15:30Z")),
        Some(instant("2026-03-01T06:15:30Z"))
    );
    assert_eq!(
        daily.next_after(instant("2026-02-28T06:15:29.9999999Z")),
        Some(instant("2026-02-28T06:15:30Z"))
    );
}

#[test]
fn the_period_of_an_uneven_cron_is_the_gap_that_comes_next() {
    let uneven = schedule("*/37 * * * * *");
    let gap = |at: &str| uneven.period_after(instant(at)).as_secs();
    assert_eq!(gap("2026-01-01T00:00:50Z"), 37);
    assert_eq!(gap("2026-01-01T00:00:10Z"), 23);
}

#[test]
fn equal_schedules_have_one_canonical_text() {
    for (text, canonical) in [
        ("every 60s", "every 1m"),
        (" every  1 m ", "every 1m"),
        ("every 7200s", "every 2h"),
        ("every 90s", "every 90s"),
        ("every1h", "every 1h"),
        ("0  0 12 * *  mon", "0 0 12 * * MON"),
    ] {
        assert_eq!(schedule(text).to_string(), canonical, "{text:?}");
        assert_eq!(schedule(text), schedule(canonical), "{text:?}");
    }
}

#[test]
fn refuses_what_is_no_schedule_and_says_why() {
    for (text, error) in [
        ("", ScheduleError::Fields(0)),
        ("*/5 * * * *", ScheduleError::Fields(5)),
        ("0 0 0 1 1 * 2027", ScheduleError::Fields(7)),
        ("@daily", ScheduleError::Fields(1)),
        ("every", ScheduleError::Interval),
        ("every 30", ScheduleError::Interval),
        ("every 1.5h", ScheduleError::Interval),
        ("every -3s", ScheduleError::Interval),
        ("every ss", ScheduleError::Interval),
        ("every 30ss", ScheduleError::Interval),
        ("every 0s", ScheduleError::IntervalRange),
        ("every 25h", ScheduleError::IntervalRange),
        ("every 99999999999999999999s", ScheduleError::IntervalRange),
        ("every 4294967295h", ScheduleError::IntervalRange),
        ("0 0 0 30 2 *", ScheduleError::NeverFires),
    ] {
        assert_eq!(text.parse::<Schedule>(), Err(error), "{text:?}");
    }
    for text in [
        "60 * * * * *",
        ", * * * * *",
        "*/0 * * * * *",
        "0 0 0 * * ö",
        "x * * * * *",
    ] {
        let error = text.parse::<Schedule>().expect_err(text);
        assert!(matches!(error, ScheduleError::Cron(_)), "{text:?}: {error}");
    }
    assert_eq!(
        "9".repeat(300).parse::<Schedule>(),
        Err(ScheduleError::TooLong)
    );
}

#[test]
fn beyond_the_calendar_cron_does_not_fire() {
    let cron = schedule("*/30 * * * * *");
    assert_eq!(cron.next_after(Ticks::MAX), None);
    assert_eq!(cron.next_after(Ticks::MIN), Some(Ticks(0)));
    assert_eq!(cron.period_after(Ticks::MAX), Duration::ZERO);
    assert_eq!(schedule("every 24h").next_after(Ticks::MAX), None);
}

#[test]
fn a_sweep_is_due_by_the_schedule_also_over_a_weekend() {
    let look = |wall: &str, seconds| Look {
        wall: instant(wall),
        steady: Duration::from_secs(seconds),
    };
    for (text, began, due, within) in [
        // 2026-11-27 is a Friday.
        (
            "0 */30 9-17 * * MON-FRI",
            "2026-11-27T17:30:20Z",
            "2026-11-30T09:00:00Z",
            228_580,
        ),
        (
            "every 1h",
            "2026-11-27T10:00:41Z",
            "2026-11-27T11:00:00Z",
            3559,
        ),
        (
            "every 30s",
            "2026-11-27T10:00:30Z",
            "2026-11-27T10:01:00Z",
            30,
        ),
    ] {
        let found = schedule(text).due_after(look(began, 100));
        assert_eq!(found, look(due, 100 + within), "{text} after {began}");
    }
}

proptest! {
    #[test]
    fn the_next_firing_is_later_and_due(schedule in any_schedule(), at in any_instant()) {
        let next = schedule.next_after(at).expect("every schedule fires again");
        prop_assert!(next > at, "{schedule}: {next} after {at}");
        prop_assert!(schedule.is_due(next), "{schedule}: {next}");
    }

    #[test]
    fn firings_are_counted_as_walking_them_does(
        schedule in any_schedule(), at in any_instant(), seconds in 0_u64..200_000, cap in 0_u64..60,
    ) {
        let until = at.plus(Duration::from_secs(seconds));
        let mut counted = 0;
        let mut position = at;
        while let Some(next) = schedule.next_after(position).filter(|next| *next <= until && counted < cap) {
            counted += 1;
            position = next;
        }
        prop_assert_eq!(schedule.firings_between(at, until, cap), counted);
    }

    #[test]
    fn the_cron_form_fires_whenever_the_schedule_does(schedule_ in any_schedule(), at in any_instant()) {
        let cron = schedule(&schedule_.cron());
        // Before the epoch cron has no calendar.
        prop_assume!(at >= Ticks(0));
        let next = schedule_.next_after(at).expect("every schedule fires again");
        prop_assert!(cron.is_due(next), "{schedule_} as {cron} at {next}");
    }

    #[test]
    fn a_cron_form_other_than_every_second_fires_only_when_due(seconds in 1_u32..=DAY, at in any_instant()) {
        let every = schedule(&format!("every {seconds}s"));
        let cron = schedule(&every.cron());
        if cron.to_string() != "* * * * * *" {
            prop_assert!(cron.next_after(at).is_none_or(|next| every.is_due(next)), "{every} as {cron}");
        }
    }

    #[test]
    fn between_two_firings_nothing_is_due(schedule in any_schedule(), at in any_instant(), part in 0.0..1.0_f64) {
        let next = schedule.next_after(at).expect("every schedule fires again");
        let whole = Ticks((at.unix_seconds() + 1) * PER_SECOND);
        let between = whole.plus(next.since(whole).mul_f64(part));
        if between.unix_seconds() < next.unix_seconds() {
            prop_assert!(!schedule.is_due(between), "{schedule}: {between} before {next}");
        }
    }

    #[test]
    fn the_text_parses_to_the_same_schedule(original in any_schedule()) {
        prop_assert_eq!(schedule(&original.to_string()), original);
    }

    #[test]
    fn no_text_and_no_instant_panics(
        text in "\\PC{0,40}|every ?[0-9]{0,12}[smhd]?|([0-9LW#*/,?+A-Za-z-]{1,5} ){5}[0-9LW#*/,?+A-Z-]{1,5}",
        raw in any::<i64>(),
    ) {
        if let Ok(schedule) = text.parse::<Schedule>() {
            let at = Ticks(raw);
            let _ = (schedule.next_after(at), schedule.is_due(at), schedule.period_after(at), schedule.cron());
            let _ = schedule.firings_between(at, Ticks::MAX, 3);
            let _ = schedule.due_after(Look { wall: at, steady: Duration::MAX });
        }
    }
}
