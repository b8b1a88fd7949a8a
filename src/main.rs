//! The `incidentd` binary: parses the command line and turns what came of it into an exit code.

use std::process::ExitCode;

use clap::Parser;
use incidentd::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not mistakes. There is nowhere to report that printing failed.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(cli::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.code)
        }
    }
}
