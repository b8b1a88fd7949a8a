//! The world behind the APIs: tenants and their incidents, changed by a script or by chance, the same for the same seed.
//!
//! Every operation takes effect at once and whole: a page shows the world before it or after it, never between.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::books::Version;
use super::realm::{AlertCount, Realm};
use super::tenant::Tenant;
use super::time::{self, Clock};

/// What an analyst or a detection does to an incident.
#[derive(Clone, Debug)]
pub enum Update {
    Status(&'static str),
    /// Waits for the customer, as Defender Experts have it: a status that Graph tells only those who ask for it, and the
    /// Defender API tells nobody.
    AwaitAction,
    Severity(String),
    AssignedTo(Option<String>),
    Name(String),
    Tag(String),
    Comment(String),
    NewAlerts(usize),
    /// Adds that many bytes to one alert's description.
    LongAlert(usize),
    /// As malware; see [`Update::ResolveAs`].
    Resolve,
    /// Classification and determination, in the Defender API's words.
    ResolveAs(&'static str, &'static str),
    Reopen,
}

/// What becomes of an incident's last update when something else of it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamp {
    /// It becomes the time of the change.
    Moves,
    /// It stays.
    Keeps,
}

/// Why the world refused an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no such tenant")]
    NoTenant,
    #[error("there is no such incident")]
    NoIncident,
    #[error("the incident has no alerts")]
    NoAlert,
    #[error("the incident was merged into another and changes no more")]
    Redirected,
    #[error("the incidents cannot be merged: {0}")]
    NotMerged(&'static str),
}

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
    alerts: AlertCount,
    scores: Option<Stamp>,
    realms: Mutex<Realms>,
    hook: Mutex<Option<Hook>>,
}

struct Realms {
    by_id: HashMap<Uuid, Realm>,
    /// In the order they were added: what chance is drawn from.
    order: Vec<Uuid>,
    rng: StdRng,
}

impl World {
    pub(super) fn new(
        clock: Clock,
        seed: u64,
        incident_bytes: Option<usize>,
        scores: Option<Stamp>,
    ) -> Self {
        Self(Arc::new(Inner {
            clock,
            seed,
            alerts: incident_bytes.map_or(AlertCount::Natural, AlertCount::ForBytes),
            scores,
            realms: Mutex::new(Realms {
                by_id: HashMap::new(),
                order: Vec::new(),
                rng: StdRng::seed_from_u64(seed),
            }),
            hook: Mutex::default(),
        }))
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
        let mut realms = self.realms();
        let id = tenant.id;
        let realm = Realm::new(tenant, self.0.seed, self.0.alerts, self.0.scores);
        if realms.by_id.insert(id, realm).is_none() {
            realms.order.push(id);
        }
    }

    /// The directory is gone, with all in it.
    pub fn remove_tenant(&self, tenant: Uuid) {
        let mut realms = self.realms();
        realms.by_id.remove(&tenant);
        realms.order.retain(|id| *id != tenant);
    }

    pub fn tenants(&self) -> Vec<Tenant> {
        let realms = self.realms();
        let known = realms.order.iter().filter_map(|id| realms.by_id.get(id));
        known.map(|realm| realm.tenant.clone()).collect()
    }

    pub fn tenant(&self, tenant: Uuid) -> Option<Tenant> {
        self.with(tenant, |realm| Ok(realm.tenant.clone())).ok()
    }

    /// Consent, secrets, licences: whatever an administrator changes. The id stays.
    pub fn administer(
        &self,
        tenant: Uuid,
        change: impl FnOnce(&mut Tenant),
    ) -> Result<(), Refused> {
        self.with(tenant, |realm| {
            change(&mut realm.tenant);
            realm.tenant.id = tenant;
            Ok(())
        })
    }

    /// New incidents; their ids.
    pub fn create(&self, tenant: Uuid, count: usize) -> Result<Vec<u64>, Refused> {
        let now = self.now();
        self.with(tenant, |realm| {
            Ok((0..count).map(|_| realm.appear(now)).collect())
        })
    }

    /// An incident that appears now but was last updated at `at` (ticks), in the past or in the future.
    pub fn create_dated(&self, tenant: Uuid, at: i64) -> Result<u64, Refused> {
        self.with(tenant, |realm| Ok(realm.appear(at)))
    }

    /// An incident that appears only now, although it was last updated `ago`.
    pub fn late_indexed(&self, tenant: Uuid, ago: Duration) -> Result<u64, Refused> {
        self.create_dated(tenant, self.now() - time::ticks(ago))
    }

    pub fn update(&self, tenant: Uuid, id: u64, update: Update) -> Result<Version, Refused> {
        let now = self.now();
        let revision = self.with(tenant, |realm| realm.update(id, now, update))?;
        Ok(Version {
            tenant,
            incident: id,
            revision,
        })
    }

    pub fn resolve(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.update(tenant, id, Update::Resolve)
    }

    pub fn reopen(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        self.update(tenant, id, Update::Reopen)
    }

    /// One alert changes; the incident's `lastUpdateTime` stays.
    pub fn alert_only_change(&self, tenant: Uuid, id: u64) -> Result<Version, Refused> {
        let now = self.now();
        let revision = self.with(tenant, |realm| realm.alert_only(id, now))?;
        Ok(Version {
            tenant,
            incident: id,
            revision,
        })
    }

    /// The model of Graph's `priorityScore` gives the incident another score. If that leaves the last update alone, the
    /// version is the same, and only its text is another.
    pub fn score(&self, tenant: Uuid, id: u64, stamp: Stamp) -> Result<Version, Refused> {
        let now = self.now();
        let revision = self.with(tenant, |realm| realm.score(id, now, stamp))?;
        Ok(Version {
            tenant,
            incident: id,
            revision,
        })
    }

    /// Moves `count` alerts, or as many as there are, from one incident to another, as Graph's `moveAlerts` does: neither is
    /// closed, and nothing redirects. Both change, whatever becomes of their last updates.
    pub fn move_alerts(
        &self,
        tenant: Uuid,
        (from, to): (u64, u64),
        count: usize,
        stamp: Stamp,
    ) -> Result<(), Refused> {
        let now = self.now();
        self.with(tenant, |realm| {
            realm.move_alerts((from, to), count, (now, stamp))
        })
    }

    /// Changes all of `ids` with one identical `lastUpdateTime`. A refusal may leave the first ones changed.
    pub fn bulk_update(&self, tenant: Uuid, ids: &[u64]) -> Result<(), Refused> {
        let now = self.now();
        self.with(tenant, |realm| realm.bulk(ids, now))
    }

    /// Moves all of `source` into `target`.
    pub fn merge(&self, tenant: Uuid, source: u64, target: u64) -> Result<(), Refused> {
        let now = self.now();
        self.with(tenant, |realm| realm.merge(source, target, now))
    }

    /// The incident has outlived the retention.
    pub fn delete(&self, tenant: Uuid, id: u64) -> Result<(), Refused> {
        self.with(tenant, |realm| realm.remove(id))
    }

    /// `steps` random events in random tenants.
    pub fn evolve(&self, steps: usize) {
        let now = self.now();
        let mut realms = self.realms();
        let Realms { by_id, order, rng } = &mut *realms;
        for _ in 0..steps {
            if order.is_empty() {
                return;
            }
            let id = order.get(rng.random_range(0..order.len()));
            if let Some(realm) = id.and_then(|id| by_id.get_mut(id)) {
                realm.step(now);
            }
        }
    }

    /// `steps` random events in one tenant.
    pub fn evolve_tenant(&self, tenant: Uuid, steps: usize) -> Result<(), Refused> {
        let now = self.now();
        self.with(tenant, |realm| {
            (0..steps).for_each(|_| realm.step(now));
            Ok(())
        })
    }

    /// Calls `hook` before each page of a list is put together, so that the world moves under the reader's feet.
    pub fn before_each_page(&self, hook: impl Fn(&World, PageRequest) + Send + Sync + 'static) {
        *self.hook() = Some(Arc::new(hook));
    }

    pub fn leave_pages_alone(&self) {
        *self.hook() = None;
    }

    /// Every present version, redirected incidents included.
    pub fn current(&self) -> Vec<Version> {
        let realms = self.realms();
        let mut all = Vec::new();
        for tenant in &realms.order {
            let incidents = realms.by_id.get(tenant).into_iter();
            all.extend(
                incidents
                    .flat_map(|realm| realm.updated_since(i64::MIN))
                    .map(|incident| Version {
                        tenant: *tenant,
                        incident: incident.id,
                        revision: incident.revision,
                    }),
            );
        }
        all
    }

    pub(super) fn about_to_page(&self, page: PageRequest) {
        let hook = self.hook().clone();
        if let Some(hook) = hook {
            hook(self, page);
        }
    }

    pub(super) fn with<R>(
        &self,
        tenant: Uuid,
        act: impl FnOnce(&mut Realm) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let mut realms = self.realms();
        act(realms.by_id.get_mut(&tenant).ok_or(Refused::NoTenant)?)
    }

    fn realms(&self) -> MutexGuard<'_, Realms> {
        // A test's hook or closure that panicked has left the maps whole.
        self.0.realms.lock()
    }

    fn hook(&self) -> MutexGuard<'_, Option<Hook>> {
        self.0.hook.lock()
    }
}
