//! The incidents API of Defender XDR: `GET /api/incidents` and `GET /api/incidents/{id}`.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use uuid::Uuid;

use super::books::Books;
use super::entra::{DEFENDER, Entra, Issued};
use super::faults::{Effect, Endpoint};
use super::form;
use super::http::Answer;
use super::jwt;
use super::listing::{self, Listing, Order, Page};
use super::quota::Quotas;
use super::realm::{Reading, Realm};
use super::time;
use super::world::{PageRequest, Refused, World};

const CONTEXT: &str = "https://api.security.microsoft.com/api/$metadata#Incidents";
const READERS: [&str; 2] = ["Incident.Read.All", "Incident.ReadWrite.All"];

/// How a list goes on after its first page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Paging {
    /// The client asks with `$skip` until a page is short.
    #[default]
    Skip,
    /// `@odata.nextLink`, with at most `page` incidents a page; with `empty_pages`, each of them comes after an empty
    /// page that has a nextLink too.
    NextLink { page: usize, empty_pages: bool },
}

pub(super) struct Defender {
    pub world: World,
    pub books: Books,
    pub entra: Arc<Entra>,
    pub quotas: Option<Quotas>,
    pub order: Order,
    pub paging: Paging,
    pub permuted: bool,
    pub retry_after: bool,
    /// The simulator's own address, for nextLinks.
    pub url: String,
}

impl Defender {
    pub fn list(&self, bearer: Option<&str>, query: &str, touch: Option<&Effect>) -> Answer {
        self.admit(bearer, Endpoint::List)
            .and_then(|issued| self.page(issued.tenant, query, touch))
            .unwrap_or_else(|refusal| refusal)
    }

    pub fn get(&self, bearer: Option<&str>, id: &str) -> Answer {
        self.admit(bearer, Endpoint::Get)
            .and_then(|issued| self.one(issued.tenant, id))
            .unwrap_or_else(|refusal| refusal)
    }

    pub fn no_such_path(&self, path: &str) -> Answer {
        self.refuse(404, "NotFound", &format!("No resource at {path}"))
    }

    /// Who may ask, and how often.
    fn admit(&self, bearer: Option<&str>, endpoint: Endpoint) -> Result<Issued, Answer> {
        let unauthorized = |message: &str| self.refuse(401, "Unauthorized", message);
        let token =
            bearer.ok_or_else(|| unauthorized("Missing or invalid Authorization header."))?;
        let issued = self
            .entra
            .find(token)
            .ok_or_else(|| unauthorized("Invalid Authorization payload."))?;
        let now = self.world.now();
        if issued.audience != DEFENDER || now >= issued.until {
            return Err(unauthorized(&format!(
                "Invalid Authorization payload. AppId: {}, Audience: {}, Issuer: {}, Validity: valid from {} to {}",
                issued.app,
                issued.audience,
                jwt::issuer(issued.tenant),
                time::format(issued.from),
                time::format(issued.until),
            )));
        }
        if let Some(quotas) = &self.quotas
            && let Err(seconds) = quotas.take(issued.tenant, issued.app, endpoint, now)
        {
            return Err(self.throttled(seconds));
        }
        let forbidden = |code, message: &str| Err(self.refuse(403, code, message));
        if !issued
            .roles
            .iter()
            .any(|role| READERS.contains(&role.as_str()))
        {
            return forbidden(
                "Forbidden",
                "The application does not have any of the required application permissions (Incident.Read.All, \
                 Incident.ReadWrite.All) to access the resource.",
            );
        }
        match self.world.tenant(issued.tenant) {
            Some(tenant) if tenant.licensed => Ok(issued),
            _ => forbidden("DisabledFeature", "Tenant feature isn't enabled"),
        }
    }

    fn page(&self, tenant: Uuid, query: &str, touch: Option<&Effect>) -> Result<Answer, Answer> {
        let links = matches!(self.paging, Paging::NextLink { .. });
        let mut listing = Listing::parse(query, links).map_err(|what| {
            self.refuse(
                400,
                "ODataError",
                &format!("Invalid OData URI query <{what}>"),
            )
        })?;
        let mut empty = false;
        if let Paging::NextLink { page, empty_pages } = self.paging {
            listing.top = listing.top.min(page.max(1));
            empty = empty_pages && !listing.after_empty;
        }
        self.world.about_to_page(PageRequest {
            tenant,
            skip: listing.skip,
        });
        let page = if empty {
            Page {
                incidents: Vec::new(),
                more: true,
            }
        } else {
            let select = |realm: &mut _| {
                Ok::<_, Refused>(listing::select(realm, &listing, self.order, self.permuted))
            };
            let page = self.world.with(tenant, select);
            page.map_err(|_| self.refuse(403, "DisabledFeature", "Tenant feature isn't enabled"))?
        };
        self.enter(&page.incidents);
        let next = (links && page.more).then(|| {
            let token = listing::write_skip_token(empty, listing.skip + page.incidents.len());
            self.next_link(query, &token)
        });
        let shown = page
            .incidents
            .iter()
            .map(|reading| reading.version)
            .collect();
        Ok(Answer {
            shown,
            ..Answer::bytes(200, assemble(&page, next.as_deref(), touch))
        })
    }

    fn one(&self, tenant: Uuid, id: &str) -> Result<Answer, Answer> {
        let number = id.parse::<u64>().ok();
        let read = |realm: &mut Realm| {
            number
                .and_then(|id| realm.read(id, self.permuted))
                .ok_or(Refused::NoIncident)
        };
        let reading = self.world.with(tenant, read).map_err(|_| {
            self.refuse(
                404,
                "ResourceNotFound",
                &format!("Incident {id} was not found"),
            )
        })?;
        self.enter(std::slice::from_ref(&reading));
        Ok(Answer {
            shown: vec![reading.version],
            ..Answer::bytes(200, reading.text)
        })
    }

    fn enter(&self, readings: &[Reading]) {
        for reading in readings.iter().filter(|reading| reading.fresh) {
            self.books.served_as(reading.version, &reading.text);
        }
    }

    /// The query as it was, but for where to go on.
    fn next_link(&self, query: &str, token: &str) -> String {
        let kept = query.split('&').filter(|pair| {
            let key = pair.split('=').next().and_then(form::decode);
            !pair.is_empty() && !matches!(key.as_deref(), Some("$skip" | "$skiptoken"))
        });
        let mut pairs: Vec<_> = kept.map(str::to_owned).collect();
        pairs.push(format!(
            "{}={}",
            form::encode("$skiptoken"),
            form::encode(token)
        ));
        format!("{}/api/incidents?{}", self.url, pairs.join("&"))
    }

    /// The time stands in the message only: `Retry-After` is not promised for this API.
    fn throttled(&self, seconds: i64) -> Answer {
        let message = format!("Quota exceeded; retry in {seconds} seconds");
        let mut answer = self.refuse(429, "TooManyRequests", &message);
        if self.retry_after {
            answer
                .headers
                .push(("retry-after".to_owned(), seconds.to_string()));
        }
        answer
    }

    fn refuse(&self, status: u16, code: &str, message: &str) -> Answer {
        let target = self.entra.guid();
        let body = json!({"error": {"code": code, "message": message, "target": target}});
        Answer::json(status, &body)
    }
}

/// The page's text, around the incidents' own bytes.
fn assemble(page: &Page, next: Option<&str>, touch: Option<&Effect>) -> Bytes {
    let bad = match touch {
        Some(Effect::BadIncident(text)) => Some((page.incidents.len() / 2, text.as_bytes())),
        _ => None,
    };
    let mut items: Vec<&[u8]> = page
        .incidents
        .iter()
        .map(|reading| reading.text.as_ref())
        .collect();
    if let Some((at, text)) = bad {
        items.insert(at, text);
    }
    let head = json!(CONTEXT).to_string();
    let tail = next.map_or_else(String::new, |link| {
        format!(",\"@odata.nextLink\":{}", json!(link))
    });
    let natural: usize = items.iter().map(|item| item.len() + 1).sum();
    let gap = match touch {
        Some(Effect::PadPage(least)) => {
            least.saturating_sub(natural + head.len() + tail.len()) / (items.len() + 1) + 1
        }
        _ => 0,
    };
    let mut body =
        BytesMut::with_capacity(natural + head.len() + tail.len() + gap * items.len() + 64);
    body.put_slice(b"{\"@odata.context\":");
    body.put_slice(head.as_bytes());
    body.put_slice(b",\"value\":[");
    body.put_bytes(b' ', gap);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(item);
        body.put_bytes(b' ', gap);
    }
    body.put_slice(b"]");
    body.put_slice(tail.as_bytes());
    body.put_slice(b"}");
    body.freeze()
}
