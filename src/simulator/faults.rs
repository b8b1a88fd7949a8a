//! What goes wrong, by rule.
//!
//! Rules are asked in the order they were added. Delays of all that match add up; of the rest the first that matches wins.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// Which kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    Token,
    List,
    Get,
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
    /// This text stands among the incidents of a page as if it were one.
    BadIncident(String),
    /// The body arrives at that many bytes a second.
    Drip(usize),
    /// White space between the incidents makes the page at least that many bytes long.
    PadPage(usize),
    /// 200 with a page of HTML, as from a captive portal.
    LoginPage,
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

/// Names a rule that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleId(usize);

/// A handle on the rules. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Rules>>);

struct Rules {
    all: Vec<Pushed>,
    rng: StdRng,
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

    /// Ends all rules.
    pub fn clear(&self) {
        for pushed in &mut self.rules().all {
            pushed.active = false;
        }
    }

    /// How often a rule has struck.
    pub fn hits(&self, id: RuleId) -> u64 {
        self.rules().all.get(id.0).map_or(0, |pushed| pushed.hits)
    }

    pub(super) fn strike(&self, endpoint: Endpoint, tenant: Option<Uuid>) -> Strike {
        let mut rules = self.rules();
        let Rules { all, rng } = &mut *rules;
        let mut strike = Strike::default();
        for pushed in all.iter_mut().filter(|pushed| pushed.active) {
            let taken = strike.effect.is_some();
            let delay = match pushed.rule.effect {
                Effect::Delay(by) => Some(by),
                _ if taken => continue,
                _ => None,
            };
            if !pushed.strikes(endpoint, tenant, rng) {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pushed {
    fn strikes(&mut self, endpoint: Endpoint, tenant: Option<Uuid>, rng: &mut StdRng) -> bool {
        let Rule {
            endpoint: at,
            tenant: of,
            when,
            left,
            ..
        } = &mut self.rule;
        let fits = at.is_none_or(|at| at == endpoint) && (of.is_none() || *of == tenant);
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
