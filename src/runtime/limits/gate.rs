//! A gate that lets so many through at once, and of those who wait the one who has been without a turn for longest.
//!
//! First come, first served would not do for backlogs: whoever waits is broken off when its tenant's live turn comes, and
//! begins again behind all others. The head of the queue would be whoever is about to be broken off, the same each period.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Lets a fixed number through at once.
#[derive(Debug)]
pub(super) struct Gate(Mutex<Queue>);

/// Since when one has been without a turn, and a number that makes it unique.
type QueueKey = (Instant, u64);

#[derive(Debug)]
struct Queue {
    free: usize,
    last: u64,
    waiting: BTreeMap<QueueKey, oneshot::Sender<GatePass>>,
}

/// The right to be beyond the gate; given back when dropped.
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

    /// Waits for a pass, before all who had a turn after `since`.
    pub(super) async fn pass(self: &Arc<Self>, since: Instant) -> GatePass {
        loop {
            let (turn, place) = {
                let mut state = self.state();
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
            // The sender goes only with a pass or with the place, which is ours.
            if let Ok(pass) = turn.await {
                return pass;
            }
        }
    }

    fn give_back(self: &Arc<Self>) {
        let first = {
            let mut state = self.state();
            let first = state.waiting.pop_first();
            if first.is_none() {
                state.free += 1;
            }
            first
        };
        // Who has left meanwhile drops the pass, which then goes to the next.
        if let Some((_, turn)) = first {
            let _ = turn.send(GatePass(self.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, Queue> {
        self.0.lock()
    }
}

impl Drop for GatePass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Gives up a place in the queue when dropped.
struct QueueGuard<'a>(&'a Gate, QueueKey);

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.0.state().waiting.remove(&self.1);
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
        // One has been given the pass and never looked, the other waits.
        drop((waiting, given));
        assert!(gate.pass(now).now_or_never().is_some());
        assert!(gate.state().waiting.is_empty());
    }
}
