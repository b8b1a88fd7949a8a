//! The wire: routes, faults on the way in and out, and bodies that end as they are told to.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use uuid::Uuid;

use super::books::{Books, Flight, Version};
use super::defender::Defender;
use super::entra::{Dialect, Entra};
use super::faults::{Effect, Endpoint, Faults};
use super::line::Plug;
use super::time::SECOND;
use super::world::World;

/// Bodies leave in pieces of this size, so that a reader that stops reading stops us.
const PIECE: usize = 64 * 1024;
/// Below this, compression is not worth it.
const GZIP_FROM: usize = 1024;

/// 9999-12-31T23:59:59Z, the last instant that HTTP can name.
const LAST_DATE: u64 = 253_402_300_799;

const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head>\
                          <body><form method=\"post\"><input name=\"user\"></form></body></html>";

/// What is to be sent.
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The versions in it, which count as shown when all of it has left.
    pub shown: Vec<Version>,
}

impl Answer {
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::bytes(status, value.to_string().into())
    }

    pub fn bytes(status: u16, body: Bytes) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body)
    }

    fn typed(status: u16, kind: &str, body: Bytes) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), kind.to_owned())],
            body,
            shown: Vec::new(),
        }
    }
}

/// Everything that a handler needs.
pub(super) struct Service {
    pub world: World,
    pub books: Books,
    pub faults: Faults,
    pub entra: Arc<Entra>,
    pub defender: Defender,
}

pub(super) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/token", post(token_v1))
        .route("/{tenant}/oauth2/v2.0/token", post(token_v2))
        .route("/api/incidents", get(list))
        .route("/api/incidents/{id}", get(get_one))
        .fallback(no_such_path)
        .with_state(service)
}

type Shared = State<Arc<Service>>;
type Line = ConnectInfo<Plug>;

async fn token_v1(
    State(service): Shared,
    line: Line,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    token(Dialect::V1, &service, line, &tenant, &headers, &body).await
}

async fn token_v2(
    State(service): Shared,
    line: Line,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    token(Dialect::V2, &service, line, &tenant, &headers, &body).await
}

async fn token(
    dialect: Dialect,
    service: &Service,
    ConnectInfo(plug): Line,
    tenant: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let call = Call {
        endpoint: Endpoint::Token,
        tenant: Uuid::try_parse(tenant).ok(),
        query: "",
        headers,
    };
    let kind = text(headers, header::CONTENT_TYPE);
    let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    service
        .serve(plug, call, |_| {
            service.entra.token(dialect, tenant, form, body)
        })
        .await
}

async fn list(
    State(service): Shared,
    ConnectInfo(plug): Line,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let call = service.call(Endpoint::List, &query, &headers);
    service
        .serve(plug, call, |touch| {
            service.defender.list(bearer(&headers), &query, touch)
        })
        .await
}

async fn get_one(
    State(service): Shared,
    ConnectInfo(plug): Line,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let call = service.call(Endpoint::Get, &id, &headers);
    service
        .serve(plug, call, |_| service.defender.get(bearer(&headers), &id))
        .await
}

async fn no_such_path(
    State(service): Shared,
    ConnectInfo(plug): Line,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let call = service.call(Endpoint::Other, uri.path(), &headers);
    service
        .serve(plug, call, |_| service.defender.no_such_path(uri.path()))
        .await
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::AUTHORIZATION)?.strip_prefix("Bearer ")
}

/// One request, as far as rules and books care.
struct Call<'a> {
    endpoint: Endpoint,
    tenant: Option<Uuid>,
    query: &'a str,
    headers: &'a HeaderMap,
}

impl Service {
    fn call<'a>(&self, endpoint: Endpoint, query: &'a str, headers: &'a HeaderMap) -> Call<'a> {
        let issued = bearer(headers).and_then(|token| self.entra.find(token));
        Call {
            endpoint,
            tenant: issued.map(|issued| issued.tenant),
            query,
            headers,
        }
    }

    async fn serve(
        &self,
        plug: Plug,
        call: Call<'_>,
        work: impl FnOnce(Option<&Effect>) -> Answer,
    ) -> Response {
        let mut flight = self.books.arrived(call.endpoint, call.tenant, call.query);
        let strike = self.faults.strike(call.endpoint, call.tenant);
        if strike.delay > Duration::ZERO {
            tokio::time::sleep(strike.delay).await;
        }
        let mut answer = match &strike.effect {
            Some(Effect::Hang) => pending().await,
            Some(Effect::Reset) => {
                plug.cut();
                pending().await
            }
            Some(Effect::Answer {
                status,
                headers,
                body,
            }) => Answer {
                status: *status,
                headers: headers.clone(),
                body: body.clone().into(),
                shown: Vec::new(),
            },
            Some(Effect::LoginPage) => Answer::typed(200, "text/html", LOGIN_PAGE.into()),
            touch => work(touch.as_ref()),
        };
        if let Some(Effect::BrokenJson(keep)) = strike.effect {
            answer.body.truncate(keep);
            answer.shown.clear();
        }
        if gzip_wanted(call.headers) && answer.body.len() >= GZIP_FROM {
            compress(&mut answer);
        }
        flight.answered(answer.status, std::mem::take(&mut answer.shown));
        self.respond(answer, strike.effect.as_ref(), flight, plug)
    }

    fn respond(
        &self,
        answer: Answer,
        effect: Option<&Effect>,
        flight: Flight,
        plug: Plug,
    ) -> Response {
        let whole = answer.body.len();
        let sending = Sending::new(answer.body, effect, flight, plug);
        let mut response = Response::new(sending.into_body());
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let now = u64::try_from(self.world.now() / SECOND).unwrap_or(0);
        let now = Duration::from_secs(now.min(LAST_DATE));
        let date = httpdate::fmt_http_date(UNIX_EPOCH + now);
        let mut all = answer.headers;
        all.push(("date".to_owned(), date));
        if let Some(Effect::ShortOfLength(_)) = effect {
            all.push(("content-length".to_owned(), whole.to_string()));
        }
        for (name, value) in all {
            // A test's rule may name a header that HTTP can't carry; such a header is left out.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.append(name, value);
            }
        }
        response
    }
}

fn gzip_wanted(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT_ENCODING).is_some_and(|accepted| {
        accepted.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim() == "gzip"
                && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    })
}

fn compress(answer: &mut Answer) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder
        .write_all(&answer.body)
        .and_then(|()| encoder.finish());
    // Writing to a vector cannot fail; were it to, the plain body is as good.
    if let Ok(packed) = packed {
        answer.body = packed.into();
        answer
            .headers
            .push(("content-encoding".to_owned(), "gzip".to_owned()));
    }
}

/// A body on its way out.
struct Sending {
    body: Bytes,
    piece: usize,
    pause: Option<Duration>,
    ending: Ending,
    plug: Plug,
    /// Present until the end; a body dropped before takes it along, and with it the claim to have been shown.
    flight: Option<Flight>,
}

#[derive(Clone, Copy)]
enum Ending {
    Whole,
    BreakOff,
    Reset,
}

impl Sending {
    fn new(mut body: Bytes, effect: Option<&Effect>, flight: Flight, plug: Plug) -> Self {
        let ending = match effect {
            Some(Effect::ShortOfLength(keep) | Effect::ShortOfLastChunk(keep)) => {
                body.truncate(*keep);
                Ending::BreakOff
            }
            Some(Effect::ResetAfter(keep)) => {
                body.truncate(*keep);
                Ending::Reset
            }
            _ => Ending::Whole,
        };
        let (piece, pause) = match effect {
            Some(Effect::Drip(per_second)) => {
                let piece = (per_second / 10).max(1);
                let pause = Duration::from_secs_f64(piece as f64 / (*per_second).max(1) as f64);
                (piece, Some(pause))
            }
            _ => (PIECE, None),
        };
        Self {
            body,
            piece,
            pause,
            ending,
            plug,
            flight: Some(flight),
        }
    }

    /// Chunked, as its length is not told: its last chunk is sent after the last piece was asked for and gone.
    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, Self::next))
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if !self.body.is_empty() {
            if let Some(pause) = self.pause {
                tokio::time::sleep(pause).await;
            }
            let piece = self.body.split_to(self.piece.min(self.body.len()));
            return Some((Ok(piece), self));
        }
        match self.ending {
            Ending::Whole => {
                if let Some(flight) = self.flight.take() {
                    self.plug.hand_over(flight);
                }
                None
            }
            Ending::BreakOff => {
                // hyper flushes what it holds while it waits.
                tokio::task::yield_now().await;
                Some((Err(io::ErrorKind::UnexpectedEof.into()), self))
            }
            Ending::Reset => {
                tokio::task::yield_now().await;
                self.plug.cut();
                let never: Infallible = pending().await;
                match never {}
            }
        }
    }
}
