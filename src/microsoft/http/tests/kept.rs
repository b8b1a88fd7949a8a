//! Kept connections that the other side closes just as the next request arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// How a server ends a connection.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Closing,
    Resetting,
    /// After the beginning of an answer.
    Within(&'static [u8]),
}

/// Serves `good` requests on each connection, and ends it at the next. `spoilt`: only on this many connections.
struct Gateway {
    url: Url,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Gateway {
    async fn start(good: usize, leaves: Leaves, spoilt: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, connections) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counts.1.fetch_add(1, Ordering::SeqCst);
                let good = if number < spoilt { good } else { usize::MAX };
                tokio::spawn(serve(stream, good, leaves, Arc::clone(&counts.0)));
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            requests,
            connections,
            task,
        }
    }

    fn counts(&self) -> (usize, usize) {
        let count = |it: &AtomicUsize| it.load(Ordering::SeqCst);
        (count(&self.requests), count(&self.connections))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, good: usize, leaves: Leaves, requests: Arc<AtomicUsize>) {
    for _ in 0..good {
        if !request(&mut stream).await {
            return;
        }
        requests.fetch_add(1, Ordering::SeqCst);
        stream.write_all(GOOD).await.unwrap();
    }
    if request(&mut stream).await {
        requests.fetch_add(1, Ordering::SeqCst);
        match leaves {
            Leaves::Closing => {}
            Leaves::Resetting => stream.set_zero_linger().unwrap(),
            Leaves::Within(beginning) => stream.write_all(beginning).await.unwrap(),
        }
    }
}

/// Reads one request, which has no body or ends in `end`.
async fn request(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    loop {
        let whole = bytes.ends_with(b"\r\n\r\n") || bytes.ends_with(b"end");
        if whole {
            return true;
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return false;
        }
    }
}

fn reach(gateway: &Gateway) -> Http {
    Clients::new()
        .reach(&gateway.url, "api.base_url", &http_options())
        .unwrap()
}

async fn exchange(http: &Http, gateway: &Gateway, post: bool) -> Result<Vec<u8>, Failure> {
    let url = gateway.url.clone();
    let request = match post {
        true => http.client.post(url).body("client_secret=s&end"),
        false => http.client.get(url),
    };
    let body = http.send(request).await?.body(100).await;
    // The connection returns to the pool in its own task.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    body
}

#[tokio::test]
async fn a_request_that_meets_a_closing_connection_is_sent_once_more_on_a_new_one() {
    for leaves in [Leaves::Closing, Leaves::Resetting] {
        for post in [false, true] {
            let gateway = Gateway::start(1, leaves, usize::MAX).await;
            let http = reach(&gateway);
            for n in 1..=5 {
                let body = exchange(&http, &gateway, post).await;
                assert_eq!(body.unwrap(), b"ok", "request {n}, {leaves:?}");
            }
            let (requests, _) = gateway.counts();
            let resent = http.take_resent() as usize;
            assert!(resent >= 1, "{leaves:?}: no connection was kept");
            assert_eq!(requests, 5 + resent, "{leaves:?}: each is accounted for");
            assert_eq!(http.take_resent(), 0, "once");
        }
    }
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_has_a_new_connection_and_is_sent_once() {
    let gateway = Gateway::start(1, Leaves::Closing, usize::MAX).await;
    let kept = reach(&gateway);
    assert_eq!(exchange(&kept, &gateway, true).await.unwrap(), b"ok");
    let http = kept.never_resending();
    for _ in 0..3 {
        assert_eq!(exchange(&http, &gateway, true).await.unwrap(), b"ok");
    }
    assert_eq!(gateway.counts(), (4, 4), "none went over the kept one");
    assert_eq!(http.take_resent(), 0);
}

#[tokio::test]
async fn the_new_connection_is_none_of_those_that_are_kept() {
    let gateway = Gateway::start(1, Leaves::Closing, 8).await;
    let http = reach(&gateway);
    let crowd = (0..8).map(|_| exchange(&http, &gateway, false));
    for body in futures_util::future::join_all(crowd).await {
        assert_eq!(body.unwrap(), b"ok");
    }
    assert_eq!(gateway.counts(), (8, 8), "eight connections are kept");
    // All eight close at their next request; only the ninth serves.
    assert_eq!(exchange(&http, &gateway, false).await.unwrap(), b"ok");
    assert_eq!(gateway.counts(), (10, 9));
}

#[tokio::test]
async fn a_new_connection_that_is_closed_is_a_failure_at_once() {
    for leaves in [Leaves::Closing, Leaves::Resetting] {
        let gateway = Gateway::start(0, leaves, usize::MAX).await;
        let http = reach(&gateway);
        let failure = exchange(&http, &gateway, true).await.unwrap_err();
        assert_eq!(failure.health, Health::Unreachable, "{failure:?}");
        assert_eq!(gateway.counts(), (1, 1), "{leaves:?}");
        assert_eq!(http.take_resent(), 0);
    }
}

#[tokio::test]
async fn a_request_is_sent_once_more_and_no_third_time() {
    // The first connection serves one request; all others serve none.
    let first = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let requests = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&requests);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let good = usize::from(first.fetch_add(1, Ordering::SeqCst) == 0);
            tokio::spawn(serve(stream, good, Leaves::Closing, Arc::clone(&count)));
        }
    });
    let gateway = Gateway {
        url,
        requests,
        connections: Arc::default(),
        task: server,
    };
    let http = reach(&gateway);
    assert_eq!(exchange(&http, &gateway, false).await.unwrap(), b"ok");
    let failure = exchange(&http, &gateway, false).await.unwrap_err();
    assert_eq!(failure.health, Health::Unreachable, "{failure:?}");
    assert_eq!(gateway.counts().0, 3, "one, and two tries of the other");
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let beginning = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of";
    let gateway = Gateway::start(1, Leaves::Within(beginning), usize::MAX).await;
    let http = reach(&gateway);
    assert_eq!(exchange(&http, &gateway, false).await.unwrap(), b"ok");
    let failure = exchange(&http, &gateway, false).await.unwrap_err();
    assert_eq!(failure.health, Health::Unreachable, "{failure:?}");
    assert_eq!(gateway.counts(), (2, 1));
    assert_eq!(http.take_resent(), 0);
}
