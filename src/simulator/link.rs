//! The links to the next page of a list: opaque, unique, and valid only as a whole (section 3.1, paging rules).
//!
//! The seal of a link's token covers the tenant, the path and the rest of the query. A client that changes any of them is
//! refused.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::errors::Refusal;
use super::faults::Effect;
use super::urlencoded;

const TOKEN: &str = "$skiptoken";

pub(super) struct Links {
    /// The simulator's own address.
    url: String,
    /// Whether a link may be followed once only.
    once: bool,
    serial: AtomicU64,
    followed: Mutex<HashSet<u64>>,
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

    /// A link with the same query except for `$skip`, which remembers `state`.
    pub fn write(&self, tenant: Uuid, path: &str, query: &str, state: &[u64]) -> String {
        let mut numbers = vec![self.serial.fetch_add(1, Ordering::Relaxed)];
        numbers.extend(state);
        numbers.push(seal(tenant, path, query, &numbers));
        let text: Vec<_> = numbers.iter().map(|number| format!("{number:x}")).collect();
        let token = URL_SAFE_NO_PAD.encode(text.join("-"));
        let kept = query.split('&').filter(|pair| {
            let key = pair.split('=').next().and_then(urlencoded::decode);
            !pair.is_empty() && !replaced(key.as_deref())
        });
        let mut pairs: Vec<_> = kept.map(str::to_owned).collect();
        pairs.push(format!("%24skiptoken={token}"));
        format!("{}{path}?{}", self.url, pairs.join("&"))
    }

    /// The state that a followed link remembers; `None`: no link was followed.
    pub fn open(&self, tenant: Uuid, path: &str, query: &str) -> Result<Option<Vec<u64>>, Refusal> {
        let Some(token) = token(query) else {
            return Ok(None);
        };
        let altered = || Refusal::error("AlteredLink", []);
        let mut numbers = numbers(&token).ok_or_else(altered)?;
        let sealed = numbers.pop();
        if sealed != Some(seal(tenant, path, query, &numbers)) {
            return Err(altered());
        }
        let state = numbers.split_off(1);
        let mut followed = self.followed.lock();
        let first = numbers.first().is_some_and(|n| followed.insert(*n));
        if self.once && !first {
            return Err(Refusal::Fault(Effect::StaleLink(410)));
        }
        Ok(Some(state))
    }
}

/// The token of a followed link.
pub(super) fn token(query: &str) -> Option<String> {
    let mut pairs = urlencoded::pairs(query);
    pairs.find(|(key, _)| key.as_deref() == Some(TOKEN))?.1
}

/// Whether a link has this option in its token.
fn replaced(key: Option<&str>) -> bool {
    matches!(key, Some("$skip" | TOKEN))
}

fn numbers(token: &str) -> Option<Vec<u64>> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let numbers = text.split('-').map(|hex| u64::from_str_radix(hex, 16).ok());
    let numbers = numbers.collect::<Option<Vec<_>>>();
    numbers.filter(|all| all.len() > 1)
}

/// It covers the decoded query: a client may escape more characters than necessary.
fn seal(tenant: Uuid, path: &str, query: &str, numbers: &[u64]) -> u64 {
    let rest: Vec<_> = urlencoded::pairs(query)
        .filter(|(key, _)| !replaced(key.as_deref()))
        .collect();
    xxh3_64(format!("{tenant} {path} {rest:?} {numbers:?}").as_bytes())
}
