//! What the endpoints show, read from the parts for each request.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::preview::ReloadPreviewer;
use super::reload::ReloadStatus;
use crate::core::format::span;
use crate::core::health::failure::Health;
use crate::core::health::fleet_view::{FleetQuery, FleetView, TenantDetails};
use crate::core::health::reload_preview::ReloadPreview;
use crate::core::health::status::{
    PartState, PartStatus, RunState, StatusReport, TenantStatus, summary,
};
use crate::core::ids::TenantId;
use crate::core::time::ticks::Ticks;
use crate::runtime::health::board::{Board, WAITS_FOR_LEDGER};
use crate::runtime::limits::ByteBudget;
use crate::runtime::liveness::Liveness;
use crate::telemetry::http::Surface;
use crate::telemetry::metrics::Metrics;

/// How long a record may wait for its acknowledgement before the status shows it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often acknowledgements are checked.
const STALL_LOOK: Duration = Duration::from_secs(10);

/// Records are accepted but not acknowledged, although Kafka or the reader of standard output is there.
pub struct Stall {
    pub error: String,
    pub remedy: &'static str,
}

pub struct StatusView {
    pub started: Ticks,
    pub state: Mutex<RunState>,
    pub configuration: Arc<ReloadStatus>,
    pub preview: Arc<ReloadPreviewer>,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub delivery: Arc<Delivery>,
    pub bytes: Arc<ByteBudget>,
    pub liveness: Liveness,
}

impl StatusView {
    pub fn set(&self, state: RunState) {
        *self.state.lock() = state;
    }

    fn state(&self) -> RunState {
        *self.state.lock()
    }

    /// The daemon's state in one line. It must not read a disk: systemd is notified from a thread that must not block.
    pub fn summary(&self) -> String {
        let parts = [
            ("Kafka", self.kafka().state),
            ("ledger", self.ledger().state),
        ];
        let configuration = self.configuration.now().state;
        summary(&self.board.states(), parts, configuration)
    }

    pub fn stall(&self) -> Option<Stall> {
        let [destination, _] = self.delivery.parts();
        let kafka = self.delivery.destination.kafka.as_ref();
        let kafka = kafka.map(|_| destination.status().state);
        stall(self.delivery.outlet.waits_for()?, kafka)
    }

    /// Whether a record has waited for its acknowledgement for long, whatever the reason.
    pub fn waits_long(&self) -> bool {
        let waits_for = self.delivery.outlet.waits_for();
        waits_for.is_some_and(|waited| waited >= PATIENCE)
    }

    fn report_with(&self, tenants: Vec<TenantStatus>) -> StatusReport {
        StatusReport {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            state: self.state(),
            configuration: self.configuration.now(),
            alarms: self.board.alarms(),
            tenants,
            kafka: self.kafka(),
            ledger: self.ledger(),
            ownership: self.delivery.ownership(),
        }
    }

    fn kafka(&self) -> PartStatus {
        let [destination, _] = self.delivery.parts();
        let status = match self.stall() {
            Some(Stall { error, remedy }) => {
                PartStatus::not_ok(PartState::Unavailable, error, remedy)
            }
            None => destination.status(),
        };
        PartStatus {
            in_flight_bytes: Some(self.bytes.used() as u64),
            ..status
        }
    }

    /// Gives tenants that wait for the ledger its reason.
    fn explain<'a>(
        &self,
        ledger: &PartStatus,
        tenants: impl IntoIterator<Item = &'a mut TenantStatus>,
    ) {
        let (Some(error), Some(remedy)) = (&ledger.error, &ledger.remedy) else {
            return;
        };
        let ownership = self.delivery.outlet.ownership().borrow().clone();
        for tenant in tenants {
            if tenant.state == Health::Starting && ownership.waits(tenant.id) {
                tenant.error = Some(format!("{WAITS_FOR_LEDGER}: {error}"));
                tenant.remedy = Some(remedy.clone());
            }
        }
    }

    fn ledger(&self) -> PartStatus {
        let [_, ledger] = self.delivery.parts();
        ledger.status()
    }
}

/// The warning to show for a record that has waited this long. Without `kafka`, records go to standard output. While Kafka
/// is away, its own state says so instead.
fn stall(waited: Duration, kafka: Option<PartState>) -> Option<Stall> {
    if waited < PATIENCE {
        return None;
    }
    let waited = span(waited.as_secs());
    match kafka {
        Some(PartState::Ok) => Some(Stall {
            error: format!("Kafka is connected, and has not acknowledged a record for {waited}"),
            remedy: "look at the brokers' logs: a topic may have fewer replicas in sync than its min.insync.replicas, a leader may \
                     be missing or overloaded; nothing is lost, and it goes on by itself",
        }),
        Some(_) => None,
        None => Some(Stall {
            error: format!("nobody has read a record from standard output for {waited}"),
            remedy: "look at the program that standard output leads to; nothing is lost, and it goes on by itself",
        }),
    }
}

impl Surface for StatusView {
    fn report(&self) -> StatusReport {
        let mut report = self.report_with(self.board.tenants());
        self.explain(&report.ledger, report.tenants.iter_mut());
        report
    }

    fn fleet(&self, query: &FleetQuery) -> FleetView {
        let mut view = self.board.view(self.report_with(Vec::new()), query);
        let shown = view.tenants.iter_mut().map(|tenant| &mut tenant.status);
        self.explain(&view.report.ledger, shown);
        view
    }

    fn tenant(&self, tenant: TenantId) -> Option<TenantDetails> {
        let mut details = self.board.details(tenant)?;
        self.explain(&self.ledger(), [&mut details.view.status]);
        Some(details)
    }

    fn reload_preview(&self) -> Option<ReloadPreview> {
        self.preview.preview()
    }

    fn metrics(&self) -> String {
        self.metrics.render(&self.report())
    }

    fn live(&self) -> Result<(), String> {
        self.liveness.check()
    }

    fn ready(&self) -> Result<(), String> {
        match self.state() {
            RunState::Starting => return Err("the daemon is starting".to_owned()),
            RunState::Stopping => return Err("the daemon is stopping".to_owned()),
            RunState::Running => {}
        }
        self.delivery
            .parts()
            .iter()
            .try_for_each(|part| part.ready())
    }
}

/// Logs when acknowledgements stop and when they resume.
pub async fn log_stalls(view: Arc<StatusView>, stop: CancellationToken) {
    let (mut look, mut logged) = (interval(STALL_LOOK), false);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let stall = view.stall();
        match &stall {
            Some(Stall { error, remedy }) if !logged => {
                tracing::warn!(
                    error,
                    remedy,
                    "records are not acknowledged; publications wait"
                );
            }
            None if logged && !view.waits_long() => {
                tracing::info!("records are acknowledged again");
            }
            _ => {}
        }
        // If Kafka goes away now, records still wait, and Kafka's own state says why.
        logged = stall.is_some() || (logged && view.waits_long());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_waits_while_kafka_answers_is_told_and_one_that_waits_for_kafka_is_not() {
        let told = |waited, kafka| stall(waited, kafka).map(|stall| stall.error);
        let (short, long) = (PATIENCE - Duration::from_secs(1), PATIENCE * 2);
        for kafka in [
            None,
            Some(PartState::Ok),
            Some(PartState::Starting),
            Some(PartState::Unavailable),
        ] {
            assert_eq!(told(short, kafka), None);
            let error = told(long, kafka).unwrap_or_default();
            let expected = match kafka {
                None => "nobody has read a record from standard output for 2m",
                Some(PartState::Ok) => {
                    "Kafka is connected, and has not acknowledged a record for 2m"
                }
                Some(_) => "",
            };
            assert_eq!(error, expected, "{kafka:?}");
        }
    }
}
