//! Faults, by rule or by incident.
//!
//! Rules apply in the order in which they were added. The delays of all that match add up; of the others, the first that
//! matches wins. A poisoned incident spoils what would show it with its alerts, unless a rule has struck already.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

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
    /// The answer comes after this time.
    Delay(Duration),
    /// The connection is reset, without an answer.
    Reset,
    /// The connection is reset after this number of bytes of the body.
    ResetAfter(usize),
    /// The body ends after this number of bytes, before its announced `Content-Length`.
    ShortOfLength(usize),
    /// The chunked body ends after this number of bytes, without its last chunk.
    ShortOfLastChunk(usize),
    /// The answer is complete, but its JSON ends after this number of bytes.
    BrokenJson(usize),
    /// These bytes, of any content, are among the incidents of a page.
    BadIncident(Vec<u8>),
    /// 206: this number of incidents is missing at the end of the page, and a `Warning` says so (section 3.2).
    Partial(usize),
    /// The page has a nextLink to this address, even if it is the last page.
    NextLinkTo(String),
    /// A followed link is refused with this status. Other requests are not affected.
    StaleLink(u16),
    /// 429 in the API's own form.
    Throttled(Hint),
    /// The body arrives at this number of bytes a second.
    Drip(usize),
    /// White space between the incidents makes the page at least this number of bytes long.
    PadPage(usize),
    /// 200 with a page of HTML, as from a captive portal.
    LoginPage,
}

/// How a 429 states the pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hint {
    /// `Retry-After` with this number of seconds.
    Seconds(u64),
    /// `Retry-After` with the date after this number of seconds.
    Date(u64),
    /// In the message only.
    Text(u64),
    /// Not at all.
    Nothing,
}

/// Which of the requests that fit a rule.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// All of them.
    Always,
    /// The nth, counted from 1.
    Nth(u64),
    /// Each with this probability, drawn from the world's seed.
    Chance(f64),
}

/// An effect, and the requests that it applies to.
#[derive(Clone, Debug)]
pub struct Rule {
    api: Option<Api>,
    endpoint: Option<Endpoint>,
    tenant: Option<Uuid>,
    when: When,
    effect: Effect,
    /// How often it may still strike.
    left: u64,
    /// How many requests fitted.
    fitted: u64,
    /// How often it has struck.
    hits: u64,
}

impl Rule {
    /// A rule for every request, which the methods below narrow.
    pub fn new(effect: Effect) -> Self {
        Self {
            api: None,
            endpoint: None,
            tenant: None,
            when: When::Always,
            effect,
            left: u64::MAX,
            fitted: 0,
            hits: 0,
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

    /// Only in this API.
    pub fn in_api(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
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

    /// Only for these of the requests that fit.
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// At most this number of times.
    pub fn times(mut self, times: u64) -> Self {
        self.left = times;
        self
    }

    fn fits(&self, target: Target) -> bool {
        (self.api.is_none() || self.api == target.api)
            && self.endpoint.is_none_or(|at| at == target.endpoint)
            && (self.tenant.is_none() || self.tenant == target.tenant)
            && (target.link || !matches!(self.effect, Effect::StaleLink(_)))
            && self.left > 0
    }

    fn strikes(&mut self, target: Target, rng: &mut StdRng) -> bool {
        if !self.fits(target) {
            return false;
        }
        self.fitted += 1;
        let strikes = match self.when {
            When::Always => true,
            When::Nth(n) => self.fitted == n,
            When::Chance(probability) => rng.random_bool(probability.clamp(0.0, 1.0)),
        };
        self.left -= u64::from(strikes);
        self.hits += u64::from(strikes);
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

/// Names a rule that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleId(usize);

/// A handle on the rules. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Rules>>);

struct Rules {
    all: Vec<Rule>,
    /// The effect of each poisoned incident, and how often it has struck.
    poison: HashMap<(Uuid, u64), (Effect, u64)>,
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

    /// Adds a rule. For one request, delays add up, and the first other effect counts.
    pub fn push(&self, rule: Rule) -> RuleId {
        let all = &mut self.0.lock().all;
        all.push(rule);
        RuleId(all.len() - 1)
    }

    /// Ends one rule. Requests that hang already still hang.
    pub fn remove(&self, id: RuleId) {
        if let Some(rule) = self.0.lock().all.get_mut(id.0) {
            rule.left = 0;
        }
    }

    /// Ends all rules and cures all incidents.
    pub fn clear(&self) {
        let mut rules = self.0.lock();
        rules.all.iter_mut().for_each(|rule| rule.left = 0);
        rules.poison.clear();
    }

    /// From now on, every answer that would show the incident's alerts has this effect instead. An effect that needs an
    /// answer to work on becomes the API's 500.
    pub fn poison(&self, tenant: Uuid, incident: u64, effect: Effect) {
        let poison = &mut self.0.lock().poison;
        poison.insert((tenant, incident), (effect, 0));
    }

    /// Ends the poison of one incident.
    pub fn cure(&self, tenant: Uuid, incident: u64) {
        self.0.lock().poison.remove(&(tenant, incident));
    }

    /// How often a poisoned incident has spoilt an answer.
    pub fn poison_hits(&self, tenant: Uuid, incident: u64) -> u64 {
        let rules = self.0.lock();
        let poison = rules.poison.get(&(tenant, incident));
        poison.map_or(0, |(_, hits)| *hits)
    }

    /// The effect of the first poisoned incident among `incidents`.
    pub(super) fn poisoned(&self, tenant: Uuid, incidents: &[u64]) -> Option<Effect> {
        let mut rules = self.0.lock();
        let poisoned = |id: &&u64| rules.poison.contains_key(&(tenant, **id));
        let first = *incidents.iter().find(poisoned)?;
        let (effect, hits) = rules.poison.get_mut(&(tenant, first))?;
        *hits += 1;
        Some(effect.clone())
    }

    /// How often a rule has struck.
    pub fn hits(&self, id: RuleId) -> u64 {
        self.0.lock().all.get(id.0).map_or(0, |rule| rule.hits)
    }

    /// What the rules do to one request: a delay, and an effect.
    pub(super) fn strike(&self, target: Target) -> (Duration, Option<Effect>) {
        let mut rules = self.0.lock();
        let Rules { all, rng, .. } = &mut *rules;
        let (mut wait, mut effect) = (Duration::ZERO, None);
        for rule in all.iter_mut() {
            let delay = match rule.effect {
                Effect::Delay(by) => Some(by),
                _ => None,
            };
            if delay.is_none() && effect.is_some() || !rule.strikes(target, rng) {
                continue;
            }
            match delay {
                Some(by) => wait += by,
                None => effect = Some(rule.effect.clone()),
            }
        }
        (wait, effect)
    }
}
