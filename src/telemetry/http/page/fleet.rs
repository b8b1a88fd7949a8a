//! The page of the fleet.

use std::iter::repeat_n;

use askama::Template;

use super::address::PageAddress;
use super::sparkline::Sparkline;
use super::{
    PageMoment, REFRESH_SECONDS, backfill, class, class_of_part, instant, mark, remedy, tame,
    unknown,
};
use crate::core::format::{gist, grouped, span, tally};
use crate::core::health::alarms::Alarm;
use crate::core::health::failure::Health;
use crate::core::health::fleet_view::{FleetView, MOST_SEARCH, PER_PAGE, TenantView};
use crate::core::health::sentences;
use crate::core::health::status::{OwnershipStatus, PartStatus, TenantStatus};
use crate::core::time::ticks::Ticks;

/// The page that `address` asks for, at `now`.
///
/// # Errors
/// None in practice: writing to a text does not fail.
pub fn render(view: &FleetView, address: &PageAddress, now: Ticks) -> askama::Result<String> {
    let moment = PageMoment {
        now,
        refresh: address.refresh,
    };
    FleetTemplate {
        view,
        address,
        moment,
    }
    .render()
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetTemplate<'a> {
    view: &'a FleetView,
    address: &'a PageAddress,
    moment: PageMoment,
}

impl FleetTemplate<'_> {
    /// The state of each tenant, worst first.
    fn states(&self) -> impl Iterator<Item = &'static str> + Clone {
        let counts = self.view.selection.counts.iter();
        counts.flat_map(|(state, count)| repeat_n(state.as_str(), *count))
    }

    fn title(&self) -> String {
        tally(self.states())
    }

    fn toggled(&self) -> String {
        self.address.toggled()
    }

    fn seconds_since(&self, at: &Ticks) -> u64 {
        self.moment.now.since(*at).as_secs()
    }

    fn heading(&self, alarm: &Alarm) -> String {
        let (tenants, state) = (alarm.tenants, alarm.state.as_str());
        match (alarm.named.is_empty(), alarm.state) {
            // A tenant is well as long as its last token holds.
            (false, Health::Credential) => sentences::no_new_token(tenants),
            _ => sentences::alarm(tenants, state, Some(self.seconds_since(&alarm.since))),
        }
    }

    fn parts(&self) -> [(&'static str, &PartStatus); 2] {
        let report = &self.view.report;
        let ledger = match report.ledger.kind {
            Some("kafka") => "Ledger in Kafka",
            _ => "Ledger",
        };
        [("Kafka", &report.kafka), (ledger, &report.ledger)]
    }

    fn fleet_spark(&self) -> Sparkline {
        Sparkline::new(&self.view.hours, self.moment.now)
    }

    fn spark(&self, tenant: &TenantView) -> Sparkline {
        Sparkline::new(&tenant.hours, self.moment.now)
    }

    /// The number of the alarm on this page that `tenant` belongs to.
    fn alarm(&self, tenant: &TenantView) -> Option<usize> {
        let cause = tenant.status.alarm.as_deref()?;
        let mut alarms = self.view.report.alarms.iter();
        alarms
            .position(|alarm| alarm.cause == cause)
            .map(|at| at + 1)
    }

    /// Which of those found are on this page: `Tenants 101 to 200 of 10,000`.
    fn range(&self) -> String {
        let selection = &self.view.selection;
        let first = (selection.page - 1) * PER_PAGE;
        let numbers = [first + 1, first + selection.shown.len(), selection.found];
        let [first, last, all] = numbers.map(|number| count(&number));
        match selection.found {
            0 => "No tenant".to_owned(),
            _ => format!("Tenants {first} to {last} of {all}"),
        }
    }

    /// The address of the tenants in this state.
    fn in_state(&self, state: &Health) -> String {
        self.address.in_state(Some(*state))
    }

    fn is_in_state(&self, state: &Health) -> bool {
        self.address.query.state == Some(*state)
    }

    /// The number of tenants that the search finds.
    fn all(&self) -> String {
        let matching = self.view.selection.matching.iter();
        count(&matching.map(|(_, tenants)| tenants).sum())
    }

    /// The links to the pages before this one.
    fn back(&self) -> Vec<(&'static str, String)> {
        let page = self.view.selection.page;
        let to = |page| self.address.at_page(page);
        match page {
            0 | 1 => Vec::new(),
            page => vec![("First", to(1)), ("Previous", to(page - 1))],
        }
    }

    /// The links to the pages after this one.
    fn forward(&self) -> Vec<(&'static str, String)> {
        let (page, last) = (self.view.selection.page, self.view.selection.pages);
        let to = |page| self.address.at_page(page);
        match page < last {
            true => vec![("Next", to(page + 1)), ("Last", to(last))],
            false => Vec::new(),
        }
    }

    fn is_filtered(&self) -> bool {
        self.address.query.state.is_some() || !self.address.query.search().is_empty()
    }
}

/// Whether the cards of Kafka and of the ledger say all that there is to say.
fn only_starts(status: &TenantStatus) -> bool {
    status.state == Health::Starting && status.error.is_none()
}

/// `and 35 more`.
fn unnamed(alarm: &Alarm) -> Option<String> {
    let more = alarm.tenants.saturating_sub(alarm.named.len());
    (more > 0).then(|| format!("and {} more", count(&more)))
}

fn count(tenants: &usize) -> String {
    grouped(*tenants as u64)
}

/// `1 active, 1 restoring`.
fn stages(ownership: &OwnershipStatus) -> String {
    let stages = ownership.partitions.iter().map(|one| one.state.as_str());
    match ownership.partitions.is_empty() {
        true => "none".to_owned(),
        false => tally(stages),
    }
}

/// The partitions of each stage: `active: 0-2, 7`.
fn partitions(ownership: &OwnershipStatus) -> Vec<String> {
    let mut stages: Vec<_> = ownership.partitions.iter().map(|one| one.state).collect();
    stages.sort_unstable();
    stages.dedup();
    let line = |stage| {
        let of = ownership.partitions.iter().filter(|one| one.state == stage);
        let ids: Vec<u16> = of.map(|one| one.id).collect();
        format!("{stage}: {}", sentences::ranges(&ids))
    };
    stages.into_iter().map(line).collect()
}
