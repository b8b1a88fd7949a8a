//! What the endpoints show, gathered from the parts at the moment of asking.

use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::reload::Standing;
use crate::core::format::span;
use crate::core::health::status::{
    KafkaStatus, LedgerStatus, PartState, RunState, StatusReport, summary,
};
use crate::core::time::ticks::Ticks;
use crate::kafka::{Condition, KafkaPublisher};
use crate::ledger::LocalLedger;
use crate::runtime::health::board::Board;
use crate::runtime::limits::ByteBudget;
use crate::runtime::liveness::Vitals;
use crate::runtime::local_outlet::LocalOutlet;
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
    pub outlet: Arc<LocalOutlet>,
    pub ledger: Arc<LocalLedger>,
    pub bytes: Arc<ByteBudget>,
    pub configuration: Arc<Standing>,
    pub vitals: Vitals,
}

/// How long a record that was taken may wait for its acknowledgement before somebody is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records are taken and not acknowledged, though whoever takes them is there.
pub struct Stall {
    pub error: String,
    pub remedy: &'static str,
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
        *self.state.lock() = state;
    }

    fn state(&self) -> RunState {
        *self.state.lock()
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

    pub fn stall(&self) -> Option<Stall> {
        let kafka = match &self.parts.kafka {
            Kafka::Producer(kafka) => Some(kafka.state().state),
            Kafka::None => None,
        };
        stall(self.parts.outlet.waits_for()?, kafka)
    }

    /// Whether a record has waited for its acknowledgement for long, whatever the reason.
    pub fn waits_long(&self) -> bool {
        let waits_for = self.parts.outlet.waits_for();
        waits_for.is_some_and(|waited| waited >= PATIENCE)
    }

    fn kafka(&self) -> KafkaStatus {
        let (state, error, remedy) = match (self.stall(), &self.parts.kafka) {
            (Some(stall), _) => (
                PartState::Unavailable,
                Some(stall.error),
                Some(stall.remedy.into()),
            ),
            (None, Kafka::Producer(kafka)) => {
                let link = kafka.state();
                (part(link.state), link.error, link.remedy)
            }
            (None, Kafka::None) => (PartState::Ok, None, None),
        };
        KafkaStatus {
            state,
            in_flight_bytes: self.parts.bytes.used() as u64,
            error,
            remedy: remedy.map(Cow::into_owned),
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

/// What there is to be told of a record that has waited so long. Without `kafka`, records go to standard output. While Kafka
/// is away that is told instead.
fn stall(waited: Duration, kafka: Option<Condition>) -> Option<Stall> {
    if waited < PATIENCE {
        return None;
    }
    let waited = span(waited.as_secs());
    match kafka {
        Some(Condition::Ok) => Some(Stall {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_waits_while_kafka_answers_is_told_and_one_that_waits_for_kafka_is_not() {
        let told = |waited, kafka| stall(waited, kafka).map(|stall| stall.error);
        let (short, long) = (PATIENCE - Duration::from_secs(1), PATIENCE * 2);
        for kafka in [
            None,
            Some(Condition::Ok),
            Some(Condition::Starting),
            Some(Condition::Unavailable),
        ] {
            assert_eq!(told(short, kafka), None);
            let error = told(long, kafka).unwrap_or_default();
            let expected = match kafka {
                None => "nobody has read a record from standard output for 2m",
                Some(Condition::Ok) => {
                    "Kafka is connected, and has not acknowledged a record for 2m"
                }
                Some(_) => "",
            };
            assert_eq!(error, expected, "{kafka:?}");
        }
    }
}
