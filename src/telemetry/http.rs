//! The HTTP endpoints: `/livez`, `/readyz`, `/metrics`, `/api/status`, and the status page at `/`.
//!
//! They may be open to a whole cluster, so nothing secret is in them, and no caller can make them costly:
//! - a connection carries one request and has one time limit for everything, from accept to the last byte: whoever
//!   sends or reads slowly is cut off, and nothing has to be remembered about it;
//! - a request's head has a size and a time limit of its own, and a body is refused unread;
//! - the number of connections is limited; the next ones wait in the kernel's queue;
//! - `/metrics`, `/api/status` and the page grow with the number of tenants: only a few of these answers exist at once, counted
//!   until their connection is closed and not only until they are written. Others wait their turn, and get 503 when it
//!   does not come.

mod page;

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::clock::SystemClock;
use super::metrics;
use crate::core::status::StatusReport;
use crate::ports::Clock;

/// What the endpoints show. The first two are asked on a thread that may block; the last two must answer at once.
pub trait Surface: Send + Sync + 'static {
    fn report(&self) -> StatusReport;

    /// The text of [`metrics::Metrics::render`].
    fn metrics(&self) -> String;

    /// `Err` says in a sentence why the process should be restarted.
    fn live(&self) -> Result<(), String>;

    /// `Err` says in a sentence what the daemon is waiting for.
    fn ready(&self) -> Result<(), String>;
}

/// What callers may cost.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    /// Answers of `/metrics`, `/api/status` and `/` in memory at once.
    large_answers: usize,
    /// For a request's head to arrive.
    head: Duration,
    /// For a large answer's turn to come.
    turn: Duration,
    /// For a whole connection.
    exchange: Duration,
}

impl Limits {
    const DEFAULT: Limits = Limits {
        connections: 256,
        large_answers: 2,
        head: Duration::from_secs(3),
        turn: Duration::from_secs(4),
        exchange: Duration::from_secs(10),
    };
}

/// Bytes of a request's head; also what a connection buffers of its answer at a time.
const MAX_HEAD: usize = 16 * 1024;

/// After a failed accept (no descriptors left, mostly): give others time to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, then lets the connections in work end, which their time limit bounds.
///
/// # Errors
/// The listener is none. Other failures to accept pass (no descriptors left, mostly): the endpoints go on as soon as
/// they can, for that is when an operator needs them.
pub fn serve(
    listener: TcpListener,
    surface: Arc<dyn Surface>,
    shutdown: CancellationToken,
) -> impl Future<Output = io::Result<()>> {
    serve_within(Limits::DEFAULT, listener, surface, shutdown)
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    surface: Arc<dyn Surface>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = router(limits, surface);
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let ended = shutdown
        .run_until_cancelled(async {
            loop {
                let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                    return Ok(());
                };
                while connections.try_join_next().is_some() {}
                let stream = accept(&listener).await?;
                let router = router.clone();
                connections.spawn(async move {
                    converse(limits, stream, router).await;
                    drop(place);
                });
            }
        })
        .await;
    drop(listener);
    while connections.join_next().await.is_some() {}
    ended.unwrap_or(Ok(()))
}

/// The next connection. A row of failures is logged once.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let mut failures = 0_u32;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                if failures == 0 {
                    warn!(%error, "HTTP endpoints: could not accept a connection, trying again");
                }
                failures = failures.saturating_add(1);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, one request. How it ends is the caller's affair: there is nothing here to report.
async fn converse(limits: Limits, stream: TcpStream, router: Router) {
    let place = Place::default();
    let service = TowerToHyperService::new(router.layer(Extension(place.clone())));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(limits.exchange, connection).await;
    drop(place);
}

/// Holds a large answer's permit for as long as its connection lives: until then the answer may be in memory.
type Place = Arc<OnceLock<OwnedSemaphorePermit>>;

#[derive(Clone)]
struct Shared {
    surface: Arc<dyn Surface>,
    large_answers: Arc<Semaphore>,
    turn: Duration,
}

fn router(limits: Limits, surface: Arc<dyn Surface>) -> Router {
    let shared = Shared {
        surface,
        large_answers: Arc::new(Semaphore::new(limits.large_answers)),
        turn: limits.turn,
    };
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/status", get(status))
        .route("/", get(front))
        .layer(middleware::from_fn(guard))
        .with_state(shared)
}

/// Refuses a request that brings a body, and marks every answer as one that only holds now.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if request.body().is_end_stream() {
        next.run(request).await
    } else {
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            "No request here takes a body.\n",
        )
            .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn live(State(shared): State<Shared>) -> Response {
    verdict(shared.surface.live())
}

async fn ready(State(shared): State<Shared>) -> Response {
    verdict(shared.surface.ready())
}

fn verdict(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn scrape(State(shared): State<Shared>, Extension(place): Extension<Place>) -> Response {
    large(&shared, &place, |surface| {
        let text = surface.metrics();
        ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
    })
    .await
}

async fn status(State(shared): State<Shared>, Extension(place): Extension<Place>) -> Response {
    large(&shared, &place, |surface| {
        match serde_json::to_vec(&surface.report()) {
            Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    })
    .await
}

async fn front(State(shared): State<Shared>, Extension(place): Extension<Place>) -> Response {
    large(&shared, &place, |surface| {
        let page = page::render(&surface.report(), SystemClock.now(), Uuid::new_v4());
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (CONTENT_SECURITY_POLICY, page.policy),
            (REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        (headers, page.html).into_response()
    })
    .await
}

/// An answer whose size and cost grow with the number of tenants: made in turn, and off the threads that poll.
async fn large<F>(shared: &Shared, place: &Place, make: F) -> Response
where
    F: FnOnce(&dyn Surface) -> Response + Send + 'static,
{
    let turn = Arc::clone(&shared.large_answers).acquire_owned();
    let Ok(Ok(permit)) = timeout(shared.turn, turn).await else {
        let busy = "Too many such requests at once; try again.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, busy).into_response();
    };
    let _ = place.set(permit);
    let surface = Arc::clone(&shared.surface);
    match spawn_blocking(move || make(&*surface)).await {
        Ok(answer) => answer,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests;
