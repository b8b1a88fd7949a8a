//! One tenant's list of incidents, how a server pages it, and the server's faults.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::START;
use super::further::Further;
use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::core::ids::IncidentId;
use crate::core::incident::reading::Shape;
use crate::core::incident::significant::{Compared, Significant};
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Span;
use crate::core::time::ticks::{PER_SECOND, Ticks};
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody};

const SHAPE: Shape = Shape {
    origin: SourceKind::Defender,
    id: "id",
    updated: "at",
    status: "status",
    redirect: "redirect",
    significant: &[
        Significant::text("content"),
        Significant::list("alerts", &ALERT),
    ],
};

static ALERT: Compared = Compared::Object(&[Significant::id("alert")]);

static DEFENDER_SHAPE: Shape = SHAPE;
static GRAPH_SHAPE: Shape = Shape {
    origin: SourceKind::Graph,
    ..SHAPE
};

/// The order in which a list shows its incidents.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    NewestFirst,
    OldestFirst,
    Shuffled,
}

/// A version: incident id, last update, and a number that represents its content.
pub type Version = (u64, i64, u32);

type Hook = Box<dyn FnMut(&Server) + Send>;

/// A server with one tenant's incidents and its faults.
pub struct Server {
    pub order: Order,
    /// The server's own page size, with nextLinks. `None`: it follows `$top` and `$skip`.
    pub cap: Option<usize>,
    /// The API that it imitates.
    pub api: SourceKind,
    pub incidents: Mutex<BTreeMap<u64, (i64, u32)>>,
    pub now: Mutex<Ticks>,
    /// Alerts on their own pages.
    pub further: Further,
    /// Called before each page is made.
    pub before_page: Mutex<Hook>,
    pub unreadable: Unreadable,
    pub faults: Faults,
    pub traffic: Traffic,
}

/// Incidents that can't be read, or not in every way.
pub struct Unreadable {
    /// Incidents that no page with alerts, and no answer of their own, can hold.
    pub poison: Mutex<HashSet<u64>>,
    /// The answer for them.
    pub poisoned_answer: Mutex<Failure>,
    /// Whether `poison` also breaks pages without alerts.
    pub bare_too: AtomicBool,
    /// Incidents that no page with alerts can hold, but that come completely when requested alone.
    pub heavy: Mutex<HashSet<u64>>,
    /// Incidents whose pages are never answered.
    pub hang: Mutex<HashSet<u64>>,
    /// Whether an incident requested alone is marked as incomplete.
    pub alone_partial: AtomicBool,
    /// Whether the answer for an incident requested alone is a different one, or an older state.
    pub alone_stale: AtomicBool,
}

/// What the server does wrong, whichever incidents a page holds.
#[derive(Default)]
pub struct Faults {
    /// What happens to the next pages, the next one last.
    pub pages: Mutex<Vec<Fault>>,
    pub delay: Mutex<Duration>,
    /// The most incidents with which a page comes through.
    pub most: Mutex<Option<usize>>,
    /// If set, the API's quotas apply to any minute and any hour; holds the requests of the last hour.
    pub quota: Mutex<Option<VecDeque<Instant>>>,
    /// Whether its links lead to another host. They are refused, and the server panics if one is followed.
    pub elsewhere: AtomicBool,
    /// Whether it ignores `$filter`.
    pub unfiltered: AtomicBool,
    /// Seconds by which the `Date`s of the next answers are off, the next one last.
    pub dates_off: Mutex<Vec<i64>>,
}

/// The requests that came, and what the answers showed.
#[derive(Default)]
pub struct Traffic {
    pub log: Mutex<Vec<PageAsk>>,
    pub shown: Mutex<HashSet<Version>>,
    pub asks: AtomicU32,
    pub at_work: AtomicU32,
    pub most_at_work: AtomicU32,
    pub throttled: AtomicU32,
}

#[derive(Debug, Clone)]
pub enum Fault {
    /// No fault.
    Fine,
    Refuse(Failure),
    /// The page ends after this many bytes.
    Cut(usize),
    /// The page begins with an element that is not an incident.
    Garbage(&'static str),
    /// The page says that something is missing, and its last incident is missing.
    Partial,
}

/// The failure of a page whose content may be the cause.
pub fn broken_page() -> Failure {
    Failure::new(Health::Unreachable, Reaction::Backoff, "500", "wait")
        .with_status(500)
        .suspecting(Suspect::Page)
}

pub fn leads_elsewhere() -> Failure {
    Failure::new(Health::Misconfigured, Reaction::Slow, "elsewhere", "look")
        .suspecting(Suspect::Elsewhere)
}

impl Server {
    pub fn new(order: Order, cap: Option<usize>) -> Arc<Self> {
        Self::of(SourceKind::Defender, order, cap)
    }

    pub fn of(api: SourceKind, order: Order, cap: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            order,
            cap,
            api,
            incidents: Mutex::default(),
            now: Mutex::new(START),
            further: Further::default(),
            before_page: Mutex::new(Box::new(|_| {})),
            unreadable: Unreadable {
                poison: Mutex::default(),
                poisoned_answer: Mutex::new(broken_page()),
                bare_too: AtomicBool::new(false),
                heavy: Mutex::default(),
                hang: Mutex::default(),
                alone_partial: AtomicBool::new(false),
                alone_stale: AtomicBool::new(false),
            },
            faults: Faults::default(),
            traffic: Traffic::default(),
        })
    }

    pub fn set(&self, id: u64, at: Ticks, content: u32) {
        self.incidents.lock().insert(id, (at.0, content));
    }

    fn remember(&self, ask: &PageAsk) {
        let mut log = self.traffic.log.lock();
        if log.len() < 10_000 {
            log.push(ask.clone());
        }
    }

    fn spend(&self) -> Result<(), Failure> {
        let mut quota = self.faults.quota.lock();
        let Some(asked) = quota.as_mut() else {
            return Ok(());
        };
        let now = Instant::now();
        asked.retain(|at| now - *at < Duration::from_secs(3600));
        asked.push_back(now);
        let minute = asked
            .iter()
            .rev()
            .take_while(|at| now - **at < Duration::from_secs(60));
        let (hourly, minutely) = match self.api {
            SourceKind::Defender => (1500, 50),
            SourceKind::Graph => (usize::MAX, 150),
        };
        if asked.len() <= hourly && minute.count() <= minutely {
            return Ok(());
        }
        self.traffic.throttled.fetch_add(1, Ordering::SeqCst);
        let pause = Duration::from_secs(60);
        Err(Failure::new(Health::Throttled, Reaction::Wait(pause), "429", "wait").with_status(429))
    }

    fn rows(&self, span: Span, skip: usize, count: usize) -> (Vec<Version>, bool) {
        let incidents = self.incidents.lock();
        let mut rows: Vec<_> = incidents
            .iter()
            .map(|(id, (at, content))| (*id, *at, *content))
            .collect();
        let all = self.faults.unfiltered.load(Ordering::SeqCst);
        let asked_for = |at: i64| at >= span.from.0 && span.to.is_none_or(|to| at < to.0);
        rows.retain(|(_, at, _)| all || asked_for(*at));
        rows.sort_by_key(|(id, at, _)| match self.order {
            Order::NewestFirst => (-at, *id),
            Order::OldestFirst => (*at, *id),
            Order::Shuffled => (
                (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (*at as u64) << 3).cast_signed(),
                *id,
            ),
        });
        let more = rows.len() > skip + count;
        (rows.into_iter().skip(skip).take(count).collect(), more)
    }

    /// A nextLink of this server: where it continues, and for which request.
    fn link(span: Span, skip: usize, alerts: bool) -> String {
        let to = span.to.map_or(i64::MAX, |to| to.0);
        format!("{} {to} {skip} {alerts}", span.from.0)
    }

    fn followed(link: &str) -> Option<(Span, usize, bool)> {
        let mut parts = link.split(' ');
        let (from, to) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let span = Span {
            from: Ticks(from),
            to: Some(Ticks(to)).filter(|to| to.0 < i64::MAX),
        };
        Some((
            span,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    }

    fn one(&self, id: IncidentId) -> Result<FakeBody, Failure> {
        let incidents = self.incidents.lock();
        let Some((at, content)) = incidents.get(&id.0).copied() else {
            return Err(
                Failure::new(Health::Misconfigured, Reaction::Slow, "404", "").with_status(404),
            );
        };
        if self.unreadable.poison.lock().contains(&id.0) {
            return Err(self.unreadable.poisoned_answer.lock().clone());
        }
        let mut version = (id.0, at, content);
        if self.unreadable.alone_stale.load(Ordering::SeqCst) {
            version.1 -= 1;
        } else {
            self.traffic.shown.lock().insert(version);
        }
        Ok(self.body(
            format!("{{\"value\":[{}]}}", self.text(&version)).into_bytes(),
            self.unreadable.alone_partial.load(Ordering::SeqCst),
        ))
    }

    /// Whether the page holds an incident that keeps it from being answered.
    fn hangs(&self, ask: &PageAsk) -> bool {
        let PageAsk::Query(query) = ask else {
            return false;
        };
        let hang = self.unreadable.hang.lock().clone();
        let (rows, _) = self.rows(query.span, query.skip as usize, query.top as usize);
        rows.iter().any(|(id, ..)| hang.contains(id))
    }

    fn body(&self, rest: Vec<u8>, partial: bool) -> FakeBody {
        let off = self.faults.dates_off.lock().pop().unwrap_or(0);
        let now = self.now.lock().0;
        FakeBody {
            date: Ticks(now.saturating_add(off.saturating_mul(PER_SECOND))),
            rest,
            partial,
            elsewhere: self.faults.elsewhere.load(Ordering::SeqCst),
        }
    }

    fn text(&self, row: &Version) -> String {
        self.further.linked(row.0, text(*row))
    }

    fn page(&self, ask: &PageAsk) -> Result<FakeBody, Failure> {
        let (span, skip, top, alerts) = match ask {
            PageAsk::Query(query) => (
                query.span,
                query.skip as usize,
                query.top as usize,
                query.alerts,
            ),
            PageAsk::Link(link) => {
                let elsewhere = self.faults.elsewhere.load(Ordering::SeqCst);
                assert!(!elsewhere, "the token went elsewhere");
                if let Some(alerts) = self.further.page(link) {
                    return Ok(self.body(alerts.into_bytes(), false));
                }
                let (span, skip, alerts) = Self::followed(link).expect("our own link");
                (span, skip, usize::MAX, alerts)
            }
            PageAsk::One(id) => return self.one(*id),
        };
        let fault = self.faults.pages.lock().pop();
        if let Some(Fault::Refuse(failure)) = fault {
            return Err(failure);
        }
        let size = self.cap.unwrap_or(top).min(top);
        let (mut rows, more) = self.rows(span, skip, size);
        let poison = self.unreadable.poison.lock().clone();
        let spoilt = alerts || self.unreadable.bare_too.load(Ordering::SeqCst);
        if spoilt && rows.iter().any(|(id, ..)| poison.contains(id)) {
            return Err(self.unreadable.poisoned_answer.lock().clone());
        }
        let heavy = self.unreadable.heavy.lock().clone();
        if alerts && rows.iter().any(|(id, ..)| heavy.contains(id)) {
            return Err(broken_page());
        }
        let most = self.faults.most.lock().unwrap_or(usize::MAX);
        if rows.len() > most {
            return Err(broken_page().suspecting(Suspect::Size));
        }
        if matches!(fault, Some(Fault::Partial)) {
            rows.pop();
        }
        let write = |row: &Version| {
            if alerts {
                self.text(row)
            } else {
                bare_text(*row)
            }
        };
        let mut elements: Vec<_> = rows.iter().map(write).collect();
        if let Some(Fault::Garbage(garbage)) = fault {
            elements.insert(0, garbage.to_owned());
        }
        let link = if self.cap.is_some() && more {
            format!(
                ",\"@odata.nextLink\":\"{}\"",
                Self::link(span, skip + size, alerts)
            )
        } else {
            String::new()
        };
        let mut body = format!("{{\"value\":[{}]{link}}}", elements.join(",")).into_bytes();
        let mut shown = rows;
        if let Some(Fault::Cut(at)) = fault {
            body.truncate(at);
            shown.retain(|row| {
                body.windows(text(*row).len())
                    .any(|window| window == text(*row).as_bytes())
            });
        }
        if alerts {
            self.traffic.shown.lock().extend(shown);
        }
        Ok(self.body(body, matches!(fault, Some(Fault::Partial))))
    }
}

fn text((id, at, content): Version) -> String {
    let at = Ticks(at);
    format!("{{\"id\":{id},\"at\":\"{at}\",\"content\":{content}}}")
}

fn bare_text((id, at, _): Version) -> String {
    let at = Ticks(at);
    format!("{{\"id\":{id},\"at\":\"{at}\"}}")
}

impl IncidentSource for Server {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn shape(&self) -> &'static Shape {
        match self.api {
            SourceKind::Defender => &DEFENDER_SHAPE,
            SourceKind::Graph => &GRAPH_SHAPE,
        }
    }

    fn max_response(&self) -> usize {
        1 << 20
    }

    fn lists_bare(&self) -> bool {
        self.api == SourceKind::Graph
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        _: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        async move {
            self.traffic.asks.fetch_add(1, Ordering::SeqCst);
            self.remember(ask);
            let at_work = self.traffic.at_work.fetch_add(1, Ordering::SeqCst) + 1;
            self.traffic
                .most_at_work
                .fetch_max(at_work, Ordering::SeqCst);
            let _done = Done(&self.traffic.at_work);
            let delay = *self.faults.delay.lock();
            sleep(delay).await;
            if self.hangs(ask) {
                std::future::pending::<()>().await;
            }
            let mut before = std::mem::replace(&mut *self.before_page.lock(), Box::new(|_| {}));
            before(self);
            *self.before_page.lock() = before;
            let page = self.spend().and_then(|()| self.page(ask));
            page.map(|body| Box::new(body) as Box<dyn PageBody>)
        }
        .boxed()
    }
}

/// Counts a request as ended when dropped.
struct Done<'a>(&'a AtomicU32);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub struct FakeBody {
    date: Ticks,
    rest: Vec<u8>,
    partial: bool,
    elsewhere: bool,
}

impl PageBody for FakeBody {
    fn date(&self) -> Option<Ticks> {
        Some(self.date)
    }

    fn partial(&self) -> Option<String> {
        self.partial.then(|| "a provider failed".to_owned())
    }

    fn refuses(&self, _: &str) -> Option<Failure> {
        self.elsewhere.then(leads_elsewhere)
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        let tail = self.rest.split_off(self.rest.len().min(700));
        let chunk = std::mem::replace(&mut self.rest, tail);
        async move { Ok((!chunk.is_empty()).then(|| Bytes::from(chunk))) }.boxed()
    }
}
