//! `incidentd ledger show|export|import`: looks into the ledger, and moves it to another machine or another kind of ledger.
//!
//! Exit codes: 0 when it is done; 1 when the input of an import is refused; 64 for an unknown tenant; 75 when a daemon runs that
//! has to be stopped first, or Kafka is out of reach; 78 when the configuration or the ledger has to be corrected.

mod show;

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::text::{paragraph, print_error, why_and_do};
use super::{CONFIGURATION, CommandError, ConfigFile, FAILED, UNAVAILABLE, USAGE, run_async};
use crate::app::ledger_tools::{self, LedgerToolError};
use crate::core::format::{counted, grouped, tame};
use crate::core::health::failure::chain;

/// Looks into the ledger, or moves it to another machine or another kind of ledger
#[derive(Args, Debug)]
pub struct LedgerCommand {
    #[command(subcommand)]
    action: LedgerAction,
}

#[derive(Subcommand, Debug)]
enum LedgerAction {
    Show(show::ShowCommand),
    Export(ExportCommand),
    Import(ImportCommand),
}

/// Writes the whole ledger: a line of JSON for each row
///
/// The file of a local ledger is locked by a running daemon, which has to be stopped first. A ledger in Kafka is read beside
/// running daemons. What they publish after the export is not in it.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   the whole ledger was written; its last line says how many rows there are
  75  a daemon runs that has the local ledger, or Kafka is out of reach
  78  the configuration is not valid, or there is no ledger

To move a ledger, with every daemon stopped:
  incidentd ledger export --config OLD.toml > ledger.jsonl
  incidentd ledger import --config NEW.toml < ledger.jsonl")]
struct ExportCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Where to, for a container without a shell; without it, standard output
    #[arg(value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Reads an exported ledger, and publishes nothing
///
/// Everything that the exported ledger knows counts as published. Versions are written first and the tenants' cursors last, after
/// the whole input was checked. So an import that was cut off can be repeated, and no daemon should run before it is done.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   the ledger has everything
  1   the input is damaged, cut off or of a later incidentd, or a tenant was read here since the export
  75  a daemon runs: stop it first; or Kafka is out of reach
  78  the configuration is not valid, or the ledger can't be used")]
struct ImportCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// What was exported; without it, standard input
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
}

impl LedgerCommand {
    pub fn run(self) -> Result<(), CommandError> {
        match self.action {
            LedgerAction::Show(command) => command.run(),
            LedgerAction::Export(command) => command.run(),
            LedgerAction::Import(command) => command.run(),
        }
    }
}

impl ExportCommand {
    fn run(self) -> Result<(), CommandError> {
        let settings = self.file.load()?;
        let out: Box<dyn Write + Send> = match &self.output {
            Some(path) => {
                let created = File::create(path);
                Box::new(created.map_err(|error| unusable(path, &error))?)
            }
            None => Box::new(io::stdout()),
        };
        let exported = run_async(async {
            let members = ledger_tools::members(&settings).await;
            if members.is_some_and(|members| !members.is_empty()) {
                note(
                    "note: incidentd runs. What it publishes from now on is not in this export, and would be published again where \
                     the export is imported. To move the ledger, stop it first.",
                );
            }
            ledger_tools::export(&settings, out).await
        })?;
        match exported {
            Ok(rows) => {
                note(&format!("{} rows were exported", grouped(rows)));
                Ok(())
            }
            // `incidentd ledger export | head`
            Err(LedgerToolError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl ImportCommand {
    fn run(self) -> Result<(), CommandError> {
        let settings = self.file.load()?;
        let input: Box<dyn Read + Send> = match &self.input {
            Some(path) => {
                let opened = File::open(path);
                Box::new(opened.map_err(|error| unusable(path, &error))?)
            }
            None if io::stdin().is_terminal() => {
                let what = "the ledger is read from standard input: incidentd ledger import < FILE";
                return Err(CommandError::saying(USAGE, what));
            }
            None => Box::new(io::stdin()),
        };
        let fenced = |partitions: u16| {
            note(&format!(
                "{} fenced: no other incidentd writes to this ledger now. One that is started before the import is done takes it \
                 over, and the import ends with an error.",
                counted(partitions.into(), "partition")
            ));
        };
        let imported = run_async(ledger_tools::import(&settings, input, fenced))?;
        let report = imported.map_err(failed)?;
        note(&format!(
            "{} rows of {} were read, from {}; {} of them are new here. Nothing was published.",
            grouped(report.rows),
            counted(report.tenants, "tenant"),
            tame(&report.from),
            grouped(report.written),
        ));
        Ok(())
    }
}

/// Standard output has the export and nothing else.
fn note(text: &str) {
    print_error(&paragraph("", text).join("\n"));
}

fn unusable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::saying(FAILED, format!("can't open {}: {error}", path.display()))
}

fn failed(error: LedgerToolError) -> CommandError {
    let code = match &error {
        error if error.passes() => UNAVAILABLE,
        LedgerToolError::Failed(_) | LedgerToolError::Open(_) | LedgerToolError::Absent { .. } => {
            CONFIGURATION
        }
        _ => FAILED,
    };
    let text = match &error {
        LedgerToolError::Failed(failure) => {
            let lines = why_and_do(&failure.what, &failure.remedy);
            format!(
                "the ledger can't be used ({})\n{}",
                failure.health,
                lines.join("\n")
            )
        }
        error => chain(error),
    };
    CommandError::saying(code, text)
}
