//! `incidentd pause`, `resume` and `backfill`: what an operator orders for one tenant of a running daemon.
//!
//! The daemon that reads the tenant follows the command and records it in the ledger, so that nobody else ever writes there.

use std::io::ErrorKind;

use clap::Args;

use super::text::print;
use super::{CommandError, ConfigFile, FAILED, UNAVAILABLE, USAGE, run_async};
use crate::app::control::{self, ControlAnswer, ControlCommand, ControlRequest, NoAnswer};
use crate::config::{self, CommandSocket};
use crate::core::sweep::pause::MOST_REASON;
use crate::core::time::ticks::Ticks;

const EXIT_CODES: &str = "\
Exit codes:
  0   it is recorded, and holds until the next command, whatever restarts
  1   Microsoft can't have what is asked for
  64  no tenant of the running configuration has the id or name given
  75  it is not known to be recorded: no daemon runs here, another replica has the tenant, or the ledger does not answer now; if it
      may still take effect, the message says so
  78  the configuration is not valid";

/// Stops reading a tenant, until resume. Its cursor stays, so nothing is lost
#[derive(Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub struct PauseCommand {
    #[command(flatten)]
    to: CommandTarget,
    /// Shown in the status: who paused it and why, at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = reason)]
    reason: String,
}

/// Reads a paused tenant again, from where its cursor stayed
#[derive(Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub struct ResumeCommand {
    #[command(flatten)]
    to: CommandTarget,
}

/// Reads a tenant's past again, and publishes what the ledger does not know
///
/// It runs beside live polling. "backfill" in the status shows how far it is. Versions that the ledger has are not published again.
#[derive(Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub struct BackfillCommand {
    #[command(flatten)]
    to: CommandTarget,
    /// Since when: a time such as 2026-03-01T00:00:00Z, or so long ago, for example 7d. At most 180 days
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Ticks,
}

#[derive(Args, Debug)]
struct CommandTarget {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant's id or name
    tenant: String,
}

impl PauseCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let reason = self.reason;
        self.to.send(ControlCommand::Pause { reason })
    }
}

impl ResumeCommand {
    pub fn run(self) -> Result<(), CommandError> {
        self.to.send(ControlCommand::Resume)
    }
}

impl BackfillCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let since = self.since.0;
        self.to.send(ControlCommand::Backfill { since })
    }
}

impl CommandTarget {
    fn send(self, command: ControlCommand) -> Result<(), CommandError> {
        let CommandSocket { path, shared } = self.file.read(config::command_socket)?;
        let Some(path) = path else {
            let what = "with the ledger in Kafka, commands need http.socket: set it to a path in a folder that the daemon may \
                        write to, for example \"/run/incidentd/control.sock\", and restart the daemon";
            return Err(CommandError::saying(UNAVAILABLE, what));
        };
        let tenant = self.tenant.chars().take(200).collect();
        let request = ControlRequest { tenant, command };
        let answer = run_async(control::ask(&path, &request))?;
        let answer = answer.map_err(|error| {
            let (what, asked) = (unanswered(&error, shared), path.display());
            CommandError::saying(UNAVAILABLE, format!("{what}\n    It was asked at {asked}"))
        })?;
        let (code, text) = match answer {
            ControlAnswer::Done(text) => return print(&(text + "\n")),
            ControlAnswer::Refused(text) => (FAILED, text),
            ControlAnswer::Unknown(text) => (USAGE, text),
            ControlAnswer::Later(text) => (UNAVAILABLE, text),
        };
        Err(CommandError::saying(code, text))
    }
}

/// What is known of a command without an answer, and what to do. With the ledger in Kafka, the daemon is one of several.
fn unanswered(NoAnswer { begun, source }: &NoAnswer, shared: bool) -> String {
    if *begun {
        return "the daemon has begun to write the command to the ledger, and does not say whether it is written: it may still take \
                effect, when Kafka or the disk works again for example; look with incidentd status, and repeat the command if it \
                has no effect"
            .into();
    }
    let start = match shared {
        true => "start it, or give the command where a replica runs",
        false => "start it (systemctl start incidentd): only a running daemon writes its ledger",
    };
    match source.kind() {
        ErrorKind::NotFound => format!(
            "there is no socket. If no daemon runs here: {start}. Otherwise it was started with another http.socket or ledger.path, \
             or could not make the socket, which its log says, or the socket was removed: restart it. Then repeat the command"
        ),
        ErrorKind::ConnectionRefused => {
            format!("no daemon runs here: {start}; then repeat the command")
        }
        ErrorKind::PermissionDenied => {
            "only root and the daemon's own user may give commands: repeat it with sudo".into()
        }
        ErrorKind::TimedOut => "nothing is recorded: the daemon has not begun with the command in time, because the tenant's sweep \
                                waits for Kafka or the ledger, or because the daemon itself stands still; look with incidentd \
                                status, and repeat the command"
            .into(),
        _ => format!(
            "nothing is recorded: the daemon has ended the connection ({source}); look at its log, and repeat the command"
        ),
    }
}

fn reason(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0..=MOST_REASON => Ok(text.to_owned()),
        count => Err(format!(
            "it has {count} characters: give at most {MOST_REASON}"
        )),
    }
}

fn instant(text: &str) -> Result<Ticks, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let wrong =
        |_| "give a time such as 2026-03-01T00:00:00Z, or how long ago, such as 7d".to_owned();
    config::duration(text).map(control::ago).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_is_too_long_is_refused() {
        let most = "é".repeat(MOST_REASON);
        assert_eq!(reason(&most), Ok(most.clone()));
        assert!(reason(&(most + "é")).is_err());
    }

    #[test]
    fn a_time_is_an_instant_or_how_long_ago() {
        assert_eq!(
            instant("2023-11-14T22:13:20Z"),
            Ok(Ticks::from_unix_seconds(1_700_000_000))
        );
        let week = control::ago(std::time::Duration::from_secs(7 * 86_400));
        let parsed = instant("7d").expect("a duration");
        assert!(parsed.since(week).as_secs() < 60);
        for wrong in ["", "yesterday", "2023-11-14", "7"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}
