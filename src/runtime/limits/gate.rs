//! A gate that lets a fixed number through at once. Of those that wait, the one that has been without a turn for
//! longest goes first.
//!
//! First come, first served does not work for backlogs: a waiting sweep is broken off when a live sweep of its tenant
//! is due, and then starts again at the end of the queue. In each period, the head of the queue would be a sweep that
//! is about to be broken off.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Lets a fixed number through at once.
#[derive(Debug)]
pub(super) struct Gate(Mutex<Queue>);

/// Since when a waiter has been without a turn, and a number that makes the key unique.
type QueueKey = (Instant, u64);

#[derive(Debug)]
struct Queue {
    free: usize,
    last: u64,
    waiting: BTreeMap<QueueKey, oneshot::Sender<GatePass>>,
}

/// The right to be beyond the gate. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct GatePass(Arc<Gate>);

impl Gate {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            free: count,
            last: 0,
            waiting: BTreeMap::new(),
        })))
    }

    /// Waits for a pass. Goes before all waiters that had a turn after `since`.
    pub(super) async fn pass(self: &Arc<Self>, since: Instant) -> GatePass {
        loop {
            let (turn, place) = {
                let mut state = self.0.lock();
                if state.free > 0 {
                    state.free -= 1;
                    return GatePass(self.clone());
                }
                state.last += 1;
                let place = (since, state.last);
                let (sender, turn) = oneshot::channel();
                state.waiting.insert(place, sender);
                (turn, place)
            };
            let _left = QueueGuard(self, place);
            // The sender is dropped only after sending a pass, or with the place in the queue, which is held here.
            if let Ok(pass) = turn.await {
                return pass;
            }
        }
    }

    fn give_back(self: &Arc<Self>) {
        let first = {
            let mut state = self.0.lock();
            let first = state.waiting.pop_first();
            if first.is_none() {
                state.free += 1;
            }
            first
        };
        // If the waiter has left, the pass is dropped, and goes to the next waiter.
        if let Some((_, turn)) = first {
            let _ = turn.send(GatePass(self.clone()));
        }
    }
}

impl Drop for GatePass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Leaves the queue when dropped.
struct QueueGuard<'a>(&'a Gate, QueueKey);

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.0.0.lock().waiting.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn who_has_been_without_a_turn_for_longest_goes_first() {
        let (gate, now) = (Gate::new(1), Instant::now());
        let held = gate.pass(now).await;
        let mut late = pin!(gate.pass(now + Duration::from_secs(1)));
        let mut early = pin!(gate.pass(now));
        assert!(late.as_mut().now_or_never().is_none());
        assert!(early.as_mut().now_or_never().is_none());
        drop(held);
        assert!(late.as_mut().now_or_never().is_none());
        let held = early.now_or_never().expect("its turn");
        drop(held);
        assert!(late.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_no_pass_along() {
        let (gate, now) = (Gate::new(1), Instant::now());
        let held = gate.pass(now).await;
        let mut given = Box::pin(gate.pass(now));
        let mut waiting = Box::pin(gate.pass(now));
        assert!(given.as_mut().now_or_never().is_none());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(held);
        // One waiter has a pass that it never took, the other one still waits.
        drop((waiting, given));
        assert!(gate.pass(now).now_or_never().is_some());
        assert!(gate.0.lock().waiting.is_empty());
    }
}
