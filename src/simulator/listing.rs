//! Which incidents a page of a list holds, in either API.

use std::sync::Arc;

use uuid::Uuid;

use super::books::Books;
use super::faults::{Api, Effect, Faults};
use super::http::Reply;
use super::link::{Broken, Links, Place};
use super::odata::{Dialect, Query};
use super::realm::Realm;
use super::world::{PageRequest, World};

/// In which order incidents are listed. The documentation says newest first; users say in none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
    /// Arbitrary, but the same while an incident keeps its last update.
    Shuffled,
}

/// What both APIs share: the world, and the way it is shown.
#[derive(Clone)]
pub(super) struct Desk {
    pub world: World,
    pub books: Books,
    pub faults: Faults,
    pub links: Arc<Links>,
    pub order: Order,
    pub permuted: bool,
}

/// How one API lists.
pub(super) struct Terms {
    pub api: Api,
    pub path: &'static str,
    pub dialect: Dialect,
    /// Whether pages end in a nextLink when more matches.
    pub links: bool,
    /// The server's own limit of a page.
    pub page: Option<usize>,
    /// Each page with incidents comes after an empty one that has a nextLink too.
    pub empty_pages: bool,
}

/// The incidents of one page.
pub(super) struct Selection {
    pub query: Query,
    pub ids: Vec<u64>,
    /// How many match on all pages, when they were to be counted.
    pub total: usize,
    pub next: Option<String>,
}

/// Why there is no page.
pub(super) enum Unfit {
    Query(String),
    Link(Broken),
    NoTenant,
    Poisoned(Effect),
}

impl Desk {
    pub fn select(&self, tenant: Uuid, query: &str, terms: &Terms) -> Result<Selection, Unfit> {
        let place = Place {
            tenant,
            path: terms.path,
        };
        let state = if terms.links {
            self.links.open(place, query).map_err(Unfit::Link)?
        } else {
            None
        };
        let mut asked =
            Query::parse(query, &terms.dialect, state.is_some()).map_err(Unfit::Query)?;
        let mut after_empty = false;
        if let Some([skip, empty]) = state.as_deref() {
            (asked.skip, after_empty) = (*skip as usize, *empty != 0);
        }
        asked.top = asked.top.min(terms.page.unwrap_or(asked.top)).max(1);
        self.world.about_to_page(PageRequest {
            tenant,
            skip: asked.skip,
        });
        let empty = terms.empty_pages && !after_empty;
        let end = if empty {
            asked.skip
        } else {
            asked.skip.saturating_add(asked.top)
        };
        // Counting walks all of a tenant; one beyond the page tells whether there is more.
        let wanted = if asked.count {
            usize::MAX
        } else {
            end.saturating_add(1)
        };
        let mut ids = self
            .world
            .with(tenant, |realm| {
                Ok(matching(realm, &asked, self.order, wanted))
            })
            .map_err(|_| Unfit::NoTenant)?;
        let total = ids.len();
        let more = empty || total > end;
        ids.truncate(end);
        let ids: Vec<_> = ids.into_iter().skip(asked.skip).collect();
        if terms.api == Api::Defender || asked.expand {
            let poison = self.faults.poisoned(tenant, &ids);
            poison.map_or(Ok(()), |effect| Err(Unfit::Poisoned(effect)))?;
        }
        let next = (terms.links && more).then(|| {
            let state = [(asked.skip + ids.len()) as u64, u64::from(empty)];
            self.links.write(place, query, &state)
        });
        Ok(Selection {
            query: asked,
            ids,
            total,
            next,
        })
    }

    /// What a poisoned incident does in place of its alerts.
    pub fn wholesome(&self, tenant: Uuid, incident: Option<u64>) -> Result<(), Reply> {
        let poison = self.faults.poisoned(tenant, incident.as_slice());
        poison.map_or(Ok(()), |effect| Err(Reply::Fault(effect)))
    }
}

/// The first `wanted` incidents that the query fits, in order.
fn matching(realm: &Realm, query: &Query, order: Order, wanted: usize) -> Vec<u64> {
    let matching = realm
        .updated_since(query.updated_from())
        .filter(|incident| query.matches(incident));
    let first = |ids: &mut dyn Iterator<Item = u64>| ids.take(wanted).collect();
    match order {
        Order::NewestFirst => first(&mut matching.rev().map(|incident| incident.id)),
        Order::OldestFirst => first(&mut matching.map(|incident| incident.id)),
        Order::Shuffled => {
            let mut keyed: Vec<_> = matching
                .map(|i| (scatter(i.id, i.last_update), i.id))
                .collect();
            keyed.sort_unstable();
            first(&mut keyed.into_iter().map(|(_, id)| id))
        }
    }
}

fn scatter(id: u64, last_update: i64) -> u64 {
    let mixed = (id ^ (last_update as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
