//! What the two APIs do alike: who may read, the pages of a list, one incident, and the alerts of one incident.

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::entra::Entra;
use super::faults::{Api, Effect, Faults, Hint};
use super::graph::{self, GraphOptions, Part, Style};
use super::http::{Answer, Call};
use super::incident::Incident;
use super::incidents::{Form, Incidents};
use super::journal::{Journal, Shown, Version};
use super::link::{LinkTarget, Links};
use super::listing::{ListRules, Order};
use super::page::{self, Frame, PageItem};
use super::quota::{Method, Quotas};
use super::refusal::Refusal;
use super::urlencoded;
use super::world::{Refused, World};
use super::{Options, defender};

/// Alerts on a page of their own, when [`GraphOptions::alerts`] does not say.
const ALERTS: usize = 50;

/// Everything that a request handler needs.
pub(super) struct Service {
    pub world: World,
    pub journal: Journal,
    pub faults: Faults,
    pub entra: Entra,
    pub links: Links,
    pub quotas: Option<Quotas>,
    pub defender: ListRules,
    pub graph: ListRules,
    pub graph_options: GraphOptions,
    pub order: Order,
    pub permuted: bool,
    pub retry_after: bool,
}

impl Service {
    /// `url` is the simulator's own.
    pub fn new(url: String, world: World, options: &Options) -> Self {
        let journal = Journal::new(world.clone());
        let lifetime = options.token_lifetime;
        Self {
            entra: Entra::new(world.clone(), journal.clone(), options.seed, lifetime),
            faults: Faults::new(options.seed),
            links: Links::new(url, options.links_once),
            quotas: options.quotas.then(Quotas::default),
            defender: defender::list_rules(options.paging),
            graph: graph::list_rules(options.graph),
            graph_options: options.graph,
            order: options.order,
            permuted: options.permuted,
            retry_after: options.retry_after,
            world,
            journal,
        }
    }

    pub fn rules(&self, api: Api) -> &ListRules {
        match api {
            Api::Defender => &self.defender,
            Api::Graph => &self.graph,
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
        if let Some(quotas) = &self.quotas {
            let taken = quotas.take(issued.tenant, issued.app, method, now);
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
            Api::Defender if !self.retry_after => Hint::Text(seconds),
            _ => Hint::Seconds(seconds),
        }
    }

    /// One page of a list, changed by `effect`.
    pub fn list(&self, call: &Call<'_>, effect: Option<&Effect>) -> Result<Answer, Refusal> {
        let tenant = self.admit(call, Method::list(call.api))?;
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
        let tenant = self.admit(call, Method::get(call.api))?;
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
        let most = self.graph_options.alerts.unwrap_or(ALERTS).max(1);
        let written = self.world.with(tenant, |incidents, _| {
            let incident = incidents.get(number).ok_or(Refused::NoIncident)?;
            let of = incident.alerts.len();
            let alerts = from.min(of)..from.saturating_add(most).min(of);
            let texts = graph::document::alerts(incident, tenant, self.style(form), alerts.clone());
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
        }
    }

    /// One incident, with as many of its alerts as it shows at once.
    fn read(&self, incidents: &mut Incidents, id: u64, mut form: Form) -> Option<PageItem> {
        if form.alerts {
            form.order = incidents.next_order(self.permuted);
        }
        let part = if form.alerts { Part::All } else { Part::None };
        let whole = incidents.read(id, form, |incident, tenant| {
            self.render(incident, tenant, form, part)
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
            Api::Graph => self.graph_options.alerts.unwrap_or(usize::MAX),
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

    fn render(&self, incident: &Incident, tenant: Uuid, form: Form, part: Part<'_>) -> Bytes {
        match form.api {
            Api::Defender => defender::document::incident(incident, tenant, form.order),
            Api::Graph => graph::document::incident(incident, tenant, self.style(form), part),
        }
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
        let text = self.render(incident, version.tenant, form, Part::First(most, &link));
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

    fn style(&self, form: Form) -> Style {
        Style {
            order: form.order,
            members: form.members,
            millis: self.graph_options.millis,
        }
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
