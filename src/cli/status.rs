//! `incidentd status`: shows the state of a running daemon's tenants.
//!
//! It reads only the daemon's address from the configuration. So it also works while the file is being edited, and without
//! the daemon's variables and secrets. A probe whose file can't be read uses the default address. The answer is text from
//! outside, and goes through `tame` before a terminal shows it.
//!
//! Exit codes: 0 when every tenant, Kafka and the ledger are `ok` and the last reload was not refused; 1 when any of them
//! is not; 75 when no incidentd answers. With `--ready` and `--live`: 0, 1 with the reason, 75. Of several daemons that are asked,
//! one that does not answer is not ok, and 75 means that none does.

mod report;
mod screen;
mod table;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::runtime;
use tokio::time::{MissedTickBehavior, interval};

use super::daemon::{Daemon, host_and_port};
use super::text::{self, print_as_it_is};
use super::{CommandError, ConfigFile, FAILED, INTERNAL, OrExit, UNAVAILABLE};
use crate::config::DEFAULT_LISTEN;
use crate::core::format::tame;
use crate::core::health::failure::one_line;
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::telemetry::clock::SystemClock;

use report::StatusDocument;
use screen::Screen;
use table::TableContext;

/// How a running daemon's tenants are, worst first, and what to do about those that are not ok
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   every tenant, Kafka, the ledger and the last reload are ok; with --ready and --live: yes
  1   something is not ok, whatever its state; with --ready and --live: no, and why
  75  no incidentd answers there
  78  the configuration does not say where the daemon listens: say it with --address

A probe, for example of a container:
  incidentd status --ready")]
pub struct StatusCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Where the daemon listens; without it, where http.listen of the configuration says. Given several times, each replica is
    /// asked
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    address: Vec<String>,
    /// Ask again every SECONDS seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// What the daemon says, unchanged: the JSON of /api/status
    #[arg(long)]
    json: bool,
    /// Only whether the daemon is ready: exit code 0, or 1 and what it waits for
    #[arg(long, conflicts_with_all = ["live", "json", "watch"])]
    ready: bool,
    /// Only whether the daemon makes progress: exit code 0, or 1 and why it should be restarted
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    live: bool,
}

impl StatusCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let (daemons, unknown) = match self.daemons() {
            // An edited file must not fail the probe: the restart would not find a valid configuration.
            Err(unknown) if self.ready || self.live => {
                let default = Daemon::listening(DEFAULT_LISTEN, "the default of http.listen");
                (vec![default], Some(unknown))
            }
            daemons => (daemons?, None),
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("can't start the async runtime")
            .or_exit(INTERNAL)?;
        let answer = runtime.block_on(async {
            match (self.ready, self.live, self.watch) {
                (true, ..) => probe(&daemons, "/readyz", "ready").await,
                (_, true, _) => probe(&daemons, "/livez", "live").await,
                (.., Some(seconds)) => self.watch(&daemons, seconds).await,
                (.., None) => self.once(&daemons).await,
            }
        });
        answer.map_err(|failed| match unknown {
            Some(unknown) if failed.code == UNAVAILABLE => unknown,
            _ => failed,
        })
    }

    fn daemons(&self) -> Result<Vec<Daemon>, CommandError> {
        if !self.address.is_empty() {
            return Ok(self.address.iter().map(|it| Daemon::at(it)).collect());
        }
        Ok(vec![Daemon::of(&self.file)?])
    }

    async fn once(&self, daemons: &[Daemon]) -> Result<(), CommandError> {
        let screen = Screen::of_stdout();
        let mut failures = Vec::new();
        for (n, daemon) in daemons.iter().enumerate() {
            let trouble = match self.ask(daemon, &screen).await {
                Ok((text, report)) => {
                    let gap = if n == 0 || self.json { "" } else { "\n" };
                    print_as_it_is(&format!("{gap}{text}"))?;
                    let trouble = report.trouble();
                    trouble.map(|trouble| CommandError::saying(FAILED, trouble))
                }
                Err(failure) => Some(failure),
            };
            failures.extend(trouble.map(|failure| (daemon, failure)));
        }
        all_of(failures, daemons.len())
    }

    async fn watch(&self, daemons: &[Daemon], seconds: u64) -> Result<(), CommandError> {
        let mut turns = interval(Duration::from_secs(seconds));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let screen = Screen::of_stdout();
            let mut texts = Vec::new();
            for daemon in daemons {
                texts.push(match self.ask(daemon, &screen).await {
                    Ok((text, _)) => text,
                    // The daemon may be restarting: keep asking until it answers.
                    Err(failure) => format!(
                        "{}: {failure}\n    Asked again every {seconds}s.\n",
                        now_by_our_clock()
                    ),
                });
            }
            if !screen.redraw(&texts.join("\n"))? {
                return Ok(());
            }
        }
    }

    /// The text to show, and the document behind it.
    async fn ask(
        &self,
        daemon: &Daemon,
        screen: &Screen,
    ) -> Result<(String, StatusDocument), CommandError> {
        let (answer, address) = daemon.ask("/api/status").await?;
        if answer.status != 200 {
            return Err(daemon.strange(address, &answer));
        }
        let report: StatusDocument =
            serde_json::from_str(&answer.body).map_err(|_| daemon.strange(address, &answer))?;
        if self.json {
            return Ok((text::one_json_line(&answer.body), report));
        }
        let context = TableContext {
            address,
            now: answer.date.unwrap_or_else(now_by_our_clock),
            columns: screen.columns(),
            colour: screen.colour(),
        };
        Ok((table::render(&report, &context), report))
    }
}

/// The answers of one of the endpoints for probes.
async fn probe(daemons: &[Daemon], path: &str, good: &str) -> Result<(), CommandError> {
    let mut failures = Vec::new();
    for daemon in daemons {
        let failure = probe_one(daemon, path, good).await.err();
        failures.extend(failure.map(|failure| (daemon, failure)));
    }
    all_of(failures, daemons.len())?;
    print_as_it_is(&format!("{good}\n"))
}

async fn probe_one(daemon: &Daemon, path: &str, good: &str) -> Result<(), CommandError> {
    let (answer, address) = daemon.ask(path).await?;
    match answer.status {
        200 if answer.body.trim_end() == "ok" => Ok(()),
        503 => {
            let why = one_line(&tame(&answer.body), 500);
            Err(CommandError::saying(FAILED, format!("not {good}: {why}")))
        }
        _ => Err(daemon.strange(address, &answer)),
    }
}

/// What is wrong with the daemons that were asked. They are unavailable only if none of them answers.
fn all_of(failures: Vec<(&Daemon, CommandError)>, asked: usize) -> Result<(), CommandError> {
    let unavailable = |(_, failure): &(&Daemon, CommandError)| failure.code == UNAVAILABLE;
    let code = match failures.len() == asked && failures.iter().all(unavailable) {
        true => UNAVAILABLE,
        false => FAILED,
    };
    let named = |(daemon, failure): &(&Daemon, CommandError)| match asked {
        1 => failure.to_string(),
        _ => format!("{}: {failure}", daemon.address),
    };
    let texts: Vec<_> = failures.iter().map(named).collect();
    match texts.is_empty() {
        true => Ok(()),
        false => Err(CommandError::saying(code, texts.join("\n"))),
    }
}

fn now_by_our_clock() -> Ticks {
    Ticks::from_unix_seconds(SystemClock.now().unix_seconds())
}
