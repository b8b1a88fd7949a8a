//! The links that a list goes on by: opaque, each its own, good only as a whole.
//!
//! A link's token is sealed with the tenant, the path and the rest of the query. Whoever takes it out of its link, or
//! changes what stands beside it, is refused.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::form;

const TOKEN: &str = "$skiptoken";

pub(super) struct Links {
    /// The simulator's own address.
    pub url: String,
    /// Whether a link may be followed once only.
    pub once: bool,
    serial: AtomicU64,
    followed: Mutex<HashSet<u64>>,
}

/// Where a link leads: whose it is, and its path.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub tenant: Uuid,
    pub path: &'a str,
}

/// Why a link is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// It is not as it was given.
    Altered,
    /// It was good once, but is no more.
    Stale,
}

impl Links {
    pub fn new(url: String, once: bool) -> Self {
        Self {
            url,
            once,
            serial: AtomicU64::new(1),
            followed: Mutex::default(),
        }
    }

    /// A link that keeps the query as it was, but for `$skip`, and remembers `state`.
    pub fn write(&self, place: Place<'_>, query: &str, state: &[u64]) -> String {
        let kept = query.split('&').filter(|pair| {
            let key = pair.split('=').next().and_then(form::decode);
            !pair.is_empty() && !matches!(key.as_deref(), Some("$skip" | TOKEN))
        });
        let mut pairs: Vec<_> = kept.map(str::to_owned).collect();
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut numbers = vec![serial];
        numbers.extend(state);
        numbers.push(seal(place, query, &numbers));
        let text: Vec<_> = numbers.iter().map(|number| format!("{number:x}")).collect();
        let token = URL_SAFE_NO_PAD.encode(text.join("-"));
        pairs.push(format!("{}={token}", form::encode(TOKEN)));
        format!("{}{}?{}", self.url, place.path, pairs.join("&"))
    }

    /// The state that a followed link remembers; `None`: no link was followed.
    pub fn open(&self, place: Place<'_>, query: &str) -> Result<Option<Vec<u64>>, Broken> {
        let Some(token) = token(query) else {
            return Ok(None);
        };
        let mut numbers = numbers(&token).ok_or(Broken::Altered)?;
        let sealed = numbers.pop();
        if sealed != Some(seal(place, query, &numbers)) {
            return Err(Broken::Altered);
        }
        let state = numbers.split_off(1);
        let mut followed = self.followed.lock();
        let first = numbers.first().is_some_and(|n| followed.insert(*n));
        if self.once && !first {
            return Err(Broken::Stale);
        }
        Ok(Some(state))
    }
}

/// Whether a query is that of a followed link.
pub(super) fn followed(query: &str) -> bool {
    token(query).is_some()
}

fn token(query: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| form::decode(key).as_deref() == Some(TOKEN))?;
    form::decode(value)
}

fn numbers(token: &str) -> Option<Vec<u64>> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let numbers = text.split('-').map(|hex| u64::from_str_radix(hex, 16).ok());
    numbers
        .collect::<Option<Vec<_>>>()
        .filter(|all| all.len() > 1)
}

/// Over the query's meaning, not its spelling: a client may escape more than it has to.
fn seal(place: Place<'_>, query: &str, numbers: &[u64]) -> u64 {
    let rest: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form::decode(key), form::decode(value))
        })
        .filter(|(key, _)| !matches!(key.as_deref(), Some("$skip" | TOKEN)))
        .collect();
    xxh3_64(format!("{} {} {rest:?} {numbers:?}", place.tenant, place.path).as_bytes())
}
