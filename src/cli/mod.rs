//! The command line: one file per command, and the exit codes that all share.

mod check;
mod completions;
mod config;
mod consent;
#[cfg(feature = "demo")]
mod demo;
mod init;
mod man;
mod run;
mod status;
mod tenant_selection;
mod text;
mod token;

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::app::Libraries;
use crate::config::process_environment;
use crate::settings::Settings;

/// The command line can't be understood (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// Something broke that should not have (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;
/// Something that the command needs is not available now (`EX_TEMPFAIL`).
const UNAVAILABLE: u8 = 75;
/// An operator must correct the configuration or the ledger (`EX_CONFIG`): a restart does not help.
const CONFIGURATION: u8 = 78;
/// The command's own negative result: `demo` found duplicates or losses, `status` or `check` found something that is not ok,
/// `init` found an existing file.
const FAILED: u8 = 1;

/// Polls Microsoft's security-incident APIs for many tenants and publishes every version of every incident to Kafka,
/// once.
///
/// One process reads all tenants, each on its own schedule, and keeps in a ledger what was published. `init` writes a
/// first configuration and `check` tries it out; `run` is the daemon; `status` asks the daemon how its tenants are and says
/// what to do about those that are not ok.
#[derive(Parser, Debug)]
#[command(version, about, after_long_help = man::MANUAL.trim_end())]
pub struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand, Debug)]
enum CliCommand {
    /// The daemon: reads all tenants on their schedules until it is told to stop
    Run(run::RunCommand),
    /// Writes a commented configuration to start from, or the file of one customer; never over anything
    Init(init::Init),
    /// The configuration in force, and where each value comes from
    Config(config::ConfigCommand),
    /// Whether everything is in place: the configuration, then for each tenant a token and one incident, and Kafka
    Check(check::CheckCommand),
    /// The links through which customers' administrators consent to the app
    Consent(consent::ConsentCommand),
    /// What a tenant's token says, never the token itself
    Token(token::TokenCommand),
    /// How a running daemon's tenants are, worst first, and what to do about those that are not ok
    Status(status::StatusCommand),
    /// Everything in one process against a simulated Microsoft: no set-up, no network, nothing left behind
    #[cfg(feature = "demo")]
    Demo(demo::DemoCommand),
    /// A script with which a shell completes this command line
    Completions(completions::CompletionsCommand),
    /// The manual page; or all of them, into a folder
    Man(man::ManCommand),
}

/// Where the service has its configuration.
const DEFAULT_CONFIG: &str = "/etc/incidentd/incidentd.toml";

/// `--config`, for the commands that read the configuration.
#[derive(clap::Args, Debug)]
struct ConfigFile {
    /// The configuration's main file
    #[arg(
        long,
        value_name = "FILE",
        default_value = DEFAULT_CONFIG
    )]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Settings, CommandError> {
        crate::config::load(&self.config, &process_environment(), &Libraries)
            .map_err(|errors| CommandError::new(CONFIGURATION, errors))
    }
}

/// Runs a command's network requests to their end. Does not wait for threads that still wait for a name or a silent broker.
fn run_async<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = Runtime::new()
        .context("can't start the async runtime")
        .map_err(|error| CommandError::new(INTERNAL, error))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(result)
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// What went wrong, in the operator's words, and its exit code.
    pub fn run(self) -> Result<(), CommandError> {
        match self.command {
            CliCommand::Run(run) => run.run(),
            CliCommand::Init(init) => init.run(),
            CliCommand::Config(config) => config.run(),
            CliCommand::Check(check) => check.run(),
            CliCommand::Consent(consent) => consent.run(),
            CliCommand::Token(token) => token.run(),
            CliCommand::Status(status) => status.run(),
            #[cfg(feature = "demo")]
            CliCommand::Demo(demo) => demo.run(),
            CliCommand::Completions(completions) => completions.run(),
            CliCommand::Man(man) => man.run(),
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct CommandError {
    pub code: u8,
    error: anyhow::Error,
}

impl CommandError {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }

    /// Writes to standard error what went wrong.
    pub fn report(&self) {
        text::print_error(&self.to_string());
    }
}

impl fmt::Display for CommandError {
    /// The error and all its causes, in one line unless their texts have several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}
