//! A trouble that is told when it begins and when it is over, and not each time in between.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub struct Standing(AtomicBool);

impl Standing {
    /// It is so now; whether it was not before.
    pub fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It is not so now; whether it was before.
    pub fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
