//! Builds the delivery from the settings: Kafka or standard output, the ledger, and the outlet over both.
//!
//! Another kind of ledger is another outlet: it is chosen here.

use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::tasks::{forever, signs_of_life, watch_part};
use super::{Output, PART_SILENCE, StartError};
use crate::core::health::status::OwnershipStatus;
use crate::kafka::{KafkaError, KafkaLedger, KafkaPublisher};
use crate::ledger::{LedgerError, LocalLedger};
use crate::ports::{Clock, Observer, Outlet, Part, Publisher};
use crate::record::StdoutPublisher;
use crate::runtime::commands::DispatcherCommand;
use crate::runtime::fleet::FleetWatch;
use crate::runtime::liveness::{Heartbeat, Liveness};
use crate::runtime::local_outlet::LocalOutlet;
use crate::runtime::supervisor::Supervisor;
use crate::runtime::transactional_outlet::TransactionalOutlet;
use crate::settings::{LedgerKind, Settings};

/// Where records go.
pub(super) struct Destination {
    pub publisher: Arc<dyn Publisher>,
    part: Arc<dyn Part>,
    /// `None`: standard output.
    pub kafka: Option<Arc<KafkaPublisher>>,
}

impl Destination {
    /// Uses no network.
    pub(super) fn new(settings: &Settings, output: Output) -> Result<Self, KafkaError> {
        Ok(match output {
            Output::Kafka => {
                let kafka = Arc::new(connect(settings)?);
                Self::of(kafka.clone(), Some(kafka))
            }
            Output::Stdout => Self::of(Arc::new(StdoutPublisher::new(io::stdout())), None),
        })
    }

    fn of(
        publisher: Arc<impl Publisher + Part + 'static>,
        kafka: Option<Arc<KafkaPublisher>>,
    ) -> Self {
        Self {
            publisher: publisher.clone(),
            part: publisher,
            kafka,
        }
    }
}

/// The ledger, by kind.
enum LedgerInUse {
    Local(Arc<LocalLedger>),
    Kafka(Arc<KafkaLedger>),
}

/// The outlet and its parts.
pub(super) struct Delivery {
    pub destination: Destination,
    pub outlet: Arc<dyn Outlet>,
    /// The destination and the ledger, each with its heartbeat.
    parts: [(Arc<dyn Part>, Heartbeat); 2],
    ledger: LedgerInUse,
}

impl Delivery {
    /// Opens the ledger, and registers each part with `/livez`.
    pub(super) async fn open(
        destination: Destination,
        settings: &Settings,
        observer: Arc<dyn Observer>,
        liveness: &mut Liveness,
    ) -> Result<Self, StartError> {
        let (outlet, part, ledger): (Arc<dyn Outlet>, Arc<dyn Part>, _) =
            match (settings.ledger.kind, &destination.kafka) {
                (LedgerKind::Local, _) => {
                    let ledger = Arc::new(open_ledger(settings.ledger.path.clone()).await?);
                    let publisher = destination.publisher.clone();
                    let outlet = LocalOutlet::new(publisher, ledger.clone(), observer);
                    (Arc::new(outlet), ledger.clone(), LedgerInUse::Local(ledger))
                }
                (LedgerKind::Kafka, Some(kafka)) => {
                    let ledger = KafkaLedger::new(settings.ledger.kafka.clone(), kafka.clone());
                    let ledger = Arc::new(ledger);
                    let outlet = TransactionalOutlet::new(ledger.clone(), observer);
                    (Arc::new(outlet), ledger.clone(), LedgerInUse::Kafka(ledger))
                }
                (LedgerKind::Kafka, None) => return Err(StartError::LedgerNeedsKafka),
            };
        let mut watched = |part: Arc<dyn Part>| {
            let heartbeat = liveness.part(part.name(), PART_SILENCE);
            (part, heartbeat)
        };
        Ok(Self {
            parts: [destination.part.clone(), part].map(&mut watched),
            destination,
            outlet,
            ledger,
        })
    }

    /// The destination and the ledger.
    pub(super) fn parts(&self) -> [&dyn Part; 2] {
        let [(destination, _), (ledger, _)] = &self.parts;
        [&**destination, &**ledger]
    }

    /// What this process has, when it shares the tenants with others.
    pub(super) fn ownership(&self) -> Option<OwnershipStatus> {
        match &self.ledger {
            LedgerInUse::Local(_) => None,
            LedgerInUse::Kafka(ledger) => Some(ledger.ownership_status()),
        }
    }

    /// Spawns what the parts do on their own, and what watches them. A part that works again has all tenants tried again, by `commands`.
    pub(super) fn spawn(
        &self,
        tasks: &mut Supervisor,
        commands: &mpsc::Sender<DispatcherCommand>,
        stop: &CancellationToken,
    ) {
        for (part, heartbeat) in &self.parts {
            let signs = signs_of_life(part.clone(), heartbeat.clone(), stop.clone());
            tasks.spawn("signs of life", forever(signs));
            tasks.spawn(part.name(), watch_part(part.clone(), stop.clone()));
        }
        if let Some(kafka) = &self.destination.kafka {
            let (probed, revived) = (kafka.clone(), kafka.clone());
            let (until, commands, stop) = (stop.clone(), commands.clone(), stop.clone());
            tasks.spawn(
                "Kafka probe",
                forever(async move { probed.probe(until).await }),
            );
            tasks.spawn(
                "Kafka revivals",
                forever(retry_after_revivals(revived, commands, stop)),
            );
        }
    }

    /// Spawns what shares the tenants with other processes, until `closing`, after the last sweep has ended.
    pub(super) fn spawn_sharing(&self, tasks: &mut Supervisor, closing: CancellationToken) {
        if let LedgerInUse::Kafka(ledger) = &self.ledger {
            let ledger = ledger.clone();
            tasks.spawn(
                "ledger owner",
                forever(async move { ledger.run(closing).await }),
            );
        }
    }

    /// Removes tenants from the ledger that left the configuration long ago. A ledger that replicas share also warns of those
    /// that only another replica has configured.
    pub(super) fn spawn_pruning(
        &self,
        tasks: &mut Supervisor,
        mut configured: FleetWatch,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) {
        let mut ids = move || configured.now().iter().map(|tenant| tenant.id).collect();
        let pruning: BoxFuture<'static, ()> = match &self.ledger {
            LedgerInUse::Local(ledger) => {
                let (ledger, configured, now) = (ledger.clone(), ids(), clock.now());
                async move { ledger.prune(configured, now).await }.boxed()
            }
            LedgerInUse::Kafka(ledger) => {
                let (ledger, same_ids) = (ledger.clone(), ids.clone());
                async move {
                    let warnings = ledger.warn_of_unconfigured(same_ids, clock.clone());
                    tokio::join!(ledger.prune(ids, clock.clone()), warnings);
                }
                .boxed()
            }
        };
        tasks.spawn(
            "ledger pruning",
            forever(async move {
                stop.run_until_cancelled(pruning).await;
                stop.cancelled().await;
            }),
        );
    }

    /// Gives up records that are not acknowledged. Returns whether there were any.
    pub(super) fn abandon(&self) -> bool {
        let kafka = self.destination.kafka.as_ref();
        kafka.is_some_and(|kafka| kafka.abandon())
    }
}

/// Retries all tenants when Kafka accepts a producer again: they rest after its refusal.
async fn retry_after_revivals(
    kafka: Arc<KafkaPublisher>,
    commands: mpsc::Sender<DispatcherCommand>,
    stop: CancellationToken,
) {
    let mut revivals = kafka.revivals();
    while let Some(Ok(())) = stop.run_until_cancelled(revivals.changed()).await {
        let _ = commands.send(DispatcherCommand::RetryAll).await;
    }
}

/// Runs on a thread where blocking is allowed: signals must be handled while a disk hangs.
async fn open_ledger(path: PathBuf) -> Result<LocalLedger, LedgerError> {
    let opened = spawn_blocking(move || LocalLedger::open(&path)).await;
    opened.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
}

fn connect(settings: &Settings) -> Result<KafkaPublisher, KafkaError> {
    let publisher = KafkaPublisher::connect(settings.kafka.connection.clone())?;
    let tenants = settings.tenants.iter();
    let topics = tenants.flat_map(|tenant| [&tenant.topic].into_iter().chain(&tenant.alerts_topic));
    let own = [
        &settings.kafka.status_topic,
        &settings.kafka.dead_letter_topic,
    ];
    Ok(publisher.writing_to(topics.chain(own.into_iter().flatten())))
}
