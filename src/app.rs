//! The composition root: the only module that knows every concrete type. It starts a daemon from [`Settings`] and stops
//! it again. It decides nothing else.
//!
//! Start: clients, port and local ledger are made first, so that errors show before anything is read. The start does not wait
//! for Kafka: a daemon that starts before its broker works as soon as the broker does. With the ledger in Kafka it begins with
//! no tenants, and gets them with its partitions.
//!
//! Reload: see [`Reload`] and `reload.rs`.
//!
//! Stop, within [`STOP_BUDGET`]: no sweep begins, sweeps in progress end and commit what they have, and the ledger is closed:
//! the file, or the membership in the consumer group. The endpoints answer until then.

mod connectors;
pub mod control;
mod delivery;
mod fleet;
pub mod inspect;
pub mod ledger_tools;
mod library_checks;
mod mounts;
mod preview;
mod reload;
pub mod retirement;
mod status;
pub mod tap;
mod tasks;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::core::health::status::RunState;
use crate::core::sources::SourceKind;
use crate::kafka::KafkaError;
use crate::ledger::LedgerError;
use crate::ports::{Clock, Observer};
use crate::runtime::assignment::{self, Assignment};
use crate::runtime::commands::DispatcherCommand;
use crate::runtime::dispatcher::Dispatcher;
use crate::runtime::fleet::{Fleet, FleetWatch};
use crate::runtime::health::board::Board;
use crate::runtime::health::expiry;
use crate::runtime::health::reports::HealthReports;
use crate::runtime::health::topic::{self, HealthTopic};
use crate::runtime::limits::{ByteBudget, Permits};
use crate::runtime::liveness::{Heartbeat, Liveness};
use crate::runtime::scheduler;
use crate::runtime::supervisor::{EndedUnasked, Supervisor};
use crate::runtime::sweep::Sweeper;
use crate::runtime::tokens::{self, TokenContext};
use crate::settings::Settings;
use crate::telemetry::clock::SystemClock;
use crate::telemetry::http::{self, HostNames, Surface};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::systemd;

use connectors::FleetError;
use control::CommandDesk;
use delivery::{Delivery, Destination};
use fleet::Builder;
pub use library_checks::Libraries;
use mounts::Mounts;
pub use preview::Load;
use preview::ReloadPreviewer;
pub use reload::Reload;
use reload::{ReloadStatus, Reloader};
use status::{StatusView, log_stalls};
use tasks::forever;

/// From the first signal to the end of the process.
pub const STOP_BUDGET: Duration = Duration::from_secs(25);
/// The part of it for sweeps to end.
const DRAIN: Duration = Duration::from_secs(20);
/// Commands that may wait for the dispatcher.
const COMMANDS: usize = 1024;
/// How long the dispatcher may be silent. It shows a sign of life every two seconds.
const DISPATCHER_SILENCE: Duration = Duration::from_secs(60);
/// How long the scheduler, the ledger and Kafka's client may be silent: a disk may be slow, and a clock may jump.
const PART_SILENCE: Duration = Duration::from_secs(120);

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
    /// Another program has the port now.
    #[error(
        "can't listen on {address}: another program does already; stop it (is a second incidentd running?), or set http.listen \
         to another port"
    )]
    PortTaken { address: SocketAddr },
    /// A network that is not up yet, an address that moves between machines.
    #[error(
        "can't listen on {address}: this machine does not have that address now; if it never will, set http.listen to one that \
         it has, for example \"127.0.0.1:9464\""
    )]
    NotHere { address: SocketAddr },
    #[error(
        "can't listen on {address}; set http.listen to an address of this machine, for example \"127.0.0.1:9464\", and to a \
         port of 1024 or more"
    )]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(
        "records go to standard output, and the ledger is in Kafka: both can't be written in one transaction; set ledger.kind = \
         \"local\" for a run with --output stdout"
    )]
    LedgerNeedsKafka,
    #[error("can't set up the connection to Kafka")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

/// A daemon that is set up and has not begun to read.
pub struct App {
    settings: Arc<Settings>,
    sweeper: Sweeper,
    permits: Permits,
    builder: Builder,
    /// All tenants of the configuration.
    configured: (watch::Sender<Fleet>, FleetWatch),
    /// Those that this process has.
    owned: (watch::Sender<Fleet>, FleetWatch),
    board: Arc<Board>,
    delivery: Arc<Delivery>,
    /// Of the dispatcher and the scheduler.
    heartbeats: [Heartbeat; 2],
    view: Arc<StatusView>,
    /// Taken when it runs.
    listener: Option<TcpListener>,
}

impl App {
    /// Sets everything up.
    ///
    /// # Errors
    /// [`StartError`]: what another try would not mend, or would hide.
    pub async fn build(settings: Settings, output: Output) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let destination = Destination::new(&settings, output)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let sources = SourceKind::ALL.map(|source| source.facts().name);
        let metrics = Metrics::new(&sources).showing(settings.http.metrics);
        let metrics = Arc::new(metrics);
        let observer: Arc<dyn Observer> = metrics.clone();
        let mut builder = Builder::new(TokenContext {
            authorities: Arc::default(),
            observer: observer.clone(),
            clock: clock.clone(),
        });
        let tenants = builder.build(&settings, None)?;
        let listener = listen(settings.http.listen).await?;
        let mut liveness = Liveness::default();
        let heartbeats = [
            liveness.part("dispatcher", DISPATCHER_SILENCE),
            liveness.part("scheduler", PART_SILENCE),
        ];
        // The last step that can fail: a failed start leaves no new ledger behind and logs no warning about one.
        let delivery = Delivery::open(destination, &settings, observer.clone(), &mut liveness);
        let delivery = Arc::new(delivery.await?);
        let owned = assignment::owned(&tenants, &delivery.outlet.ownership().borrow());
        let board = Arc::new(Board::new(&owned, clock.clone()));
        let bytes = ByteBudget::new(settings.kafka.connection.max_in_flight);
        let view = Arc::new(StatusView {
            started: clock.now(),
            state: Mutex::new(RunState::Starting),
            configuration: Arc::new(ReloadStatus::new(clock.now())),
            preview: Arc::new(ReloadPreviewer::new(settings.clone())),
            board: board.clone(),
            metrics,
            delivery: delivery.clone(),
            bytes: bytes.clone(),
            liveness,
        });
        Ok(Self {
            sweeper: Sweeper {
                outlet: delivery.outlet.clone(),
                clock,
                observer,
                bytes,
                started: Instant::now(),
                stop: CancellationToken::new(),
            },
            permits: Permits::new(settings.max_concurrent),
            settings,
            builder,
            configured: FleetWatch::new(tenants),
            owned: FleetWatch::new(owned),
            board,
            delivery,
            heartbeats,
            view,
            listener: Some(listener),
        })
    }

    /// The address of the endpoints. With port 0 in the configuration, it has the port that was free.
    pub fn listening(&self) -> io::Result<SocketAddr> {
        self.listener
            .as_ref()
            .ok_or(io::ErrorKind::NotConnected)?
            .local_addr()
    }

    /// Runs until `asked` resolves, then stops within [`STOP_BUDGET`]. Without `reload`, the configuration stays as it is.
    ///
    /// # Errors
    /// A task ended by itself.
    pub async fn run(
        mut self,
        asked: impl Future<Output = ()>,
        reload: Option<Reload>,
    ) -> Result<(), EndedUnasked> {
        let (view, delivery) = (self.view.clone(), self.delivery.clone());
        let stop = self.sweeper.stop.clone();
        let endpoints = CancellationToken::new();
        let mut reporting = self.start_reporting(&endpoints);
        let mut sharing = Supervisor::default();
        delivery.spawn_sharing(&mut sharing, endpoints.clone());
        let mut tasks = Supervisor::default();
        let (commands, received) = mpsc::channel(COMMANDS);
        delivery.spawn(&mut tasks, &commands, &stop);
        let (configured, clock) = (self.configured.1.clone(), self.sweeper.clock.clone());
        delivery.spawn_pruning(&mut tasks, configured, clock, stop.clone());
        tasks.spawn("outlet", forever(log_stalls(view.clone(), stop.clone())));
        self.read_tenants(&mut tasks, reload, commands, received);

        view.set(RunState::Running);
        systemd::ready(&view.summary());
        let unasked = tokio::select! {
            () = asked => None,
            ended = tasks.first_end() => Some(ended),
            ended = reporting.first_end() => Some(ended),
            ended = sharing.first_end() => Some(ended),
        };
        let deadline = Instant::now() + STOP_BUDGET;
        view.set(RunState::Stopping);
        // Before systemd is notified: a reload that ends now would report that the daemon is ready.
        stop.cancel();
        systemd::stopping();
        tracing::info!("stopping: sweeps at work come to rest, nothing new begins");
        if timeout_at(deadline, tasks.all_ended()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        // Sweeps that ended have waited for their acknowledgements. The rest belongs to sweeps that were cut short.
        if delivery.abandon() {
            tracing::warn!(
                "records were still on their way to Kafka; they are read and published again after the start"
            );
        }
        endpoints.cancel();
        // Other processes take over at once what this one gives up.
        let _ = timeout_at(deadline, sharing.all_ended()).await;
        // A slow client of the endpoints must not delay the stop.
        let _ = timeout(Duration::from_millis(500), reporting.all_ended()).await;
        unasked.map_or(Ok(()), Err)
    }

    /// Starts what reports on the daemon until it has stopped.
    fn start_reporting(&mut self, end: &CancellationToken) -> Supervisor {
        let mut reporting = Supervisor::default();
        let view = self.view.clone();
        if let Some(listener) = self.listener.take() {
            let names = HostNames::new(&self.settings.http.hosts);
            let server = http::serve(listener, names, view.clone(), end.clone());
            reporting.spawn("HTTP server", server);
        }
        let (summary, live) = (view.clone(), view);
        reporting.spawn(
            "systemd notification",
            forever(systemd::report(
                move || summary.summary(),
                move || live.live(),
                end.clone(),
            )),
        );
        reporting
    }

    fn read_tenants(
        self,
        tasks: &mut Supervisor,
        reload: Option<Reload>,
        commands: mpsc::Sender<DispatcherCommand>,
        received: mpsc::Receiver<DispatcherCommand>,
    ) {
        let stop = || self.sweeper.stop.clone();
        let (owned, mut watch) = self.owned;
        let (configured, configured_watch) = self.configured;
        let scheduled = watch.clone();
        let fleet = watch.now();
        let board = self.board.clone();
        let keepers = move || {
            let fleet = watch.now();
            let read = fleet.iter().filter(|tenant| !board.is_paused(tenant.id));
            read.map(|tenant| tenant.tokens.clone()).collect()
        };
        tasks.spawn(
            "token renewal",
            forever(tokens::renew_in_background(keepers, stop())),
        );
        tasks.spawn(
            "credentials",
            forever(expiry::watch(self.board.clone(), stop())),
        );
        let (topic, announced) = HealthTopic::new();
        let publisher = self.delivery.destination.publisher.clone();
        tasks.spawn(
            "health announcements",
            forever(topic::run(announced, publisher, stop())),
        );
        if let Some(path) = self.settings.http.command_socket(&self.settings.ledger) {
            let desk = CommandDesk {
                configured: configured.subscribe(),
                outlet: self.delivery.outlet.clone(),
                commands: commands.clone(),
            };
            let stop = stop();
            let serving = async move { control::serve(&path, desk, stop).await };
            tasks.spawn("commands", forever(serving));
        }
        let assignment = Assignment {
            configured: configured_watch,
            outlet: self.delivery.outlet.clone(),
            owned,
            commands: commands.clone(),
        };
        tasks.spawn("assignment", forever(assignment.run(stop())));
        if let Some(reload) = reload {
            let preview = self.view.preview.clone();
            preview.reads_with(reload.load.clone());
            let reloader = Reloader {
                reload,
                builder: self.builder,
                started_with: self.settings.clone(),
                settings: self.settings,
                mounts: Mounts::default(),
                configured,
                status: self.view.configuration.clone(),
                preview,
                clock: self.sweeper.clock.clone(),
                commands: commands.clone(),
            };
            let view = self.view;
            let status = move || view.summary();
            tasks.spawn("reload", forever(reloader.run(status, stop())));
        }
        let [dispatcher_heartbeat, scheduler_heartbeat] = self.heartbeats;
        tasks.spawn(
            "scheduler",
            scheduler::run(
                scheduled,
                commands,
                self.sweeper.clock.clone(),
                scheduler_heartbeat,
                stop(),
            ),
        );
        let stop = self.sweeper.stop.clone();
        let reports = HealthReports::new(self.board, topic, self.sweeper.started);
        let dispatcher = Dispatcher::new(self.sweeper, self.permits, reports, dispatcher_heartbeat);
        let dispatching = dispatcher.run(fleet, received, stop, DRAIN);
        tasks.spawn("dispatcher", forever(dispatching));
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { address },
        io::ErrorKind::AddrNotAvailable => StartError::NotHere { address },
        _ => StartError::Listen { address, source },
    })
}
