//! The two limits that all tenants share: sweeps at work, and bytes in memory.
//!
//! Both are made so that no tenant can hold another up. A sweep that waits for a silent server gives its [`Slot`] back
//! and asks for it again when the answer comes; tenants known to fail get a quarter of the slots at the most. A sweep
//! that can't have more bytes first publishes what it holds; and if what every sweep holds is half an incident, so that
//! none can publish, *one* of them at a time may go beyond the limit to finish its page: the ceiling of memory is
//! therefore `max_in_flight` plus one page (`max_response`), always.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a sweep may wait before its slot goes to another.
const SILENCE: Duration = Duration::from_secs(1);

/// Tenants that are known to fail share one of so many slots among themselves: they mostly wait for what does not come.
const FAILING_SHARE: usize = 4;

/// Slots for sweeps at work.
#[derive(Debug, Clone)]
pub struct Slots {
    all: Arc<Semaphore>,
    failing: Arc<Semaphore>,
}

impl Slots {
    pub fn new(count: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(count)),
            failing: Arc::new(Semaphore::new((count / FAILING_SHARE).max(1))),
        }
    }

    pub async fn take(&self) -> Slot {
        self.take_in(None).await
    }

    /// A slot for a tenant that failed last time. A quarter of all at the most are given so.
    pub async fn take_failing(&self) -> Slot {
        self.take_in(Some(self.failing.clone())).await
    }

    async fn take_in(&self, lane: Option<Arc<Semaphore>>) -> Slot {
        let mut slot = Slot {
            lane,
            slots: self.all.clone(),
            permits: [None, None],
        };
        slot.regain().await;
        slot
    }
}

/// The right to be one of the sweeps at work.
#[derive(Debug)]
pub struct Slot {
    lane: Option<Arc<Semaphore>>,
    slots: Arc<Semaphore>,
    permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Slot {
    /// Waits for `work`; if that takes longer than a second, without the slot.
    pub async fn wait<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = timeout(SILENCE, work.as_mut()).await {
            return done;
        }
        self.permits = [None, None];
        let done = work.await;
        self.regain().await;
        done
    }

    async fn regain(&mut self) {
        // The semaphores are never closed, so this can't fail; without a permit the sweep would merely go on uncounted.
        let lane = match &self.lane {
            Some(lane) => lane.clone().acquire_owned().await.ok(),
            None => None,
        };
        self.permits = [lane, self.slots.clone().acquire_owned().await.ok()];
    }
}

/// Bytes fetched and not yet acknowledged.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    used: Mutex<usize>,
    released: Notify,
    overdraft: Arc<Semaphore>,
}

impl ByteBudget {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: Mutex::new(0),
            released: Notify::new(),
            overdraft: Arc::new(Semaphore::new(1)),
        })
    }

    pub fn used(&self) -> usize {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
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
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            *used = used.saturating_sub(from).saturating_add(to);
        }
        if to < from {
            self.released.notify_waiters();
        }
    }

    fn try_add(&self, bytes: usize) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = *used + bytes <= self.limit;
        if fits {
            *used += bytes;
        }
        fits
    }
}

/// What one sweep holds of the budget; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<ByteBudget>,
    held: usize,
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Takes `bytes` more if they are free.
    pub fn try_add(&mut self, bytes: usize) -> bool {
        let taken = self.budget.try_add(bytes);
        if taken {
            self.held += bytes;
        }
        taken
    }

    /// Takes `bytes` more, waiting until they are free or until this sweep may be the one that goes beyond the limit.
    pub async fn add(&mut self, bytes: usize) {
        if self.overdraft.is_some() {
            return self.settle(self.held + bytes);
        }
        let budget = self.budget.clone();
        loop {
            let mut released = pin!(budget.released.notified());
            // Registered before the look, so that a release in between is not missed.
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

    /// Holds exactly `bytes` from now on. An increase is granted without asking: it is for what the daemon itself adds
    /// to bytes already taken.
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
    use std::future::pending;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn hanging_sweeps_do_not_keep_others_from_their_slots() {
        let slots = Slots::new(2);
        for _ in 0..50 {
            let mut slot = slots.take().await;
            tokio::spawn(async move { slot.wait(pending::<()>()).await });
        }
        let start = Instant::now();
        slots.take().await;
        assert!(
            start.elapsed() <= Duration::from_secs(26),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_known_to_fail_leave_slots_to_the_others() {
        let slots = Slots::new(4);
        for _ in 0..50 {
            let slots = slots.clone();
            tokio::spawn(async move {
                loop {
                    let mut slot = slots.take_failing().await;
                    slot.wait(sleep(Duration::from_secs(5))).await;
                }
            });
        }
        for _ in 0..100 {
            sleep(Duration::from_millis(300)).await;
            let start = Instant::now();
            let taken = slots.take().await;
            assert_eq!(start.elapsed(), Duration::ZERO);
            drop(taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_so_many_are_at_work_at_once() {
        let (slots, at_work) = (Slots::new(3), Arc::new(Mutex::new((0, 0))));
        let sweeps = (0..20).map(|_| {
            let (slots, at_work) = (slots.clone(), at_work.clone());
            tokio::spawn(async move {
                let mut slot = slots.take().await;
                slot.wait(sleep(Duration::from_secs(5))).await;
                {
                    let mut count = at_work.lock().expect("lock");
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                sleep(Duration::from_millis(10)).await;
                at_work.lock().expect("lock").0 -= 1;
            })
        });
        futures_util::future::join_all(sweeps).await;
        assert_eq!(at_work.lock().expect("lock").1, 3);
    }

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
}
