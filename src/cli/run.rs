//! `incidentd run`: the daemon.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::process;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_tokio::Signals;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};

use super::{CONFIGURATION, CommandError, ConfigFile, INTERNAL, OrExit, UNAVAILABLE};
use crate::app::inspect::retirement;
use crate::app::{App, Libraries, Load, Output, Reload, STOP_BUDGET, StartError};
use crate::config::{self, process_environment};
use crate::ledger::LedgerError;
use crate::settings::Settings;
use crate::telemetry::logging::{self, Log};

/// The daemon: reads all tenants on their schedules until it is told to stop
#[derive(Args, Debug)]
pub struct RunCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Where records go
    #[arg(long, value_enum, default_value = "kafka")]
    output: Target,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Target {
    /// The topic of the configuration
    Kafka,
    /// Standard output, one record a line; the ledger is kept as with Kafka
    Stdout,
}

impl RunCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let (file, environment) = (self.file.config, process_environment());
        let load: Load = Arc::new(move || config::load(&file, &environment, &Libraries::default()));
        let runtime = Runtime::new()
            .context("can't start the async runtime")
            .or_exit(UNAVAILABLE)?;
        // Before anything is read: by default a signal during the start kills the process.
        let asked = Arc::<Notify>::default();
        let stop = {
            let _runtime = runtime.enter();
            stop_signal(asked.clone()).or_exit(INTERNAL)?
        };
        let settings = load().or_exit(CONFIGURATION)?;
        let log = start_log(&settings)?;
        let output = match self.output {
            Target::Kafka => Output::Kafka,
            Target::Stdout => Output::Stdout,
        };
        runtime.spawn(logging::report_lost_lines(log.lost.clone()));
        let reload = Reload {
            asked,
            load,
            log: log.filter.clone(),
        };
        let served = runtime.block_on(serve(settings, output, stop, reload));
        // A dropped runtime waits for its blocking threads. A thread that writes to a pipe without a reader never ends.
        runtime.shutdown_background();
        served
    }
}

fn start_log(settings: &Settings) -> Result<Log, CommandError> {
    let log = logging::init(settings.log.format, &settings.log.level).or_exit(CONFIGURATION)?;
    for warning in &settings.warnings {
        tracing::warn!("configuration: {warning}");
    }
    if let Some(retirement) = retirement(&settings.tenants) {
        tracing::warn!("{retirement}");
    }
    Ok(log)
}

async fn serve(
    settings: Settings,
    output: Output,
    stop: impl Future<Output = ()>,
    reload: Reload,
) -> Result<(), CommandError> {
    let tenants = settings.tenants.len();
    let mut stop = pin!(stop);
    let app = tokio::select! {
        app = App::build(settings, output) => app,
        // A disk may hang during the start, when there is nothing to stop yet.
        () = &mut stop => return Ok(()),
    };
    let app = app.map_err(|error| CommandError::new(exit_code(&error), error))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        tenants,
        listen = app.listening().map(|at| at.to_string()).unwrap_or_default(),
        "incidentd runs"
    );
    app.run(stop, Some(reload)).await.map_err(|error| {
        tracing::error!(%error, "stopped");
        CommandError::new(INTERNAL, error)
    })?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves at the first SIGTERM or SIGINT. The second one ends the process at once; nothing is lost by that.
///
/// SIGHUP notifies `reload`. SIGXFSZ comes where the size of files is limited (`LimitFSIZE`, `ulimit -f`). By default it
/// kills the process; with a handler, the write fails as on a full disk.
fn stop_signal(reload: Arc<Notify>) -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXFSZ])?;
    let (first, stop) = oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        while let Some(signal) = signals.next().await {
            match (signal, first.take()) {
                (SIGHUP, unsent) => {
                    reload.notify_one();
                    first = unsent;
                }
                (SIGXFSZ, unsent) => first = unsent,
                (_, Some(first)) => {
                    let _ = first.send(());
                    end_at_last();
                }
                (signal, None) => process::exit(128 + signal),
            }
        }
    });
    Ok(async {
        // The sender lives in the task above, which never ends.
        let _ = stop.await;
    })
}

/// Ends the process when the stop takes too long, so that a service manager need not kill it. It has a thread of its own,
/// because the runtime itself may hang.
fn end_at_last() {
    thread::spawn(|| {
        let (_sender, receiver) = mpsc::sync_channel::<()>(0);
        let _ = receiver.recv_timeout(STOP_BUDGET + Duration::from_secs(3));
        process::exit(INTERNAL.into());
    });
}

fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Ledger(
            LedgerError::Locked { .. }
            | LedgerError::NoSpace { .. }
            | LedgerError::NotMounted { .. },
        )
        | StartError::PortTaken { .. }
        | StartError::NotHere { .. } => UNAVAILABLE,
        StartError::Ledger(_)
        | StartError::Listen { .. }
        | StartError::LedgerNeedsKafka
        | StartError::Kafka(_)
        | StartError::Fleet(_) => CONFIGURATION,
    }
}
