//! The limit on bytes in memory.
//!
//! A sweep that can't get more bytes first publishes what it holds. If every sweep holds only part of an incident, none
//! can publish, so *one* sweep at a time may exceed the limit to finish its page. The upper bound of memory is
//! therefore always `max_in_flight` plus one page (`max_response`). A sweep that holds bytes and waits for a silent
//! server gives them back when others wait for bytes ([`ByteBudget::pressed`]).

use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// Bytes fetched and not yet acknowledged.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    used: Mutex<usize>,
    released: Notify,
    overdraft: Arc<Semaphore>,
    /// How many sweeps wait for bytes, and since when at least one does.
    waiting: watch::Sender<(usize, Instant)>,
}

/// How long a sweep waits for bytes before sweeps that hold bytes without progress have to give them back.
const PRESSURE: Duration = Duration::from_secs(2);

impl ByteBudget {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: Mutex::new(0),
            released: Notify::new(),
            overdraft: Arc::new(Semaphore::new(1)),
            waiting: watch::Sender::new((0, Instant::now())),
        })
    }

    /// Resolves once others have waited for bytes for a while. A sweep that holds bytes and is itself waiting should
    /// release them.
    pub async fn pressed(&self) {
        let mut waiting = self.waiting.subscribe();
        loop {
            // Neither wait can fail, because `self` owns the sender.
            let since = match waiting.wait_for(|(count, _)| *count > 0).await {
                Ok(waiting) => waiting.1,
                Err(_) => return,
            };
            let relieved = waiting.wait_for(|(count, began)| *count == 0 || *began != since);
            if timeout_at(since + PRESSURE, relieved).await.is_err() {
                return;
            }
        }
    }

    pub fn used(&self) -> usize {
        *self.used.lock()
    }

    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge {
            budget: self.clone(),
            held: 0,
            overdraft: None,
        }
    }

    fn change(&self, from: usize, to: usize) {
        {
            let mut used = self.used.lock();
            *used = used.saturating_sub(from).saturating_add(to);
        }
        if to < from {
            self.released.notify_waiters();
        }
    }

    fn try_add(&self, bytes: usize) -> bool {
        let mut used = self.used.lock();
        let fits = *used + bytes <= self.limit;
        if fits {
            *used += bytes;
        }
        fits
    }
}

/// Counts as waiting until dropped.
struct WaitingCount<'a>(&'a watch::Sender<(usize, Instant)>);

impl<'a> WaitingCount<'a> {
    fn new(waiting: &'a watch::Sender<(usize, Instant)>) -> Self {
        waiting.send_modify(|(count, since)| {
            if *count == 0 {
                *since = Instant::now();
            }
            *count += 1;
        });
        Self(waiting)
    }
}

impl Drop for WaitingCount<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|(count, _)| *count -= 1);
    }
}

/// The bytes that one sweep holds of the budget. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<ByteBudget>,
    held: usize,
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Charge {
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes `bytes` more if they are free.
    pub fn try_add(&mut self, bytes: usize) -> bool {
        let taken = self.budget.try_add(bytes);
        if taken {
            self.held += bytes;
        }
        taken
    }

    /// Takes `bytes` more. Waits until they are free or until this sweep may be the one that exceeds the limit.
    pub async fn add(&mut self, bytes: usize) {
        if self.overdraft.is_some() {
            return self.settle(self.held + bytes);
        }
        let budget = self.budget.clone();
        let _waiting = WaitingCount::new(&budget.waiting);
        loop {
            let mut released = pin!(budget.released.notified());
            // Register before the attempt, so that a release in between is not missed.
            released.as_mut().enable();
            if self.try_add(bytes) {
                return;
            }
            tokio::select! {
                () = released => {}
                permit = budget.overdraft.clone().acquire_owned() => {
                    self.overdraft = permit.ok();
                    return self.settle(self.held + bytes);
                }
            }
        }
    }

    /// Gives `bytes` back.
    pub fn release(&mut self, bytes: usize) {
        self.settle(self.held.saturating_sub(bytes));
    }

    /// Sets the bytes held to exactly `bytes`. An increase is always granted, because it covers what the daemon itself
    /// adds to bytes already taken.
    pub fn settle(&mut self, bytes: usize) {
        self.budget.change(self.held, bytes);
        self.held = bytes;
        if bytes == 0 {
            self.overdraft = None;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.settle(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn bytes_are_given_back_on_drop() {
        let budget = ByteBudget::new(100);
        let mut charge = budget.charge();
        assert!(charge.try_add(100) && !charge.try_add(1));
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn when_all_hold_halves_one_at_a_time_may_finish() {
        let budget = ByteBudget::new(100);
        let (mut a, mut b) = (budget.charge(), budget.charge());
        assert!(a.try_add(50) && b.try_add(50));
        a.add(500).await;
        a.add(500).await;
        assert_eq!(budget.used(), 1100);
        assert!(
            b.add(1).now_or_never().is_none(),
            "two beyond the limit at once"
        );
        a.settle(0);
        assert!(b.add(1).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_bytes_learns_that_others_wait_for_them() {
        let budget = ByteBudget::new(100);
        let (mut dripping, mut finishing, mut waiting) =
            (budget.charge(), budget.charge(), budget.charge());
        assert!(dripping.try_add(100));
        finishing.add(100).await;
        assert!(
            budget.pressed().now_or_never().is_none(),
            "nobody waits yet"
        );
        let began = Instant::now();
        tokio::select! {
            () = waiting.add(1) => panic!("there was no room"),
            () = budget.pressed() => assert_eq!(began.elapsed(), PRESSURE),
        }
        drop((dripping, finishing));
        assert!(waiting.add(1).now_or_never().is_some());
    }
}
