//! The limit on sweeps that work at once.
//!
//! A sweep works with a permit. Waiting is not work: a sweep that has waited for a total of one second for one page
//! gives up its permit and waits **aside** until it has work again. So neither silence nor a slow answer can hold
//! permits. The number of sweeps aside is limited too, because each holds a connection: when there are too many, the
//! next sweep to become silent is broken off.
//!
//! Lanes keep permits free: tenants known to fail get at most a quarter of the permits, and so do backlogs. A lane
//! limits only the *start* of a request. A sweep that returns with an answer needs a permit, but not its lane: there it
//! would wait behind all sweeps that have not started yet, and be broken off with the answer in hand. In one second no
//! more sweeps can return than have started, so both lanes together leave half of the permits to the main lane.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::gate::{Gate, GatePass};

/// How long a sweep may wait in total for one page before it gives up its permit.
const PATIENCE: Duration = Duration::from_secs(1);
/// Each lane other than the main one has one in this many permits.
const LANE_SHARE: usize = 4;
/// For each permit, this many requests may wait aside, half of them of tenants known to fail. A quarter of that number
/// is added for backlogs, so that old pages that hang never cause live sweeps to be broken off.
const ASIDE: usize = 8;
const LEAST_ASIDE: usize = 256;

/// Which sweeps share permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Main,
    /// Tenants whose last sweep failed. They mostly wait for answers that don't come.
    Failing,
    /// Backlogs. Live polling goes first.
    Backlog,
}

/// Permits for sweeps at work.
#[derive(Debug, Clone)]
pub struct Permits {
    all: Arc<Semaphore>,
    failing: Arc<Gate>,
    backlog: Arc<Gate>,
    aside: Arc<Semaphore>,
    failing_aside: Arc<Semaphore>,
    backlog_aside: Arc<Semaphore>,
}

impl Permits {
    pub fn new(count: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        let lane = (count / LANE_SHARE).max(1);
        let aside = count.saturating_mul(ASIDE).max(LEAST_ASIDE);
        Self {
            all: semaphore(count),
            failing: Gate::new(lane),
            backlog: Gate::new(lane),
            aside: semaphore(aside / 2),
            failing_aside: semaphore(aside / 2),
            backlog_aside: semaphore(aside / 4),
        }
    }

    pub async fn take(&self, lane: Lane) -> Permit {
        self.take_since(lane, Instant::now()).await
    }

    /// Takes a permit for a sweep that has been without a turn since `since`. In its lane it goes before all that had a
    /// later turn.
    pub async fn take_since(&self, lane: Lane, since: Instant) -> Permit {
        let (of_lane, aside) = match lane {
            Lane::Main => (None, &self.aside),
            Lane::Failing => (Some(self.failing.clone()), &self.failing_aside),
            Lane::Backlog => (Some(self.backlog.clone()), &self.backlog_aside),
        };
        let mut permit = Permit {
            lane: of_lane,
            all: self.all.clone(),
            pass: None,
            work_permit: None,
            since,
            last_turn: since,
            turn_ended: false,
            aside: aside.clone(),
            aside_permit: None,
            patience: PATIENCE,
        };
        permit.enter().await;
        permit
    }
}

/// Too many requests wait for a silent server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWaiting;

/// The right to work as one of the sweeps.
#[derive(Debug)]
pub struct Permit {
    lane: Option<Arc<Gate>>,
    all: Arc<Semaphore>,
    pass: Option<GatePass>,
    work_permit: Option<OwnedSemaphorePermit>,
    /// Its place in the lane, until the next turn.
    since: Instant,
    last_turn: Instant,
    turn_ended: bool,
    aside: Arc<Semaphore>,
    aside_permit: Option<OwnedSemaphorePermit>,
    patience: Duration,
}

impl Permit {
    /// Starts a new page with new patience.
    pub fn begin_page(&mut self) {
        self.patience = PATIENCE;
        self.aside_permit = None;
    }

    /// Records that a request goes out, which is its turn.
    pub fn begin_turn(&mut self) {
        self.last_turn = Instant::now();
    }

    /// Ends the turn. For its next request, the sweep goes behind all that have waited for longer in the lane.
    pub fn end_turn(&mut self) {
        self.turn_ended = true;
    }

    /// When it last had a turn in its lane.
    pub fn last_turn(&self) -> Instant {
        self.last_turn
    }

    /// How long it may still wait for this page before it goes aside.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Takes what is needed to begin a request, if it was given up: the lane and the permit.
    pub async fn enter(&mut self) {
        if std::mem::take(&mut self.turn_ended) {
            self.since = self.last_turn;
            self.pass = None;
        }
        if let (Some(lane), None) = (&self.lane, &self.pass) {
            // Never wait for the lane while holding a permit.
            self.work_permit = None;
            self.pass = Some(lane.pass(self.since).await);
        }
        self.regain().await;
    }

    /// Waits for something inside the daemon: bytes or Kafka. Gives up the permit after a second.
    pub async fn wait<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = timeout(PATIENCE, work.as_mut()).await {
            return done;
        }
        self.leave();
        let done = work.await;
        self.regain().await;
        done
    }

    /// Pauses until the next request may go out, without lane and permit. [`Permit::enter`] takes them again.
    pub async fn rest(&mut self, pause: Duration) {
        self.leave();
        sleep(pause).await;
    }

    /// Waits for an answer from outside, aside once the patience is used up.
    ///
    /// # Errors
    /// [`TooManyWaiting`]: too many wait aside; the request should be broken off.
    pub async fn wait_for_answer<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, TooManyWaiting> {
        let mut work = pin!(work);
        let began = Instant::now();
        if let Ok(done) = timeout(self.patience, work.as_mut()).await {
            self.patience = self.patience.saturating_sub(began.elapsed());
            return Ok(done);
        }
        self.patience = Duration::ZERO;
        if self.aside_permit.is_none() {
            let permit = self.aside.clone().try_acquire_owned();
            self.aside_permit = Some(permit.map_err(|_| TooManyWaiting)?);
        }
        self.leave();
        let done = work.await;
        self.regain().await;
        Ok(done)
    }

    fn leave(&mut self) {
        (self.pass, self.work_permit) = (None, None);
    }

    async fn regain(&mut self) {
        if self.work_permit.is_none() {
            // The semaphore is never closed, so this can't fail. Without a permit the sweep would only go uncounted.
            self.work_permit = self.all.clone().acquire_owned().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn hanging_sweeps_do_not_keep_others_from_their_permits() {
        let permits = Permits::new(2);
        for _ in 0..50 {
            let mut permit = permits.take(Lane::Main).await;
            tokio::spawn(async move { permit.wait_for_answer(pending::<()>()).await });
        }
        let start = Instant::now();
        permits.take(Lane::Main).await;
        assert!(
            start.elapsed() <= Duration::from_secs(26),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_known_to_fail_leave_permits_to_the_others() {
        let permits = Permits::new(4);
        for _ in 0..50 {
            let permits = permits.clone();
            tokio::spawn(async move {
                loop {
                    let mut permit = permits.take(Lane::Failing).await;
                    permit.wait(sleep(Duration::from_secs(5))).await;
                }
            });
        }
        for _ in 0..100 {
            sleep(Duration::from_millis(300)).await;
            let start = Instant::now();
            let taken = permits.take(Lane::Main).await;
            assert_eq!(start.elapsed(), Duration::ZERO);
            drop(taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_so_many_are_at_work_at_once() {
        let (permits, at_work) = (Permits::new(3), Arc::new(Mutex::new((0, 0))));
        let sweeps = (0..20).map(|_| {
            let (permits, at_work) = (permits.clone(), at_work.clone());
            tokio::spawn(async move {
                let mut permit = permits.take(Lane::Main).await;
                permit.wait(sleep(Duration::from_secs(5))).await;
                {
                    let mut count = at_work.lock();
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                sleep(Duration::from_millis(10)).await;
                at_work.lock().0 -= 1;
            })
        });
        futures_util::future::join_all(sweeps).await;
        assert_eq!(at_work.lock().1, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_drip_do_not_hold_permits() {
        let permits = Permits::new(2);
        for _ in 0..30 {
            let mut permit = permits.take(Lane::Main).await;
            tokio::spawn(async move {
                loop {
                    let piece = sleep(Duration::from_millis(700));
                    permit.wait_for_answer(piece).await.expect("room aside");
                }
            });
        }
        sleep(Duration::from_secs(5)).await;
        for _ in 0..100 {
            let start = Instant::now();
            let taken = permits.take(Lane::Main).await;
            assert!(
                start.elapsed() < Duration::from_millis(10),
                "{:?}",
                start.elapsed()
            );
            drop(taken);
            sleep(Duration::from_millis(30)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_silent_requests_is_bounded() {
        let permits = Permits::new(2);
        let mut silent = Vec::new();
        for _ in 0..200 {
            let mut permit = permits.take(Lane::Main).await;
            silent.push(tokio::spawn(async move {
                permit.wait_for_answer(pending::<()>()).await
            }));
        }
        sleep(Duration::from_secs(60)).await;
        let ended = silent.iter().filter(|task| task.is_finished()).count();
        assert_eq!(ended, 200 - LEAST_ASIDE / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn with_each_page_patience_is_new() {
        let permits = Permits::new(1);
        let mut permit = permits.take(Lane::Main).await;
        for _ in 0..10 {
            permit.begin_page();
            let page = permit.wait_for_answer(sleep(Duration::from_millis(900)));
            assert_eq!(page.await, Ok(()));
            assert!(!permit.patience().is_zero());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_does_not_queue_behind_those_who_are_still_to_begin() {
        let (permits, since) = (Permits::new(4), Instant::now());
        let begin = || permits.take(Lane::Backlog);
        let mut permit = begin().await;
        let answer = permit.wait_for_answer(sleep(Duration::from_secs(2)));
        let crowd = async {
            sleep(Duration::from_millis(1500)).await;
            let _held = begin().await;
            pending::<()>().await;
        };
        tokio::select! {
            answer = answer => assert_eq!(answer, Ok(())),
            () = crowd => unreachable!(),
        }
        assert_eq!(since.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn in_its_lane_each_has_one_turn_after_the_other() {
        let (permits, turns) = (Permits::new(4), Arc::new(Mutex::new(Vec::new())));
        let since = Instant::now();
        let crowd = (0..3).map(|n| {
            let (permits, turns) = (permits.clone(), turns.clone());
            tokio::spawn(async move {
                let mut permit = permits.take_since(Lane::Backlog, since).await;
                for _ in 0..3 {
                    permit.enter().await;
                    permit.begin_turn();
                    turns.lock().push(n);
                    sleep(Duration::from_millis(100)).await;
                    permit.end_turn();
                }
            })
        });
        futures_util::future::join_all(crowd).await;
        assert_eq!(*turns.lock(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn backlogs_that_hang_leave_live_sweeps_their_room_aside() {
        let permits = Permits::new(4);
        for _ in 0..2 * LEAST_ASIDE {
            let mut permit = permits.take(Lane::Backlog).await;
            tokio::spawn(async move { permit.wait_for_answer(pending::<()>()).await });
        }
        let mut live = permits.take(Lane::Main).await;
        let answer = live.wait_for_answer(sleep(Duration::from_secs(5)));
        assert_eq!(answer.await, Ok(()));
    }
}
