//! Incidents and alerts as the APIs show them (sections 1.3, 3.3, 3.4 and 9): the values that fill the templates of both.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use super::alert::Alert;
use super::defender::document as defender;
use super::faults::Api;
use super::graph::document as graph;
use super::incident::{ANALYST, Incident};
use super::template::{Documents, extend};
use super::time::{self, SECOND};

const USERS: &str = "adele.vance alex.wilber jörg.müller svc-backup 岡本";
const DOMAINS: &str = "contoso.com europe.corp.contoso.com fabrikam.example";

/// Repeated in incidents that must have a certain size.
const FILLER: &str = "The activity was seen again on the same host and by the same account. ";

/// One of the ways to write an incident.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Form {
    pub api: Api,
    /// With its alerts, as the Defender API always shows it.
    pub alerts: bool,
    /// As a whole answer, which has a context at Graph.
    pub entity: bool,
    /// With the members of enumerations that Graph shows only on request.
    pub members: bool,
    /// Times are cut to the millisecond.
    pub millis: bool,
}

impl Form {
    fn documents(self) -> &'static Documents {
        match self.api {
            Api::Defender => &defender::DOCUMENTS,
            Api::Graph => &graph::DOCUMENTS,
        }
    }

    fn time(self, at: i64) -> String {
        match self.millis {
            true => time::format_millis(at),
            false => time::format(at),
        }
    }
}

/// `first`: the number of alerts to show, and a link to the others.
pub(super) fn incident(
    incident: &Incident,
    tenant: Uuid,
    form: Form,
    first: Option<(usize, &str)>,
) -> Bytes {
    let comments = incident.comments.iter().map(|comment| {
        json!({"comment": comment.text, "createdBy": ANALYST, "createdTime": form.time(comment.at)})
    });
    let mut values = json!({
        "id": incident.id, "tenant": tenant, "redirect": incident.redirect,
        "redirect_text": incident.redirect.map(|id| id.to_string()), "name": incident.name,
        "created": form.time(incident.created), "updated": form.time(incident.last_update),
        "assigned": incident.assigned_to, "tags": incident.tags, "comments": comments.collect::<Vec<_>>(),
        "resolving": incident.resolving_comment, "modified": incident.modified_by, "score": incident.score,
    });
    let words = match form.api {
        Api::Defender => defender::incident_words(incident),
        Api::Graph => graph::incident_words(incident, form.members),
    };
    extend(&mut values, words);
    if incident.newer {
        values["newer_id"] = json!(incident.id);
    }
    if form.entity {
        let shown = if form.alerts { "(alerts())" } else { "" };
        values["shown"] = json!(shown);
    }
    let mut lists = Vec::new();
    if form.alerts {
        let mut count = incident.alerts.len();
        if let Some((most, link)) = first {
            values["link"] = json!(link);
            count = most;
        }
        lists.push((
            "alerts",
            alerts(incident, tenant, form).take(count).collect(),
        ));
        values["expanded"] = json!(incident.id);
    }
    form.documents().incident.fill(&values, &lists).into()
}

pub(super) fn alerts(incident: &Incident, tenant: Uuid, form: Form) -> impl Iterator<Item = Bytes> {
    let all = incident.alerts.iter();
    all.map(move |one| alert(one, incident, tenant, form))
}

fn alert(alert: &Alert, incident: &Incident, tenant: Uuid, form: Form) -> Bytes {
    let documents = form.documents();
    let values = values(alert, incident, tenant, form);
    let sparse = values["sparse"] == true;
    let evidence = |kind: &str| {
        let template = documents.sparse.get(kind).filter(|_| sparse);
        let template = template.or_else(|| documents.evidence.get(kind))?;
        Some(Bytes::from(template.fill(&values, &[])))
    };
    let attack = alert.attack;
    let device = attack.on_device.then(|| evidence("Device")).flatten();
    let others = attack.entities.iter().chain(&attack.graph_evidence);
    let others = others.filter_map(|kind| evidence(kind));
    let (devices, evidence) = match form.api {
        Api::Defender => (device.into_iter().collect(), others.collect()),
        Api::Graph => (Vec::new(), device.into_iter().chain(others).collect()),
    };
    let lists = [("devices", devices), ("evidence", evidence)];
    documents.alert.fill(&values, &lists).into()
}

/// What fills the holes of an alert, its devices and its evidence. Most of it comes from the alert's seed.
fn values(alert: &Alert, incident: &Incident, tenant: Uuid, form: Form) -> Value {
    let rng = &mut StdRng::seed_from_u64(alert.seed);
    let attack = alert.attack;
    // The order of the draws decides the values of a seed.
    let id = alert_id(&attack.service, rng);
    let user = USERS.split(' ').choose(rng).unwrap_or_default();
    let domain = DOMAINS.split(' ').choose(rng).unwrap_or_default();
    let mut sha1 = || format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>());
    let (device, hash) = (sha1(), sha1());
    let guid = Uuid::from_u128(rng.random());
    let host = rng.random_range(1..255);
    let process = rng.random_range(4..60_000);
    // Some alerts leave out what does not apply. The others have null.
    let sparse = rng.random_bool(0.2);
    let first = alert.created - rng.random_range(SECOND..SECOND * 3600);
    let last = first + rng.random_range(0..SECOND * 600);
    let investigation = rng.random_range(1..100_000);
    let grouped = process % 2 == 0;
    let first_seen = alert.created - SECOND * 86_400 * 30 - process;
    let principal = format!("{user}@{domain}");
    // Only Sentinel's rules have details of their own.
    let details = (attack.service == "MicrosoftSentinel").then(|| json!({"Account": [principal]}));
    let mut values = json!({
        "id": id, "incident": incident.id, "tenant": tenant, "sparse": sparse,
        "detector": Uuid::from_u64_pair(alert.seed, !alert.seed), "title": attack.title, "category": attack.category,
        "description": description(alert, &principal), "family": attack.family, "techniques": attack.techniques,
        "assigned": alert.assigned_to, "details": details,
        "investigation": (alert.investigation == "Running").then_some(investigation),
        "created": form.time(alert.created), "updated": form.time(alert.last_updated),
        "resolved": alert.resolved.map(|at| form.time(at)), "first": form.time(first), "last": form.time(last),
        // A user entity without an account name has an empty one, not null (section 1.4, item 3).
        "account": if sparse { "" } else { user }, "user": user, "domain": domain, "principal": principal,
        "device": device, "guid": guid, "address": format!("203.0.113.{host}"), "hash": hash, "process": process,
        "started": form.time(alert.created - SECOND), "first_seen": form.time(first_seen),
        "platform": if grouped { "Windows11" } else { "WindowsServer2022" }, "aad": grouped.then_some(guid),
        "group": grouped.then_some("WDATP-Ring0"), "group_id": if grouped { 9 } else { 0 },
    });
    let words = match form.api {
        Api::Defender => defender::alert_words(alert),
        Api::Graph => graph::alert_words(alert, form.members),
    };
    extend(&mut values, words);
    if incident.newer {
        let newer = json!({
            "newer_id": values["id"], "newer_detector": values["detector"], "newer_seen": values["created"],
            "onboarding": "Onboarded",
        });
        extend(&mut values, newer);
    }
    values
}

fn description(alert: &Alert, principal: &str) -> String {
    let mut text = format!("The user {principal} {}", alert.attack.story);
    let filler = FILLER.repeat(alert.padding / FILLER.len() + 1);
    text.push_str(filler.get(..alert.padding).unwrap_or_default());
    text
}

/// The form of the id depends on the product (section 1.3).
fn alert_id(service: &str, rng: &mut StdRng) -> String {
    let guid = Uuid::from_u128(rng.random());
    match service {
        "MicrosoftDefenderATP" => {
            let number = rng.random_range(600_000_000_000_000_000..u64::MAX / 8);
            format!("da{number}_{}", rng.random::<i32>())
        }
        "MicrosoftCloudAppSecurity" => format!("ca{}", guid.to_string().to_uppercase()),
        "OfficeATP" => format!("fa{guid}"),
        "AzureATP" => format!("aa{guid}"),
        _ => format!("ad{}", guid.simple()),
    }
}
