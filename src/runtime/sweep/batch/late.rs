//! Incidents that are found late: an earlier sweep should have shown them but did not.

use std::time::Duration;

use crate::core::incident::version::Reading;
use crate::core::time::ticks::Ticks;
use crate::runtime::tenant::Tenant;

/// Which new versions count as found late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime::sweep) enum LateRule {
    /// Those older than this cursor, which had already passed them.
    Before(Ticks),
    /// All of them, because everything here was read before.
    Everything,
    Nothing,
}

pub(super) struct LateFound {
    rule: LateRule,
    pub(super) found: u64,
    latest: Duration,
}

impl LateFound {
    pub(super) fn new(rule: LateRule) -> Self {
        Self {
            rule,
            found: 0,
            latest: Duration::ZERO,
        }
    }

    /// Counts a new version that is late, found at `now`.
    pub(super) fn note(&mut self, reading: &Reading, now: Ticks, tenant: &Tenant) {
        let late = match self.rule {
            LateRule::Before(cursor) => reading.updated < cursor,
            LateRule::Everything => true,
            LateRule::Nothing => false,
        };
        if late {
            let by = now.since(reading.updated);
            self.found += 1;
            self.latest = self.latest.max(by);
            tracing::debug!(tenant = %tenant.id, incident = %reading.id, late_seconds = by.as_secs(), "found late");
        }
    }

    pub(super) fn log(&self, tenant: &Tenant) {
        let latest_seconds = self.latest.as_secs();
        if self.latest > tenant.rules.reach.overlap {
            tracing::info!(tenant = %tenant.id, name = %tenant.name, incidents = self.found, latest_seconds,
                "found later than poll.overlap reaches back: indexed after their time had been read, or changed in silence");
        } else if self.found > 0 {
            tracing::debug!(tenant = %tenant.id, name = %tenant.name, incidents = self.found, latest_seconds,
                "found late by the overlap");
        }
    }
}
