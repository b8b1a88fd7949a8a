//! What both APIs do in the same way: access, the pages of a list, one incident, the alerts of one incident, and errors.

pub(super) mod listing;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::change::{Refused, Version};
use super::document::{self, Form};
use super::entra::Entra;
use super::errors::Refusal;
use super::faults::{Api, Effect, Faults};
use super::incidents::Incidents;
use super::journal::{Journal, Shown, TextKind};
use super::link::Links;
use super::page::Page;
use super::quota::{Method, Quotas};
use super::template::fill;
use super::time;
use super::urlencoded;
use super::world::World;
use super::{Options, defender, graph};

use listing::ListRules;

/// The most alerts on a page of alerts, without [`super::GraphOptions::alerts`].
const ALERTS: usize = 50;

/// Everything that a request handler needs.
pub(super) struct Service {
    options: Arc<Options>,
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
        let options = Arc::new(options);
        let world = World::new(options.clone());
        let journal = Journal::new(world.clone());
        Self {
            entra: Entra::new(world.clone(), journal.clone(), url.clone(), &options),
            faults: Faults::new(options.seed),
            links: Links::new(url),
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

    /// The error in the form of the API that was called: sections 2.1 and 3.2.
    pub fn refuse(&self, call: &Call<'_>, name: &str, values: &[String]) -> Answer {
        let rules = self.rules(call.api);
        let error = rules.errors.find(name, values);
        let own = call.request.to_string();
        let values = json!({
            "code": error.code, "message": error.message, "guid": self.entra.guid(), "request": own,
            "client": call.header("client-request-id").unwrap_or(&own),
            "date": time::format_zoneless(self.world.now()),
        });
        Answer::json(error.status, fill(rules.error, &values))
    }

    /// The tenant that the caller may read. The order of the checks: token, quota, role, licence.
    fn admit(&self, call: &Call<'_>) -> Result<Uuid, Refusal> {
        let resource = self.rules(call.api).resource;
        let refusal = |name| Refusal::error(name, []);
        let token = call.bearer().ok_or_else(|| refusal("NoToken"))?;
        let issued = self.entra.find(token);
        let issued = issued.ok_or_else(|| refusal("UnknownToken"))?;
        let now = self.world.now();
        if issued.audience != resource.uri {
            return Err(issued.refusal("WrongToken"));
        }
        if now >= issued.until {
            return Err(issued.refusal("ExpiredToken"));
        }
        if self.options.quotas {
            let method = Method::of(call.api, call.target.endpoint);
            let taken = self.quotas.take(issued.tenant, issued.app, method, now);
            taken.map_err(|seconds| Refusal::Fault(Effect::Throttled(seconds.unsigned_abs())))?;
        }
        let reads = |role: &String| resource.readers.contains(&role.as_str());
        if !issued.roles.iter().any(reads) {
            return Err(Refusal::error("NoRole", [&issued.roles.join(",")]));
        }
        match self.world.tenant(issued.tenant) {
            Some(tenant) if tenant.licensed => Ok(issued.tenant),
            _ => Err(refusal("Unlicensed")),
        }
    }

    /// One page of a list, changed by `effect`.
    pub fn list(&self, call: &Call<'_>, effect: Option<&Effect>) -> Result<Answer, Refusal> {
        let tenant = self.admit(call)?;
        let rules = self.rules(call.api);
        let selection = self.select(tenant, call)?;
        let expand = selection.query.expand;
        let form = self.form(call, expand);
        let items = self.world.with(tenant, |incidents, _| {
            let ids = selection.ids.iter();
            let items = ids.filter_map(|id| self.read(incidents, *id, form));
            Ok(items.unzip())
        });
        let alerts = if expand { "(alerts())" } else { "" };
        let (items, shown) = items.map_err(|_| Refusal::error("Unlicensed", []))?;
        let page = Page {
            api: call.api,
            context: format!("{}{alerts}", rules.context),
            count: selection.query.count.then_some(selection.total),
            next: selection.next,
            items,
            shown,
        };
        Ok(page.answer(effect))
    }

    pub fn get(&self, call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
        let tenant = self.admit(call)?;
        let mut form = self.form(call, false);
        if call.api == Api::Graph {
            form.entity = true;
            form.alerts = match urlencoded::decode(call.query()).as_deref() {
                Some("") => false,
                Some("$expand=alerts") => true,
                _ => return Err(Refusal::error("Query", [call.query()])),
            };
        }
        let not_found = || Refusal::error("NoIncident", [id]);
        let number = id.parse().map_err(|_| not_found())?;
        let item = self.world.with(tenant, |incidents, _| {
            let read = self.read(incidents, number, form);
            read.ok_or(Refused::NoIncident)
        });
        let (text, shown) = item.map_err(|_| not_found())?;
        if form.alerts {
            self.poisoned(tenant, &[number])?;
        }
        Ok(Answer::json(200, text).showing(vec![shown]))
    }

    /// A page of the alerts of one incident, which only Graph has: the first, or that of a link.
    pub fn alerts(&self, call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
        let tenant = self.admit(call)?;
        let not_found = || Refusal::error("NoIncident", [id]);
        let number: u64 = id.parse().map_err(|_| not_found())?;
        let query = call.query();
        let state = self.links.open(tenant, &alerts_path(number), query)?;
        if state.is_none() && !query.is_empty() {
            return Err(Refusal::error("Query", [query]));
        }
        let (revision, from) = match state.as_deref() {
            Some([revision, from]) => (Some(*revision), *from as usize),
            _ => (None, 0),
        };
        self.poisoned(tenant, &[number])?;
        let form = self.form(call, true);
        let most = self.options.graph.alerts.unwrap_or(ALERTS).max(1);
        let written = self.world.with(tenant, |incidents, _| {
            let incident = incidents.get(number).ok_or(Refused::NoIncident)?;
            let of = incident.alerts.len();
            let texts = document::alerts(incident, tenant, form);
            let items: Vec<_> = texts.skip(from).take(most).collect();
            Ok((incidents.version(incident), of, items))
        });
        let (version, of, items) = written.map_err(|_| not_found())?;
        if revision.is_some_and(|revision| revision != u64::from(version.revision)) {
            return Err(Refusal::Fault(Effect::StaleLink(410)));
        }
        let alerts = from..from.saturating_add(items.len());
        let next = (alerts.end < of).then(|| self.alerts_link(version, alerts.end));
        // A client that reads alerts without their incident has not seen a version.
        let shown = revision.map(|_| Shown::Alerts {
            version,
            form,
            alerts,
            of,
        });
        let page = Page {
            api: call.api,
            context: format!("{}('{number}')/alerts", self.rules(call.api).context),
            count: None,
            next,
            items,
            shown: shown.into_iter().collect(),
        };
        Ok(page.answer(None))
    }

    /// Refuses if one of `incidents` is poisoned.
    pub fn poisoned(&self, tenant: Uuid, incidents: &[u64]) -> Result<(), Refusal> {
        let effect = self.faults.poisoned(tenant, incidents);
        effect.map_or(Ok(()), |effect| Err(Refusal::Fault(effect)))
    }

    /// How the incidents of this call are written.
    fn form(&self, call: &Call<'_>, expand: bool) -> Form {
        let graph = call.api == Api::Graph;
        Form {
            api: call.api,
            alerts: expand || !graph,
            members: graph && call.unknown_members(),
            millis: graph && self.options.graph.millis,
            ..Form::default()
        }
    }

    /// One incident, with as many of its alerts as it shows at once.
    fn read(&self, incidents: &mut Incidents, id: u64, mut form: Form) -> Option<(Bytes, Shown)> {
        let journal = &self.journal;
        let (version, text, fresh) = incidents.read(id, form)?;
        if fresh {
            journal.enter(TextKind::Bytes, version, &text);
        }
        if !form.alerts {
            return Some((text, Shown::Bare));
        }
        let incident = incidents.get(id)?;
        let most = self.options.graph.alerts.unwrap_or(usize::MAX);
        let split = form.api == Api::Graph && incident.alerts.len() > most;
        if fresh && form.api == Api::Graph {
            journal.enter(TextKind::Meaning, version, &text);
        }
        if !split {
            return Some((text, Shown::Whole(version)));
        }
        // The first alerts, and a link to the others (section 3.5).
        let link = self.alerts_link(version, most);
        let text = document::incident(incident, version.tenant, form, Some((most, &link)));
        journal.enter(TextKind::Bytes, version, &text);
        form.entity = false;
        let shown = Shown::Alerts {
            version,
            form,
            alerts: 0..most,
            of: incident.alerts.len(),
        };
        Some((text, shown))
    }

    /// The link is bound to the revision, so that no client assembles an incident that never existed.
    fn alerts_link(&self, version: Version, from: usize) -> String {
        let path = alerts_path(version.incident);
        let state = [u64::from(version.revision), from as u64];
        self.links.write(version.tenant, &path, "", &state)
    }
}

fn alerts_path(incident: u64) -> String {
    format!("{}/{incident}/alerts", graph::LIST)
}
