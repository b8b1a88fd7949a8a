//! The status page: what `/api/status` says, for a person with a browser.
//!
//! One document without scripts, pictures or anything else to fetch; it reloads itself every few seconds. Every text in it
//! is escaped, and its policy allows a browser only to show it.

use askama::Template;
use bytes::Bytes;
use uuid::Uuid;

use crate::core::format::{gist, grouped, span, tally, tame};
use crate::core::health::failure::Health;
use crate::core::health::sentences;
use crate::core::health::status::{
    BackfillStatus, OwnershipStatus, PartState, PartStatus, StatusReport, TenantStatus,
};
use crate::core::time::ticks::Ticks;

const REFRESH_SECONDS: u32 = 10;

const STYLE: &str = include_str!("page.css");

/// Takes the place of the nonce in a shared page. No text from outside comes before that place.
pub const MARK: Uuid = Uuid::nil();

/// The `Content-Security-Policy` header of a page.
pub fn policy(nonce: Uuid) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The parts before and after the nonce of a page that was rendered with [`MARK`].
pub fn around_mark(html: &Bytes) -> Option<(Bytes, Bytes)> {
    let mark = MARK.to_string();
    let at = memchr::memmem::find(html, mark.as_bytes())?;
    Some((html.slice(..at), html.slice(at + mark.len()..)))
}

/// The page at `now`. The unpredictable `nonce` marks the one style sheet as the daemon's own.
///
/// # Errors
/// None in practice: writing to a text does not fail.
pub fn render(report: &StatusReport, now: Ticks, nonce: Uuid) -> askama::Result<String> {
    let page = StatusPage { report, now, nonce };
    page.render()
}

/// The template escapes every value. A text from outside goes through [`tame`] as well.
#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    report: &'a StatusReport,
    now: Ticks,
    nonce: Uuid,
}

impl StatusPage<'_> {
    fn states(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.report
            .tenants
            .iter()
            .map(|tenant| tenant.state.as_str())
    }

    fn as_of(&self) -> Ticks {
        Ticks::from_unix_seconds(self.now.unix_seconds())
    }

    fn seconds_since(&self, at: &Ticks) -> u64 {
        self.now.since(*at).as_secs()
    }

    fn age(&self, at: &Ticks) -> String {
        span(self.seconds_since(at))
    }

    fn parts(&self) -> [(&'static str, &PartStatus); 2] {
        [
            ("Kafka", &self.report.kafka),
            ("Ledger", &self.report.ledger),
        ]
    }

    fn lag(&self, tenant: &TenantStatus) -> String {
        tenant.lag_seconds.map_or_else(|| "-".into(), span)
    }

    fn last_success(&self, tenant: &TenantStatus) -> String {
        let at = tenant.last_success;
        at.map_or_else(|| "-".into(), |at| format!("{} ago", self.age(&at)))
    }
}

fn partitions(ownership: &OwnershipStatus) -> String {
    let partitions = ownership.partitions.iter();
    let partitions = partitions.map(|one| (one.id, one.state.as_str()));
    sentences::ownership(partitions, ownership.member.as_deref())
}

fn sentence_of(fill: &BackfillStatus) -> String {
    let broke_off = fill.error.as_ref();
    let broke_off = broke_off.map(|why| format!("; it broke off: {}", tame(why)));
    format!(
        "back-fill: {} still to be read, between {} and {}{}",
        span(fill.open_seconds),
        fill.from,
        fill.to,
        broke_off.unwrap_or_default()
    )
}

fn class(state: &Health) -> &'static str {
    match state {
        Health::Ok => "good",
        Health::Starting | Health::Throttled => "fair",
        _ => "bad",
    }
}

fn class_of_part(state: &PartState) -> &'static str {
    match state {
        PartState::Ok => "good",
        PartState::Starting => "fair",
        PartState::Unavailable | PartState::Failed => "bad",
    }
}

#[cfg(test)]
mod tests;
