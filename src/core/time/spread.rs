//! A tenant's place in its period.
//!
//! All tenants of a schedule fire in the same second. Their sweeps are spread over the period, each at a place that depends
//! only on the tenant's id. So a tenant keeps its place over restarts, reloads and replicas, and the time between two of its
//! sweeps stays that of the schedule.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::core::ids::TenantId;
use crate::core::pace::backoff::fraction;

/// Rare firings are spread over this time only: a sweep scheduled for 02:00 must not start at 09:00.
const WIDEST: Duration = Duration::from_secs(60);

/// The uses of a tenant's hash. They must not be correlated: otherwise tenants that renew early also sweep early.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    Place = 1,
    Renewal = 2,
    Backoff = 3,
    Reconcile = 4,
}

/// A pseudo-random number, always the same for the same tenant, use and `round`.
pub fn jitter(tenant: TenantId, purpose: Use, round: u64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(tenant.as_bytes());
    bytes[16..].copy_from_slice(&round.to_le_bytes());
    xxh3_64_with_seed(&bytes, purpose as u64)
}

/// The time from a firing to the tenant's sweep, when the next firing comes after `period`.
pub fn offset(tenant: TenantId, period: Duration) -> Duration {
    fraction(period.min(WIDEST), jitter(tenant, Use::Place, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId::from_bytes(n.to_be_bytes())
    }

    #[test]
    fn tenants_spread_evenly_over_the_period() {
        let period = Duration::from_secs(30);
        let mut per_second = [0_u32; 30];
        for n in 0..30_000 {
            per_second[offset(tenant(n), period).as_secs() as usize] += 1;
        }
        let (least, most) = (per_second.iter().min(), per_second.iter().max());
        assert!(least > Some(&850) && most < Some(&1150), "{per_second:?}");
    }

    #[test]
    fn a_rare_schedule_is_kept_within_a_minute() {
        for n in 0..1000 {
            assert!(offset(tenant(n), Duration::from_secs(86_400)) <= WIDEST);
        }
    }
}
