//! How long a tenant rests, and over which time many tenants are spread.

use std::time::Duration;

use crate::core::health::failure::Reaction;
use crate::core::ids::TenantId;
use crate::core::pace::backoff::pause;
use crate::core::time::spread::{Use, jitter};

/// The average time between the starts of two new tenants.
const FIRST_PACE: Duration = Duration::from_millis(100);

pub(super) fn pause_after(reaction: Reaction, tenant: TenantId, failures: u32) -> Duration {
    let chance = jitter(tenant, Use::Backoff, u64::from(failures));
    pause(reaction, failures, chance)
}

/// The time over which this many tenants are spread when all start now.
pub(super) fn crowd(tenants: usize) -> Duration {
    FIRST_PACE.saturating_mul(u32::try_from(tenants).unwrap_or(u32::MAX))
}
