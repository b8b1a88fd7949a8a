//! Which incidents a page of a list holds, in either API (sections 1.1, 3.1 and 3.5).

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::super::call::Call;
use super::super::entra::Resource;
use super::super::errors::{Errors, Refusal};
use super::super::faults::Api;
use super::super::incidents::Incidents;
use super::super::odata::{Dialect, Query};
use super::Service;

/// The order of a list. The documentation says newest first; users report no order (section 1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// By last update, descending.
    #[default]
    NewestFirst,
    /// By last update, ascending.
    OldestFirst,
    /// Arbitrary, but the same while an incident keeps its last update.
    Shuffled,
}

/// How one API lists.
pub(in super::super) struct ListRules {
    pub api: Api,
    pub path: &'static str,
    /// A page's `@odata.context`.
    pub context: &'static str,
    /// What a token must be for.
    pub resource: &'static Resource,
    pub errors: Errors,
    /// The body of an error.
    pub error: &'static str,
    pub dialect: Dialect,
    /// Whether a page has a nextLink when more incidents match.
    pub links: bool,
    /// The server's own limit of a page.
    pub page: Option<usize>,
    /// Each page with incidents comes after an empty one that has a nextLink too.
    pub empty_pages: bool,
}

/// The incidents of one page.
pub(in super::super) struct Selection {
    pub query: Query,
    pub ids: Vec<u64>,
    /// The number of matches on all pages, if the client asks for it.
    pub total: usize,
    pub next: Option<String>,
}

impl Service {
    pub fn select(&self, tenant: Uuid, call: &Call<'_>) -> Result<Selection, Refusal> {
        let (query, rules) = (call.query(), self.rules(call.api));
        let state = match rules.links {
            true => self.links.open(tenant, rules.path, query)?,
            false => None,
        };
        let parsed = Query::parse(query, &rules.dialect, state.is_some());
        let mut asked = parsed.map_err(|what| Refusal::error("Query", [&what]))?;
        let mut after_empty = false;
        if let Some([skip, empty]) = state.as_deref() {
            (asked.skip, after_empty) = (*skip as usize, *empty != 0);
        }
        let empty = rules.empty_pages && !after_empty;
        let most = rules.page.unwrap_or(asked.top).min(asked.top).max(1);
        let end = asked.skip.saturating_add(if empty { 0 } else { most });
        // A count needs all matches. Otherwise one match beyond the page shows that there are more.
        let wanted = match asked.count {
            true => usize::MAX,
            false => end.saturating_add(1),
        };
        let ids = self.world.with(tenant, |incidents, _| {
            Ok(matching(incidents, &asked, self.options.order, wanted))
        });
        let mut ids = ids.map_err(|_| Refusal::error("Unlicensed", []))?;
        let total = ids.len();
        ids.truncate(end);
        ids.drain(..asked.skip.min(ids.len()));
        if rules.api == Api::Defender || asked.expand {
            self.poisoned(tenant, &ids)?;
        }
        let more = empty || total > end;
        let next = (rules.links && more).then(|| {
            let state = [(asked.skip + ids.len()) as u64, u64::from(empty)];
            self.links.write(tenant, rules.path, query, &state)
        });
        Ok(Selection {
            query: asked,
            ids,
            total,
            next,
        })
    }
}

/// The first `wanted` incidents that match the query, in order.
fn matching(incidents: &Incidents, query: &Query, order: Order, wanted: usize) -> Vec<u64> {
    let matching = incidents
        .updated_since(query.updated_from)
        .filter(|incident| query.matches(incident));
    match order {
        Order::NewestFirst => matching.rev().map(|i| i.id).take(wanted).collect(),
        Order::OldestFirst => matching.map(|i| i.id).take(wanted).collect(),
        Order::Shuffled => {
            let mut all: Vec<_> = matching.map(|i| (i.id, i.last_update)).collect();
            all.sort_by_cached_key(|of| xxh3_64(format!("{of:?}").as_bytes()));
            all.into_iter().map(|(id, _)| id).take(wanted).collect()
        }
    }
}
