//! The composition root: the only module that knows every concrete type. It turns [`Settings`] into a running daemon
//! and brings it to rest again; it decides nothing else.
//!
//! Start: ledger, port and clients are made first, so that whatever can't work fails before anything is read. Kafka is
//! not waited for: a daemon that starts before its broker goes on when the broker comes.
//!
//! Stop, within [`STOP_BUDGET`]: no sweep begins, those at work come to rest and commit what they have, the ledger is
//! closed. The endpoints answer until then.

mod fleet;
pub mod inspect;
mod surface;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Settings;
use crate::core::status::RunState;
use crate::kafka::{KafkaError, KafkaOptions, KafkaPublisher};
use crate::ledger::{LedgerError, LocalLedger};
use crate::microsoft::Clients;
use crate::ports::{Clock, Observer, Publisher};
use crate::record::{AlertSplitter, StdoutPublisher};
use crate::runtime::board::Board;
use crate::runtime::dispatcher::Dispatcher;
use crate::runtime::herald::{self, Herald};
use crate::runtime::limits::{ByteBudget, Slots};
use crate::runtime::outlet::LocalOutlet;
use crate::runtime::scheduler;
use crate::runtime::supervisor::{EndedUnasked, Supervisor};
use crate::runtime::sweeper::Sweeper;
use crate::runtime::tenant::Tenant;
use crate::runtime::tokens::{self, Desk};
use crate::telemetry::clock::SystemClock;
use crate::telemetry::http;
use crate::telemetry::metrics::Metrics;

use fleet::FleetError;
use surface::{Kafka, Parts, Window};

/// From the first signal to the end of the process.
pub const STOP_BUDGET: Duration = Duration::from_secs(25);
/// Of that, for sweeps to come to rest.
const DRAIN: Duration = Duration::from_secs(20);
/// Firings under way to the dispatcher.
const FIRINGS: usize = 1024;

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Kafka,
    Stdout,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("can't open the ledger")]
    Ledger(#[from] LedgerError),
    #[error("can't listen on {address} (http.listen)")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("can't set up the connection to Kafka")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

/// A daemon that is set up and has not begun to read.
pub struct App {
    /// Ends everything but the endpoints.
    stop: CancellationToken,
    sweeper: Sweeper,
    slots: Slots,
    tenants: Vec<Arc<Tenant>>,
    board: Arc<Board>,
    publisher: Arc<dyn Publisher>,
    kafka: Option<Arc<KafkaPublisher>>,
    ledger: Arc<LocalLedger>,
    window: Arc<Window>,
    listener: TcpListener,
}

impl App {
    /// Sets everything up.
    ///
    /// # Errors
    /// [`StartError`]: something that waiting or trying again would not mend, or should not hide.
    pub async fn build(settings: &Settings, output: Output) -> Result<Self, StartError> {
        let ledger = Arc::new(LocalLedger::open(&settings.ledger.path)?);
        let address = settings.http.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address, source })?;
        let kafka = match output {
            Output::Kafka => Some(Arc::new(connect(settings)?)),
            Output::Stdout => None,
        };
        let publisher: Arc<dyn Publisher> = match &kafka {
            Some(kafka) => kafka.clone(),
            None => Arc::new(StdoutPublisher::new(io::stdout())),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new(&fleet::SOURCES));
        let observer: Arc<dyn Observer> = metrics.clone();
        let desk = Desk {
            authorities: Arc::default(),
            observer: observer.clone(),
            clock: clock.clone(),
        };
        let tenants = fleet::tenants(settings, &Clients::new(), &desk)?;
        let board = Arc::new(Board::new(&tenants, clock.clone()));
        let bytes = ByteBudget::new(settings.max_in_flight);
        let stop = CancellationToken::new();
        let outlet = LocalOutlet::new(
            publisher.clone(),
            Arc::new(AlertSplitter),
            ledger.clone(),
            observer.clone(),
        );
        let window = Arc::new(Window::new(Parts {
            started: clock.now(),
            board: board.clone(),
            metrics,
            kafka: kafka.clone().map_or(Kafka::None, Kafka::Producer),
            ledger: ledger.clone(),
            bytes: bytes.clone(),
        }));
        Ok(Self {
            sweeper: Sweeper {
                outlet: Arc::new(outlet),
                clock,
                observer,
                bytes,
                started: Instant::now(),
                stop: stop.clone(),
            },
            stop,
            slots: Slots::new(settings.max_concurrent),
            tenants,
            board,
            publisher,
            kafka,
            ledger,
            window,
            listener,
        })
    }

    /// The address of the endpoints; with port 0 in the configuration, the port that was free.
    pub fn listening(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs until `asked` resolves, then stops within [`STOP_BUDGET`].
    ///
    /// Tenants that rest after a failure are tried again at once whenever `nudge` is notified.
    ///
    /// # Errors
    /// A task that ended although nobody asked it to.
    pub async fn run(
        self,
        asked: impl Future<Output = ()>,
        nudge: Arc<Notify>,
    ) -> Result<(), EndedUnasked> {
        let endpoints = CancellationToken::new();
        let mut server = Supervisor::default();
        server.spawn(
            "HTTP server",
            http::serve(self.listener, self.window.clone(), endpoints.clone()),
        );

        let mut tasks = Supervisor::default();
        let (stop, started) = (&self.stop, &self.tenants);
        let keepers = started.iter().map(|tenant| tenant.tokens.clone()).collect();
        tasks.spawn(
            "token renewal",
            forever(tokens::renew_in_background(keepers, stop.clone())),
        );
        if let Some(kafka) = &self.kafka {
            tasks.spawn("Kafka probe", probe(kafka.clone(), stop.clone()));
            tasks.spawn(
                "Kafka producer",
                watch_producer(kafka.clone(), stop.clone()),
            );
        }
        tasks.spawn("ledger", watch_ledger(self.ledger.clone(), stop.clone()));
        let (herald, announced) = Herald::new();
        tasks.spawn(
            "health announcements",
            forever(herald::run(announced, self.publisher.clone(), stop.clone())),
        );
        let schedules = fleet::distinct_schedules(started);
        let dispatcher = Dispatcher::new(
            started,
            &schedules,
            self.sweeper,
            self.slots,
            (self.board.clone(), herald),
        )
        .nudged_by(nudge);
        let (firings, fired) = mpsc::channel(FIRINGS);
        tasks.spawn(
            "dispatcher",
            forever(dispatcher.run(fired, stop.clone(), DRAIN)),
        );
        tasks.spawn(
            "scheduler",
            scheduler::run(schedules, firings, stop.clone()),
        );

        self.window.set(RunState::Running);
        let unasked = tokio::select! {
            () = asked => None,
            ended = tasks.first_end() => Some(ended),
            ended = server.first_end() => Some(ended),
        };
        let deadline = Instant::now() + STOP_BUDGET;
        self.window.set(RunState::Stopping);
        tracing::info!("stopping: sweeps at work come to rest, nothing new begins");
        stop.cancel();
        if timeout_at(deadline, tasks.all_ended()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        // Whoever published has waited for the acknowledgement. What is left now belongs to sweeps that were broken off.
        if self.kafka.is_some_and(|kafka| kafka.abandon()) {
            tracing::warn!(
                "records were still on their way to Kafka; they are read and published again after the start"
            );
        }
        endpoints.cancel();
        // A slow caller of the endpoints must not hold the stop up.
        let _ = timeout(Duration::from_millis(500), server.all_ended()).await;
        unasked.map_or(Ok(()), Err)
    }
}

fn connect(settings: &Settings) -> Result<KafkaPublisher, KafkaError> {
    KafkaPublisher::connect(kafka_options(settings))
}

fn kafka_options(settings: &Settings) -> KafkaOptions {
    KafkaOptions {
        brokers: settings.kafka.brokers.clone(),
        properties: settings.kafka.properties.clone(),
        max_in_flight: settings.max_in_flight,
    }
}

#[derive(Debug, thiserror::Error)]
enum PartEnded {
    #[error("Kafka's producer can't go on: {0}")]
    Producer(String),
    #[error("the ledger's writer is gone")]
    Ledger,
}

async fn forever(work: impl Future<Output = ()>) -> Result<(), PartEnded> {
    work.await;
    Ok(())
}

async fn probe(kafka: Arc<KafkaPublisher>, stop: CancellationToken) -> Result<(), PartEnded> {
    kafka.probe(stop).await;
    Ok(())
}

async fn watch_producer(
    kafka: Arc<KafkaPublisher>,
    stop: CancellationToken,
) -> Result<(), PartEnded> {
    match stop.run_until_cancelled(kafka.fatal()).await {
        Some(why) => Err(PartEnded::Producer(why)),
        None => Ok(()),
    }
}

async fn watch_ledger(ledger: Arc<LocalLedger>, stop: CancellationToken) -> Result<(), PartEnded> {
    match stop.run_until_cancelled(ledger.ended()).await {
        Some(()) => Err(PartEnded::Ledger),
        None => Ok(()),
    }
}
