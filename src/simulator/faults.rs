//! Faults, by rule or by incident.
//!
//! The first rule that strikes wins, in the order in which they were added. A poisoned incident spoils what would show it
//! with its alerts, unless a rule has struck already.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// Which API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Api {
    /// Defender XDR's own API.
    #[default]
    Defender,
    /// Microsoft Graph.
    Graph,
}

/// Which kind of request, of either API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// A token request, of v1 or v2.
    Token,
    /// A page of the list, first or followed.
    List,
    /// One incident by its id.
    Get,
    /// The alerts of one incident, which only Graph has.
    Alerts,
    /// Nothing that Microsoft documents.
    Other,
}

/// What is done to a request or its answer.
#[derive(Clone, Debug)]
pub enum Effect {
    /// This answer replaces the real one, as from a front end. It uses no quota.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Names and values, beside those that HTTP needs.
        headers: Vec<(String, String)>,
        /// Sent as it is.
        body: String,
    },
    /// No answer, ever.
    Hang,
    /// The connection is reset, without an answer.
    Reset,
    /// The connection is reset after this number of bytes of the body.
    ResetAfter(usize),
    /// The body ends after this number of bytes, before its announced `Content-Length`.
    ShortOfLength(usize),
    /// The answer is complete, but its JSON ends after this number of bytes.
    BrokenJson(usize),
    /// These bytes, of any content, are among the incidents of a page.
    BadIncident(Vec<u8>),
    /// 206: this number of incidents is missing at the end of the page, and a `Warning` says so (section 3.2).
    Partial(usize),
    /// A followed link is refused, with 410 or with 400. Other requests are not affected.
    StaleLink(u16),
    /// 429 in the API's own form, with this number of seconds as `Retry-After`.
    Throttled(u64),
    /// The body arrives at this number of bytes a second.
    Drip(usize),
    /// White space between the incidents makes the page at least this number of bytes long.
    PadPage(usize),
    /// 200 with a page of HTML, as from a captive portal.
    LoginPage,
}

/// An effect, and the requests that it applies to.
#[derive(Clone, Debug)]
pub struct Rule {
    endpoint: Option<Endpoint>,
    tenant: Option<Uuid>,
    chance: f64,
    effect: Effect,
    /// How often it may still strike.
    left: u64,
}

impl Rule {
    /// A rule for every request, which the methods below narrow.
    pub fn new(effect: Effect) -> Self {
        Self {
            endpoint: None,
            tenant: None,
            chance: 1.0,
            effect,
            left: u64::MAX,
        }
    }

    /// A status with any body.
    pub fn status(status: u16, body: &str) -> Self {
        Self::new(Effect::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        })
    }

    /// Only for this kind of request.
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Only for this tenant. A request without a token that the simulator issued belongs to none.
    pub fn of(mut self, tenant: Uuid) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Only with this probability, drawn from the world's seed.
    pub fn by_chance(mut self, probability: f64) -> Self {
        self.chance = probability;
        self
    }

    /// At most this number of times.
    pub fn times(mut self, times: u64) -> Self {
        self.left = times;
        self
    }

    fn strikes(&mut self, target: Target, rng: &mut StdRng) -> bool {
        let strikes = self.endpoint.is_none_or(|at| at == target.endpoint)
            && (self.tenant.is_none() || self.tenant == target.tenant)
            && (target.link || !matches!(self.effect, Effect::StaleLink(_)))
            && self.left > 0
            && rng.random_bool(self.chance.clamp(0.0, 1.0));
        self.left -= u64::from(strikes);
        strikes
    }
}

/// What rules compare of a request.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub api: Option<Api>,
    pub endpoint: Endpoint,
    pub tenant: Option<Uuid>,
    /// Whether it follows a link.
    pub link: bool,
}

/// A handle on the rules. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Rules>>);

struct Rules {
    all: Vec<Rule>,
    poison: HashMap<(Uuid, u64), Effect>,
    rng: StdRng,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rules {
            all: Vec::new(),
            poison: HashMap::new(),
            rng: StdRng::seed_from_u64(!seed),
        })))
    }

    /// Adds a rule behind the others.
    pub fn push(&self, rule: Rule) {
        self.0.lock().all.push(rule);
    }

    /// Ends all rules and cures all incidents. Requests that hang already still hang.
    pub fn clear(&self) {
        let mut rules = self.0.lock();
        rules.all.clear();
        rules.poison.clear();
    }

    /// From now on, every answer that would show the incident's alerts has this effect instead. An effect that needs an
    /// answer to work on becomes the API's 500.
    pub fn poison(&self, tenant: Uuid, incident: u64, effect: Effect) {
        self.0.lock().poison.insert((tenant, incident), effect);
    }

    /// Ends the poison of one incident.
    pub fn cure(&self, tenant: Uuid, incident: u64) {
        self.0.lock().poison.remove(&(tenant, incident));
    }

    /// The effect of the first poisoned incident among `incidents`.
    pub(super) fn poisoned(&self, tenant: Uuid, incidents: &[u64]) -> Option<Effect> {
        let poison = &self.0.lock().poison;
        let mut effects = incidents.iter().filter_map(|id| poison.get(&(tenant, *id)));
        effects.next().cloned()
    }

    /// What the rules do to one request.
    pub(super) fn strike(&self, target: Target) -> Option<Effect> {
        let mut rules = self.0.lock();
        let Rules { all, rng, .. } = &mut *rules;
        let rule = all
            .iter_mut()
            .find_map(|rule| rule.strikes(target, rng).then_some(rule));
        rule.map(|rule| rule.effect.clone())
    }
}
