//! The world behind the APIs: tenants and their incidents. A script or chance changes them; the same seed gives the same
//! chance.
//!
//! Each operation takes effect at once: a page shows the world before it or after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use uuid::Uuid;

use super::Options;
use super::change::{Refused, Update, Version};
use super::incidents::Incidents;
use super::tenant::Tenant;

/// A handle: clones share the world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    options: Arc<Options>,
    tenants: Mutex<BTreeMap<Uuid, Incidents>>,
    /// Chooses the tenant of a random event.
    rng: Mutex<StdRng>,
}

impl World {
    pub(super) fn new(options: Arc<Options>) -> Self {
        let world = Self(Arc::new(Inner {
            options: options.clone(),
            tenants: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(options.seed)),
        }));
        for tenant in &options.tenants {
            world.add_tenant(tenant.clone());
        }
        world
    }

    /// Ticks of 100 ns since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.0.options.clock.now()
    }

    /// Moves the world's time forward. A wall clock goes on from there.
    pub fn advance(&self, by: Duration) {
        self.0.options.clock.advance(by);
    }

    /// Adds a tenant, or replaces the one with that id and its incidents.
    pub fn add_tenant(&self, tenant: Tenant) {
        let id = tenant.id;
        let incidents = Incidents::new(tenant, self.0.options.clone());
        self.0.tenants.lock().insert(id, incidents);
    }

    /// All of them, in the order of their ids.
    pub fn tenants(&self) -> Vec<Tenant> {
        let tenants = self.0.tenants.lock();
        let all = tenants.values();
        all.map(|incidents| incidents.tenant.clone()).collect()
    }

    /// `None`: there is no such tenant.
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

    /// Changes an incident now; the version that this makes.
    pub fn update(&self, tenant: Uuid, id: u64, update: Update) -> Result<Version, Refused> {
        self.with(tenant, |incidents, now| incidents.update(id, now, update))
    }

    /// As malware, a true positive.
    pub fn resolve(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.update(tenant, id, Update::Resolve("TruePositive", "Malware"))
    }

    /// As [`Update::Reopen`].
    pub fn reopen(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.update(tenant, id, Update::Reopen)
    }

    /// One alert changes; the incident's `lastUpdateTime` stays.
    pub fn alert_only_change(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.with(tenant, |incidents, now| incidents.change_alert(id, now))
    }

    /// Changes all of `ids` with one identical `lastUpdateTime`. A refusal may leave the first ones changed.
    pub fn bulk_update(&self, tenant: Uuid, ids: &[u64]) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| incidents.bulk(ids, now))
    }

    /// Merges `source` into `target`: `source` only redirects from now on.
    pub fn merge(&self, tenant: Uuid, source: u64, target: u64) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| {
            incidents.merge(source, target, now)
        })
    }

    /// Moves the first `count` alerts of one incident to another; both stay open.
    pub fn move_alerts(
        &self,
        tenant: Uuid,
        from: u64,
        to: u64,
        count: usize,
    ) -> Result<(), Refused> {
        self.with(tenant, |incidents, now| {
            incidents.move_alerts(from, to, count, now)
        })
    }

    /// Removes the incident, as the end of its retention does.
    pub fn delete(&self, tenant: Uuid, id: u64) -> Result<(), Refused> {
        self.with(tenant, |incidents, _| incidents.remove(id))
    }

    /// `steps` random events in random tenants.
    pub fn evolve(&self, steps: usize) {
        let now = self.now();
        let (mut tenants, mut rng) = (self.0.tenants.lock(), self.0.rng.lock());
        for _ in 0..steps {
            if let Some(incidents) = tenants.values_mut().choose(&mut rng) {
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

    /// Every present version, redirected incidents included.
    pub fn current(&self) -> Vec<Version> {
        let tenants = self.0.tenants.lock();
        let versions = tenants.values().flat_map(|incidents| {
            let all = incidents.updated_since(i64::MIN);
            all.map(|incident| incidents.version(incident))
        });
        versions.collect()
    }

    /// Works on one tenant's incidents. `work` gets the present time too.
    pub(super) fn with<R>(
        &self,
        tenant: Uuid,
        work: impl FnOnce(&mut Incidents, i64) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let now = self.now();
        let mut tenants = self.0.tenants.lock();
        let incidents = tenants.get_mut(&tenant).ok_or(Refused::NoTenant)?;
        work(incidents, now)
    }
}
