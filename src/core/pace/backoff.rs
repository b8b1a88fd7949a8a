//! How long to wait after a failure.
//!
//! A failure that passes by itself is retried after 2 s, doubling to 5 min. A failure that an operator must fix is
//! retried every few minutes for ever, because new consents, secrets and licences take effect without notice. A change
//! that an operator has just made, and that Microsoft is still replicating, is retried more often at first. The jitter
//! is a parameter, so that a thousand tenants that fail together don't retry together, and tests need no randomness.

use std::time::Duration;

use super::throttle::LONGEST_ASKED;
use crate::core::health::failure::Reaction;

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// The pause for [`Reaction::Slow`]. New secrets and consents replicate within minutes.
const SLOW: Duration = Duration::from_secs(5 * 60);
/// The shortest pause for [`Reaction::Soon`]; the longest is twice as long.
const SOON: Duration = Duration::from_secs(30);
/// After this many failures in a row, the cause is more likely an operator's mistake than replication.
const SOON_FAILURES: u32 = 10;

/// The pause after the `failures`-th failure in a row (1 is the first). `jitter` is any number, evenly distributed.
pub fn pause(reaction: Reaction, failures: u32, jitter: u64) -> Duration {
    match reaction {
        Reaction::Backoff => {
            let doublings = failures.saturating_sub(1).min(16);
            let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
            // At least half of the pause: the first pause must outlast a short disturbance.
            whole / 2 + fraction(whole / 2, jitter)
        }
        Reaction::Soon if failures <= SOON_FAILURES => SOON + fraction(SOON, jitter),
        // A token that is refused twice needs the operator, and so does a record that only a setting lets pass.
        Reaction::Slow
        | Reaction::Soon
        | Reaction::RenewToken
        | Reaction::HoldBack
        | Reaction::Fenced => SLOW + fraction(SLOW / 4, jitter),
        // Never earlier than asked, because the other side counts on.
        Reaction::Wait(asked) => {
            let asked = asked.min(LONGEST_ASKED);
            asked + fraction(asked / 10, jitter)
        }
    }
}

/// A part of `whole` in proportion to `jitter`, from nothing to all of it.
pub fn fraction(whole: Duration, jitter: u64) -> Duration {
    whole.mul_f64(jitter as f64 / u64::MAX as f64)
}

/// The age at which a token is renewed: before its end by the smaller of 5 min and 20 % of its lifetime, and by up to
/// half of that more, so that tenants that got their tokens together don't renew them together.
pub fn renewal_age(lifetime: Duration, jitter: u64) -> Duration {
    let margin = (lifetime / 5).min(Duration::from_secs(5 * 60));
    lifetime
        .saturating_sub(margin)
        .saturating_sub(fraction(margin / 2, jitter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn transient_failures_wait_between_one_second_and_five_minutes(n in 0_u32.., jitter: u64) {
            let pause = pause(Reaction::Backoff, n, jitter);
            prop_assert!((FIRST / 2..=LONGEST).contains(&pause), "{pause:?}");
        }

        #[test]
        fn an_imposed_pause_is_never_cut_short(asked in 0_u64..3600, n: u32, jitter: u64) {
            let asked = Duration::from_secs(asked);
            prop_assert!(pause(Reaction::Wait(asked), n, jitter) >= asked);
        }

        #[test]
        fn a_token_is_renewed_in_the_last_third_of_its_life_and_before_its_end(secs in 1_u64..100_000, jitter: u64) {
            let life = Duration::from_secs(secs);
            let age = renewal_age(life, jitter);
            prop_assert!(age < life && age >= life.mul_f64(0.69), "{age:?} of {life:?}");
        }
    }

    #[test]
    fn what_should_come_soon_is_tried_ten_times_and_then_slowly() {
        for jitter in [0, u64::MAX / 2, u64::MAX] {
            for failures in 1..=10 {
                let pause = pause(Reaction::Soon, failures, jitter);
                assert!((SOON..=2 * SOON).contains(&pause), "{failures}: {pause:?}");
            }
            for failures in [11, 12, u32::MAX] {
                assert_eq!(
                    pause(Reaction::Soon, failures, jitter),
                    pause(Reaction::Slow, failures, jitter),
                    "{failures}"
                );
            }
        }
    }

    #[test]
    fn pauses_double_and_then_stay() {
        let pauses: Vec<_> = (1..=10)
            .map(|n| pause(Reaction::Backoff, n, u64::MAX).as_secs())
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
