//! What the endpoints show, gathered from the parts at the moment of asking.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::reload::Standing;
use crate::core::status::{KafkaStatus, LedgerStatus, PartState, RunState, StatusReport, summary};
use crate::core::ticks::Ticks;
use crate::kafka::{Condition, KafkaPublisher};
use crate::ledger::LocalLedger;
use crate::runtime::board::Board;
use crate::runtime::limits::ByteBudget;
use crate::runtime::pulse::Vitals;
use crate::telemetry::http::Surface;
use crate::telemetry::metrics::Metrics;

pub enum Kafka {
    Producer(Arc<KafkaPublisher>),
    /// Records go to standard output.
    None,
}

pub struct Parts {
    pub started: Ticks,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub kafka: Kafka,
    pub ledger: Arc<LocalLedger>,
    pub bytes: Arc<ByteBudget>,
    pub configuration: Arc<Standing>,
    pub vitals: Vitals,
}

pub struct Window {
    parts: Parts,
    state: Mutex<RunState>,
}

impl Window {
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            state: Mutex::new(RunState::Starting),
        }
    }

    pub fn set(&self, state: RunState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn state(&self) -> RunState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How all is, in one line. Reads nothing from a disk: it is told to systemd from a thread that must not block.
    pub fn summary(&self) -> String {
        let parts = [
            ("Kafka", self.kafka().state),
            ("ledger", self.ledger().state),
        ];
        let configuration = self.parts.configuration.now().state;
        summary(&self.parts.board.states(), parts, configuration)
    }

    fn kafka(&self) -> KafkaStatus {
        let (state, error, remedy) = match &self.parts.kafka {
            Kafka::Producer(kafka) => {
                let link = kafka.state();
                (part(link.state), link.error, link.remedy)
            }
            Kafka::None => (PartState::Ok, None, None),
        };
        KafkaStatus {
            state,
            in_flight_bytes: self.parts.bytes.used() as u64,
            error,
            remedy: remedy.map(str::to_owned),
        }
    }

    fn ledger(&self) -> LedgerStatus {
        let ledger = self.parts.ledger.status();
        LedgerStatus {
            kind: ledger.kind,
            state: ledger.state,
            versions: Some(ledger.versions),
            error: ledger.error,
            remedy: ledger.remedy,
        }
    }
}

fn part(condition: Condition) -> PartState {
    match condition {
        Condition::Starting => PartState::Starting,
        Condition::Ok => PartState::Ok,
        Condition::Unavailable => PartState::Unavailable,
        Condition::Failed => PartState::Failed,
    }
}

impl Surface for Window {
    fn report(&self) -> StatusReport {
        StatusReport {
            version: env!("CARGO_PKG_VERSION"),
            started: self.parts.started,
            state: self.state(),
            configuration: self.parts.configuration.now(),
            alarms: self.parts.board.alarms(),
            tenants: self.parts.board.tenants(),
            kafka: self.kafka(),
            ledger: self.ledger(),
        }
    }

    fn metrics(&self) -> String {
        self.parts.metrics.render(&self.report())
    }

    fn live(&self) -> Result<(), String> {
        self.parts.vitals.check()
    }

    fn ready(&self) -> Result<(), String> {
        match self.state() {
            RunState::Starting => return Err("the daemon is starting".to_owned()),
            RunState::Stopping => return Err("the daemon is stopping".to_owned()),
            RunState::Running => {}
        }
        match &self.parts.kafka {
            Kafka::Producer(kafka) if !kafka.seen() => {
                let why = kafka.state().error.unwrap_or_default();
                Err(format!("waiting for the first answer from Kafka: {why}"))
            }
            Kafka::Producer(_) | Kafka::None => Ok(()),
        }
    }
}
