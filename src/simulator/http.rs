//! Requests and responses: paths, and the faults before and after the real work.

mod sending;

use std::future::pending;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::Answer;
use super::call::Call;
use super::connection::ConnectionHandle;
use super::errors::Refusal;
use super::faults::{Api, Effect, Endpoint};
use super::service::Service;
use super::time;

/// In bytes. A token request is far smaller.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let request = service.entra.guid();
    let mut call = Call::new(&head.uri, &head.headers, request);
    if call.target.endpoint != Endpoint::Token {
        let issued = call.bearer().and_then(|token| service.entra.find(token));
        call.target.tenant = issued.map(|issued| issued.tenant);
    }
    let allowed = match call.target.endpoint {
        Endpoint::Token => head.method == Method::POST,
        Endpoint::Other => true,
        _ => head.method == Method::GET,
    };
    if !allowed {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match axum::body::to_bytes(body, BODY_LIMIT).await {
        Ok(body) => service.serve(&call, &body, connection).await,
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    }
}

impl Service {
    async fn serve(&self, call: &Call<'_>, body: &[u8], connection: ConnectionHandle) -> Response {
        let mut response = self.journal.arrived(call.target, call.path(), call.query());
        let effect = self.faults.strike(call.target);
        let effect = effect.as_ref();
        let mut answer = match self.replacement(effect, call, &connection).await {
            Some(answer) => answer,
            None => match self.work(call, body, effect) {
                Ok(answer) => answer,
                Err(Refusal::Error(name, values)) => self.refuse(call, name, &values),
                Err(Refusal::Fault(fault)) => {
                    let answer = self.replacement(Some(&fault), call, &connection).await;
                    answer.unwrap_or_else(|| self.refuse(call, "Broken", &[]))
                }
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
        let body = sending::body(body, effect, response, connection);
        if let Some(Effect::ShortOfLength(_)) = effect {
            answer = answer.header("content-length", length.to_string());
        }
        self.finish(call, answer, body)
    }

    fn work(
        &self,
        call: &Call<'_>,
        body: &[u8],
        effect: Option<&Effect>,
    ) -> Result<Answer, Refusal> {
        let answer = match call.target.endpoint {
            Endpoint::Token => return Ok(self.entra.token(call, body)),
            Endpoint::List => self.list(call, effect)?,
            Endpoint::Get => self.get(call, call.id)?,
            Endpoint::Alerts => self.alerts(call, call.id)?,
            Endpoint::Other => {
                let segment = call.path().rsplit('/').next().unwrap_or_default();
                return Err(Refusal::error("NoPath", [call.path(), segment]));
            }
        };
        Ok(match call.api == Api::Graph && call.unknown_members() {
            true => answer.header("preference-applied", "include-unknown-enum-members"),
            false => answer,
        })
    }

    /// The answer that replaces the real one. `None`: the effect changes the real one.
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
            Effect::LoginPage => Answer::typed(200, "text/html", include_str!("login.html")),
            Effect::Throttled(seconds) => self.throttle(call, seconds.to_string()),
            Effect::StaleLink(410) => self.refuse(call, "GoneLink", &[]),
            Effect::StaleLink(_) => self.refuse(call, "StaleLink", &[]),
            _ => return None,
        })
    }

    /// A 429: plain text at the token endpoint (section 4.1), the API's own form elsewhere.
    fn throttle(&self, call: &Call<'_>, seconds: String) -> Answer {
        let answer = match call.target.api {
            None => Answer::typed(429, "text/plain", "Too Many Requests"),
            Some(_) => self.refuse(call, "Throttled", std::slice::from_ref(&seconds)),
        };
        answer.header("retry-after", seconds)
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
            // A header of a test's rule that is not valid in HTTP is left out.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
