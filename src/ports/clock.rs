//! The time of day.

use crate::core::time::ticks::Ticks;

/// Wall-clock time. Durations are measured with tokio's clock, which tests pause.
pub trait Clock: Send + Sync {
    fn now(&self) -> Ticks;
}
