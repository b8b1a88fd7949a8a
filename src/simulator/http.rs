//! Requests and responses: paths, and the faults before and after the real work.

mod answer;
mod sending;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::connection::ConnectionHandle;
use super::entra::TokenVersion;
use super::faults::{Api, Effect, Endpoint, Target};
use super::link;
use super::refusal::Refusal;
use super::service::Service;
use super::time;
use sending::Sending;

pub(super) use answer::Answer;

const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head>\
                          <body><form method=\"post\"><input name=\"user\"></form></body></html>";

/// A token request is far smaller.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

pub(super) fn routes(service: Arc<Service>) -> Router {
    Router::new().fallback(handle).with_state(service)
}

async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let operation = Operation::of(head.uri.path());
    if operation.method().is_some_and(|known| known != head.method) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = service.call(&operation, &head.uri, &head.headers);
    service.serve(&call, &operation, &body, connection).await
}

/// What a path stands for.
enum Operation<'a> {
    /// The tenant is whatever the path has there.
    Token(TokenVersion, &'a str),
    List(Api),
    Get(Api, &'a str),
    Alerts(&'a str),
    Other(Api),
}

impl<'a> Operation<'a> {
    fn of(path: &'a str) -> Self {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        match segments.as_slice() {
            [tenant, "oauth2", "token"] => Self::Token(TokenVersion::V1, tenant),
            [tenant, "oauth2", "v2.0", "token"] => Self::Token(TokenVersion::V2, tenant),
            ["api", "incidents"] => Self::List(Api::Defender),
            ["api", "incidents", id] => Self::Get(Api::Defender, id),
            ["v1.0", "security", "incidents"] => Self::List(Api::Graph),
            ["v1.0", "security", "incidents", id] => Self::Get(Api::Graph, id),
            ["v1.0", "security", "incidents", id, "alerts"] => Self::Alerts(id),
            ["v1.0" | "beta", ..] => Self::Other(Api::Graph),
            _ => Self::Other(Api::Defender),
        }
    }

    fn method(&self) -> Option<Method> {
        match self {
            Self::Token(..) => Some(Method::POST),
            Self::List(_) | Self::Get(..) | Self::Alerts(_) => Some(Method::GET),
            Self::Other(_) => None,
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Token(..) => Endpoint::Token,
            Self::List(_) => Endpoint::List,
            Self::Get(..) => Endpoint::Get,
            Self::Alerts(_) => Endpoint::Alerts,
            Self::Other(_) => Endpoint::Other,
        }
    }

    /// The API whose forms the answer has.
    fn api(&self) -> Api {
        match self {
            Self::Token(..) => Api::Defender,
            Self::List(api) | Self::Get(api, _) | Self::Other(api) => *api,
            Self::Alerts(_) => Api::Graph,
        }
    }
}

/// One request.
pub(super) struct Call<'a> {
    target: Target,
    /// The API whose forms the answer has.
    pub api: Api,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    pub request: Uuid,
}

impl<'a> Call<'a> {
    pub fn path(&self) -> &'a str {
        self.uri.path()
    }

    pub fn query(&self) -> &'a str {
        self.uri.query().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn bearer(&self) -> Option<&'a str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Whether the client asks for the members of enumerations that came after the first (section 3.3).
    pub fn unknown_members(&self) -> bool {
        let values = self.headers.get_all("prefer").iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim() == "include-unknown-enum-members")
    }

    fn accepts_gzip(&self) -> bool {
        let mut accepted = self
            .header("accept-encoding")
            .unwrap_or_default()
            .split(',');
        accepted.any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            name.trim() == "gzip" && !refused
        })
    }
}

impl Service {
    fn call<'a>(
        &self,
        operation: &Operation<'_>,
        uri: &'a Uri,
        headers: &'a HeaderMap,
    ) -> Call<'a> {
        let endpoint = operation.endpoint();
        let documented = !matches!(endpoint, Endpoint::Token | Endpoint::Other);
        let mut call = Call {
            target: Target {
                api: documented.then(|| operation.api()),
                endpoint,
                tenant: None,
                link: uri.query().is_some_and(link::followed),
            },
            api: operation.api(),
            uri,
            headers,
            request: self.entra.guid(),
        };
        call.target.tenant = match operation {
            Operation::Token(_, tenant) => Uuid::try_parse(tenant).ok(),
            _ => {
                let issued = call.bearer().and_then(|token| self.entra.find(token));
                issued.map(|issued| issued.tenant)
            }
        };
        call
    }

    async fn serve(
        &self,
        call: &Call<'_>,
        operation: &Operation<'_>,
        body: &[u8],
        connection: ConnectionHandle,
    ) -> Response {
        let mut response = self.journal.arrived(call.target, call.path(), call.query());
        let strike = self.faults.strike(call.target);
        if strike.delay > Duration::ZERO {
            tokio::time::sleep(strike.delay).await;
        }
        let effect = strike.effect.as_ref();
        let mut answer = match self.replacement(effect, call, &connection).await {
            Some(answer) => answer,
            None => match self.work(operation, call, body, effect) {
                Ok(answer) => answer,
                Err(Refusal::Fault(poison)) => {
                    let answer = self.replacement(Some(&poison), call, &connection).await;
                    answer.unwrap_or_else(|| self.refuse(call, &Refusal::Broken))
                }
                Err(refusal) => self.refuse(call, &refusal),
            },
        };
        if let Some(Effect::BrokenJson(keep)) = effect {
            answer.body.truncate(*keep);
            answer.shown.clear();
        }
        if call.accepts_gzip() {
            answer = answer.pack();
        }
        response.answered(answer.status, std::mem::take(&mut answer.shown));
        let length = answer.body.len();
        let body = std::mem::take(&mut answer.body);
        let sending = Sending::new(body, effect, response, connection);
        if let Some(Effect::ShortOfLength(_)) = effect {
            answer = answer.header("content-length", length.to_string());
        }
        self.finish(call, answer, sending.into_body())
    }

    fn work(
        &self,
        operation: &Operation<'_>,
        call: &Call<'_>,
        body: &[u8],
        effect: Option<&Effect>,
    ) -> Result<Answer, Refusal> {
        let answer = match operation {
            Operation::Token(version, tenant) => {
                let kind = call.header("content-type").unwrap_or_default();
                let form = kind.starts_with("application/x-www-form-urlencoded");
                return Ok(self.entra.token(*version, tenant, form, body));
            }
            Operation::List(_) => self.list(call, effect)?,
            Operation::Get(_, id) => self.get(call, id)?,
            Operation::Alerts(id) => self.alerts(call, id)?,
            Operation::Other(_) => return Err(Refusal::NoPath),
        };
        Ok(match call.api == Api::Graph && call.unknown_members() {
            true => answer.header("preference-applied", "include-unknown-enum-members"),
            false => answer,
        })
    }

    /// What takes the place of the real answer; `None`: the effect works on the real one.
    async fn replacement(
        &self,
        effect: Option<&Effect>,
        call: &Call<'_>,
        connection: &ConnectionHandle,
    ) -> Option<Answer> {
        Some(match effect? {
            Effect::Hang => pending().await,
            Effect::Reset => {
                connection.reset();
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
            Effect::LoginPage => {
                Answer::typed(200, "text/html", Bytes::from_static(LOGIN_PAGE.as_bytes()))
            }
            // Plain text at the token endpoint (section 4.1).
            Effect::Throttled(hint) if call.target.api.is_none() => {
                let text = Bytes::from_static(b"Too Many Requests");
                Answer::typed(429, "text/plain", text).hinting(*hint, self.world.now())
            }
            Effect::Throttled(hint) => self.refuse(call, &Refusal::Throttled(*hint)),
            Effect::StaleLink(status) => self.refuse(call, &Refusal::StaleLink(*status)),
            _ => return None,
        })
    }

    fn finish(&self, call: &Call<'_>, mut answer: Answer, body: Body) -> Response {
        answer = answer.header("date", time::format_http(self.world.now()));
        if call.target.api == Some(Api::Graph) {
            answer = answer.header("request-id", call.request.to_string());
        }
        let mut response = Response::new(body);
        let status = StatusCode::from_u16(answer.status);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            // A test's rule may name a header that HTTP can't carry; such a header is left out.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
