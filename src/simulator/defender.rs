//! The incidents API of Defender XDR: `GET /api/incidents` and `GET /api/incidents/{id}` (sections 1 and 2; that its 429 has
//! a `Retry-After` in the field is section 9's).

mod entity;
mod text;

use std::borrow::Cow;

use serde_json::json;
use uuid::Uuid;

use super::books::Shown;
use super::faults::{Api, Effect, Hint};
use super::gate::{Denied, Gate};
use super::http::{Answer, Reply};
use super::incident::Incident;
use super::jwt;
use super::link::Broken;
use super::listing::{Desk, Terms, Unfit};
use super::odata::{Dialect, Property};
use super::page::{self, Exhibit, Frame};
use super::quota::Method;
use super::realm::{Form, Realm};
use super::time;
use super::world::Refused;

const CONTEXT: &str = "https://api.security.microsoft.com/api/$metadata#Incidents";
const STATUSES: [&str; 4] = ["Active", "InProgress", "Resolved", "Redirected"];

/// `$filter` on four properties, `$top` up to 100, `$skip`.
const DIALECT: Dialect = Dialect {
    top: 100,
    property,
    expand_and_count: false,
};

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

/// How long the incident's text is.
pub(super) fn length(incident: &Incident, tenant: Uuid) -> usize {
    text::render(incident, tenant, 0).len()
}

pub(super) struct Defender {
    pub desk: Desk,
    pub gate: Gate,
    pub terms: Terms,
    pub retry_after: bool,
}

/// How the Defender API lists with `paging`.
pub(super) fn terms(paging: Paging) -> Terms {
    let (links, page, empty_pages) = match paging {
        Paging::Skip => (false, None, false),
        Paging::NextLink { page, empty_pages } => (true, Some(page), empty_pages),
    };
    Terms {
        api: Api::Defender,
        path: "/api/incidents",
        dialect: DIALECT,
        links,
        page,
        empty_pages,
    }
}

/// The API's word for a status of the world: what Graph alone can tell is still in progress here.
fn status(status: &str) -> &str {
    match status {
        "AwaitingAction" => "InProgress",
        known => known,
    }
}

fn property(name: &str) -> Option<Property> {
    Some(match name {
        "lastUpdateTime" => Property::LastUpdate,
        "createdTime" => Property::Created,
        "status" => Property::Text {
            of: |incident| Some(Cow::Borrowed(status(incident.status))),
            members: Some(&STATUSES),
        },
        "assignedTo" => Property::Text {
            of: |incident| incident.assigned_to.as_deref().map(Cow::Borrowed),
            members: None,
        },
        _ => return None,
    })
}

fn form(order: u64) -> Form {
    Form {
        api: Api::Defender,
        order,
        alerts: true,
        members: false,
    }
}

impl Defender {
    pub fn list(&self, bearer: Option<&str>, query: &str, touch: Option<&Effect>) -> Reply {
        self.admit(bearer, Method::List)
            .and_then(|tenant| self.page(tenant, query, touch))
            .unwrap_or_else(|refusal| refusal)
    }

    pub fn get(&self, bearer: Option<&str>, id: &str) -> Reply {
        self.admit(bearer, Method::Get)
            .and_then(|tenant| self.one(tenant, id))
            .unwrap_or_else(|refusal| refusal)
    }

    pub fn no_such_path(&self, path: &str) -> Answer {
        self.refuse(404, "NotFound", &format!("No resource at {path}"))
    }

    pub fn broken(&self) -> Answer {
        self.refuse(500, "InternalServerError", "Internal server error")
    }

    fn admit(&self, bearer: Option<&str>, method: Method) -> Result<Uuid, Reply> {
        let admitted = self.gate.admit(bearer, method);
        admitted.map_err(|denied| self.deny(denied).into())
    }

    fn deny(&self, denied: Denied) -> Answer {
        let unauthorized = |message: &str| self.refuse(401, "Unauthorized", message);
        match denied {
            Denied::NoToken => unauthorized("Missing or invalid Authorization header."),
            Denied::UnknownToken => unauthorized("Invalid Authorization payload."),
            Denied::WrongToken(issued) => unauthorized(&format!(
                "Invalid Authorization payload. AppId: {}, Audience: {}, Issuer: {}, Validity: valid from {} to {}",
                issued.app,
                issued.audience,
                jwt::issuer(issued.tenant),
                time::format(issued.from),
                time::format(issued.until),
            )),
            Denied::Throttled(seconds) => {
                let seconds = seconds.unsigned_abs();
                self.throttled(if self.retry_after {
                    Hint::Seconds(seconds)
                } else {
                    Hint::Text(seconds)
                })
            }
            Denied::NoRole(_) => self.refuse(
                403,
                "Forbidden",
                "The application does not have any of the required application permissions (Incident.Read.All, \
                 Incident.ReadWrite.All) to access the resource.",
            ),
            Denied::Unlicensed => self.unlicensed(),
        }
    }

    fn unlicensed(&self) -> Answer {
        self.refuse(403, "DisabledFeature", "Tenant feature isn't enabled")
    }

    fn page(&self, tenant: Uuid, query: &str, touch: Option<&Effect>) -> Result<Reply, Reply> {
        let selection = self.desk.select(tenant, query, &self.terms);
        let selection = selection.map_err(|unfit| self.misfit(unfit))?;
        let read = |realm: &mut Realm| {
            let ids = selection.ids.iter();
            Ok(ids.filter_map(|id| self.read(realm, *id)).collect())
        };
        let exhibits: Vec<_> = self
            .desk
            .world
            .with(tenant, read)
            .map_err(|_| self.unlicensed())?;
        let frame = Frame {
            head: format!("\"@odata.context\":{},", json!(CONTEXT)),
            next: selection.next.as_deref(),
            link_first: false,
        };
        Ok(page::answer(&frame, exhibits, touch).into())
    }

    fn misfit(&self, unfit: Unfit) -> Reply {
        let invalid = |what: &str| {
            let message = format!("Invalid OData URI query <{what}>");
            self.refuse(400, "ODataError", &message)
        };
        match unfit {
            Unfit::Query(what) => invalid(&what),
            Unfit::Link(Broken::Altered) => invalid("$skiptoken"),
            Unfit::Link(Broken::Stale) => self.stale_link(410),
            Unfit::NoTenant => self.unlicensed(),
            Unfit::Poisoned(effect) => return Reply::Fault(effect),
        }
        .into()
    }

    fn one(&self, tenant: Uuid, id: &str) -> Result<Reply, Reply> {
        let number = id.parse::<u64>().ok();
        let read = |realm: &mut Realm| {
            number
                .and_then(|id| self.read(realm, id))
                .ok_or(Refused::NoIncident)
        };
        let exhibit = self.desk.world.with(tenant, read).map_err(|_| {
            let message = format!("Incident {id} was not found");
            self.refuse(404, "ResourceNotFound", &message)
        })?;
        self.desk.wholesome(tenant, number)?;
        let mut answer = Answer::bytes(200, exhibit.text);
        answer.shown = vec![exhibit.shown];
        Ok(answer.into())
    }

    fn read(&self, realm: &mut Realm, id: u64) -> Option<Exhibit> {
        let order = realm.next_order(self.desk.permuted);
        let reading = realm.read(id, form(order), |incident, tenant| {
            text::render(incident, tenant, order)
        })?;
        if reading.fresh {
            self.desk.books.served_as(reading.version, &reading.text);
        }
        Some(Exhibit {
            text: reading.text,
            shown: Shown::Whole(reading.version),
        })
    }

    pub fn throttled(&self, hint: Hint) -> Answer {
        let message = match hint {
            Hint::Nothing => "Quota exceeded".to_owned(),
            Hint::Seconds(seconds) | Hint::Date(seconds) | Hint::Text(seconds) => {
                format!("Quota exceeded; retry in {seconds} seconds")
            }
        };
        let answer = self.refuse(429, "TooManyRequests", &message);
        answer.hinting(hint, self.desk.world.now())
    }

    pub fn stale_link(&self, status: u16) -> Answer {
        self.refuse(status, "ODataError", "Query option 'SkipToken' has expired")
    }

    fn refuse(&self, status: u16, code: &str, message: &str) -> Answer {
        let target = self.gate.entra.guid();
        let body = json!({"error": {"code": code, "message": message, "target": target}});
        Answer::json(status, &body)
    }
}
