//! The world behind the APIs: tenants and their incidents, changed by a script or by chance, the same for the same seed.
//!
//! Every operation takes effect at once and whole: a page shows the world before it or after it, never between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::Options;
use super::change::{Refused, Stamp, Update, Version};
use super::incidents::Incidents;
use super::tenant::Tenant;
use super::time::Clock;

/// A page that is about to be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequest {
    pub tenant: Uuid,
    pub skip: usize,
}

type Hook = Arc<dyn Fn(&World, PageRequest) + Send + Sync>;

/// A handle on the world. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    clock: Clock,
    seed: u64,
    incident_bytes: Option<usize>,
    scores: Option<Stamp>,
    tenants: Mutex<Tenants>,
    hook: Mutex<Option<Hook>>,
}

struct Tenants {
    by_id: HashMap<Uuid, Incidents>,
    /// In the order they were added: what chance is drawn from.
    order: Vec<Uuid>,
    rng: StdRng,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let tenants = Tenants {
            by_id: HashMap::new(),
            order: Vec::new(),
            rng: StdRng::seed_from_u64(options.seed),
        };
        let world = Self(Arc::new(Inner {
            clock: options.clock.clone(),
            seed: options.seed,
            incident_bytes: options.incident_bytes,
            scores: options.scores,
            tenants: Mutex::new(tenants),
            hook: Mutex::default(),
        }));
        for tenant in &options.tenants {
            world.add_tenant(tenant.clone());
        }
        world
    }

    /// Ticks of 100 ns since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.0.clock.now()
    }

    pub fn advance(&self, by: Duration) {
        self.0.clock.advance(by);
    }

    /// Adds a tenant, or replaces the one with that id and its incidents.
    pub fn add_tenant(&self, tenant: Tenant) {
        let id = tenant.id;
        let inner = &self.0;
        let incidents = Incidents::new(tenant, inner.seed, inner.incident_bytes, inner.scores);
        let mut tenants = self.0.tenants.lock();
        if tenants.by_id.insert(id, incidents).is_none() {
            tenants.order.push(id);
        }
    }

    /// Removes the directory, with all in it.
    pub fn remove_tenant(&self, tenant: Uuid) {
        let mut tenants = self.0.tenants.lock();
        tenants.by_id.remove(&tenant);
        tenants.order.retain(|id| *id != tenant);
    }

    pub fn tenants(&self) -> Vec<Tenant> {
        let tenants = self.0.tenants.lock();
        let known = tenants.order.iter().filter_map(|id| tenants.by_id.get(id));
        known.map(|incidents| incidents.tenant.clone()).collect()
    }

    pub fn tenant(&self, tenant: Uuid) -> Option<Tenant> {
        self.with(tenant, |incidents, _| Ok(incidents.tenant.clone()))
            .ok()
    }

    /// What an administrator changes: consent, secrets, licences. The id stays.
    pub fn administer(
        &self,
        tenant: Uuid,
        change: impl FnOnce(&mut Tenant),
    ) -> Result<(), Refused> {
        self.with(tenant, |incidents, _| {
            change(&mut incidents.tenant);
            incidents.tenant.id = tenant;
            Ok(())
        })
    }

    /// New incidents; their ids.
    pub fn create(&self, tenant: Uuid, count: usize) -> Result<Vec<u64>, Refused> {
        self.with(tenant, |incidents, now| {
            Ok((0..count).map(|_| incidents.add(now)).collect())
        })
    }

    /// An incident that appears now but was last updated at `at` (ticks), in the past or in the future.
    pub fn create_dated(&self, tenant: Uuid, at: i64) -> Result<u64, Refused> {
        self.with(tenant, |incidents, _| Ok(incidents.add(at)))
    }

    pub fn update(&self, tenant: Uuid, id: u64, update: Update) -> Result<Version, Refused> {
        self.with(tenant, |incidents, now| incidents.update(id, now, update))
    }

    pub fn resolve(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.update(tenant, id, Update::Resolve)
    }

    pub fn reopen(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.update(tenant, id, Update::Reopen)
    }

    /// One alert changes; the incident's `lastUpdateTime` stays.
    pub fn alert_only_change(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.with(tenant, |incidents, now| incidents.change_alert(id, now))
    }

    /// Gives the incident another `priorityScore`. If that leaves the last update alone, the version is the same, and only
    /// its text is another.
    pub fn score(&self, tenant: Uuid, id: u64, stamp: Stamp) -> Result<Version, Refused> {
        self.with(tenant, |incidents, now| incidents.score(id, now, stamp))
    }

    /// Moves `count` alerts, or as many as there are, from one incident to another, as Graph's `moveAlerts` does: neither
    /// is closed, and nothing redirects. Both get a new revision, also where their last updates stay.
    pub fn move_alerts(
        &self,
        tenant: Uuid,
        between: (u64, u64),
        count: usize,
        stamp: Stamp,
    ) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| {
            incidents.move_alerts(between, count, now, stamp)
        })
    }

    /// Changes all of `ids` with one identical `lastUpdateTime`. A refusal may leave the first ones changed.
    pub fn bulk_update(&self, tenant: Uuid, ids: &[u64]) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| incidents.bulk(ids, now))
    }

    /// Moves all of `source` into `target`.
    pub fn merge(&self, tenant: Uuid, source: u64, target: u64) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| {
            incidents.merge(source, target, now)
        })
    }

    /// Removes the incident, as the end of its retention does.
    pub fn delete(&self, tenant: Uuid, id: u64) -> Result<(), Refused> {
        self.with(tenant, |incidents, _| incidents.remove(id))
    }

    /// `steps` random events in random tenants.
    pub fn evolve(&self, steps: usize) {
        let now = self.now();
        let mut tenants = self.0.tenants.lock();
        let Tenants { by_id, order, rng } = &mut *tenants;
        for _ in 0..steps {
            if order.is_empty() {
                return;
            }
            let id = order.get(rng.random_range(0..order.len()));
            if let Some(incidents) = id.and_then(|id| by_id.get_mut(id)) {
                incidents.step(now);
            }
        }
    }

    /// `steps` random events in one tenant.
    pub fn evolve_tenant(&self, tenant: Uuid, steps: usize) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| {
            (0..steps).for_each(|_| incidents.step(now));
            Ok(())
        })
    }

    /// Calls `hook` before each page of a list is put together, so that the world can change between two pages.
    pub fn before_each_page(&self, hook: impl Fn(&World, PageRequest) + Send + Sync + 'static) {
        *self.0.hook.lock() = Some(Arc::new(hook));
    }

    /// Every present version, redirected incidents included.
    pub fn current(&self) -> Vec<Version> {
        let tenants = self.0.tenants.lock();
        let known = tenants.order.iter().filter_map(|id| tenants.by_id.get(id));
        let versions = known.flat_map(|incidents| {
            let all = incidents.updated_since(i64::MIN);
            all.map(|incident| incidents.version(incident))
        });
        versions.collect()
    }

    pub(super) fn about_to_page(&self, page: PageRequest) {
        let hook = self.0.hook.lock().clone();
        if let Some(hook) = hook {
            hook(self, page);
        }
    }

    /// Works on one tenant's incidents, at the time that it is now.
    pub(super) fn with<R>(
        &self,
        tenant: Uuid,
        work: impl FnOnce(&mut Incidents, i64) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let now = self.now();
        let mut tenants = self.0.tenants.lock();
        let incidents = tenants.by_id.get_mut(&tenant).ok_or(Refused::NoTenant)?;
        work(incidents, now)
    }
}
