use super::*;
use crate::core::health::activity::HOURS;
use crate::core::health::status::{
    ConfigurationState, ConfigurationStatus, PartState, PartStatus, RunState,
};
use crate::core::time::ticks::Ticks;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Long enough for a busy machine; only a failing test reaches it.
const LONG: Duration = Duration::from_secs(60);

struct Fake {
    ready: Mutex<Result<(), String>>,
    metrics: Box<dyn Fn() -> String + Send + Sync>,
}

impl Fake {
    fn with_metrics(metrics: impl Fn() -> String + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            metrics: Box::new(metrics),
            ..Self::default()
        })
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            ready: Mutex::new(Err("Kafka was not reached yet.".into())),
            metrics: Box::new(|| "a_metric 1\n".into()),
        }
    }
}

impl Surface for Fake {
    fn report(&self) -> StatusReport {
        StatusReport {
            version: "1.2.3",
            started: Ticks(0),
            state: RunState::Running,
            configuration: ConfigurationStatus {
                state: ConfigurationState::Ok,
                loaded: Ticks::from_unix_seconds(1_700_000_000),
                restart_needed: Vec::new(),
                error: None,
            },
            alarms: Vec::new(),
            tenants: vec![],
            kafka: PartStatus {
                state: PartState::Ok,
                in_flight_bytes: Some(0),
                error: None,
                remedy: None,
                ..PartStatus::OK
            },
            ledger: PartStatus {
                kind: Some("local"),
                state: PartState::Ok,
                versions: None,
                error: None,
                remedy: None,
                ..PartStatus::OK
            },
            ownership: None,
        }
    }

    fn reload_preview(&self) -> Option<ReloadPreview> {
        Some(ReloadPreview {
            untouched: 7,
            ..ReloadPreview::default()
        })
    }

    fn fleet(&self, query: &FleetQuery) -> FleetView {
        FleetView {
            report: self.report(),
            selection: query.select(Vec::new()),
            tenants: Vec::new(),
            hours: [0; HOURS],
        }
    }

    fn tenant(&self, _: TenantId) -> Option<TenantDetails> {
        None
    }

    fn metrics(&self) -> String {
        (self.metrics)()
    }

    fn live(&self) -> Result<(), String> {
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.lock().clone()
    }
}

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(limits: EndpointLimits, fake: Arc<Fake>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let names = HostNames::new(&["incidentd".into()]);
        let router = router(limits, names, fake);
        let task = tokio::spawn(serve_within(limits, listener, router, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` and reads until the server closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        to_the_end(stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.exchange(&get_request(path)).await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(LONG, self.task)
            .await
            .expect("the server stops")
            .unwrap()
            .unwrap();
    }
}

fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// What the server sends before it closes. A reset also counts as the end.
async fn to_the_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection");
    String::from_utf8(answer).expect("an answer in UTF-8")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect(answer).1
}

#[tokio::test]
async fn readiness_says_what_it_waits_for_and_then_ok() {
    let fake = Arc::new(Fake::default());
    let server = Server::start(EndpointLimits::DEFAULT, Arc::clone(&fake)).await;
    let waiting = server.get("/readyz").await;
    assert!(waiting.starts_with("HTTP/1.1 503 "), "{waiting}");
    assert_eq!(body(&waiting), "Kafka was not reached yet.\n");
    *fake.ready.lock() = Ok(());
    let ready = server.get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert_eq!(body(&ready), "ok\n");
    let live = server.get("/livez").await;
    assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
    server.stop().await;
}

#[tokio::test]
async fn status_is_json_and_metrics_are_prometheus_text() {
    let fake = Arc::new(Fake::default());
    let server = Server::start(EndpointLimits::DEFAULT, Arc::clone(&fake)).await;
    let status = server.get("/api/status").await;
    assert!(
        status.contains("content-type: application/json\r\n"),
        "{status}"
    );
    assert!(status.contains("cache-control: no-store\r\n"), "{status}");
    assert_eq!(
        body(&status),
        serde_json::to_string(&fake.report()).unwrap()
    );
    let preview = server.get("/api/reload/preview").await;
    assert_eq!(
        body(&preview),
        serde_json::to_string(&fake.reload_preview()).unwrap()
    );
    let metrics = server.get("/metrics").await;
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(metrics.contains(kind), "{metrics}");
    assert_eq!(body(&metrics), "a_metric 1\n");
    server.stop().await;
}

#[tokio::test]
async fn the_page_may_do_nothing_but_show_itself() {
    let server = Server::start(EndpointLimits::DEFAULT, Arc::default()).await;
    let page = server.get("/?q=x&state=consent&page=2&refresh=off").await;
    for header in [
        "content-type: text/html; charset=utf-8\r\n",
        "content-security-policy: default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'\r\n",
        "referrer-policy: no-referrer\r\n",
        "x-content-type-options: nosniff\r\n",
        "cache-control: no-store\r\n",
    ] {
        assert!(page.contains(header), "{header}: {page}");
    }
    assert!(body(&page).contains("value=\"x\""), "{page}");
    let style = server.get("/page.css").await;
    assert!(
        style.contains("content-type: text/css; charset=utf-8\r\n"),
        "{style}"
    );
    assert_eq!(body(&style), page::STYLE);
    server.stop().await;
}

#[tokio::test]
async fn only_get_and_head_of_what_exists_are_answered() {
    let server = Server::start(EndpointLimits::DEFAULT, Arc::default()).await;
    for (request, expected) in [
        (get_request("/index.html"), "404"),
        (get_request("/metrics/"), "404"),
        (get_request("/metrics").replace("GET", "DELETE"), "405"),
        (get_request("/api/status").replace("GET", "POST"), "405"),
        (get_request("/").replace("GET", "POST"), "405"),
        (get_request("/tenants/contoso"), "404"),
        (
            get_request("/tenants/11111111-1111-1111-1111-111111111111"),
            "404",
        ),
        (get_request("/?state=broken"), "400"),
        (get_request("/?page=-1"), "400"),
    ] {
        let answer = server.exchange(&request).await;
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some(expected), "{request}{answer}");
    }
    let head = server
        .exchange(&get_request("/metrics").replace("GET", "HEAD"))
        .await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body(&head), "");
    server.stop().await;
}

#[tokio::test]
async fn a_body_is_refused_unread() {
    let server = Server::start(EndpointLimits::DEFAULT, Arc::default()).await;
    let answer = server
        .exchange("GET /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_beyond_its_size_is_refused() {
    let server = Server::start(EndpointLimits::DEFAULT, Arc::default()).await;
    let mut stream = server.connect().await;
    let filler = "y".repeat(4 * MAX_HEAD);
    let head = format!("GET /livez HTTP/1.1\r\nx: {filler}\r\n\r\n");
    // The server may close the connection before everything was sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = to_the_end(stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_never_ends_its_head_is_dropped_and_gives_its_place_back() {
    let limits = EndpointLimits {
        connections: 1,
        head: Duration::from_millis(50),
        exchange: LONG * 2,
        ..EndpointLimits::DEFAULT
    };
    let server = Server::start(limits, Arc::default()).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /livez HTTP/1.1\r\nx: ").await.unwrap();
    let (cut, next) = tokio::join!(to_the_end(slow), server.get("/livez"));
    assert!(!cut.contains("200 OK"), "{cut}");
    assert_eq!(body(&next), "ok\n", "the only place was not given back");
    server.stop().await;
}

/// More than the sockets of both sides buffer.
const LARGE: usize = 64 << 20;

/// A server with large metrics, and how often they were made.
fn large() -> (Arc<Fake>, Arc<AtomicUsize>) {
    let made = Arc::<AtomicUsize>::default();
    let fake = Fake::with_metrics({
        let made = Arc::clone(&made);
        move || {
            made.fetch_add(1, Ordering::SeqCst);
            "x".repeat(LARGE)
        }
    });
    (fake, made)
}

impl Server {
    /// A client that requests the metrics, reads the first bytes, and then stops reading.
    async fn deaf(&self) -> TcpStream {
        let mut deaf = self.connect().await;
        let request = get_request("/metrics");
        deaf.write_all(request.as_bytes()).await.unwrap();
        deaf.read_exact(&mut [0; 15]).await.unwrap();
        deaf
    }

    /// Requests the head of the metrics.
    async fn glance(&self) -> String {
        let request = get_request("/metrics").replace("GET", "HEAD");
        self.exchange(&request).await
    }
}

#[tokio::test]
async fn a_caller_that_never_reads_is_dropped_and_its_answer_freed() {
    let (fake, made) = large();
    let limits = EndpointLimits {
        kept: 1,
        turn: LONG * 2,
        // Even on a busy machine, the answer is made and started within this time.
        exchange: Duration::from_secs(3),
        ..EndpointLimits::DEFAULT
    };
    let server = Server::start(limits, fake).await;
    let deaf = server.deaf().await;
    timeout(LONG, async {
        // The next answer is made only when the first one is freed.
        while made.load(Ordering::SeqCst) < 2 {
            server.glance().await;
        }
    })
    .await
    .expect("the answer was not freed");
    let got = to_the_end(deaf).await.len();
    assert!(got < LARGE, "all {got} bytes were sent");
    server.stop().await;
}

/// Only the clients end connections.
const PATIENT: EndpointLimits = EndpointLimits {
    head: Duration::from_secs(600),
    exchange: Duration::from_secs(600),
    ..EndpointLimits::DEFAULT
};

#[tokio::test]
async fn callers_that_ask_for_nothing_keep_no_probe_out() {
    let server = Server::start(PATIENT, Arc::default()).await;
    let mut silent = Vec::new();
    for n in 0..PATIENT.connections * 2 {
        let mut stream = server.connect().await;
        // Some have started a request and never finish it.
        if n % 2 == 0 {
            stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        }
        silent.push(stream);
    }
    for path in ["/livez", "/api/status", "/metrics", "/livez"] {
        let answer = timeout(LONG, server.get(path)).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    let first = silent.swap_remove(0);
    assert_eq!(to_the_end(first).await, "", "the oldest gave way");
    drop(silent);
    server.stop().await;
}

#[tokio::test]
async fn slow_readers_refuse_nobody_and_share_what_they_read() {
    let (fake, made) = large();
    let server = Server::start(PATIENT, fake).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(server.deaf().await);
    }
    for _ in 0..3 {
        let answer = server.glance().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains(&format!("content-length: {LARGE}\r\n")),
            "{answer}"
        );
    }
    let other = server.get("/api/status").await;
    assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
    let made = made.load(Ordering::SeqCst);
    assert!(made <= KEPT, "{made} texts for 8 readers");
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn slow_readers_in_all_places_keep_no_probe_out() {
    let (fake, _) = large();
    let limits = EndpointLimits {
        connections: 4,
        ..PATIENT
    };
    let server = Server::start(limits, fake).await;
    let mut slow = Vec::new();
    for _ in 0..limits.connections {
        slow.push(server.deaf().await);
    }
    let live = timeout(LONG, server.get("/livez"))
        .await
        .expect("an answer");
    assert_eq!(body(&live), "ok\n");
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn only_a_name_of_its_own_or_an_address_is_answered() {
    let server = Server::start(EndpointLimits::DEFAULT, Arc::default()).await;
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/status",
        "/other",
    ] {
        let request = get_request(path);
        for (host, expected) in [
            ("attacker.example", "421"),
            ("attacker.example:9464", "421"),
            ("localhost.attacker.example", "421"),
            ("127.0.0.1", ""),
            ("[::1]:9464", ""),
            ("incidentd:9464", ""),
        ] {
            let answer = server.exchange(&request.replace("localhost", host)).await;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            if expected.is_empty() {
                assert_ne!(status, "421", "{host} {path}: {answer}");
            } else {
                assert_eq!(status, expected, "{host} {path}: {answer}");
                assert!(answer.contains("http.hosts"), "{answer}");
                assert!(!answer.contains("attacker"), "{answer}");
            }
        }
    }
    let twice = get_request("/livez").replace("\r\n\r\n", "\r\nhost: localhost\r\n\r\n");
    let answer = server.exchange(&twice).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let whole = get_request("http://attacker.example/livez");
    let answer = server.exchange(&whole).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    let old = server.exchange("GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(body(&old), "ok\n");
    server.stop().await;
}

#[tokio::test]
async fn when_a_large_answer_cannot_be_made_in_time_the_caller_is_told_to_come_again() {
    let limits = EndpointLimits {
        kept: 0,
        turn: Duration::from_millis(20),
        ..EndpointLimits::DEFAULT
    };
    let server = Server::start(limits, Arc::default()).await;
    for path in ["/metrics", "/api/status", "/", "/?page=2"] {
        let answer = server.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    let live = server.get("/livez").await;
    assert_eq!(body(&live), "ok\n", "a probe must not wait for a scrape");
    server.stop().await;
}

#[tokio::test]
async fn a_surface_that_panics_costs_one_answer() {
    let fake = Fake::with_metrics(|| panic!("on purpose"));
    let server = Server::start(EndpointLimits::DEFAULT, fake).await;
    let answer = server.get("/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let live = server.get("/livez").await;
    assert_eq!(body(&live), "ok\n");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_in_work_is_finished_after_shutdown() {
    let asked = Arc::new(Notify::new());
    let (go_on, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let fake = Fake::with_metrics({
        let asked = Arc::clone(&asked);
        move || {
            asked.notify_one();
            wait.lock().recv_timeout(LONG).expect("a sign");
            "finished\n".into()
        }
    });
    let server = Server::start(EndpointLimits::DEFAULT, fake).await;
    let mut caller = server.connect().await;
    let request = get_request("/metrics");
    caller.write_all(request.as_bytes()).await.unwrap();
    asked.notified().await;
    server.shutdown.cancel();
    go_on.send(()).unwrap();
    assert_eq!(body(&to_the_end(caller).await), "finished\n");
    server.stop().await;
}

#[tokio::test]
async fn after_shutdown_nothing_is_accepted() {
    let server = Server::start(EndpointLimits::DEFAULT, Arc::default()).await;
    let address = server.address;
    server.stop().await;
    let refused = TcpStream::connect(address).await;
    assert!(refused.is_err(), "the port is still open");
}
