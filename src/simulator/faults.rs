//! What goes wrong, by rule or by incident.
//!
//! Rules are asked in the order they were added. Delays of all that match add up; of the rest the first that matches wins.
//! A poisoned incident spoils what would show it with its alerts, unless a rule has struck already.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// Which API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Api {
    Defender,
    Graph,
}

/// Which kind of request, of either API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    Token,
    List,
    Get,
    /// The alerts of one incident, which only Graph has.
    Alerts,
    /// Nothing that Microsoft documents.
    Other,
}

/// What is done to a request or its answer.
#[derive(Clone, Debug)]
pub enum Effect {
    /// This instead of the real answer, as from a front end: no quota is touched.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// No answer, ever.
    Hang,
    /// Only after this long.
    Delay(Duration),
    /// The connection is reset in place of an answer.
    Reset,
    /// The connection is reset after that many bytes of the body.
    ResetAfter(usize),
    /// The body ends after that many bytes, short of its announced `Content-Length`.
    ShortOfLength(usize),
    /// The chunked body ends after that many bytes, without its last chunk.
    ShortOfLastChunk(usize),
    /// The answer is complete, its JSON is not: only its first that many bytes.
    BrokenJson(usize),
    /// These bytes, whatever they are, stand among the incidents of a page as if they were one.
    BadIncident(Vec<u8>),
    /// 206: so many incidents are missing from the end of the page, and a `Warning` tells of it.
    Partial { missing: usize, warning: String },
    /// The page has a nextLink to this address, whether or not it would have one.
    NextLinkTo(String),
    /// A followed link is refused with this status; no other request is touched.
    StaleLink(u16),
    /// 429 in the API's own form.
    Throttled(Hint),
    /// The body arrives at that many bytes a second.
    Drip(usize),
    /// White space between the incidents makes the page at least that many bytes long.
    PadPage(usize),
    /// 200 with a page of HTML, as from a captive portal.
    LoginPage,
}

/// How a 429 tells when to come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hint {
    /// `Retry-After` with so many seconds.
    Seconds(u64),
    /// `Retry-After` with the date so many seconds ahead.
    Date(u64),
    /// In the message only.
    Text(u64),
    Nothing,
}

/// Which of the requests that fit.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Always,
    /// The nth that fits, counted from 1.
    Nth(u64),
    /// Each with this probability, drawn from the world's seed.
    Chance(f64),
}

/// When what happens.
#[derive(Clone, Debug)]
pub struct Rule {
    api: Option<Api>,
    endpoint: Option<Endpoint>,
    tenant: Option<Uuid>,
    when: When,
    left: u64,
    effect: Effect,
}

impl Rule {
    /// Happens to every request, for ever, until narrowed.
    pub fn new(effect: Effect) -> Self {
        Self {
            api: None,
            endpoint: None,
            tenant: None,
            when: When::Always,
            left: u64::MAX,
            effect,
        }
    }

    /// A status with Microsoft's or anyone's body.
    pub fn status(status: u16, body: &str) -> Self {
        Self::new(Effect::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        })
    }

    /// The token endpoint's 429: plain text, a minute's pause.
    pub fn token_throttled() -> Self {
        Self::new(Effect::Answer {
            status: 429,
            headers: vec![("Retry-After".to_owned(), "60".to_owned())],
            body: "Too Many Requests".to_owned(),
        })
        .at(Endpoint::Token)
    }

    /// 206, in the words that Graph's documentation has for it.
    pub fn partial(missing: usize) -> Self {
        Self::new(Effect::Partial {
            missing,
            warning: "199 - \"Microsoft/MicrosoftDefender/504/10000\"".to_owned(),
        })
    }

    /// Only in this API.
    pub fn in_api(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
    }

    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Only for this tenant. A request without a token that the simulator issued belongs to none.
    pub fn of(mut self, tenant: Uuid) -> Self {
        self.tenant = Some(tenant);
        self
    }

    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// At most so many times.
    pub fn times(mut self, times: u64) -> Self {
        self.left = times;
        self
    }
}

/// What a request is after, as far as rules care.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub api: Option<Api>,
    pub endpoint: Endpoint,
    pub tenant: Option<Uuid>,
    /// A link was followed.
    pub link: bool,
}

/// Names a rule that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleId(usize);

/// A handle on the rules. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Rules>>);

struct Rules {
    all: Vec<Pushed>,
    poison: HashMap<(Uuid, u64), Poison>,
    rng: StdRng,
}

struct Poison {
    effect: Effect,
    hits: u64,
}

struct Pushed {
    rule: Rule,
    active: bool,
    fitted: u64,
    hits: u64,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rules {
            all: Vec::new(),
            poison: HashMap::new(),
            rng: StdRng::seed_from_u64(!seed),
        })))
    }

    pub fn push(&self, rule: Rule) -> RuleId {
        let mut rules = self.rules();
        rules.all.push(Pushed {
            rule,
            active: true,
            fitted: 0,
            hits: 0,
        });
        RuleId(rules.all.len() - 1)
    }

    /// Ends one rule; requests that hang already go on hanging.
    pub fn remove(&self, id: RuleId) {
        if let Some(pushed) = self.rules().all.get_mut(id.0) {
            pushed.active = false;
        }
    }

    /// Ends all rules and cures all incidents.
    pub fn clear(&self) {
        let mut rules = self.rules();
        for pushed in &mut rules.all {
            pushed.active = false;
        }
        rules.poison.clear();
    }

    /// From now on, whatever would show the incident's alerts has this effect in place of an answer: a list page of the
    /// Defender API, its own GET, and the same of Graph with `$expand=alerts`, and its alerts. An effect that needs an
    /// answer to work on becomes the API's 500.
    pub fn poison(&self, tenant: Uuid, incident: u64, effect: Effect) {
        let poison = Poison { effect, hits: 0 };
        self.rules().poison.insert((tenant, incident), poison);
    }

    pub fn cure(&self, tenant: Uuid, incident: u64) {
        self.rules().poison.remove(&(tenant, incident));
    }

    /// How often a poisoned incident has spoilt an answer.
    pub fn poison_hits(&self, tenant: Uuid, incident: u64) -> u64 {
        let rules = self.rules();
        rules.poison.get(&(tenant, incident)).map_or(0, |p| p.hits)
    }

    /// What the first poisoned one of `incidents` does.
    pub(super) fn poisoned(&self, tenant: Uuid, incidents: &[u64]) -> Option<Effect> {
        let mut rules = self.rules();
        if rules.poison.is_empty() {
            return None;
        }
        let first = incidents
            .iter()
            .find(|id| rules.poison.contains_key(&(tenant, **id)))?;
        let poison = rules.poison.get_mut(&(tenant, *first))?;
        poison.hits += 1;
        Some(poison.effect.clone())
    }

    /// How often a rule has struck.
    pub fn hits(&self, id: RuleId) -> u64 {
        self.rules().all.get(id.0).map_or(0, |pushed| pushed.hits)
    }

    pub(super) fn strike(&self, target: Target) -> Strike {
        let mut rules = self.rules();
        let Rules { all, rng, .. } = &mut *rules;
        let mut strike = Strike::default();
        for pushed in all.iter_mut().filter(|pushed| pushed.active) {
            let taken = strike.effect.is_some();
            let delay = match pushed.rule.effect {
                Effect::Delay(by) => Some(by),
                _ if taken => continue,
                _ => None,
            };
            if !pushed.strikes(target, rng) {
                continue;
            }
            match delay {
                Some(by) => strike.delay += by,
                None => strike.effect = Some(pushed.rule.effect.clone()),
            }
        }
        strike
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.lock()
    }
}

impl Pushed {
    fn strikes(&mut self, target: Target, rng: &mut StdRng) -> bool {
        let Rule {
            api,
            endpoint,
            tenant,
            when,
            left,
            effect,
        } = &mut self.rule;
        let fits = (api.is_none() || *api == target.api)
            && endpoint.is_none_or(|at| at == target.endpoint)
            && (tenant.is_none() || *tenant == target.tenant)
            && (target.link || !matches!(effect, Effect::StaleLink(_)));
        if !fits || *left == 0 {
            return false;
        }
        self.fitted += 1;
        let strikes = match when {
            When::Always => true,
            When::Nth(n) => self.fitted == *n,
            When::Chance(probability) => rng.random_bool(probability.clamp(0.0, 1.0)),
        };
        if strikes {
            *left -= 1;
            self.hits += 1;
        }
        strikes
    }
}

/// What the rules have in store for one request.
#[derive(Default)]
pub(super) struct Strike {
    pub delay: Duration,
    pub effect: Option<Effect>,
}
