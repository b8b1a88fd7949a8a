//! The command line: one file per command, and the exit codes that all share. A new command is a file, its `mod`, and a
//! line of `commands!`.

mod check;
mod completions;
mod config;
mod consent;
mod daemon;
#[cfg(feature = "demo")]
mod demo;
mod init;
mod ledger;
mod man;
mod record_view;
mod run;
mod status;
mod tap;
mod tenant_commands;
mod tenant_selection;
mod text;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::app::Libraries;
use crate::config::{ConfigErrors, process_environment};
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
/// A process reads all tenants, or its share of them, each on its own schedule, and keeps in a ledger what was published. `init`
/// writes a first configuration and `check` tries it out; `run` is the daemon; `status` asks the daemon how its tenants are and says
/// what to do about those that are not ok.
#[derive(Parser, Debug)]
#[command(version, about, after_long_help = man::MANUAL.trim_end())]
pub struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

/// Makes the enum of the commands, and the call of each.
macro_rules! commands {
    ($($(#[cfg($condition:meta)])? $name:ident($module:ident::$command:ident),)*) => {
        #[derive(Subcommand, Debug)]
        enum CliCommand {
            $($(#[cfg($condition)])? $name($module::$command),)*
        }

        impl CliCommand {
            fn run(self) -> Result<(), CommandError> {
                match self {
                    $($(#[cfg($condition)])? Self::$name(command) => command.run(),)*
                }
            }
        }
    };
}

// In the order of the help. The comment above each command's type is its line there.
commands! {
    Run(run::RunCommand),
    Init(init::Init),
    Config(config::ConfigCommand),
    Check(check::CheckCommand),
    Consent(consent::ConsentCommand),
    Token(token::TokenCommand),
    Status(status::StatusCommand),
    Tap(tap::TapCommand),
    Pause(tenant_commands::PauseCommand),
    Resume(tenant_commands::ResumeCommand),
    Backfill(tenant_commands::BackfillCommand),
    Ledger(ledger::LedgerCommand),
    #[cfg(feature = "demo")]
    Demo(demo::DemoCommand),
    Completions(completions::CompletionsCommand),
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
    /// Reads it with one of the functions of [`crate::config`].
    fn read<T>(
        &self,
        read: impl FnOnce(&Path, &HashMap<String, String>) -> Result<T, ConfigErrors>,
    ) -> Result<T, CommandError> {
        read(&self.config, &process_environment()).or_exit(CONFIGURATION)
    }

    fn load(&self) -> Result<Settings, CommandError> {
        self.read(|file, environment| crate::config::load(file, environment, &Libraries::default()))
    }
}

/// Runs a command's network requests to their end. Does not wait for threads that still wait for a name or a silent broker.
fn run_async<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = Runtime::new()
        .context("can't start the async runtime")
        .or_exit(INTERNAL)?;
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
        self.command.run()
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct CommandError {
    /// The exit code of the process: 1, or one of `sysexits.h`.
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

    fn saying(code: u8, text: impl Into<String>) -> Self {
        Self::new(code, anyhow::Error::msg(text.into()))
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

/// Gives an error its exit code.
trait OrExit<T> {
    fn or_exit(self, code: u8) -> Result<T, CommandError>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: u8) -> Result<T, CommandError> {
        self.map_err(|error| CommandError::new(code, error))
    }
}
