//! What the simulator saw and showed: what a test counts, instead of believing the daemon's own counters.
//!
//! A version counts as shown once the whole response that held it was handed to the operating system, not before: a page
//! that was cut off showed nothing. An incident without its alerts, or with the first of them only, is not the version:
//! it is kept apart as bare. One whose alerts came on several pages is shown when the last of them has left.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::faults::{Api, Endpoint, Target};
use super::realm::Form;
use super::world::World;

/// Requests remembered; older ones are forgotten first.
const LOG_LIMIT: usize = 200_000;

/// One version of one incident.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Version {
    pub tenant: Uuid,
    pub incident: u64,
    /// The world's own count of the incident's changes, the first being 1; alert-only changes count as well.
    pub revision: u32,
}

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// The world's time in ticks.
    pub at: i64,
    pub endpoint: Endpoint,
    /// `None` for tokens, and for what neither API has.
    pub api: Option<Api>,
    /// From the path of a token request, from the token of any other.
    pub tenant: Option<Uuid>,
    pub path: String,
    /// The query as sent, still encoded.
    pub query: String,
    /// `None`: no answer was begun.
    pub status: Option<u16>,
    /// The whole answer was handed to the operating system.
    pub complete: bool,
}

/// A handle on the books. Clones are the same books.
#[derive(Clone)]
pub struct Books(Arc<Inner>);

struct Inner {
    world: World,
    pages: Mutex<Pages>,
    changed: Notify,
}

/// What a response shows of one version.
#[derive(Clone)]
pub(super) enum Shown {
    Whole(Version),
    Bare(Version),
    /// Some of its alerts, of so many.
    Alerts {
        version: Version,
        form: Form,
        alerts: Range<usize>,
        of: usize,
    },
}

type Named = HashMap<(Uuid, u128), (u64, u32)>;

#[derive(Default)]
struct Pages {
    texts: Named,
    bare: Named,
    values: Named,
    /// Whole texts of incidents whose alerts came on several pages.
    assembled: HashMap<Version, Bytes>,
    /// The alerts that have left of those that are not shown whole yet.
    parts: HashMap<(Version, Form), HashSet<usize>>,
    shown: HashSet<Version>,
    shown_bare: HashSet<Version>,
    log: VecDeque<Request>,
    forgotten: u64,
    lists: HashMap<Uuid, Concurrency>,
    tokens: Vec<String>,
    token_requests: u64,
    throttled: u64,
    unsettled: usize,
}

#[derive(Default)]
struct Concurrency {
    now: usize,
    most: usize,
}

impl Books {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Inner {
            world,
            pages: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Every version whose bytes went out whole.
    pub fn shown(&self) -> HashSet<Version> {
        self.pages().shown.clone()
    }

    pub fn shown_count(&self) -> usize {
        self.pages().shown.len()
    }

    /// Every version that was shown without its alerts, or with the first of them only.
    pub fn shown_bare(&self) -> HashSet<Version> {
        self.pages().shown_bare.clone()
    }

    /// The incident and revision that this very text, byte for byte, was served as: whole or bare.
    pub fn identify(&self, tenant: Uuid, data: &[u8]) -> Option<(u64, u32)> {
        let key = (tenant, xxh3_128(data));
        let pages = self.pages();
        pages
            .texts
            .get(&key)
            .or_else(|| pages.bare.get(&key))
            .copied()
    }

    /// Whether this very text was served as an incident that lacks alerts.
    pub fn is_bare(&self, tenant: Uuid, data: &[u8]) -> bool {
        let key = (tenant, xxh3_128(data));
        let pages = self.pages();
        !pages.texts.contains_key(&key) && pages.bare.contains_key(&key)
    }

    /// The incident and revision that this is the whole of, as Graph shows it: whatever the order of its keys, and
    /// without what OData says of it at its top.
    pub fn identify_value(&self, tenant: Uuid, incident: &Value) -> Option<(u64, u32)> {
        let key = (tenant, essence(incident.clone()));
        self.pages().values.get(&key).copied()
    }

    /// The whole of an incident whose alerts came on several pages.
    pub fn assembled(&self, version: Version) -> Option<Value> {
        let text = self.pages().assembled.get(&version).cloned()?;
        serde_json::from_slice(&text).ok()
    }

    /// Every version present in the world now.
    pub fn current(&self) -> Vec<Version> {
        self.0.world.current()
    }

    /// The requests so far in the order of their arrival; the oldest are forgotten after 200,000.
    pub fn requests(&self) -> Vec<Request> {
        self.pages().log.iter().cloned().collect()
    }

    /// The greatest number of list requests of one tenant that were ever at work at once.
    pub fn most_concurrent_lists(&self, tenant: Uuid) -> usize {
        self.pages()
            .lists
            .get(&tenant)
            .map_or(0, |lists| lists.most)
    }

    pub fn token_requests(&self) -> u64 {
        self.pages().token_requests
    }

    /// Every access token ever issued: none may turn up in what the daemon writes.
    pub fn issued_tokens(&self) -> Vec<String> {
        self.pages().tokens.clone()
    }

    /// How often 429 was answered, by a quota or a fault.
    pub fn throttled(&self) -> u64 {
        self.pages().throttled
    }

    /// Returns when no response is on its way: what was shown until then is entered.
    pub async fn settled(&self) {
        self.wait(|pages| pages.unsettled == 0).await;
    }

    /// Returns when the requests so far satisfy `met`, which is asked again whenever one arrives or ends. It must not
    /// itself ask the books.
    pub async fn until(&self, mut met: impl FnMut(&[Request]) -> bool) {
        self.wait(|pages| met(pages.log.make_contiguous())).await;
    }

    async fn wait(&self, mut met: impl FnMut(&mut Pages) -> bool) {
        loop {
            // Made before looking: a change in between is not missed.
            let changed = self.0.changed.notified();
            if met(&mut self.pages()) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn served_as(&self, version: Version, text: &[u8]) {
        let (key, value) = named(version, xxh3_128(text));
        self.pages().texts.insert(key, value);
    }

    pub(super) fn served_bare(&self, version: Version, text: &[u8]) {
        let (key, value) = named(version, xxh3_128(text));
        self.pages().bare.insert(key, value);
    }

    /// What a text says is the whole of a version, even when no client ever gets that very text.
    pub(super) fn means(&self, version: Version, text: &[u8]) {
        let essence = serde_json::from_slice(text).map_or(0, essence);
        let (key, value) = named(version, essence);
        self.pages().values.insert(key, value);
    }

    pub(super) fn assembled_as(&self, version: Version, text: Bytes) {
        self.means(version, &text);
        self.pages().assembled.insert(version, text);
    }

    pub(super) fn issued(&self, token: String) {
        self.pages().tokens.push(token);
    }

    pub(super) fn arrived(&self, target: Target, path: &str, query: &str) -> Flight {
        let Target {
            api,
            endpoint,
            tenant,
            ..
        } = target;
        let at = self.0.world.now();
        let mut pages = self.pages();
        pages.unsettled += 1;
        if endpoint == Endpoint::Token {
            pages.token_requests += 1;
        }
        let listing = tenant.filter(|_| endpoint == Endpoint::List);
        if let Some(tenant) = listing {
            let lists = pages.lists.entry(tenant).or_default();
            lists.now += 1;
            lists.most = lists.most.max(lists.now);
        }
        pages.log.push_back(Request {
            at,
            endpoint,
            api,
            tenant,
            path: path.to_owned(),
            query: query.to_owned(),
            status: None,
            complete: false,
        });
        if pages.log.len() > LOG_LIMIT {
            pages.log.pop_front();
            pages.forgotten += 1;
        }
        self.0.changed.notify_waiters();
        Flight {
            number: pages.forgotten + pages.log.len() as u64 - 1,
            books: self.clone(),
            listing,
            shown: Vec::new(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock()
    }
}

fn named(version: Version, hash: u128) -> ((Uuid, u128), (u64, u32)) {
    let Version {
        tenant,
        incident,
        revision,
    } = version;
    ((tenant, hash), (incident, revision))
}

/// The hash of what an incident says, beside what OData adds at its top.
fn essence(mut incident: Value) -> u128 {
    if let Value::Object(members) = &mut incident {
        members.retain(|name, _| !name.contains("@odata."));
    }
    // A map of serde_json is sorted by its keys.
    xxh3_128(incident.to_string().as_bytes())
}

impl Pages {
    fn show(&mut self, shown: Shown) {
        match shown {
            Shown::Whole(version) => {
                self.shown.insert(version);
            }
            Shown::Bare(version) => {
                self.shown_bare.insert(version);
            }
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

/// A request at work, until its answer has left or was given up.
pub(super) struct Flight {
    books: Books,
    number: u64,
    listing: Option<Uuid>,
    shown: Vec<Shown>,
}

impl Flight {
    pub fn answered(&mut self, status: u16, shown: Vec<Shown>) {
        self.shown = shown;
        let mut pages = self.books.pages();
        if let Some(request) = pages.request(self.number) {
            request.status = Some(status);
        }
        if status == 429 {
            pages.throttled += 1;
        }
    }

    /// The body is with the HTTP library. The client may have its last byte before we learn that it left, and may ask
    /// again at once: from here on the request is no longer at work.
    pub fn handed_over(&mut self) {
        let mut pages = self.books.pages();
        if let Some(tenant) = self.listing.take()
            && let Some(lists) = pages.lists.get_mut(&tenant)
        {
            lists.now -= 1;
        }
    }

    /// The last byte is with the operating system.
    pub fn left(mut self) {
        let shown = std::mem::take(&mut self.shown);
        let mut pages = self.books.pages();
        shown.into_iter().for_each(|shown| pages.show(shown));
        if let Some(request) = pages.request(self.number) {
            request.complete = true;
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.handed_over();
        self.books.pages().unsettled -= 1;
        self.books.0.changed.notify_waiters();
    }
}
