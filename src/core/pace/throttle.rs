//! How long to pause when one side refuses requests repeatedly and names a pause.
//!
//! A 429 usually says when to come back, but the value can be wrong: with `Retry-After: 1` for minutes, a tenant would
//! ask once a second, and "Microsoft Graph continues to log resource usage while a client is being throttled"
//! ("Microsoft Graph throttling guidance"). So each refusal in a row doubles the pause, even if the server asks for a
//! shorter one. One served request in between does not end the row. It ends after a time without refusals, or after
//! many served requests.
//!
//! Time is a [`Duration`] on any clock that never goes back.

use std::time::Duration;

/// The shortest pause, even if the server asks for less.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause that doubling reaches. A server may ask for a longer one, up to [`LONGEST_ASKED`].
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// The longest pause that a server may ask for: the longest quota period is an hour.
pub const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);
/// The number of served requests that undo one doubling.
const CALM_REQUESTS: u32 = 10;
/// The time without refusals that undoes one doubling: this, or twice the last pause if that is longer.
const CALM: Duration = Duration::from_secs(60);

/// The refusals of one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttle {
    last: Option<LastRefusal>,
    /// Requests served since the last refusal.
    served: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastRefusal {
    came: Duration,
    pause: Duration,
}

impl LastRefusal {
    fn ends(&self) -> Duration {
        self.came.saturating_add(self.pause)
    }
}

impl Throttle {
    /// Records that a request sent at `sent` was refused at `now` and that the server asked for the pause `asked`.
    /// Returns the pause from `now` on.
    pub fn refused(&mut self, asked: Duration, sent: Duration, now: Duration) -> Duration {
        let asked = asked.clamp(SHORTEST, LONGEST_ASKED);
        let grown = match self.last {
            None => SHORTEST,
            // Of several requests sent at once, the others repeat the refusal; none of them broke the pause.
            Some(last) if sent < last.came => {
                return last.ends().saturating_sub(now).max(asked);
            }
            Some(last) => {
                let calm = CALM.max(last.pause * 2);
                let quiet = sent.saturating_sub(last.ends()).div_duration_f64(calm) as u32;
                let undone = quiet.saturating_add(self.served / CALM_REQUESTS);
                (last.pause * 2).min(LONGEST) / (1 << undone.min(16))
            }
        };
        let pause = asked.max(grown);
        self.last = Some(LastRefusal { came: now, pause });
        self.served = 0;
        pause
    }

    pub fn served(&mut self) {
        self.served = self.served.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The instants of the requests to a server that answers after 100 ms and refuses those for which `refuses` is
    /// true.
    fn requests(
        asked: &[Duration],
        refuses: impl Fn(usize) -> bool,
        until: Duration,
    ) -> Vec<Duration> {
        let (mut throttle, mut now, mut made) = (Throttle::default(), Duration::ZERO, Vec::new());
        while now < until {
            let sent = now;
            made.push(sent);
            now += Duration::from_millis(100);
            let at = made.len() - 1;
            if refuses(at) {
                now += throttle.refused(asked[at % asked.len()], sent, now);
            } else {
                throttle.served();
            }
        }
        made
    }

    fn in_minute(made: &[Duration], minute: u32) -> usize {
        let of = |at: &&Duration| **at >= MINUTE * minute && **at < MINUTE * (minute + 1);
        made.iter().filter(of).count()
    }

    fn any_pause() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(0_u64),
            Just(1),
            0_u64..120,
            0_u64..100_000,
            Just(u64::MAX)
        ]
        .prop_map(Duration::from_secs)
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_a_dozen_requests_are_made_in_the_first_minute_and_fewer_later(
            asked in proptest::collection::vec(any_pause(), 1..8),
        ) {
            let made = requests(&asked, |_| true, MINUTE * 30);
            prop_assert!(in_minute(&made, 0) <= 12, "{made:?}");
            for minute in 1..30 {
                prop_assert!(in_minute(&made, minute) <= 2, "minute {minute}: {made:?}");
            }
            prop_assert!(in_minute(&made, 20) <= 1);
        }

        #[test]
        fn no_pause_is_shorter_than_asked_nor_longer_than_the_limits(
            asked in proptest::collection::vec((any_pause(), 0_u64..100_000, any::<bool>()), 1..40),
        ) {
            let (mut throttle, mut now) = (Throttle::default(), Duration::ZERO);
            for (asked, waits, serves) in asked {
                if serves {
                    throttle.served();
                }
                let sent = now;
                now += Duration::from_millis(waits);
                let pause = throttle.refused(asked, sent, now);
                prop_assert!(pause >= asked.min(LONGEST_ASKED), "{pause:?} for {asked:?}");
                prop_assert!(pause <= LONGEST_ASKED, "{pause:?}");
                prop_assert!(asked > LONGEST || pause <= LONGEST_ASKED.min(LONGEST.max(pause)), "{pause:?}");
                now += Duration::from_millis(waits);
            }
        }
    }

    #[test]
    fn a_lucky_request_now_and_then_does_not_end_the_row() {
        let second = [Duration::from_secs(1)];
        for every in [2, 3, 5] {
            let made = requests(&second, |at| at % every != 0, MINUTE * 30);
            let refused = |minute| in_minute(&made, minute);
            assert!(refused(0) <= 24, "one of {every} served: {made:?}");
            assert!(refused(20) <= 3, "one of {every} served: {made:?}");
        }
    }

    #[test]
    fn the_first_pause_is_as_asked_and_each_refusal_in_a_row_doubles_it() {
        let mut throttle = Throttle::default();
        let mut now = Duration::ZERO;
        let pauses: Vec<u64> = (0..8)
            .map(|_| {
                let pause = throttle.refused(Duration::from_secs(7), now, now);
                now += pause;
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [7, 14, 28, 56, 112, 224, 300, 300]);
    }

    #[test]
    fn refusals_of_requests_that_were_sent_together_count_once() {
        let (asked, at) = (Duration::from_secs(2), Duration::from_secs(10));
        let mut throttle = Throttle::default();
        for n in 0..64 {
            let pause =
                throttle.refused(asked, Duration::from_secs(9), at + Duration::from_millis(n));
            assert!(pause <= asked, "{pause:?}");
        }
        let later = at + asked;
        assert_eq!(throttle.refused(asked, later, later), asked * 2);
    }

    #[test]
    fn a_long_time_without_refusals_or_many_requests_served_begin_anew() {
        let asked = Duration::from_secs(1);
        let after_row = || {
            let (mut throttle, mut now) = (Throttle::default(), Duration::ZERO);
            for _ in 0..5 {
                now += throttle.refused(asked, now, now);
            }
            (throttle, now)
        };
        let (mut throttle, now) = after_row();
        let later = now + Duration::from_secs(3600);
        assert_eq!(
            throttle.refused(asked, later, later),
            asked,
            "an hour later"
        );
        let (mut throttle, now) = after_row();
        (0..100).for_each(|_| throttle.served());
        assert_eq!(
            throttle.refused(asked, now, now),
            asked,
            "100 requests later"
        );
    }
}
