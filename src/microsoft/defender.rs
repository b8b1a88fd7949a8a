//! The Defender XDR incidents API: `GET {base}/api/incidents` ("List incidents API in Microsoft Defender XDR").
//!
//! Role: asks for one page and hands its body on as it arrives; the runtime decodes it.
//! Failure modes: everything that is no page is a [`Failure`] of [`Refusal::classify`]; a 200 that is not JSON is what a
//! proxy's log-in page looks like, and counts as `unreachable`.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WARNING};
use secrecy::ExposeSecret;
use url::Url;
use uuid::Uuid;

use super::consent::{DEFENDER, consent_link, consent_remedy};
use super::errors::{Api, Refusal};
use super::http::{Answer, ClientError, Clients, Http, HttpOptions};
use crate::core::failure::{Failure, Health, Reaction, one_line};
use crate::core::ids::TenantId;
use crate::core::reading::Shape;
use crate::core::ticks::Ticks;
use crate::core::version::Origin;
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody, Query};

mod link;

/// A page of the list: `$filter`, `$top`, `$skip`. Alerts always come with it.
fn query(query: &Query) -> String {
    let mut text = format!("$filter=lastUpdateTime+ge+{}", query.span.from);
    if let Some(to) = query.span.to {
        text.push_str(&format!("+and+lastUpdateTime+lt+{to}"));
    }
    text.push_str(&format!("&$top={}", query.top));
    if query.skip > 0 {
        text.push_str(&format!("&$skip={}", query.skip));
    }
    text
}

static SHAPE: Shape = Shape {
    origin: Origin::Defender,
    id: "incidentId",
    updated: "lastUpdateTime",
    status: "status",
    redirect: "redirectIncidentId",
};

/// What one tenant's source needs.
pub struct DefenderOptions {
    pub http: HttpOptions,
    /// Scheme and host of the API.
    pub base_url: Url,
    /// Bytes of one page, decompressed.
    pub max_response: usize,
    /// For the remedies: who has to consent to what, and where.
    pub tenant: TenantId,
    pub client_id: Uuid,
    pub login_url: Url,
    pub scope: String,
}

/// One tenant's incidents at the Defender XDR API.
pub struct Defender {
    http: Http,
    /// `{base}/api/incidents`.
    list: Url,
    max_response: usize,
    api: Api,
}

impl Defender {
    /// # Errors
    /// The HTTP client can't be built: proxy or certificates are unusable.
    pub fn new(clients: &Clients, options: DefenderOptions) -> Result<Self, ClientError> {
        let http = clients.reach(&options.base_url, "api.base_url", &options.http)?;
        let mut list = options.base_url;
        let path = format!("{}/api/incidents", list.path().trim_end_matches('/'));
        list.set_path(&path);
        list.set_query(None);
        list.set_fragment(None);
        let link = consent_link(
            &options.login_url,
            options.tenant,
            options.client_id,
            &options.scope,
        );
        let api = Api {
            host: http.peer.host.clone(),
            scope: options.scope,
            consent_remedy: consent_remedy(&DEFENDER, &link),
        };
        Ok(Self {
            http,
            list,
            max_response: options.max_response,
            api,
        })
    }

    fn address(&self, ask: &PageAsk) -> Result<Url, Failure> {
        match ask {
            PageAsk::Link(link) => link::pinned(&self.list, link),
            PageAsk::Query(query) => {
                let mut url = self.list.clone();
                url.set_query(Some(&self::query(query)));
                Ok(url)
            }
            PageAsk::One(id) => {
                let mut url = self.list.clone();
                url.set_path(&format!("{}/{id}", url.path()));
                Ok(url)
            }
        }
    }

    async fn page(&self, ask: &PageAsk, token: &AccessToken) -> Result<Box<dyn PageBody>, Failure> {
        let url = self.address(ask)?;
        let token = token.secret().expose_secret();
        let request = self
            .http
            .client
            .get(url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer(token)?);
        let mut answer = self.http.send(request).await?;
        if !matches!(
            answer.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
        ) {
            let body = answer.error_body().await;
            let refusal = Refusal {
                status: answer.status(),
                headers: answer.headers(),
                body: &body,
                followed_link: matches!(ask, PageAsk::Link(_)),
                token,
            };
            return Err(refusal.classify(&self.api));
        }
        let first = self.json_start(&mut answer).await?;
        Ok(Box::new(DefenderPage {
            answer,
            first,
            max_response: self.max_response,
        }))
    }

    /// Makes sure that the body is JSON. When the head doesn't say so, the body's beginning must, and is returned.
    async fn json_start(&self, answer: &mut Answer) -> Result<Option<Bytes>, Failure> {
        if says_json(answer.headers()) {
            return Ok(None);
        }
        while let Some(bytes) = answer.chunk(self.max_response).await? {
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
            match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{') => return Ok(Some(bytes)),
                Some(_) => break,
                None => {}
            }
        }
        Err(Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!(
                "{} answered {} with something that is not the API's JSON",
                self.api.host,
                answer.status().as_u16()
            ),
            "check what stands between here and Microsoft: it looks like a proxy's log-in page",
        )
        .with_status(answer.status().as_u16()))
    }
}

/// A token that can't stand in a head didn't come from Entra.
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

impl IncidentSource for Defender {
    fn name(&self) -> &'static str {
        "defender"
    }

    fn shape(&self) -> &'static Shape {
        &SHAPE
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        token: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        Box::pin(self.page(ask, token))
    }
}

struct DefenderPage {
    answer: Answer,
    /// Read ahead, to look at it.
    first: Option<Bytes>,
    max_response: usize,
}

impl PageBody for DefenderPage {
    fn date(&self) -> Option<Ticks> {
        let date = super::wait::date(self.answer.headers())?;
        let since = date.duration_since(UNIX_EPOCH).ok()?;
        Some(Ticks::from_unix_seconds(
            i64::try_from(since.as_secs()).ok()?,
        ))
    }

    fn partial(&self) -> Option<String> {
        if self.answer.status() != StatusCode::PARTIAL_CONTENT {
            return None;
        }
        let warning = self.answer.headers().get(WARNING);
        let warning = warning.map(|value| String::from_utf8_lossy(value.as_bytes()));
        Some(match warning {
            Some(warning) => format!("206 Partial Content: {}", one_line(&warning, 200)),
            None => "206 Partial Content".to_owned(),
        })
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        Box::pin(async move {
            match self.first.take() {
                Some(bytes) => Ok(Some(bytes)),
                None => self.answer.chunk(self.max_response).await,
            }
        })
    }
}

#[cfg(test)]
mod tests;
