//! The bytes that a sweep holds.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::runtime::limits::{ByteBudget, Charge};

/// How long incidents may keep their bytes while their alerts are fetched, even if others wait for bytes.
const ASIDE: Duration = Duration::from_secs(5);

pub(in crate::runtime::sweep) struct HeldBytes {
    budget: Arc<ByteBudget>,
    charge: Charge,
    /// Bytes of incidents that wait for the rest of their alerts or for the end of their page, and since when there are
    /// any.
    aside: usize,
    aside_since: Instant,
}

impl HeldBytes {
    pub(super) fn new(budget: Arc<ByteBudget>) -> Self {
        Self {
            charge: budget.charge(),
            budget,
            aside: 0,
            aside_since: Instant::now(),
        }
    }

    pub(in crate::runtime::sweep) fn any(&self) -> bool {
        self.charge.held() > 0
    }

    pub(super) fn try_add(&mut self, bytes: usize) -> bool {
        self.charge.try_add(bytes)
    }

    pub(super) async fn add(&mut self, bytes: usize) {
        self.charge.add(bytes).await;
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.charge.release(bytes);
    }

    /// Holds exactly `bytes`, plus those kept aside.
    pub(super) fn settle(&mut self, bytes: usize) {
        self.charge.settle(bytes + self.aside);
    }

    /// Keeps `bytes`, which are charged already, until they are released.
    pub(in crate::runtime::sweep) fn keep_aside(&mut self, bytes: usize) {
        if self.aside == 0 {
            self.aside_since = Instant::now();
        }
        self.aside += bytes;
    }

    pub(in crate::runtime::sweep) fn release_aside(&mut self, bytes: usize) {
        self.aside = self.aside.saturating_sub(bytes);
    }

    pub(super) fn release_all_aside(&mut self) {
        self.aside = 0;
    }

    /// Resolves when others need the bytes held here. Those kept aside may be held for a while first.
    pub(in crate::runtime::sweep) async fn pressed(&self) {
        if !self.any() {
            return pending().await;
        }
        if self.aside > 0 {
            sleep_until(self.aside_since + ASIDE).await;
        }
        self.budget.pressed().await;
    }
}
