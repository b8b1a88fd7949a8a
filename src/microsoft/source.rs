//! One tenant's incidents in one of Microsoft's APIs. [`crate::core::sources`] has the differences between the APIs.
//!
//! Role: requests one page and passes its body on as it arrives; the runtime decodes it. A single incident is passed on
//! as a page of one. Failure modes: everything other than a page is a [`Failure`] of [`PageRefusal::classify`]. A 200
//! that is not JSON, such as a proxy's log-in page, counts as `unreachable`.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WARNING};
use secrecy::ExposeSecret;
use url::Url;
use uuid::Uuid;

use super::consent::{consent_link, consent_remedy};
use super::errors::{ApiContext, PageRefusal, RequestKind};
use super::http::{ClientError, Clients, Http, StreamedAnswer};
use super::scrub::scrub;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::ids::TenantId;
use crate::core::incident::reading::Shape;
use crate::core::sources::Dialect;
use crate::core::time::ticks::Ticks;
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody, Query};
use crate::settings::ApiSettings;

mod link;

/// One tenant's incidents at one API.
pub struct IncidentApi {
    http: Http,
    list: Url,
    max_response: usize,
    context: ApiContext,
}

impl IncidentApi {
    /// # Errors
    /// The HTTP client can't be built: proxy or certificates are unusable.
    pub fn new(
        clients: &Clients,
        tenant: TenantId,
        client_id: Uuid,
        api: &ApiSettings,
    ) -> Result<Self, ClientError> {
        let http = clients.reach(&api.base_url, "api.base_url", api)?;
        let facts = api.source.facts();
        let mut list = api.base_url.clone();
        let path = format!(
            "{}{}",
            list.path().trim_end_matches('/'),
            facts.dialect.list
        );
        list.set_path(&path);
        list.set_query(None);
        list.set_fragment(None);
        let link = consent_link(&api.login_url, tenant, client_id, &api.scope);
        let context = ApiContext {
            facts,
            host: http.peer.host.clone(),
            scope: api.scope.clone(),
            consent_remedy: consent_remedy(&facts.permission, &link),
        };
        Ok(Self {
            http,
            list,
            max_response: api.max_response,
            context,
        })
    }

    fn dialect(&self) -> &'static Dialect {
        self.context.facts.dialect
    }

    fn address(&self, ask: &PageAsk, token: &str) -> Result<Url, Failure> {
        let mut url = self.list.clone();
        match ask {
            PageAsk::Link(link) => return link::pinned(&self.list, link, token),
            PageAsk::Query(query) => url.set_query(Some(&list_query(self.dialect(), query))),
            PageAsk::One(id) => {
                url.set_path(&format!("{}/{id}", url.path()));
                url.set_query(self.dialect().expand);
            }
        }
        Ok(url)
    }

    async fn page(&self, ask: &PageAsk, given: &AccessToken) -> Result<Box<dyn PageBody>, Failure> {
        let token = given.secret().expose_secret();
        let url = self.address(ask, token)?;
        let mut request = self
            .http
            .client
            .get(url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer(token)?);
        for (name, value) in self.dialect().headers {
            request = request.header(*name, *value);
        }
        let mut answer = match ask {
            PageAsk::Link(_) => self.http.send_to_link(request, "a nextLink's").await?,
            PageAsk::Query(_) | PageAsk::One(_) => self.http.send(request).await?,
        };
        if !matches!(
            answer.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
        ) {
            let body = answer.error_body().await;
            let refusal = PageRefusal {
                status: answer.status(),
                headers: answer.headers(),
                body: &body,
                asked: RequestKind::from(ask),
                token,
            };
            return Err(refusal.classify(&self.context));
        }
        let first = self.json_start(&mut answer).await?;
        let frame = match ask {
            PageAsk::One(_) => BodyFrame::Opening,
            PageAsk::Query(_) | PageAsk::Link(_) => BodyFrame::Theirs,
        };
        Ok(Box::new(PageStream {
            partial: partial(answer.status(), answer.headers(), token),
            answer,
            first,
            frame,
            max_response: self.max_response,
            list: self.list.clone(),
            token: given.clone(),
        }))
    }

    /// Makes sure that the body is JSON. If the head does not say so, checks and returns the beginning of the body.
    async fn json_start(&self, answer: &mut StreamedAnswer) -> Result<Option<Bytes>, Failure> {
        if says_json(answer.headers()) {
            return Ok(None);
        }
        while let Some(bytes) = answer.chunk(self.max_response).await? {
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
            match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{') => return Ok(Some(bytes)),
                Some(_) => break,
                None => {}
            }
        }
        let status = answer.status().as_u16();
        Err(Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!(
                "{} answered {status} with something that is not the API's JSON",
                self.context.host
            ),
            "check what stands between here and Microsoft: it looks like a proxy's log-in page",
        )
        .with_status(status)
        .caused_by(format!("{} {status} not JSON", self.name())))
    }
}

/// The query for a page of the list. It names no order, because none is documented.
fn list_query(dialect: &Dialect, query: &Query) -> String {
    let updated = dialect.shape.updated;
    let mut text = format!("$filter={updated}+ge+{}", query.span.from);
    if let Some(to) = query.span.to {
        text.push_str(&format!("+and+{updated}+lt+{to}"));
    }
    text.push_str(&format!("&$top={}", query.top));
    if query.skip > 0 {
        text.push_str(&format!("&$skip={}", query.skip));
    }
    if let Some(expand) = dialect.expand.filter(|_| query.alerts) {
        text.push_str(&format!("&{expand}"));
    }
    text
}

/// A token that can't be a header value does not come from Entra.
fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        Failure::new(
            Health::Misconfigured,
            Reaction::RenewToken,
            "the token holds characters that can't be sent",
            "check api.login_url: this is no token of Entra's",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

impl IncidentSource for IncidentApi {
    fn name(&self) -> &'static str {
        self.context.facts.name
    }

    fn shape(&self) -> &'static Shape {
        self.dialect().shape
    }

    fn max_response(&self) -> usize {
        self.max_response
    }

    fn lists_bare(&self) -> bool {
        self.dialect().expand.is_some()
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        token: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        Box::pin(self.page(ask, token))
    }

    fn take_resent(&self) -> u32 {
        self.http.take_resent()
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The reason if an answer says itself that it is incomplete.
pub(super) fn partial(status: StatusCode, headers: &HeaderMap, token: &str) -> Option<String> {
    if status != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let warning = headers.get(WARNING);
    let warning = warning.map(|value| String::from_utf8_lossy(value.as_bytes()));
    Some(match warning {
        Some(warning) => {
            let warning = one_line(&scrub(&warning, token), 200);
            format!("206 Partial Content: {warning}")
        }
        None => "206 Partial Content".to_owned(),
    })
}

struct PageStream {
    answer: StreamedAnswer,
    partial: Option<String>,
    /// A chunk that was read ahead for checking.
    first: Option<Bytes>,
    frame: BodyFrame,
    max_response: usize,
    /// Links must lead to the same host. The token is removed from reports about them.
    list: Url,
    token: AccessToken,
}

/// What surrounds the incidents of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyFrame {
    /// The server's own frame, or nothing left to add.
    Theirs,
    /// A bare incident follows and gets the frame of a page. A body that is cut short does not form a page, so it can't
    /// be taken for complete.
    Opening,
    /// The first bytes of the bare incident: a byte-order mark may stand only before a page.
    Beginning,
    Incident,
}

impl PageStream {
    async fn received(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.first.take() {
            Some(bytes) => Ok(Some(bytes)),
            None => self.answer.chunk(self.max_response).await,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.frame == BodyFrame::Opening {
            self.frame = BodyFrame::Beginning;
            return Ok(Some(Bytes::from_static(b"{\"value\":[")));
        }
        let bytes = self.received().await?;
        match (self.frame, bytes) {
            (BodyFrame::Beginning, Some(bytes)) => {
                self.frame = BodyFrame::Incident;
                let marked = bytes.starts_with(BYTE_ORDER_MARK);
                let from = if marked { BYTE_ORDER_MARK.len() } else { 0 };
                Ok(Some(bytes.slice(from..)))
            }
            (BodyFrame::Beginning | BodyFrame::Incident, None) => {
                self.frame = BodyFrame::Theirs;
                Ok(Some(Bytes::from_static(b"]}")))
            }
            (_, bytes) => Ok(bytes),
        }
    }
}

impl PageBody for PageStream {
    fn date(&self) -> Option<Ticks> {
        let date = crate::microsoft::retry_after::date(self.answer.headers())?;
        let since = date.duration_since(UNIX_EPOCH).ok()?;
        Some(Ticks::from_unix_seconds(
            i64::try_from(since.as_secs()).ok()?,
        ))
    }

    fn partial(&self) -> Option<String> {
        self.partial.clone()
    }

    fn refuses(&self, link: &str) -> Option<Failure> {
        link::pinned(&self.list, link, self.token.secret().expose_secret()).err()
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        Box::pin(self.next())
    }
}

#[cfg(test)]
mod tests;
