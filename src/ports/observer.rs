//! Events for the metrics.

use std::time::Duration;

use crate::core::incident::version::Change;

/// One event.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    Published {
        change: Change,
    },
    /// `status` 0: no answer.
    ApiRequest {
        source: &'a str,
        status: u16,
        took: Duration,
    },
    TokenRequest {
        ok: bool,
    },
    Throttled {
        source: &'a str,
    },
    LateFound {
        count: u64,
    },
    Stale {
        count: u64,
    },
    /// An element that can't be read appeared for the first time.
    DeadLetter,
    /// An incident was published in parts.
    Split,
    MissedFirings {
        count: u64,
    },
    Swept {
        source: &'a str,
        took: Duration,
    },
    /// The time from a page's arrival to Kafka's acknowledgement.
    Acknowledged {
        took: Duration,
    },
}

/// Counts events. Must not block.
pub trait Observer: Send + Sync {
    fn see(&self, event: Event<'_>);
}
