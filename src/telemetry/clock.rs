//! The system's wall clock: only this file reads it.
//!
//! A clock that is not set yet (before 1970, or years off) must not stop the daemon: the instant is clamped to what
//! [`Ticks`] can express, and nothing panics. Durations are measured with tokio's clock, never with this one.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::time::ticks::Ticks;
use crate::ports::Clock;

/// The [`Clock`] of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "everything else is handed this clock, so that tests can set the time"
    )]
    fn now(&self) -> Ticks {
        ticks_of(SystemTime::now())
    }
}

fn ticks_of(time: SystemTime) -> Ticks {
    const EPOCH: Ticks = Ticks(0);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => EPOCH.plus(after),
        Err(before) => EPOCH.minus(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn instants_are_cut_to_ticks() {
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_799);
        assert_eq!(ticks_of(time), Ticks(17_000_000_001_234_567));
    }

    #[test]
    fn a_clock_before_1970_is_read() {
        let time = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(ticks_of(time).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn absurd_instants_are_clamped() {
        let centuries = Duration::from_secs(400_000_000_000);
        assert_eq!(ticks_of(UNIX_EPOCH + centuries), Ticks::MAX);
        assert_eq!(ticks_of(UNIX_EPOCH - centuries), Ticks::MIN);
    }

    #[test]
    fn the_clock_tells_the_present() {
        let now = SystemClock.now();
        assert!(now > Ticks::from_unix_seconds(1_700_000_000), "{now}");
    }
}
