//! Microsoft Graph: `GET /v1.0/security/incidents`, `…/{id}` and `…/{id}/alerts` (sections 3.1, 3.2, 3.5; the refusal of a
//! token without the permission is section 9's).
//!
//! An incident shows its alerts only with `$expand=alerts`; of very many, the first, and a link to the others. Such a link
//! is bound to the incident as it was: once that has changed, the link is stale, so that nobody pieces together an
//! incident that never was.

mod alerts;
mod evidence;
mod text;
mod words;

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::books::Shown;
use super::faults::{Api, Effect, Hint};
use super::form;
use super::gate::{Denied, Gate};
use super::http::{Answer, Reply};
use super::link::Broken;
use super::listing::{Desk, Terms, Unfit};
use super::page::{self, Exhibit, Frame};
use super::quota::Method;
use super::realm::{Form, Realm};
use super::time;
use super::world::Refused;
use text::{Hand, Part};

const LIST: &str = "/v1.0/security/incidents";
const METADATA: &str = "https://graph.microsoft.com/v1.0/$metadata#security/incidents";

/// How Graph behaves where the documentation leaves it open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GraphOptions {
    /// At most so many incidents a page, whatever `$top` asks for.
    pub page: Option<usize>,
    /// Each page with incidents comes after an empty one that has a nextLink too.
    pub empty_pages: bool,
    /// An incident shows at most so many alerts at once, and a link to the others.
    pub alerts: Option<usize>,
    /// Times are cut to the millisecond.
    pub millis: bool,
}

/// One request, as far as Graph cares.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub bearer: Option<&'a str>,
    pub query: &'a str,
    /// `Prefer: include-unknown-enum-members`.
    pub members: bool,
    pub request: Uuid,
    /// The client's own name for the request.
    pub client_request: Option<&'a str>,
}

pub(super) struct Graph {
    pub desk: Desk,
    pub gate: Gate,
    pub terms: Terms,
    pub options: GraphOptions,
}

pub(super) fn terms(options: GraphOptions) -> Terms {
    Terms {
        api: Api::Graph,
        path: LIST,
        dialect: words::DIALECT,
        links: true,
        page: options.page,
        empty_pages: options.empty_pages,
    }
}

/// What one reading of an incident is to look like.
#[derive(Clone, Copy)]
struct View {
    id: u64,
    expand: bool,
    members: bool,
}

impl Graph {
    pub fn list(&self, asked: Asked<'_>, touch: Option<&Effect>) -> Reply {
        self.answer(asked, |tenant| self.page(asked, tenant, touch))
    }

    pub fn get(&self, asked: Asked<'_>, id: &str) -> Reply {
        self.answer(asked, |tenant| self.one(asked, tenant, id))
    }

    pub fn alerts(&self, asked: Asked<'_>, id: &str) -> Reply {
        self.answer(asked, |tenant| self.rest(asked, tenant, id))
    }

    pub fn no_such_path(&self, asked: Asked<'_>, path: &str) -> Answer {
        let segment = path.rsplit('/').next().unwrap_or(path);
        let message = format!("Resource not found for the segment '{segment}'.");
        self.refuse(asked, 400, "BadRequest", &message)
    }

    pub fn broken(&self, asked: Asked<'_>) -> Answer {
        self.refuse(asked, 500, "InternalServerError", "Internal server error")
    }

    pub fn throttled(&self, asked: Asked<'_>, hint: Hint) -> Answer {
        let mut message = "Too many requests, please try again later.".to_owned();
        if let Hint::Text(seconds) = hint {
            message.push_str(&format!(" Retry in {seconds} seconds."));
        }
        let answer = self.refuse(asked, 429, "TooManyRequests", &message);
        answer.hinting(hint, self.desk.world.now())
    }

    pub fn stale_link(&self, asked: Asked<'_>, status: u16) -> Answer {
        let message = "Query option 'SkipToken' is not allowed or has expired.";
        let code = if status == 410 { "Gone" } else { "BadRequest" };
        self.refuse(asked, status, code, message)
    }

    fn answer(&self, asked: Asked<'_>, work: impl FnOnce(Uuid) -> Result<Answer, Reply>) -> Reply {
        let admitted = self.gate.admit(asked.bearer, Method::Graph);
        let answered = admitted
            .map_err(|denied| self.deny(asked, denied).into())
            .and_then(work);
        match answered {
            Ok(mut answer) => {
                if asked.members {
                    let applied = "include-unknown-enum-members".to_owned();
                    answer
                        .headers
                        .push(("preference-applied".to_owned(), applied));
                }
                answer.into()
            }
            Err(reply) => reply,
        }
    }

    fn deny(&self, asked: Asked<'_>, denied: Denied) -> Answer {
        let invalid =
            |message: &str| self.refuse(asked, 401, "InvalidAuthenticationToken", message);
        match denied {
            Denied::NoToken => invalid("Access token is empty."),
            Denied::UnknownToken => invalid("Signature is invalid."),
            Denied::WrongToken(issued) if issued.audience == self.gate.resource.uri => {
                invalid("Lifetime validation failed, the token is expired.")
            }
            Denied::WrongToken(_) => invalid("Access token validation failure. Invalid audience."),
            Denied::Throttled(seconds) => {
                self.throttled(asked, Hint::Seconds(seconds.unsigned_abs()))
            }
            Denied::NoRole(roles) => self.refuse(
                asked,
                403,
                "Forbidden",
                &format!(
                    "Missing application roles. API required roles: {}, application roles: {}.",
                    self.gate.resource.readers.join(","),
                    roles.join(",")
                ),
            ),
            Denied::Unlicensed => self.unlicensed(asked),
        }
    }

    fn unlicensed(&self, asked: Asked<'_>) -> Answer {
        let message = "The tenant is not provisioned for Microsoft Defender XDR.";
        self.refuse(asked, 403, "Forbidden", message)
    }

    fn page(
        &self,
        asked: Asked<'_>,
        tenant: Uuid,
        touch: Option<&Effect>,
    ) -> Result<Answer, Reply> {
        let selection = self.desk.select(tenant, asked.query, &self.terms);
        let selection = selection.map_err(|unfit| self.misfit(asked, unfit))?;
        let expand = selection.query.expand;
        let exhibits = self.desk.world.with(tenant, |realm| {
            let views = selection.ids.iter().map(|id| View {
                id: *id,
                expand,
                members: asked.members,
            });
            Ok(views.filter_map(|view| self.read(realm, view)).collect())
        });
        let exhibits: Vec<_> = exhibits.map_err(|_| self.unlicensed(asked))?;
        let context = format!("{METADATA}{}", if expand { "(alerts())" } else { "" });
        let mut head = format!("\"@odata.context\":{},", json!(context));
        if selection.query.count {
            head.push_str(&format!("\"@odata.count\":{},", selection.total));
        }
        let frame = Frame {
            head,
            next: selection.next.as_deref(),
            link_first: true,
        };
        Ok(page::answer(&frame, exhibits, touch))
    }

    fn misfit(&self, asked: Asked<'_>, unfit: Unfit) -> Reply {
        match unfit {
            Unfit::Query(what) => self.bad_query(asked, &what),
            Unfit::Link(broken) => self.bad_link(asked, broken),
            Unfit::NoTenant => self.unlicensed(asked),
            Unfit::Poisoned(effect) => return Reply::Fault(effect),
        }
        .into()
    }

    fn bad_query(&self, asked: Asked<'_>, what: &str) -> Answer {
        self.refuse(asked, 400, "BadRequest", what)
    }

    fn bad_link(&self, asked: Asked<'_>, broken: Broken) -> Answer {
        match broken {
            Broken::Altered => self.bad_query(asked, "Skip token is not valid."),
            Broken::Stale => self.stale_link(asked, 410),
        }
    }

    fn one(&self, asked: Asked<'_>, tenant: Uuid, id: &str) -> Result<Answer, Reply> {
        let expand = expansion(asked.query).map_err(|what| self.bad_query(asked, &what))?;
        let number = id.parse::<u64>().ok();
        let exhibit = self.desk.world.with(tenant, |realm| {
            let view = number.map(|id| View {
                id,
                expand,
                members: asked.members,
            });
            let read = view.and_then(|view| self.read(realm, view));
            read.ok_or(Refused::NoIncident)
        });
        let exhibit = exhibit.map_err(|_| self.not_found(asked, id))?;
        if expand {
            self.desk.wholesome(tenant, number)?;
        }
        let context = format!(
            "{METADATA}{}/$entity",
            if expand { "(alerts())" } else { "" }
        );
        let text = under_context(&context, &exhibit.text);
        match exhibit.shown {
            Shown::Whole(version) => self.desk.books.served_as(version, &text),
            Shown::Bare(version) | Shown::Alerts { version, .. } => {
                self.desk.books.served_bare(version, &text);
            }
        }
        let mut answer = Answer::bytes(200, text);
        answer.shown = vec![exhibit.shown];
        Ok(answer)
    }

    /// One incident, with as much of its alerts as it shows at once.
    fn read(&self, realm: &mut Realm, view: View) -> Option<Exhibit> {
        let books = &self.desk.books;
        let order = if view.expand {
            realm.next_order(self.desk.permuted)
        } else {
            0
        };
        let form = Form {
            api: Api::Graph,
            order,
            alerts: view.expand,
            members: view.members,
        };
        let hand = self.hand(form);
        let part = if view.expand { Part::All } else { Part::None };
        let whole = realm.read(view.id, form, |incident, tenant| {
            text::render(incident, tenant, hand, part)
        })?;
        let version = whole.version;
        let incident = realm.get(view.id)?;
        let all = incident.alerts.len();
        let inline = self
            .options
            .alerts
            .filter(|most| view.expand && all > *most);
        let (text, shown) = match inline {
            Some(most) => {
                if whole.fresh {
                    books.assembled_as(version, whole.text);
                }
                self.first_part(incident, version, form, most)
            }
            None if view.expand => {
                if whole.fresh {
                    books.served_as(version, &whole.text);
                    books.means(version, &whole.text);
                }
                (whole.text, Shown::Whole(version))
            }
            None => {
                books.served_bare(version, &whole.text);
                (whole.text, Shown::Bare(version))
            }
        };
        Some(Exhibit { text, shown })
    }

    fn hand(&self, form: Form) -> Hand {
        Hand {
            order: form.order,
            members: form.members,
            millis: self.options.millis,
        }
    }

    fn not_found(&self, asked: Asked<'_>, id: &str) -> Answer {
        let message = format!("Incident {id} was not found");
        self.refuse(asked, 404, "ResourceNotFound", &message)
    }

    fn refuse(&self, asked: Asked<'_>, status: u16, code: &str, message: &str) -> Answer {
        let own = asked.request.to_string();
        let body = json!({"error": {
            "code": code,
            "message": message,
            "innerError": {
                "date": time::format_zoneless(self.desk.world.now()),
                "request-id": own,
                "client-request-id": asked.client_request.unwrap_or(&own),
            },
        }});
        Answer::json(status, &body)
    }
}

/// Whether `$expand=alerts` is all that is asked.
fn expansion(query: &str) -> Result<bool, String> {
    if query.is_empty() {
        return Ok(false);
    }
    let decoded = form::decode(query);
    match decoded.as_deref() {
        Some("$expand=alerts") => Ok(true),
        _ => Err(query.to_owned()),
    }
}

/// An entity's text with OData's context as its first member.
fn under_context(context: &str, text: &[u8]) -> Bytes {
    let mut body = format!("{{\"@odata.context\":{},", json!(context)).into_bytes();
    body.extend_from_slice(text.get(1..).unwrap_or_default());
    body.into()
}
