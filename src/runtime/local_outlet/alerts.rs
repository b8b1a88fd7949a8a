//! The alerts of a batch's incidents, published before the incidents themselves.
//!
//! An incident's own record is sent only when all its alerts are acknowledged. In the other order memory would have to hold
//! the incident's bytes besides its record.
//!
//! When Kafka then refuses the incident's record, or another of its alerts, the incident is tried again and again. Its
//! acknowledged alerts are remembered until it is published, so that none is published again with each try. When the incident
//! changes meanwhile, they are forgotten: records of another version of it are other records.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::LocalLease;
use crate::core::health::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::version::Reading;
use crate::ports::{Item, Record};
use crate::runtime::limits::do_work;
use crate::runtime::outlet_items::version_of;

/// Bytes of records that are made before they are sent.
const AT_ONCE: usize = 256 << 10;
/// Alerts that are remembered. Beyond that, those of the next incident that is held back are published with each try.
const REMEMBERED: usize = 100_000;

/// Alerts that are acknowledged while their incident is not.
#[derive(Default)]
pub(super) struct AcknowledgedAlerts(Mutex<HashMap<(TenantId, IncidentId), Acknowledged>>);

/// Versions of alerts ([`version_of`]).
type Versions = HashSet<u64>;

/// The acknowledged alerts of a version of an incident.
struct Acknowledged {
    reading: Reading,
    alerts: Versions,
}

impl AcknowledgedAlerts {
    fn take(&self, tenant: TenantId, reading: Reading) -> Acknowledged {
        let held = self.0.lock().remove(&(tenant, reading.id));
        let same = held.filter(|held| held.reading == reading);
        same.unwrap_or_else(|| Acknowledged {
            reading,
            alerts: Versions::new(),
        })
    }

    fn keep(&self, tenant: TenantId, acknowledged: Acknowledged) {
        let mut all = self.0.lock();
        let Acknowledged { reading, alerts } = &acknowledged;
        let held: usize = all.values().map(|held| held.alerts.len()).sum();
        if !alerts.is_empty() && held + alerts.len() <= REMEMBERED {
            all.insert((tenant, reading.id), acknowledged);
        }
    }
}

/// What became of the alerts of a batch.
#[derive(Default)]
pub(super) struct BatchAlerts {
    /// By incident. An incident without alerts to publish is not in it.
    acknowledged: HashMap<IncidentId, Acknowledged>,
    refused: HashMap<IncidentId, Failure>,
}

impl BatchAlerts {
    /// Why an item must not be published now.
    pub(super) fn refusal(&mut self, item: &Item) -> Option<Failure> {
        match item {
            Item::Version { reading, .. } => self.refused.remove(&reading.id),
            _ => None,
        }
    }
}

/// Records that are made and not yet sent.
#[derive(Default)]
struct Unsent {
    records: Vec<Record>,
    /// The incident and the version of each.
    versions: Vec<(IncidentId, u64)>,
    bytes: usize,
}

impl Unsent {
    fn is_full(&self) -> bool {
        self.bytes >= AT_ONCE
    }

    /// Adds records that are not among `known` until it is full. Returns whether there are more.
    fn fill(
        &mut self,
        records: &mut dyn Iterator<Item = Record>,
        known: &mut Acknowledged,
    ) -> bool {
        while !self.is_full() {
            let Some(record) = records.next() else {
                return false;
            };
            let version = version_of(&record);
            if known.alerts.insert(version) {
                self.bytes += record.size();
                self.versions.push((known.reading.id, version));
                self.records.push(record);
            }
        }
        true
    }
}

impl LocalLease {
    /// Publishes the alerts of all items.
    pub(super) async fn publish_alerts(&self, items: &[Item]) -> BatchAlerts {
        let (mut alerts, mut unsent) = (BatchAlerts::default(), Unsent::default());
        for item in items {
            let (Item::Version { reading, .. }, Some(mut records)) =
                (item, self.encoder.alerts(item))
            else {
                continue;
            };
            let incident = reading.id;
            let known = self.outlet.alerts.take(self.tenant, *reading);
            alerts.acknowledged.insert(incident, known);
            let mut any = true;
            while any && !alerts.refused.contains_key(&incident) {
                let Some(known) = alerts.acknowledged.get_mut(&incident) else {
                    break;
                };
                any = do_work(item.raw().len(), || unsent.fill(&mut *records, known)).await;
                if unsent.is_full() {
                    self.send(std::mem::take(&mut unsent), &mut alerts).await;
                }
            }
        }
        self.send(unsent, &mut alerts).await;
        alerts
    }

    async fn send(&self, unsent: Unsent, alerts: &mut BatchAlerts) {
        if unsent.records.is_empty() {
            return;
        }
        let results = self.outlet.hand_over(unsent.records).await;
        for ((incident, version), result) in unsent.versions.into_iter().zip(results) {
            if let Err(refused) = result {
                if let Some(acknowledged) = alerts.acknowledged.get_mut(&incident) {
                    acknowledged.alerts.remove(&version);
                }
                alerts.refused.entry(incident).or_insert(refused.failure);
            }
        }
    }

    /// Remembers the acknowledged alerts of the incidents that are not `done`.
    pub(super) fn keep_alerts(&self, mut alerts: BatchAlerts, done: &[Item]) {
        for item in done {
            if let Item::Version { reading, .. } = item {
                alerts.acknowledged.remove(&reading.id);
            }
        }
        for acknowledged in alerts.acknowledged.into_values() {
            self.outlet.alerts.keep(self.tenant, acknowledged);
        }
    }
}
