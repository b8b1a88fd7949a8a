//! Reports how each piece of work ended: to the board, and changes also to the log and the status topic.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::board::{Board, HealthTransition};
use super::log::HealthLog;
use super::topic::HealthTopic;
use crate::core::ids::TenantId;
use crate::runtime::fleet::Fleet;
use crate::runtime::sweep::SweepOutcome;
use crate::runtime::tenant::Tenant;

pub struct HealthReports {
    pub board: Arc<Board>,
    log: HealthLog,
    topic: HealthTopic,
    /// The origin of the log's clock.
    started: Instant,
}

impl HealthReports {
    pub fn new(board: Arc<Board>, topic: HealthTopic, started: Instant) -> Self {
        Self {
            board,
            log: HealthLog::default(),
            topic,
            started,
        }
    }

    /// Shows the tenants of `fleet` and no others. Those for which `waits` is true are not swept yet.
    pub fn set_fleet(&mut self, fleet: &Fleet, waits: impl Fn(TenantId) -> bool) {
        self.log.set_fleet_size(fleet.len());
        let present: HashSet<_> = fleet.iter().map(|tenant| tenant.id).collect();
        for gone in self.board.ids().difference(&present) {
            self.leave(*gone);
        }
        for tenant in fleet.iter() {
            self.board.enter(tenant);
            self.board.wait(tenant.id, waits(tenant.id));
        }
    }

    /// Removes `tenant`, which has left the fleet.
    fn leave(&mut self, tenant: TenantId) {
        let over = self.board.leave(tenant);
        self.log.forget(tenant, over, self.uptime());
    }

    pub fn sweep_ended(&mut self, tenant: &Tenant, began: Instant, outcome: &SweepOutcome) {
        let change = self.board.note(tenant.id, began, outcome);
        self.report(tenant, change);
    }

    pub fn fill_ended(&mut self, tenant: &Tenant, outcome: &SweepOutcome) {
        let change = self.board.note_fill(tenant.id, outcome);
        self.report(tenant, change);
    }

    pub fn command_ended(&mut self, tenant: &Tenant, began: Instant, outcome: &SweepOutcome) {
        let change = self.board.note_command(tenant.id, began, outcome);
        self.report(tenant, change);
    }

    /// Logs the lines that have waited long enough.
    pub fn log_late(&mut self) {
        let uptime = self.uptime();
        self.log.log_late(uptime, || self.board.progress());
    }

    fn report(&mut self, tenant: &Tenant, change: Option<HealthTransition>) {
        let Some(change) = change else {
            return;
        };
        let uptime = self.uptime();
        self.log.log(tenant.id, &tenant.name, &change, uptime);
        let (what, remedy) = change.failure.as_ref().map_or(("", ""), |failure| {
            (failure.what.as_str(), failure.remedy.as_str())
        });
        let record = tenant.encoder.health(change.at, change.after, what, remedy);
        if let Some(record) = record {
            self.topic.publish(record);
        }
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
