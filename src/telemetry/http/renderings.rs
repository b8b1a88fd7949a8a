//! Answers that grow with the number of tenants: one text serves all callers at a time.
//!
//! Rules:
//! - One text is made at a time. It serves all callers who asked for the same before it was ready, and then for nine times the
//!   processor time that it cost. Before that time is over no other text of its kind is made: a caller who asks for another
//!   page waits. So all callers together cost at most about a tenth of a core. Time that the thread waited does not count;
//!   otherwise a small text would be seconds old on a busy machine.
//! - A text of [`Renderings::new_for_each`] serves only callers who asked before it was begun: what they changed before they
//!   asked is in it. One such text is made at a time, also when its callers have gone, and all of them together cost at most
//!   one core.
//! - A slow reader holds a share of the text, not a copy. At most `kept` texts of a kind are in memory. When slow readers hold
//!   all of them, the newest continues to serve those who ask for the same: the time limit of a connection bounds its age.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout_at};

/// At most this many texts of one kind are in memory, including those that only slow readers still hold.
pub(super) const KEPT: usize = 2;

/// A text serves for this many times the processor time that it cost.
const REST: u32 = 9;

/// After a text that serves no later caller, the next one is begun after this many times the processor time that it cost.
const REST_OF_NEW: u32 = 1;

/// The texts of one kind.
#[derive(Debug)]
pub(super) struct Renderings {
    freshness: Freshness,
    places: Arc<Semaphore>,
    /// How many texts may be in the making at once.
    makings: Arc<Semaphore>,
    /// Locked while the next text is made, so that others wait for it.
    latest: Mutex<Option<Latest>>,
}

/// Which callers a text serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// Also those who ask while it is recent.
    Recent,
    /// Only those who asked before it was begun.
    New,
}

impl Freshness {
    fn rest(self) -> u32 {
        match self {
            Self::Recent => REST,
            Self::New => REST_OF_NEW,
        }
    }
}

#[derive(Debug)]
struct Latest {
    /// What was asked for.
    key: String,
    text: Arc<Rendering>,
    made: Instant,
    /// Before this, no other text is made.
    until: Instant,
}

/// A text, and its place.
#[derive(Debug)]
struct Rendering {
    text: Vec<u8>,
    began: Instant,
    cost: Duration,
    _place: OwnedSemaphorePermit,
}

/// A reader's share. The place is free when the last share is dropped, also from the connections' buffers.
struct Share(Arc<Rendering>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl Latest {
    fn serves(&self, key: &str, asked: Instant, freshness: Freshness) -> bool {
        let fresh = match freshness {
            Freshness::Recent => asked < self.made || Instant::now() < self.until,
            Freshness::New => asked <= self.text.began,
        };
        self.key == key && fresh
    }

    fn share(&self) -> Bytes {
        Bytes::from_owner(Share(Arc::clone(&self.text)))
    }
}

/// Why there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRendering {
    /// It was not ready in time: a rendering hangs.
    Busy,
    /// It is about something that does not exist.
    Missing,
    /// Making it failed because of a defect in this program.
    Broken,
}

impl Renderings {
    pub(super) fn new(kept: usize) -> Self {
        Self::with(Freshness::Recent, kept, kept)
    }

    /// Of texts that serve no caller who asks after they were begun.
    pub(super) fn new_for_each(kept: usize) -> Self {
        Self::with(Freshness::New, kept, 1)
    }

    fn with(freshness: Freshness, kept: usize, makings: usize) -> Self {
        Self {
            freshness,
            places: Arc::new(Semaphore::new(kept)),
            makings: Arc::new(Semaphore::new(makings)),
            latest: Mutex::const_new(None),
        }
    }

    /// The text of `make`, or of another call for the same `key`. `make` runs on a thread for blocking work.
    pub(super) async fn get(
        &self,
        key: &str,
        patience: Duration,
        make: impl FnOnce() -> Result<Vec<u8>, NoRendering> + Send + 'static,
    ) -> Result<Bytes, NoRendering> {
        let asked = Instant::now();
        let deadline = asked + patience;
        let latest = timeout_at(deadline, self.latest.lock()).await;
        let mut latest = latest.map_err(|_| NoRendering::Busy)?;
        if let Some(fresh) = latest
            .as_ref()
            .filter(|it| it.serves(key, asked, self.freshness))
        {
            return Ok(fresh.share());
        }
        if let Some(rest) = latest.as_ref().map(|it| it.until) {
            let rest = timeout_at(deadline, sleep_until(rest)).await;
            rest.map_err(|_| NoRendering::Busy)?;
        }
        // Shares are made only under this lock: a text without readers can give its place to the next.
        if latest
            .as_ref()
            .is_some_and(|it| Arc::strong_count(&it.text) == 1)
        {
            *latest = None;
        }
        let held = latest.as_ref().filter(|it| it.key == key);
        let held = held.filter(|_| self.freshness == Freshness::Recent);
        let place = match (Arc::clone(&self.places).try_acquire_owned(), held) {
            (Ok(place), _) => place,
            (Err(_), Some(held)) => return Ok(held.share()),
            (Err(_), None) => permit(&self.places, deadline).await?,
        };
        // A making whose callers have gone holds its permit, but not the lock.
        let making = permit(&self.makings, deadline).await?;
        // The rendering owns the place: one that hangs keeps it, so the number of those that hang is limited.
        let made = spawn_blocking(move || {
            let (began, used) = (Instant::now(), processor_time());
            let text = make();
            drop(making);
            Ok(Arc::new(Rendering {
                text: text?,
                began,
                cost: processor_time().saturating_sub(used),
                _place: place,
            }))
        });
        let made = timeout_at(deadline, made).await;
        let made = made.map_err(|_| NoRendering::Busy)?;
        // A panic is a defect.
        let text = made.unwrap_or(Err(NoRendering::Broken))?;
        let made = Instant::now();
        let until = made + text.cost * self.freshness.rest();
        let key = key.to_owned();
        let latest = latest.insert(Latest {
            key,
            text,
            made,
            until,
        });
        Ok(latest.share())
    }
}

async fn permit(
    of: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<OwnedSemaphorePermit, NoRendering> {
    let permit = timeout_at(deadline, Arc::clone(of).acquire_owned()).await;
    permit.ok().and_then(Result::ok).ok_or(NoRendering::Busy)
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{FutureExt, join_all};
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::sync_channel;
    use tokio::time::sleep;

    const LONG: Duration = Duration::from_secs(60);

    #[derive(Default)]
    struct Maker(Arc<AtomicUsize>);

    impl Maker {
        /// Makes a text that says which it is.
        fn one(
            &self,
            takes: Duration,
        ) -> impl FnOnce() -> Result<Vec<u8>, NoRendering> + Send + 'static {
            let made = self.0.clone();
            move || {
                let (_never, wait) = sync_channel::<()>(0);
                let _ = wait.recv_timeout(takes);
                let n = made.fetch_add(1, Ordering::SeqCst) + 1;
                Ok(n.to_string().into_bytes())
            }
        }

        fn made(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_text() {
        let (maker, texts) = (Maker::default(), Renderings::new(KEPT));
        let takes = Duration::from_millis(200);
        let all = (0..50).map(|_| texts.get("", LONG, maker.one(takes)));
        for text in join_all(all).await {
            assert_eq!(text.expect("a text"), "1");
        }
        assert_eq!(maker.made(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_nobody_holds_is_made_anew_when_it_has_served_its_time() {
        let (maker, texts) = (Maker::default(), Renderings::new(KEPT));
        for n in 1..=5_usize {
            let text = texts.get("", LONG, maker.one(Duration::ZERO)).await;
            assert_eq!(text.expect("a text"), n.to_string());
            // Long past nine times what it cost.
            sleep(Duration::from_secs(10)).await;
        }
    }

    #[tokio::test]
    async fn one_that_waited_for_a_processor_and_not_for_its_work_is_not_shown_later() {
        let (maker, texts) = (Maker::default(), Renderings::new(KEPT));
        let slow = maker.one(Duration::from_millis(500));
        texts.get("", LONG, slow).await.expect("a text");
        // Far less than nine times 500 ms, far more than nine times what waiting costs a processor.
        sleep(Duration::from_millis(300)).await;
        let text = texts.get("", LONG, maker.one(Duration::ZERO)).await;
        assert_eq!(text.expect("a text"), "2");
    }

    #[tokio::test]
    async fn one_that_cost_a_processor_much_serves_for_nine_times_as_long() {
        let (maker, texts) = (Maker::default(), Renderings::new(KEPT));
        let busy = || {
            let began = processor_time();
            while processor_time().saturating_sub(began) < Duration::from_millis(200) {
                std::hint::spin_loop();
            }
            Ok(b"costly".to_vec())
        };
        texts.get("", LONG, busy).await.expect("a text");
        let text = texts.get("", LONG, maker.one(Duration::ZERO)).await;
        assert_eq!(text.expect("a text"), "costly");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_readers_refuse_nobody_and_hold_no_more_than_the_kept_texts() {
        let (maker, texts) = (Maker::default(), Renderings::new(KEPT));
        let mut held = Vec::new();
        for _ in 0..20 {
            let text = texts.get("", LONG, maker.one(Duration::ZERO)).await;
            held.push(text.expect("nobody is refused"));
            sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(maker.made(), KEPT);
        assert_eq!(held[19], KEPT.to_string(), "the newest serves on");
        held.clear();
        let text = texts.get("", LONG, maker.one(Duration::ZERO)).await;
        assert_eq!(text.expect("a text"), "3", "their places are free again");
    }

    #[tokio::test]
    async fn what_hangs_is_not_waited_for_and_piles_up_no_threads() {
        let texts = Renderings::new(KEPT);
        let (go_on, wait) = sync_channel::<()>(0);
        let wait = Arc::new(parking_lot::Mutex::new(wait));
        let running = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let (wait, running) = (wait.clone(), running.clone());
            let hangs = move || {
                running.fetch_add(1, Ordering::SeqCst);
                let _ = wait.lock().recv();
                Err(NoRendering::Broken)
            };
            let none = texts.get("", Duration::from_millis(50), hangs).await;
            assert_eq!(none, Err(NoRendering::Busy));
        }
        assert!(running.load(Ordering::SeqCst) <= KEPT);
        drop(go_on);
    }

    #[tokio::test]
    async fn one_that_fails_is_made_again() {
        let (maker, texts) = (Maker::default(), Renderings::new(KEPT));
        for _ in 0..5 {
            let none = texts.get("", LONG, || panic!("on purpose")).await;
            assert_eq!(none, Err(NoRendering::Broken));
        }
        let text = texts.get("", LONG, maker.one(Duration::ZERO)).await;
        assert_eq!(text.expect("a text"), "1");
    }

    #[tokio::test]
    async fn another_key_is_another_text_and_waits_until_the_last_has_paid_for_itself() {
        let texts = Renderings::new(KEPT);
        let busy = |text: &'static str| {
            move || {
                let began = processor_time();
                while processor_time().saturating_sub(began) < Duration::from_millis(20) {
                    std::hint::spin_loop();
                }
                Ok(text.as_bytes().to_vec())
            }
        };
        let began = Instant::now();
        assert_eq!(texts.get("a", LONG, busy("a")).await.expect("a text"), "a");
        assert_eq!(texts.get("b", LONG, busy("b")).await.expect("a text"), "b");
        assert!(began.elapsed() >= Duration::from_millis(20 + 180));
        let none = texts.get("c", Duration::from_millis(1), busy("c")).await;
        assert_eq!(none, Err(NoRendering::Busy));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_new_text_serves_those_who_asked_before_it_was_begun_and_nobody_later() {
        let texts = Renderings::new_for_each(KEPT);
        let files = Arc::new(AtomicUsize::new(0));
        let (begun, reading) = sync_channel::<()>(4);
        let (go_on, wait) = sync_channel::<()>(4);
        let wait = Arc::new(parking_lot::Mutex::new(wait));
        let read = || {
            let (files, begun, wait) = (files.clone(), begun.clone(), wait.clone());
            move || {
                let seen = files.load(Ordering::SeqCst);
                let _ = begun.send(());
                let _ = wait.lock().recv();
                Ok(seen.to_string().into_bytes())
            }
        };
        // An edit during the first reading, before the others ask.
        let edit = async {
            tokio::task::block_in_place(|| reading.recv()).expect("the first has begun");
            files.store(1, Ordering::SeqCst);
            let others = (0..9).map(|_| texts.get("", LONG, read()));
            let mut others = pin!(join_all(others));
            assert!(others.as_mut().now_or_never().is_none(), "they wait");
            for _ in 0..2 {
                go_on.send(()).expect("it waits");
            }
            others.await
        };
        let (first, others) = tokio::join!(texts.get("", LONG, read()), edit);
        assert_eq!(first.expect("a text"), "0");
        for text in others {
            assert_eq!(text.expect("a text"), "1");
        }
        assert!(reading.try_recv().is_ok(), "a second reading for the nine");
        assert!(reading.try_recv().is_err(), "and no third one");
    }

    #[tokio::test]
    async fn new_texts_are_made_one_at_a_time_also_for_callers_who_have_gone() {
        let texts = Renderings::new_for_each(KEPT);
        let (running, most) = (Arc::default(), Arc::default());
        let (go_on, wait) = sync_channel::<()>(0);
        let wait = Arc::new(parking_lot::Mutex::new(wait));
        for _ in 0..5 {
            let counts: (Arc<AtomicUsize>, Arc<AtomicUsize>) =
                (Arc::clone(&running), Arc::clone(&most));
            let wait = wait.clone();
            let make = move || {
                let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
                counts.1.fetch_max(now, Ordering::SeqCst);
                let _ = wait.lock().recv();
                Ok(Vec::new())
            };
            let none = texts.get("", Duration::from_millis(20), make).await;
            assert_eq!(none, Err(NoRendering::Busy));
        }
        drop(go_on);
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_not_remembered() {
        let texts = Renderings::new(KEPT);
        let none = texts.get("a", LONG, || Err(NoRendering::Missing)).await;
        assert_eq!(none, Err(NoRendering::Missing));
        let text = texts.get("a", LONG, || Ok(b"there".to_vec())).await;
        assert_eq!(text.expect("a text"), "there");
    }
}
