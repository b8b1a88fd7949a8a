//! The wire: routes, and faults on the way in and out.

mod answer;
mod sending;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use uuid::Uuid;

use super::books::{Books, Flight};
use super::defender::Defender;
use super::entra::{Dialect, Entra};
use super::faults::{Api, Effect, Endpoint, Faults, Target};
use super::graph::{Asked, Graph};
use super::line::Plug;
use super::link;
use super::time;
use super::world::World;
use sending::Sending;

pub(super) use answer::{Answer, Reply};

const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head>\
                          <body><form method=\"post\"><input name=\"user\"></form></body></html>";

/// Everything that a handler needs.
pub(super) struct Service {
    pub world: World,
    pub books: Books,
    pub faults: Faults,
    pub entra: Arc<Entra>,
    pub defender: Defender,
    pub graph: Graph,
}

pub(super) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/token", post(token_v1))
        .route("/{tenant}/oauth2/v2.0/token", post(token_v2))
        .route("/api/incidents", get(list))
        .route("/api/incidents/{id}", get(get_one))
        .route("/v1.0/security/incidents", get(graph_list))
        .route("/v1.0/security/incidents/{id}", get(graph_get))
        .route("/v1.0/security/incidents/{id}/alerts", get(graph_alerts))
        .fallback(no_such_path)
        .with_state(service)
}

type Shared = State<Arc<Service>>;
type Line = ConnectInfo<Plug>;

async fn token_v1(
    State(service): Shared,
    line: Line,
    Path(tenant): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    token(
        Dialect::V1,
        &service,
        line,
        &tenant,
        (&uri, &headers),
        &body,
    )
    .await
}

async fn token_v2(
    State(service): Shared,
    line: Line,
    Path(tenant): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    token(
        Dialect::V2,
        &service,
        line,
        &tenant,
        (&uri, &headers),
        &body,
    )
    .await
}

async fn token(
    dialect: Dialect,
    service: &Service,
    ConnectInfo(plug): Line,
    tenant: &str,
    (uri, headers): (&Uri, &HeaderMap),
    body: &[u8],
) -> Response {
    let target = Target {
        api: None,
        endpoint: Endpoint::Token,
        tenant: Uuid::try_parse(tenant).ok(),
        link: false,
    };
    let kind = text(headers, header::CONTENT_TYPE);
    let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let call = service.call(target, uri, headers);
    service
        .serve(plug, call, |_| {
            service.entra.token(dialect, tenant, form, body).into()
        })
        .await
}

async fn list(State(service): Shared, line: Line, uri: Uri, headers: HeaderMap) -> Response {
    let (bearer, query) = (bearer(&headers), uri.query().unwrap_or_default());
    let call = service.api_call(Api::Defender, Endpoint::List, &uri, &headers);
    let work = |touch: Option<&Effect>| service.defender.list(bearer, query, touch);
    service.serve(line.0, call, work).await
}

async fn get_one(
    State(service): Shared,
    line: Line,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let call = service.api_call(Api::Defender, Endpoint::Get, &uri, &headers);
    let work = |_: Option<&Effect>| service.defender.get(bearer(&headers), &id);
    service.serve(line.0, call, work).await
}

async fn graph_list(State(service): Shared, line: Line, uri: Uri, headers: HeaderMap) -> Response {
    let call = service.api_call(Api::Graph, Endpoint::List, &uri, &headers);
    let asked = call.asked();
    let work = |touch: Option<&Effect>| service.graph.list(asked, touch);
    service.serve(line.0, call, work).await
}

async fn graph_get(
    State(service): Shared,
    line: Line,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let call = service.api_call(Api::Graph, Endpoint::Get, &uri, &headers);
    let asked = call.asked();
    let work = |_: Option<&Effect>| service.graph.get(asked, &id);
    service.serve(line.0, call, work).await
}

async fn graph_alerts(
    State(service): Shared,
    line: Line,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let call = service.api_call(Api::Graph, Endpoint::Alerts, &uri, &headers);
    let asked = call.asked();
    let work = |_: Option<&Effect>| service.graph.alerts(asked, &id);
    service.serve(line.0, call, work).await
}

async fn no_such_path(
    State(service): Shared,
    line: Line,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let versions = ["/v1.0/", "/beta/"];
    let graph = versions
        .iter()
        .any(|version| uri.path().starts_with(version));
    let api = if graph { Api::Graph } else { Api::Defender };
    let call = service.api_call(api, Endpoint::Other, &uri, &headers);
    let asked = call.asked();
    let work = |_: Option<&Effect>| match api {
        Api::Graph => service.graph.no_such_path(asked, uri.path()).into(),
        Api::Defender => service.defender.no_such_path(uri.path()).into(),
    };
    service.serve(line.0, call, work).await
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::AUTHORIZATION)?.strip_prefix("Bearer ")
}

/// Whether the client asks for the members of enumerations that came after the first.
fn unknown_members(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim() == "include-unknown-enum-members")
}

/// One request.
#[derive(Clone, Copy)]
struct Call<'a> {
    target: Target,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    request: Uuid,
}

impl<'a> Call<'a> {
    fn query(&self) -> &'a str {
        self.uri.query().unwrap_or_default()
    }

    fn asked(&self) -> Asked<'a> {
        let client_request = self.headers.get("client-request-id");
        Asked {
            bearer: bearer(self.headers),
            query: self.query(),
            members: unknown_members(self.headers),
            request: self.request,
            client_request: client_request.and_then(|id| id.to_str().ok()),
        }
    }
}

impl Service {
    fn call<'a>(&self, target: Target, uri: &'a Uri, headers: &'a HeaderMap) -> Call<'a> {
        Call {
            target,
            uri,
            headers,
            request: self.entra.guid(),
        }
    }

    fn api_call<'a>(
        &self,
        api: Api,
        endpoint: Endpoint,
        uri: &'a Uri,
        headers: &'a HeaderMap,
    ) -> Call<'a> {
        let issued = bearer(headers).and_then(|token| self.entra.find(token));
        let target = Target {
            api: (endpoint != Endpoint::Other).then_some(api),
            endpoint,
            tenant: issued.map(|issued| issued.tenant),
            link: uri.query().is_some_and(link::followed),
        };
        self.call(target, uri, headers)
    }

    async fn serve(
        &self,
        plug: Plug,
        call: Call<'_>,
        work: impl FnOnce(Option<&Effect>) -> Reply,
    ) -> Response {
        let mut flight = self
            .books
            .arrived(call.target, call.uri.path(), call.query());
        let strike = self.faults.strike(call.target);
        if strike.delay > Duration::ZERO {
            tokio::time::sleep(strike.delay).await;
        }
        let instead = match &strike.effect {
            Some(effect) => self.instead(effect, &call, &plug).await,
            None => None,
        };
        let reply = match instead {
            Some(answer) => answer.into(),
            None => work(strike.effect.as_ref()),
        };
        let mut answer = match reply {
            Reply::Answer(answer) => answer,
            Reply::Fault(effect) => {
                let instead = self.instead(&effect, &call, &plug).await;
                instead.unwrap_or_else(|| self.broken(&call))
            }
        };
        if let Some(Effect::BrokenJson(keep)) = strike.effect {
            answer.body.truncate(keep);
            answer.shown.clear();
        }
        if gzip_wanted(call.headers) {
            answer.pack();
        }
        flight.answered(answer.status, std::mem::take(&mut answer.shown));
        self.respond(&call, answer, strike.effect.as_ref(), (flight, plug))
    }

    /// What takes the place of the real answer; `None`: the effect works on the real one.
    async fn instead(&self, effect: &Effect, call: &Call<'_>, plug: &Plug) -> Option<Answer> {
        Some(match effect {
            Effect::Hang => pending().await,
            Effect::Reset => {
                plug.cut();
                pending().await
            }
            Effect::Answer {
                status,
                headers,
                body,
            } => Answer {
                status: *status,
                headers: headers.clone(),
                body: body.clone().into(),
                shown: Vec::new(),
            },
            Effect::LoginPage => Answer::typed(200, "text/html", LOGIN_PAGE.into()),
            Effect::Throttled(hint) => match call.target.api {
                None => Answer::typed(429, "text/plain", "Too Many Requests".into())
                    .hinting(*hint, self.world.now()),
                Some(Api::Defender) => self.defender.throttled(*hint),
                Some(Api::Graph) => self.graph.throttled(call.asked(), *hint),
            },
            Effect::StaleLink(status) => match call.target.api {
                Some(Api::Graph) => self.graph.stale_link(call.asked(), *status),
                _ => self.defender.stale_link(*status),
            },
            _ => return None,
        })
    }

    fn broken(&self, call: &Call<'_>) -> Answer {
        match call.target.api {
            Some(Api::Graph) => self.graph.broken(call.asked()),
            _ => self.defender.broken(),
        }
    }

    fn respond(
        &self,
        call: &Call<'_>,
        answer: Answer,
        effect: Option<&Effect>,
        (flight, plug): (Flight, Plug),
    ) -> Response {
        let whole = answer.body.len();
        let sending = Sending::new(answer.body, effect, flight, plug);
        let mut response = Response::new(sending.into_body());
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let mut all = answer.headers;
        all.push(("date".to_owned(), time::format_http(self.world.now())));
        if call.target.api == Some(Api::Graph) {
            all.push(("request-id".to_owned(), call.request.to_string()));
        }
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
