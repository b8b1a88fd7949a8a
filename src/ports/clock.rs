//! The time of day.

use crate::core::time::ticks::Ticks;

/// Wall-clock time. Durations are measured with tokio's clock, which tests pause.
pub trait Clock: Send + Sync {
    /// This instant. It can lie before an earlier answer: the clock may be set back.
    fn now(&self) -> Ticks;
}
