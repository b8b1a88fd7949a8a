//! The status page, for a person with a browser: the fleet at `/`, and one tenant at `/tenants/ID`.
//!
//! The documents have no scripts and fetch nothing but their own style sheet. The policy in [`POLICY`] allows a browser only to
//! show them and to send the search to this daemon. The templates escape every value, and a text from outside goes through
//! `tame` as well. A page has at most [`PER_PAGE`](crate::core::health::fleet_view::PER_PAGE) tenants, and a long text on it is
//! cut: its size is bounded.
//!
//! Each partial template in `templates/` belongs to a part of the page.

mod address;
mod fleet;
mod sparkline;
mod tenant;

use crate::core::format::{is_wild, span};
use crate::core::health::failure::Health;
use crate::core::health::fleet_view::{LastSweep, TenantView};
use crate::core::health::status::{BackfillStatus, PartState};
use crate::core::time::ticks::Ticks;

pub use address::{PageAddress, PageParameters, tenant_link};
pub use fleet::render as render_fleet;
pub use tenant::render as render_tenant;

pub const STYLE: &str = include_str!("page.css");

/// The `Content-Security-Policy` of the pages.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const REFRESH_SECONDS: u32 = 30;

/// The most characters of one text from outside.
const MOST_TEXT: usize = 800;

/// What every page needs to know besides its content.
#[derive(Clone, Copy)]
struct PageMoment {
    now: Ticks,
    /// Whether the page loads itself anew.
    refresh: bool,
}

impl PageMoment {
    /// The address of the whole fleet.
    fn front(&self) -> &'static str {
        match self.refresh {
            true => "/",
            false => "/?refresh=off",
        }
    }

    fn age(&self, at: &Ticks) -> String {
        span(self.now.since(*at).as_secs())
    }

    /// `14s ago`.
    fn ago(&self, at: &Option<Ticks>) -> String {
        at.map_or_else(unknown, |at| format!("{} ago", self.age(&at)))
    }

    /// `in 8s`.
    fn ahead(&self, at: &Option<Ticks>) -> String {
        match at.map(|at| at.since(self.now).as_secs()) {
            None => unknown(),
            Some(0) => "now".to_owned(),
            Some(seconds) => format!("in {}", span(seconds)),
        }
    }

    fn last_sweep(&self, sweep: &Option<LastSweep>) -> String {
        match sweep {
            None => "none yet".to_owned(),
            Some(sweep) => {
                let failed = if sweep.failed { ", failed" } else { "" };
                format!("{} ago{failed}", self.age(&sweep.ended))
            }
        }
    }
}

fn unknown() -> String {
    "-".to_owned()
}

/// `2026-11-24 02:14:07 UTC`.
fn instant(at: &Ticks) -> String {
    let text = Ticks::from_unix_seconds(at.unix_seconds()).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// A text from outside, without what can't be seen and not too long.
fn tame(text: &str) -> String {
    let seen = |c: char| if is_wild(c) { ' ' } else { c };
    let mut tame: String = text.chars().take(MOST_TEXT).map(seen).collect();
    if tame.len() < text.len() {
        tame.push('…');
    }
    tame
}

/// What to do about a tenant. The link is shown apart, where it can be copied.
fn remedy(view: &TenantView) -> Option<String> {
    let remedy = view.status.remedy.as_deref()?;
    let remedy = match &view.consent_link {
        Some(link) => remedy.replace(link, "the link below"),
        None => remedy.to_owned(),
    };
    Some(tame(&remedy))
}

fn backfill(fill: &BackfillStatus) -> String {
    let broke_off = fill.error.as_ref();
    let broke_off = broke_off.map(|why| format!("; it broke off: {}", tame(why)));
    format!(
        "back-fill: {} still to be read, between {} and {}{}",
        span(fill.open_seconds),
        fill.from.second(),
        fill.to.second(),
        broke_off.unwrap_or_default()
    )
}

/// How a state looks. Each class has a mark of its own, so that no meaning depends on colour alone.
fn class(state: &Health) -> &'static str {
    match state {
        Health::Ok => "good",
        // As ordered: nothing is wrong.
        Health::Paused => "idle",
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

fn mark(class: &str) -> &'static str {
    match class {
        "good" => "✓",
        "fair" => "…",
        "idle" => "‖",
        _ => "!",
    }
}

#[cfg(test)]
mod tests;
