//! The links to the next page of a list: opaque, unique, and valid only as a whole (section 3.1, paging rules).
//!
//! The seal of a link's token covers the tenant, the path and the rest of the query. A client that changes any of them is
//! refused.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::errors::Refusal;
use super::urlencoded;

const TOKEN: &str = "$skiptoken";

pub(super) struct Links {
    /// The simulator's own address.
    url: String,
    serial: AtomicU64,
}

impl Links {
    pub fn new(url: String) -> Self {
        let serial = AtomicU64::new(1);
        Self { url, serial }
    }

    /// A link with the same query except for `$skip`, which remembers `state`.
    pub fn write(&self, tenant: Uuid, path: &str, query: &str, state: &[u64]) -> String {
        let mut numbers = vec![self.serial.fetch_add(1, Ordering::Relaxed)];
        numbers.extend(state);
        numbers.push(seal(tenant, path, query, &numbers));
        let token = URL_SAFE_NO_PAD.encode(json!(numbers).to_string());
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
        Ok(Some(numbers.split_off(1)))
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
    let text = URL_SAFE_NO_PAD.decode(token).ok()?;
    let numbers: Option<Vec<_>> = serde_json::from_slice(&text).ok();
    numbers.filter(|all| all.len() > 1)
}

/// It covers the decoded query: a client may escape more characters than necessary.
fn seal(tenant: Uuid, path: &str, query: &str, numbers: &[u64]) -> u64 {
    let rest: Vec<_> = urlencoded::pairs(query)
        .filter(|(key, _)| !replaced(key.as_deref()))
        .collect();
    xxh3_64(format!("{tenant} {path} {rest:?} {numbers:?}").as_bytes())
}
