//! What the two APIs do alike: access, the pages of a list, one incident, the alerts of one incident, and refusals.

pub(super) mod listing;

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::change::{Refused, Version};
use super::entra::Entra;
use super::faults::{Api, Effect, Endpoint, Faults, Hint};
use super::incident::Incident;
use super::incidents::{Form, Incidents};
use super::journal::{Journal, Shown};
use super::link::{LinkTarget, Links};
use super::page::{self, Frame, PageItem};
use super::quota::{Method, Quotas};
use super::refusal::Refusal;
use super::time;
use super::urlencoded;
use super::world::World;
use super::{Options, defender, graph};

use listing::ListRules;

/// Alerts on a page of their own, when [`super::GraphOptions::alerts`] does not say.
const ALERTS: usize = 50;

/// Everything that a request handler needs.
pub(super) struct Service {
    pub options: Options,
    pub world: World,
    pub journal: Journal,
    pub faults: Faults,
    pub entra: Entra,
    pub links: Links,
    quotas: Quotas,
    defender: ListRules,
    graph: ListRules,
}

impl Service {
    /// `url` is the simulator's own.
    pub fn new(url: String, options: Options) -> Self {
        let world = World::new(&options);
        let journal = Journal::new(world.clone());
        let lifetime = options.token_lifetime;
        Self {
            entra: Entra::new(world.clone(), journal.clone(), options.seed, lifetime),
            faults: Faults::new(options.seed),
            links: Links::new(url, options.links_once),
            quotas: Quotas::default(),
            defender: defender::list_rules(options.paging),
            graph: graph::list_rules(options.graph),
            world,
            journal,
            options,
        }
    }

    pub fn rules(&self, api: Api) -> &ListRules {
        match api {
            Api::Defender => &self.defender,
            Api::Graph => &self.graph,
        }
    }

    /// The answer in the form of the API that was called: sections 2.1 and 3.2.
    pub fn refuse(&self, call: &Call<'_>, refusal: &Refusal) -> Answer {
        let now = self.world.now();
        let rules = self.rules(call.api);
        let (name, values) = refusal.words(call.path(), rules.resource);
        let found = rules.errors.find(name, &values);
        let mut error = json!({"code": found.code, "message": found.message});
        match call.api {
            Api::Defender => error["target"] = json!(self.entra.guid()),
            Api::Graph => {
                let own = call.request.to_string();
                let client = call.header("client-request-id").unwrap_or(&own);
                let date = time::format_zoneless(now);
                error["innerError"] =
                    json!({"date": date, "request-id": own, "client-request-id": client});
            }
        }
        let status = match refusal {
            Refusal::StaleLink(status) => *status,
            _ => found.status,
        };
        let answer = Answer::json(status, &json!({"error": error}));
        match refusal {
            Refusal::Throttled(hint) => answer.hinting(*hint, now),
            _ => answer,
        }
    }

    /// The tenant that the caller may read. The order of the checks: token, quota, role, licence.
    fn admit(&self, call: &Call<'_>, method: Method) -> Result<Uuid, Refusal> {
        let resource = self.rules(call.api).resource;
        let token = call.bearer().ok_or(Refusal::NoToken)?;
        let issued = self.entra.find(token).ok_or(Refusal::UnknownToken)?;
        let now = self.world.now();
        if issued.audience != resource.uri || now >= issued.until {
            return Err(Refusal::WrongToken(issued));
        }
        if self.options.quotas {
            let taken = self.quotas.take(issued.tenant, issued.app, method, now);
            taken.map_err(|seconds| Refusal::Throttled(self.hint(call.api, seconds)))?;
        }
        let reads = |role: &String| resource.readers.contains(&role.as_str());
        if !issued.roles.iter().any(reads) {
            return Err(Refusal::NoRole(issued.roles));
        }
        match self.world.tenant(issued.tenant) {
            Some(tenant) if tenant.licensed => Ok(issued.tenant),
            _ => Err(Refusal::Unlicensed),
        }
    }

    fn hint(&self, api: Api, seconds: i64) -> Hint {
        let seconds = seconds.unsigned_abs();
        match api {
            Api::Defender if !self.options.retry_after => Hint::Text(seconds),
            _ => Hint::Seconds(seconds),
        }
    }

    /// One page of a list, changed by `effect`.
    pub fn list(&self, call: &Call<'_>, effect: Option<&Effect>) -> Result<Answer, Refusal> {
        let tenant = self.admit(call, Method::of(call.api, Endpoint::List))?;
        let rules = self.rules(call.api);
        let selection = self.select(tenant, call.query(), rules)?;
        let (expand, count) = (selection.query.expand, selection.query.count);
        let form = self.form(call, expand);
        let items = self.world.with(tenant, |incidents, _| {
            let ids = selection.ids.iter();
            let items = ids.filter_map(|id| self.read(incidents, *id, form));
            Ok(items.collect())
        });
        let frame = Frame {
            context: context(call.api, expand),
            count: count.then_some(selection.total),
            next: selection.next.as_deref(),
            link_first: call.api == Api::Graph,
        };
        let items: Vec<_> = items.map_err(|_| Refusal::Unlicensed)?;
        Ok(page::answer(&frame, items, effect))
    }

    pub fn get(&self, call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
        let tenant = self.admit(call, Method::of(call.api, Endpoint::Get))?;
        let expand = match call.api {
            Api::Defender => true,
            Api::Graph => expansion(call.query()).map_err(Refusal::Query)?,
        };
        let form = self.form(call, expand);
        let number = id.parse().map_err(|_| Refusal::NoIncident(id.to_owned()))?;
        let item = self.world.with(tenant, |incidents, _| {
            let read = self.read(incidents, number, form);
            read.ok_or(Refused::NoIncident)
        });
        let item = item.map_err(|_| Refusal::NoIncident(id.to_owned()))?;
        if form.alerts {
            self.poisoned(tenant, &[number])?;
        }
        let text = match call.api {
            Api::Defender => item.text,
            Api::Graph => {
                let context = format!("{}/$entity", context(call.api, expand));
                let text = under_context(&context, &item.text);
                match item.shown {
                    Shown::Whole(version) => self.journal.served_as(version, &text),
                    Shown::Bare(version) | Shown::Alerts { version, .. } => {
                        self.journal.served_bare(version, &text);
                    }
                }
                text
            }
        };
        Ok(Answer::bytes(200, text).showing(vec![item.shown]))
    }

    /// The alerts of one incident, which only Graph has: from the first on, or where a link goes on.
    pub fn alerts(&self, call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
        let tenant = self.admit(call, Method::Graph)?;
        let not_found = || Refusal::NoIncident(id.to_owned());
        let number: u64 = id.parse().map_err(|_| not_found())?;
        let path = alerts_path(number);
        let place = LinkTarget {
            tenant,
            path: &path,
        };
        let state = self.links.open(place, call.query())?;
        if state.is_none() && !call.query().is_empty() {
            return Err(Refusal::Query(call.query().to_owned()));
        }
        let (revision, order, from) = match state.as_deref() {
            Some([revision, order, from]) => (Some(*revision), *order, *from as usize),
            _ => (None, 0, 0),
        };
        self.poisoned(tenant, &[number])?;
        let mut form = self.form(call, true);
        form.order = order;
        let most = self.options.graph.alerts.unwrap_or(ALERTS).max(1);
        let written = self.world.with(tenant, |incidents, _| {
            let incident = incidents.get(number).ok_or(Refused::NoIncident)?;
            let of = incident.alerts.len();
            let alerts = from.min(of)..from.saturating_add(most).min(of);
            let texts = graph::document::alerts(incident, tenant, form, alerts.clone());
            Ok((incidents.version(incident), alerts, of, texts))
        });
        let (version, alerts, of, texts) = written.map_err(|_| not_found())?;
        if revision.is_some_and(|revision| revision != u64::from(version.revision)) {
            return Err(Refusal::StaleLink(410));
        }
        let next = (alerts.end < of).then(|| self.alerts_link(version, form, alerts.end));
        let frame = Frame {
            context: graph::alerts_context(number),
            count: None,
            next: next.as_deref(),
            link_first: true,
        };
        let items = texts.iter().map(Vec::as_slice).collect();
        let answer = Answer::bytes(200, page::text(&frame, items, None));
        // Alerts that are read without the incident are no version.
        let shown = Shown::Alerts {
            version,
            form,
            alerts,
            of,
        };
        Ok(answer.showing(revision.map(|_| shown).into_iter().collect()))
    }

    /// What the first poisoned one of `incidents` does.
    pub fn poisoned(&self, tenant: Uuid, incidents: &[u64]) -> Result<(), Refusal> {
        let effect = self.faults.poisoned(tenant, incidents);
        effect.map_or(Ok(()), |effect| Err(Refusal::Fault(effect)))
    }

    /// How the incidents of this call are written; the order is chosen for each.
    fn form(&self, call: &Call<'_>, expand: bool) -> Form {
        Form {
            api: call.api,
            order: 0,
            alerts: expand || call.api == Api::Defender,
            members: call.api == Api::Graph && call.unknown_members(),
            millis: self.options.graph.millis,
        }
    }

    /// One incident, with as many of its alerts as it shows at once.
    fn read(&self, incidents: &mut Incidents, id: u64, mut form: Form) -> Option<PageItem> {
        if form.alerts {
            form.order = incidents.next_order(self.options.permuted);
        }
        let whole = incidents.read(id, form, |incident, tenant| {
            render(incident, tenant, form, None)
        })?;
        let (version, text) = (whole.version, whole.text);
        let incident = incidents.get(id)?;
        let journal = &self.journal;
        if !form.alerts {
            journal.served_bare(version, &text);
            let shown = Shown::Bare(version);
            return Some(PageItem { text, shown });
        }
        let most = match form.api {
            Api::Defender => usize::MAX,
            Api::Graph => self.options.graph.alerts.unwrap_or(usize::MAX),
        };
        if incident.alerts.len() > most {
            if whole.fresh {
                journal.assembled_as(version, text);
            }
            return Some(self.first_part(incident, version, form, most));
        }
        if whole.fresh {
            journal.served_as(version, &text);
            if form.api == Api::Graph {
                journal.means(version, &text);
            }
        }
        let shown = Shown::Whole(version);
        Some(PageItem { text, shown })
    }

    /// An incident with the first `most` of its alerts, and the link to the others (section 3.5).
    fn first_part(
        &self,
        incident: &Incident,
        version: Version,
        form: Form,
        most: usize,
    ) -> PageItem {
        let link = self.alerts_link(version, form, most);
        let text = render(incident, version.tenant, form, Some((most, &link)));
        self.journal.served_bare(version, &text);
        let shown = Shown::Alerts {
            version,
            form,
            alerts: 0..most,
            of: incident.alerts.len(),
        };
        PageItem { text, shown }
    }

    /// The link is bound to the revision: after a change it is stale, so that no client assembles an incident that never
    /// existed.
    fn alerts_link(&self, version: Version, form: Form, from: usize) -> String {
        let path = alerts_path(version.incident);
        let target = LinkTarget {
            tenant: version.tenant,
            path: &path,
        };
        let state = [u64::from(version.revision), form.order, from as u64];
        self.links.write(target, "", &state)
    }
}

/// `first`: shows only that many of the alerts, and a link to the others.
fn render(incident: &Incident, tenant: Uuid, form: Form, first: Option<(usize, &str)>) -> Bytes {
    match form.api {
        Api::Defender => defender::document::incident(incident, tenant, form.order),
        Api::Graph => graph::document::incident(incident, tenant, form, first),
    }
}

fn alerts_path(incident: u64) -> String {
    format!("{}/{incident}/alerts", graph::LIST)
}

fn context(api: Api, expand: bool) -> String {
    match (api, expand) {
        (Api::Defender, _) => defender::CONTEXT.to_owned(),
        (Api::Graph, false) => graph::METADATA.to_owned(),
        (Api::Graph, true) => format!("{}(alerts())", graph::METADATA),
    }
}

/// Whether the query is `$expand=alerts`. Any other is refused.
fn expansion(query: &str) -> Result<bool, String> {
    match urlencoded::decode(query).as_deref() {
        Some("") => Ok(false),
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
