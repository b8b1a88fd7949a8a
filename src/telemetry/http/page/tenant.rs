//! The page of a tenant.

use askama::Template;

use super::address::tenant_link;
use super::sparkline::Sparkline;
use super::{PageMoment, REFRESH_SECONDS, backfill, class, instant, mark, remedy, tame, unknown};
use crate::core::format::{grouped, span};
use crate::core::health::activity::{EventKind, MOST_EVENTS, TenantEvent};
use crate::core::health::failure::Health;
use crate::core::health::fleet_view::TenantDetails;
use crate::core::sweep::backlog::Interval;
use crate::core::time::ticks::Ticks;

/// The page of a tenant, at `now`.
///
/// # Errors
/// None in practice: writing to a text does not fail.
pub fn render(details: &TenantDetails, refresh: bool, now: Ticks) -> askama::Result<String> {
    let moment = PageMoment { now, refresh };
    TenantTemplate { details, moment }.render()
}

#[derive(Template)]
#[template(path = "tenant.html")]
struct TenantTemplate<'a> {
    details: &'a TenantDetails,
    moment: PageMoment,
}

impl TenantTemplate<'_> {
    fn title(&self) -> String {
        let status = &self.details.view.status;
        format!("{}: {}", tame(&status.name), status.state)
    }

    fn toggled(&self) -> String {
        tenant_link(self.details.view.status.id, !self.moment.refresh)
    }

    /// What is still to be read beside the open intervals; `None`: nothing.
    fn unread_beyond(&self) -> Option<String> {
        let status = &self.details.view.status;
        let what = match (status.state, status.cursor) {
            (Health::Ok, _) => return None,
            (_, None) => {
                return Some("Not known before a sweep or a command has ended.".to_owned());
            }
            (Health::Paused, Some(_)) => "After a resume, all",
            (_, Some(_)) => "All",
        };
        let cursor = status.cursor.as_ref().map_or_else(unknown, instant);
        Some(format!("{what} from the cursor on, {cursor}."))
    }

    fn spark(&self) -> Sparkline {
        Sparkline::new(&self.details.view.hours, self.moment.now)
    }

    /// An instant, and how far it is from now.
    fn expires(&self, at: &Option<Ticks>) -> String {
        match at {
            None => unknown(),
            Some(at) if *at <= self.moment.now => format!("{}, over", instant(at)),
            Some(at) => format!("{}, {}", instant(at), self.moment.ahead(&Some(*at))),
        }
    }

    fn past(&self, at: &Option<Ticks>) -> String {
        match at {
            None => unknown(),
            Some(known) => format!("{}, {}", instant(known), self.moment.ago(at)),
        }
    }

    fn sweep(&self) -> String {
        let text = self.moment.last_sweep(&self.details.view.last_sweep);
        match self.details.view.last_sweep {
            Some(sweep) => format!("{text}, took {:.1} s", sweep.took.as_secs_f64()),
            None => text,
        }
    }
}

fn event(event: &TenantEvent) -> String {
    let what = match event.kind {
        EventKind::Joined => "this process began to read the tenant".to_owned(),
        EventKind::NewSettings => "new settings".to_owned(),
        EventKind::FirstSuccess => "first successful sweep".to_owned(),
        EventKind::Changed(state) => format!("now {state}"),
        EventKind::SweepFailed => "a sweep failed".to_owned(),
        EventKind::BackfillFailed => "a back-fill failed".to_owned(),
    };
    match event.times {
        1 => what,
        times => format!("{what}, {} times", grouped(times.into())),
    }
}

fn class_of_event(event: &TenantEvent) -> &'static str {
    match event.kind {
        EventKind::Changed(state) => class(&state),
        EventKind::SweepFailed | EventKind::BackfillFailed => class(&Health::Unreachable),
        EventKind::FirstSuccess => class(&Health::Ok),
        EventKind::Joined | EventKind::NewSettings => "",
    }
}

fn length(interval: &Interval) -> String {
    span(interval.to.since(interval.from).as_secs())
}
