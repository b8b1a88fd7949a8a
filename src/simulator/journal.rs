//! What the simulator received and showed. Tests count here, and not with the daemon's own counters.
//!
//! A version counts as shown when the operating system has the whole response: a page that was cut off showed nothing. An
//! incident without all of its alerts is bare, and not the version. When its alerts come on several pages, the last of them
//! shows the version.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::change::Version;
use super::document::Form;
use super::faults::{Api, Endpoint, Target};
use super::world::World;

/// The most requests that are kept. The oldest are dropped first.
const LOG_LIMIT: usize = 200_000;

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// The world's time in ticks.
    pub at: i64,
    /// From method and path.
    pub endpoint: Endpoint,
    /// `None` for tokens, and for paths that neither API has.
    pub api: Option<Api>,
    /// From the path of a token request, from the token of any other.
    pub tenant: Option<Uuid>,
    /// As sent, without the query.
    pub path: String,
    /// The query as sent, still encoded.
    pub query: String,
    /// `None`: no answer has begun.
    pub status: Option<u16>,
    /// The whole answer was handed to the operating system.
    pub complete: bool,
}

/// A handle: clones share the journal.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    world: World,
    records: Mutex<Records>,
    changed: Notify,
}

/// What a response shows of one version.
#[derive(Clone)]
pub(super) enum Shown {
    Whole(Version),
    /// An incident without its alerts.
    Bare,
    /// Some of its `of` alerts.
    Alerts {
        version: Version,
        form: Form,
        alerts: Range<usize>,
        of: usize,
    },
}

/// What a text is known as.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TextKind {
    /// The bytes, with all alerts or without.
    Bytes,
    /// What the whole incident says, whatever the order of its members.
    Meaning,
}

#[derive(Default)]
struct Records {
    /// Incident and revision of each text, by its hash.
    texts: HashMap<(TextKind, Uuid, u128), (u64, u32)>,
    /// The alerts that have left, of versions that are not shown whole yet.
    parts: HashMap<(Version, Form), HashSet<usize>>,
    shown: HashSet<Version>,
    log: VecDeque<Request>,
    forgotten: u64,
    /// List requests in progress, by tenant: now, and the most at once.
    lists: HashMap<Uuid, (usize, usize)>,
    tokens: Vec<String>,
    token_requests: u64,
    throttled: u64,
    /// Responses on their way.
    unsettled: usize,
}

impl Journal {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Inner {
            world,
            records: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Every version that was shown whole.
    pub fn shown(&self) -> HashSet<Version> {
        self.0.records.lock().shown.clone()
    }

    /// How many versions went out whole.
    pub fn shown_count(&self) -> usize {
        self.0.records.lock().shown.len()
    }

    /// The incident and revision that is written as exactly these bytes, with all alerts or without.
    pub fn identify(&self, tenant: Uuid, data: &[u8]) -> Option<(u64, u32)> {
        self.find(TextKind::Bytes, tenant, data)
    }

    /// The incident and revision that Graph shows like this, whatever the order of its members. OData's own members at the
    /// top are ignored.
    pub fn identify_value(&self, tenant: Uuid, incident: &Value) -> Option<(u64, u32)> {
        self.find(TextKind::Meaning, tenant, incident.to_string().as_bytes())
    }

    /// Every version present in the world now.
    pub fn current(&self) -> Vec<Version> {
        self.0.world.current()
    }

    /// The last 200,000 requests, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.0.records.lock().log.iter().cloned().collect()
    }

    /// The most list requests of one tenant that were ever in progress at once.
    pub fn most_concurrent_lists(&self, tenant: Uuid) -> usize {
        let records = self.0.records.lock();
        records.lists.get(&tenant).map_or(0, |(_, most)| *most)
    }

    /// How many requests for a token arrived, refused ones included.
    pub fn token_requests(&self) -> u64 {
        self.0.records.lock().token_requests
    }

    /// Every access token that was issued: none may appear in what the daemon writes.
    pub fn issued_tokens(&self) -> Vec<String> {
        self.0.records.lock().tokens.clone()
    }

    /// The number of answers with 429, by a quota or a fault.
    pub fn throttled(&self) -> u64 {
        self.0.records.lock().throttled
    }

    /// Returns when no response is on its way, so that all that was shown is known.
    pub async fn settled(&self) {
        self.wait(|records| records.unsettled == 0).await;
    }

    /// Returns when the requests so far satisfy `met`, which is called again whenever one arrives or ends. It must not
    /// call the journal itself.
    pub async fn until(&self, mut met: impl FnMut(&[Request]) -> bool) {
        self.wait(|records| met(records.log.make_contiguous()))
            .await;
    }

    async fn wait(&self, mut met: impl FnMut(&mut Records) -> bool) {
        loop {
            // It is made before the look, so that no change in between is missed.
            let changed = self.0.changed.notified();
            if met(&mut self.0.records.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn find(&self, kind: TextKind, tenant: Uuid, text: &[u8]) -> Option<(u64, u32)> {
        let key = (kind, tenant, kind.hash(text));
        self.0.records.lock().texts.get(&key).copied()
    }

    /// Enters a text of a version, even if no client gets exactly this text.
    pub(super) fn enter(&self, kind: TextKind, version: Version, text: &[u8]) {
        let key = (kind, version.tenant, kind.hash(text));
        let value = (version.incident, version.revision);
        self.0.records.lock().texts.insert(key, value);
    }

    pub(super) fn issued(&self, token: String) {
        self.0.records.lock().tokens.push(token);
    }

    pub(super) fn arrived(&self, target: Target, path: &str, query: &str) -> InFlight {
        let request = Request {
            at: self.0.world.now(),
            endpoint: target.endpoint,
            api: target.api,
            tenant: target.tenant,
            path: path.to_owned(),
            query: query.to_owned(),
            status: None,
            complete: false,
        };
        let listing = target.tenant.filter(|_| target.endpoint == Endpoint::List);
        let number = self.0.records.lock().arrived(request, listing);
        self.0.changed.notify_waiters();
        InFlight {
            number,
            journal: self.clone(),
            listing,
            shown: Vec::new(),
        }
    }
}

impl TextKind {
    fn hash(self, text: &[u8]) -> u128 {
        if self != Self::Meaning {
            return xxh3_128(text);
        }
        // serde_json sorts the keys of a map.
        let mut members: Map<String, Value> = serde_json::from_slice(text).unwrap_or_default();
        members.retain(|name, _| !name.contains("@odata."));
        xxh3_128(Value::Object(members).to_string().as_bytes())
    }
}

impl Records {
    /// The number of the request.
    fn arrived(&mut self, request: Request, listing: Option<Uuid>) -> u64 {
        self.unsettled += 1;
        self.token_requests += u64::from(request.endpoint == Endpoint::Token);
        if let Some(tenant) = listing {
            let (now, most) = self.lists.entry(tenant).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        self.log.push_back(request);
        if self.log.len() > LOG_LIMIT {
            self.log.pop_front();
            self.forgotten += 1;
        }
        self.forgotten + self.log.len() as u64 - 1
    }

    fn show(&mut self, shown: Shown) {
        match shown {
            Shown::Whole(version) => {
                self.shown.insert(version);
            }
            Shown::Bare => {}
            Shown::Alerts {
                version,
                form,
                alerts,
                of,
            } => {
                let seen = self.parts.entry((version, form)).or_default();
                seen.extend(alerts);
                if seen.len() >= of {
                    self.parts.remove(&(version, form));
                    self.shown.insert(version);
                }
            }
        }
    }

    fn request(&mut self, number: u64) -> Option<&mut Request> {
        let index = number.checked_sub(self.forgotten)?;
        self.log.get_mut(usize::try_from(index).ok()?)
    }
}

/// A request in progress, until its answer has left or was dropped.
pub(super) struct InFlight {
    journal: Journal,
    number: u64,
    listing: Option<Uuid>,
    shown: Vec<Shown>,
}

impl InFlight {
    pub fn answered(&mut self, status: u16, shown: Vec<Shown>) {
        self.shown = shown;
        let mut records = self.journal.0.records.lock();
        if let Some(request) = records.request(self.number) {
            request.status = Some(status);
        }
        records.throttled += u64::from(status == 429);
    }

    /// hyper has the body. The client may receive its last byte, and send the next request, before we know that it left:
    /// from here on this request is no longer in progress.
    pub fn handed_over(&mut self) {
        if let Some(tenant) = self.listing.take() {
            let mut records = self.journal.0.records.lock();
            records.lists.entry(tenant).or_default().0 -= 1;
        }
    }

    /// The operating system has the last byte.
    pub fn left(mut self) {
        let shown = std::mem::take(&mut self.shown);
        let mut records = self.journal.0.records.lock();
        shown.into_iter().for_each(|shown| records.show(shown));
        if let Some(request) = records.request(self.number) {
            request.complete = true;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.handed_over();
        self.journal.0.records.lock().unsettled -= 1;
        self.journal.0.changed.notify_waiters();
    }
}
