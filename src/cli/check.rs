//! `incidentd check`: whether everything is in place, and what to do where it is not.
//!
//! It opens no ledger, leaves no record that anything reads, and may run beside the daemon. Standard output has the report and nothing else;
//! progress goes to standard error, when that is a terminal.
//!
//! Exit codes: 0 when all is well, with or without warnings; 78 when the configuration is not valid; 75 when Kafka, or
//! Microsoft for every tenant, can't be reached now and nothing else is wrong; 1 for any other failure; 64 for an unknown
//! tenant. A topic's size limit below Kafka's default is a warning: nothing is lost, because incidents are split.

mod json;
mod notes;
mod reload;
mod table;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;

use super::daemon::host_and_port;
use super::{
    CONFIGURATION, CommandError, ConfigFile, FAILED, OrExit, UNAVAILABLE, run_async,
    tenant_selection, text,
};
use crate::app::Libraries;
use crate::app::inspect::{InspectionReport, Inspector, TenantSeen};
use crate::config::{self, process_environment};
use crate::core::format::counted;
use crate::core::health::failure::Health;

use notes::Offline;

/// Whether everything is in place: the configuration, then for each tenant a token and one incident, and Kafka
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   all is well, warnings or not
  1   something is not ok that does not pass by itself, or some tenants only are out of reach
  64  no tenant of the configuration has the id or name given
  75  Kafka, or Microsoft for every tenant, is out of reach now, and nothing else is wrong
  78  the configuration is not valid

With --reload:
  0   the reload would take all that is new
  1   some keys have new values that need a restart
  75  no incidentd answers there
  78  the reload would be refused, and change nothing; or the configuration does not say where the daemon listens

After each change of the files, before a reload or a restart:
  incidentd check --offline
  incidentd check --reload")]
pub struct CheckCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Only the configuration: no network is used
    #[arg(long)]
    offline: bool,
    /// What a reload would change: the running daemon reads its files and compares
    #[arg(long, conflicts_with_all = ["offline", "tenant"])]
    reload: bool,
    /// Where the daemon listens; without it, where http.listen of the configuration says
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port, requires = "reload")]
    address: Option<String>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
    /// Only this tenant, by id or name; may be given several times
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
}

impl CheckCommand {
    pub fn run(self) -> Result<(), CommandError> {
        if self.reload {
            return reload::check(&self.file, self.address.as_deref(), self.json);
        }
        let checks = Libraries::checking_dates();
        let loaded = config::load(&self.file.config, &process_environment(), &checks);
        if let (true, Err(errors)) = (self.json, &loaded) {
            text::print(&json::invalid(errors))?;
        }
        let settings = loaded.or_exit(CONFIGURATION)?;
        let tenants = tenant_selection::tenants(&settings, &self.tenant)?;
        let mut offline = Offline::new(&self.file.config, &settings, &tenants);
        let looked_at = tenants.len();
        let inspector = Inspector::new(&settings, tenants);
        if let (true, Err(error)) = (self.json, &inspector) {
            text::print(&json::unusable(&offline, error))?;
        }
        let inspector = inspector.or_exit(CONFIGURATION)?;
        offline.ending = inspector.ending();
        if self.offline {
            return text::print(&match self.json {
                true => json::offline(&offline),
                false => offline.report(),
            });
        }
        if !self.json {
            // First, because the network may take its time.
            text::print(&(offline.head().join("\n") + "\n\n"))?;
        }
        let findings = inspect(inspector, looked_at)?;
        text::print(&match self.json {
            true => json::report(&findings, &offline, &settings.kafka.connection.brokers),
            false => table::report(&findings, &offline, &settings.kafka.connection.brokers),
        })?;
        verdict(&findings)
    }
}

/// Inspects everything. On a terminal, shows how many tenants are done.
fn inspect(inspector: Inspector<'_>, tenants: usize) -> Result<InspectionReport, CommandError> {
    let terminal = io::stderr().is_terminal();
    let write = |text: &str| {
        if terminal {
            // A line that can't be written is not worth an error.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    };
    let show = |done: usize| {
        let then = if done < tenants {
            ""
        } else {
            ", waiting for Kafka"
        };
        write(&format!(
            "\rchecked {done} of {tenants} tenants{then}\x1b[K"
        ));
    };
    let done = AtomicUsize::new(0);
    show(0);
    let findings = run_async(inspector.run(|| show(done.fetch_add(1, Ordering::Relaxed) + 1)));
    write("\r\x1b[K");
    findings
}

/// The exit code, and what is wrong in one sentence.
fn verdict(findings: &InspectionReport) -> Result<(), CommandError> {
    let all = findings.tenants.len();
    let tenants: Vec<Health> = findings.tenants.iter().map(TenantSeen::state).collect();
    let ill: Vec<Health> = tenants.into_iter().filter(|it| *it != Health::Ok).collect();
    let kafka: Option<Health> = findings.kafka.failure.as_ref().map(|it| it.health);
    let topics = findings.kafka.topics.iter();
    let topics: Vec<Health> = topics
        .filter_map(|topic| Some(topic.failure.as_ref()?.health))
        .collect();
    let mut troubles = Vec::new();
    if !ill.is_empty() {
        troubles.push(format!(
            "{} of {} not ok",
            ill.len(),
            counted(all, "tenant")
        ));
    }
    if kafka.is_some() {
        troubles.push("Kafka not ok".to_owned());
    }
    if !topics.is_empty() {
        troubles.push(format!("{} not ok", counted(topics.len(), "topic")));
    }
    if troubles.is_empty() {
        return Ok(());
    }
    let away = kafka.is_some() || !topics.is_empty() || ill.len() == all;
    let mut failures = ill.iter().chain(&kafka).chain(&topics);
    let passes = failures.all(|it| matches!(it, Health::Unreachable | Health::Throttled));
    let code = if away && passes { UNAVAILABLE } else { FAILED };
    Err(CommandError::saying(code, troubles.join(", ")))
}
