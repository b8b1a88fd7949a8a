//! What the status page shows: one page of the fleet, or one tenant. Plain values, taken at one moment. As everything that the
//! endpoints show, they contain no secret.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::activity::{HOURS, TenantEvent};
use super::failure::Health;
use super::status::{StatusReport, TenantRank, TenantStatus};
use crate::core::ids::TenantId;
use crate::core::sweep::backlog::Interval;
use crate::core::time::ticks::Ticks;

/// The tenants of one page.
pub const PER_PAGE: usize = 100;

/// The most characters of a search that count.
pub const MOST_SEARCH: usize = 100;

/// Which tenants to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetQuery {
    search: String,
    pub state: Option<Health>,
    /// From 1. One beyond the last means the last.
    pub page: usize,
}

impl FleetQuery {
    /// `search` is a part of a name or an id, in any letter case. An empty one finds all.
    pub fn new(search: &str, state: Option<Health>, page: usize) -> Self {
        let search: String = search.trim().chars().take(MOST_SEARCH).collect();
        Self {
            search: search.trim_end().to_owned(),
            state,
            page: page.max(1),
        }
    }

    pub fn search(&self) -> &str {
        &self.search
    }

    /// Chooses from `tenants`.
    pub fn select(&self, tenants: Vec<TenantKey>) -> FleetSelection {
        let mut counts = counts(&tenants);
        counts.retain(|(_, count)| *count > 0);
        let search = self.search.to_lowercase();
        let mut found = tenants;
        found.retain(|tenant| tenant.has(&search));
        let mut matching = self::counts(&found);
        matching.retain(|(state, _)| counts.iter().any(|(held, _)| held == state));
        found.retain(|tenant| self.state.is_none_or(|state| state == tenant.state));
        found.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
        let pages = found.len().div_ceil(PER_PAGE).max(1);
        let page = self.page.clamp(1, pages);
        let shown = found.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE);
        FleetSelection {
            counts,
            matching,
            page,
            pages,
            shown: shown.map(|tenant| tenant.id).collect(),
            found: found.len(),
        }
    }
}

/// How many `tenants` are in each state, worst first.
fn counts(tenants: &[TenantKey]) -> Vec<(Health, usize)> {
    let mut counts = Health::ALL.map(|state| (state, 0)).to_vec();
    for tenant in tenants {
        if let Some((_, count)) = counts.iter_mut().find(|(state, _)| *state == tenant.state) {
            *count += 1;
        }
    }
    counts.sort_by_key(|(state, _)| Reverse(state.severity()));
    counts
}

/// What the order and the search need to know of a tenant.
#[derive(Debug, Clone)]
pub struct TenantKey {
    pub id: TenantId,
    pub name: Arc<str>,
    pub state: Health,
    pub since: Ticks,
}

impl TenantKey {
    fn rank(&self) -> TenantRank<'_> {
        TenantRank::new(self.state, self.since, &self.name, self.id)
    }

    /// Whether its name or id contains `search`, which is in lower case.
    fn has(&self, search: &str) -> bool {
        search.is_empty()
            || self.name.to_lowercase().contains(search)
            || self.id.to_string().contains(search)
    }
}

/// One page of those found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSelection {
    /// How many tenants of the whole fleet are in each state, worst first. States without tenants are left out.
    pub counts: Vec<(Health, usize)>,
    /// How many the search finds in each of these states.
    pub matching: Vec<(Health, usize)>,
    /// From 1.
    pub page: usize,
    pub pages: usize,
    /// Worst first.
    pub shown: Vec<TenantId>,
    /// How many were found, on all pages.
    pub found: usize,
}

/// One page of the fleet.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// Of the daemon. Its list of tenants is empty: the others here are shown.
    pub report: StatusReport,
    pub selection: FleetSelection,
    /// The tenants of the page, worst first.
    pub tenants: Vec<TenantView>,
    /// Records of the whole fleet in each of the last hours, oldest first.
    pub hours: [u64; HOURS],
}

/// A tenant in the list.
#[derive(Debug, Clone)]
pub struct TenantView {
    pub status: TenantStatus,
    pub last_sweep: Option<LastSweep>,
    /// Records in each of the last hours, oldest first.
    pub hours: [u32; HOURS],
    /// Where an administrator of the tenant consents.
    pub consent_link: Option<String>,
}

/// How the last sweep ended that was not broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSweep {
    pub ended: Ticks,
    pub took: Duration,
    pub failed: bool,
}

/// A tenant on its own page.
#[derive(Debug, Clone)]
pub struct TenantDetails {
    pub view: TenantView,
    /// What is still to be read, oldest first.
    pub open: Vec<Interval>,
    /// The application permissions in its token. `None`: there is no token, or it can't be read.
    pub roles: Option<Arc<[String]>>,
    /// Oldest first.
    pub events: Vec<TenantEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u16, name: &str, state: Health) -> TenantKey {
        let mut id = [0xab; 16];
        id[14..].copy_from_slice(&n.to_be_bytes());
        TenantKey {
            id: TenantId::from_bytes(id),
            name: name.into(),
            state,
            since: Ticks::from_unix_seconds(i64::from(n)),
        }
    }

    fn fleet() -> Vec<TenantKey> {
        let mut fleet: Vec<_> = (0..250)
            .map(|n| key(n, &format!("Customer {n:03}"), Health::Ok))
            .collect();
        fleet.push(key(300, "Müller", Health::Throttled));
        fleet.push(key(301, "fabrikam", Health::Consent));
        fleet
    }

    fn names(query: &FleetQuery) -> Vec<String> {
        let (fleet, shown) = (fleet(), query.select(fleet()).shown);
        let name = |id: &TenantId| {
            let tenant = fleet.iter().find(|tenant| tenant.id == *id);
            tenant.expect("one of the fleet").name.to_string()
        };
        shown.iter().map(name).collect()
    }

    #[test]
    fn the_worst_are_on_the_first_page_and_each_tenant_is_on_one_page() {
        let page = |page| names(&FleetQuery::new("", None, page));
        assert_eq!(page(1)[..3], ["fabrikam", "Müller", "Customer 000"]);
        let mut all = [page(1), page(2), page(3)].concat();
        assert_eq!(all.len(), 252);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 252);
        let selection = FleetQuery::new("", None, 99).select(fleet());
        assert_eq!((selection.page, selection.pages), (3, 3), "the last page");
        assert_eq!(selection.shown.len(), 52);
    }

    #[test]
    fn a_search_finds_a_part_of_a_name_or_id_in_any_letter_case() {
        for (search, expected) in [
            ("FABRI", &["fabrikam"][..]),
            (" mÜLL ", &["Müller"]),
            ("-ABABABAB00F8", &["Customer 248"]),
            ("nobody", &[]),
        ] {
            assert_eq!(
                names(&FleetQuery::new(search, None, 1)),
                expected,
                "{search}"
            );
        }
        let long = "x".repeat(5000);
        let long = FleetQuery::new(&long, None, 1);
        assert_eq!(long.search().len(), MOST_SEARCH);
    }

    #[test]
    fn a_state_filters_the_list_and_the_counts_stay_those_of_the_fleet() {
        let selection = FleetQuery::new("c", Some(Health::Ok), 1).select(fleet());
        assert_eq!((selection.found, selection.pages), (250, 3));
        assert_eq!(
            selection.counts,
            [
                (Health::Consent, 1),
                (Health::Throttled, 1),
                (Health::Ok, 250)
            ]
        );
        let searched = FleetQuery::new("fabri", Some(Health::Ok), 1).select(fleet());
        let by_search = (searched.matching, searched.found);
        let of_each = [
            (Health::Consent, 1),
            (Health::Throttled, 0),
            (Health::Ok, 0),
        ];
        assert_eq!(by_search, (of_each.to_vec(), 0));
        let none = FleetQuery::new("", Some(Health::Forbidden), 7).select(fleet());
        assert_eq!((none.found, none.page, none.pages), (0, 1, 1));
    }
}
