use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use futures_util::future::join_all;

use super::*;

const ADDRESS: &str = "127.0.0.1:0";

fn addresses() -> Vec<SocketAddr> {
    vec![ADDRESS.parse().unwrap(), "[::1]:0".parse().unwrap()]
}

/// A resolver that counts its look-ups, each of which lasts until the sender is dropped.
fn slow() -> (Resolver, Arc<AtomicUsize>, SyncSender<()>) {
    let (lets_go, held) = sync_channel::<()>(1);
    let held = Mutex::new(held);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let resolver = Resolver::with(Arc::new(move |_: &str| {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = held.lock().recv();
        Ok(addresses())
    }));
    (resolver, count, lets_go)
}

#[tokio::test]
async fn a_host_is_looked_up_once_however_many_wait_and_all_get_every_address_in_order() {
    let (resolver, count, lets_go) = slow();
    let crowd = (0..2000).map(|_| resolver.addresses("login.example"));
    let (found, ()) = tokio::join!(join_all(crowd), async {
        tokio::task::yield_now().await;
        drop(lets_go);
    });
    for answer in found {
        assert_eq!(answer.unwrap().to_vec(), addresses());
    }
    assert_eq!(resolver.addresses("login.example").await.unwrap().len(), 2);
    assert_eq!(count.load(Ordering::SeqCst), 1, "one look-up serves all");
}

/// Waits until the thread of a look-up has started. Paused time would run out before that.
async fn begun(count: &AtomicUsize) {
    tokio::time::resume();
    while count.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::pause();
}

/// The answer for `host`, when time runs out before there is one. A thread at work keeps paused time from advancing by
/// itself.
async fn waited_out(resolver: &Resolver, host: &str) -> LookUpAnswer {
    let time = async {
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = resolver.addresses(host) => answer,
        () = time => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_silent_resolver_is_waited_for_once_and_its_late_answer_is_used() {
    let (resolver, count, lets_go) = slow();
    let _ = resolver.known_or_asked("login.example");
    tokio::time::pause();
    begun(&count).await;
    let started = Instant::now();
    for _ in 0..3 {
        let answer = waited_out(&resolver, "login.example").await;
        assert!(matches!(answer, Err(LookUpError::Silent)), "{answer:?}");
    }
    assert!(started.elapsed() < PATIENCE * 3 + Duration::from_secs(1));
    assert_eq!(count.load(Ordering::SeqCst), 1, "one thread is held");
    drop(lets_go);
    tokio::time::resume();
    assert_eq!(resolver.addresses("login.example").await.unwrap().len(), 2);
    assert_eq!(count.load(Ordering::SeqCst), 1, "the late answer counts");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_does_not_hold_up_another() {
    let (lets_go, held) = sync_channel::<()>(1);
    let held = Mutex::new(held);
    let resolver = Resolver::with(Arc::new(move |host: &str| {
        if host == "hangs.example" {
            let _ = held.lock().recv();
        }
        Ok(addresses())
    }));
    let hung = waited_out(&resolver, "hangs.example").await;
    assert!(matches!(hung, Err(LookUpError::Silent)), "{hung:?}");
    tokio::time::resume();
    assert!(resolver.addresses("fine.example").await.is_ok());
    drop(lets_go);
}

#[tokio::test]
async fn a_failure_is_kept_for_a_moment_and_an_answer_for_longer() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let resolver = Resolver::with(Arc::new(move |_: &str| {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("Name or service not known")),
            _ => Ok(addresses()),
        }
    }));
    for _ in 0..2 {
        let answer = resolver.addresses("login.example").await;
        let Err(LookUpError::Refused(why)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(why, "Name or service not known");
    }
    assert_eq!(
        count.load(Ordering::SeqCst),
        1,
        "a crowd shares the failure"
    );
    tokio::time::pause();
    for (passed, look_ups) in [(FAILURE_KEPT, 2), (KEPT / 2, 2), (KEPT, 3)] {
        tokio::time::advance(passed + Duration::from_millis(500)).await;
        tokio::time::resume();
        let answer = resolver.addresses("login.example").await;
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(count.load(Ordering::SeqCst), look_ups, "after {passed:?}");
        tokio::time::pause();
    }
}

#[tokio::test]
async fn no_more_look_ups_run_than_allowed_and_every_host_has_its_turn() {
    let busy = Arc::new(Mutex::new((0, 0)));
    let counted = Arc::clone(&busy);
    let resolver = Resolver::with(Arc::new(move |_: &str| {
        {
            let mut busy = counted.lock();
            busy.0 += 1;
            busy.1 = busy.0.max(busy.1);
        }
        std::thread::yield_now();
        counted.lock().0 -= 1;
        Ok(addresses())
    }));
    let hosts: Vec<_> = (0..50).map(|n| format!("{n}.example")).collect();
    for answer in join_all(hosts.iter().map(|host| resolver.addresses(host))).await {
        assert_eq!(answer.unwrap().len(), 2);
    }
    let most = busy.lock().1;
    assert!((1..=THREADS).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_look_up_beyond_those_that_may_wait_is_refused_at_once() {
    let (resolver, _, lets_go) = slow();
    for n in 0..HOSTS {
        let asked = resolver.known_or_asked(&format!("{n}.example"));
        assert!(matches!(asked, HostEntry::Asked(_)), "{n} waits");
    }
    let refused = resolver.addresses("one-more.example").await;
    assert!(
        matches!(refused, Err(LookUpError::Refused(_))),
        "{refused:?}"
    );
    drop(lets_go);
    assert!(resolver.addresses("0.example").await.is_ok());
}

#[tokio::test]
async fn look_ups_that_panic_are_made_anew_and_take_no_thread_away() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let resolver = Resolver::with(Arc::new(move |_: &str| {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0..=THREADS => panic!("on purpose"),
            _ => Ok(addresses()),
        }
    }));
    for _ in 0..=THREADS {
        assert!(resolver.addresses("login.example").await.is_err());
    }
    assert!(resolver.addresses("login.example").await.is_ok());
}
