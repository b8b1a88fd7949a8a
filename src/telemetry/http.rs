//! The HTTP endpoints: `/livez`, `/readyz`, `/metrics`, `/api/status`, `/api/reload/preview`, the status page at `/`, and a page
//! for each tenant.
//!
//! A whole cluster may reach them, so they contain nothing secret, and no caller can make them costly:
//! - a connection carries one request and has one time limit, from accept to the last byte: a slow sender or reader is cut
//!   off;
//! - a request's head has its own limits of size and time, and a body is refused unread;
//! - the number of connections is limited; a new one replaces one that has asked for nothing (`connections`);
//! - `/metrics`, `/api/status` and the page grow with the number of tenants: one text serves all callers at a time
//!   (`renderings`);
//! - a request to a name that is not the daemon's own is refused (`host`).
//!
//! They have a thread of their own, so that a probe is answered while every other thread works on large pages.
//! [`Surface::live`] says whether the rest of the daemon makes progress.

mod answers;
mod connections;
mod host;
mod page;
mod renderings;

use std::io;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::clock::SystemClock;
use super::metrics;
use crate::core::health::fleet_view::{FleetQuery, FleetView, TenantDetails};
use crate::core::health::reload_preview::ReloadPreview;
use crate::core::health::status::StatusReport;
use crate::core::ids::TenantId;
use crate::ports::Clock;

use answers::{FOREIGN, UNKNOWN, UNREADABLE};
use connections::{Admitted, ConnectionStage, Connections, OpenConnection};
pub use host::HostNames;
use host::HostVerdict;
use page::{PageAddress, PageParameters};
use renderings::{KEPT, NoRendering, Renderings};

/// What the endpoints show. The last two must answer at once; the others run on a thread that may block.
pub trait Surface: Send + Sync + 'static {
    fn report(&self) -> StatusReport;

    /// One page of the fleet.
    fn fleet(&self, query: &FleetQuery) -> FleetView;

    /// One tenant. `None`: it is not read here.
    fn tenant(&self, tenant: TenantId) -> Option<TenantDetails>;

    /// What a reload would change now; `None` if nothing reloads this daemon. Reads files.
    fn reload_preview(&self) -> Option<ReloadPreview>;

    /// The text of [`metrics::Metrics::render`].
    fn metrics(&self) -> String;

    /// `Err` says in a sentence why the process should be restarted.
    fn live(&self) -> Result<(), String>;

    /// `Err` says in a sentence what the daemon is waiting for.
    fn ready(&self) -> Result<(), String>;
}

/// How much callers may cost.
#[derive(Clone, Copy, Debug)]
struct EndpointLimits {
    connections: usize,
    /// Texts of each of `/metrics`, `/api/status` and `/` in memory at once. Of all other pages together: four times as many.
    kept: usize,
    /// For a request's head to arrive.
    head: Duration,
    /// For such a text to be made.
    turn: Duration,
    /// For a whole connection.
    exchange: Duration,
}

impl EndpointLimits {
    const DEFAULT: EndpointLimits = EndpointLimits {
        connections: 256,
        kept: KEPT,
        head: Duration::from_secs(3),
        turn: Duration::from_secs(4),
        exchange: Duration::from_secs(10),
    };
}

/// Bytes of a request's head; also what a connection buffers of its answer at a time.
const MAX_HEAD: usize = 16 * 1024;

/// The pause after a failed accept. Mostly no descriptors are left, and other connections need time to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, then waits for the open connections, at most for their time limit.
///
/// # Errors
/// The listener is not usable, or no thread can be started. Other failures to accept pass (mostly no descriptors are left):
/// the endpoints continue as soon as they can, because an operator needs them then.
pub async fn serve(
    listener: TcpListener,
    names: HostNames,
    surface: Arc<dyn Surface>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = listener.into_std()?;
    let router = router(EndpointLimits::DEFAULT, names, surface);
    let (ends, ended) = oneshot::channel();
    Builder::new().name("endpoints".to_owned()).spawn(move || {
        // The receiver is gone when the stop takes too long.
        let _ = ends.send(serve_on_this_thread(listener, router, shutdown));
    })?;
    ended
        .await
        .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
}

fn serve_on_this_thread(
    listener: std::net::TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("rendering")
        .build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        serve_within(EndpointLimits::DEFAULT, listener, router, shutdown).await
    });
    // A rendering may hang: don't wait for it.
    runtime.shutdown_background();
    served
}

async fn serve_within(
    limits: EndpointLimits,
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = Connections::new(limits.connections);
    let mut tasks = JoinSet::new();
    let ended = shutdown
        .run_until_cancelled(async {
            loop {
                while tasks.try_join_next().is_some() {}
                let stream = accept(&listener).await?;
                let Some(admitted) = connections.admit().await else {
                    return Ok(());
                };
                tasks.spawn(converse(limits, stream, router.clone(), admitted));
            }
        })
        .await;
    drop(listener);
    while tasks.join_next().await.is_some() {}
    ended.unwrap_or(Ok(()))
}

/// The next connection. Failures in a row are logged once.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let mut logged = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                if !logged {
                    warn!(%error, "HTTP endpoints: could not accept a connection, trying again");
                }
                logged = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves the one request of a connection. How the connection ends concerns only the caller, and is not reported.
async fn converse(limits: EndpointLimits, stream: TcpStream, router: Router, admitted: Admitted) {
    let of = Arc::clone(&admitted.connection);
    let service = TowerToHyperService::new(router.layer(Extension(of)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let dropped = admitted.connection.dropped.clone();
    let _ = dropped
        .run_until_cancelled(timeout(limits.exchange, connection))
        .await;
}

struct EndpointState {
    surface: Arc<dyn Surface>,
    names: HostNames,
    turn: Duration,
    metrics: Renderings,
    report: Renderings,
    preview: Renderings,
    front: Renderings,
    /// Searches, further pages, and tenants. Readers of these never hold up those of `front`.
    pages: Renderings,
}

type SharedState = State<Arc<EndpointState>>;

fn router(limits: EndpointLimits, names: HostNames, surface: Arc<dyn Surface>) -> Router {
    let shared = Arc::new(EndpointState {
        surface,
        names,
        turn: limits.turn,
        metrics: Renderings::new(limits.kept),
        report: Renderings::new(limits.kept),
        preview: Renderings::new_for_each(limits.kept * 4),
        front: Renderings::new(limits.kept),
        pages: Renderings::new(limits.kept * 4),
    });
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/status", get(status))
        .route("/api/reload/preview", get(reload_preview))
        .route("/", get(fleet))
        .route("/tenants/{id}", get(tenant))
        .route("/page.css", get(style))
        .fallback(async || (StatusCode::NOT_FOUND, UNKNOWN))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Refuses requests to a foreign name and requests with a body, and forbids caches to keep any answer.
async fn guard(
    State(shared): SharedState,
    Extension(connection): Extension<Arc<OpenConnection>>,
    request: Request,
    next: Next,
) -> Response {
    connection.at(ConnectionStage::Asked);
    let (head, body) = request.into_parts();
    let refused = match shared.names.judge(&head) {
        HostVerdict::Foreign => Some((StatusCode::MISDIRECTED_REQUEST, FOREIGN)),
        HostVerdict::Ambiguous => Some((StatusCode::BAD_REQUEST, "More than one Host.\n")),
        HostVerdict::Ours => (!body.is_end_stream()).then_some((
            StatusCode::PAYLOAD_TOO_LARGE,
            "No request here takes a body.\n",
        )),
    };
    let mut response = match refused {
        Some(refusal) => refusal.into_response(),
        None => next.run(Request::from_parts(head, body)).await,
    };
    connection.at(ConnectionStage::Answered);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn live(State(shared): SharedState) -> Response {
    verdict(shared.surface.live())
}

async fn ready(State(shared): SharedState) -> Response {
    verdict(shared.surface.ready())
}

fn verdict(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn scrape(State(shared): SharedState) -> Result<impl IntoResponse, NoRendering> {
    let surface = Arc::clone(&shared.surface);
    let make = move || Ok(surface.metrics().into_bytes());
    let text = shared.metrics.get("", shared.turn, make).await?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

async fn status(State(shared): SharedState) -> Result<impl IntoResponse, NoRendering> {
    let surface = Arc::clone(&shared.surface);
    let make = move || serde_json::to_vec(&surface.report()).map_err(|_| NoRendering::Broken);
    let json = shared.report.get("", shared.turn, make).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json))
}

/// Reads the files for each caller, after the request has come: `check --reload` must see an edit of a moment ago. A caller who
/// asks during a reading waits for the next one, so the wait is up to twice that of a page.
async fn reload_preview(State(shared): SharedState) -> Result<impl IntoResponse, NoRendering> {
    let surface = Arc::clone(&shared.surface);
    let make =
        move || serde_json::to_vec(&surface.reload_preview()).map_err(|_| NoRendering::Broken);
    let json = shared.preview.get("", shared.turn * 2, make).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json))
}

/// What an address asks for; `Err`: a parameter is there twice, or is not UTF-8.
type Parameters = Result<Query<PageParameters>, QueryRejection>;

async fn fleet(State(shared): SharedState, parameters: Parameters) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return (StatusCode::BAD_REQUEST, UNREADABLE).into_response();
    };
    let address = match PageAddress::try_from(parameters) {
        Ok(address) => address,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    };
    let surface = Arc::clone(&shared.surface);
    let (key, pages) = match address.is_front() {
        true => (String::new(), &shared.front),
        false => (address.link(), &shared.pages),
    };
    let make = move || {
        let view = surface.fleet(&address.query);
        html(page::render_fleet(&view, &address, SystemClock.now()))
    };
    answer(pages.get(&key, shared.turn, make).await)
}

async fn tenant(
    State(shared): SharedState,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return (StatusCode::BAD_REQUEST, UNREADABLE).into_response();
    };
    let Ok(id) = id.parse::<TenantId>() else {
        return NoRendering::Missing.into_response();
    };
    let surface = Arc::clone(&shared.surface);
    let refresh = parameters.refreshes();
    let make = move || {
        let details = surface.tenant(id).ok_or(NoRendering::Missing)?;
        html(page::render_tenant(&details, refresh, SystemClock.now()))
    };
    let key = page::tenant_link(id, refresh);
    answer(shared.pages.get(&key, shared.turn, make).await)
}

fn html(page: askama::Result<String>) -> Result<Vec<u8>, NoRendering> {
    page.map(String::into_bytes)
        .map_err(|_| NoRendering::Broken)
}

fn answer(page: Result<Bytes, NoRendering>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, page::POLICY),
    ];
    page.map_or_else(IntoResponse::into_response, |page| {
        (headers, page).into_response()
    })
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)
}

#[cfg(test)]
mod tests;
