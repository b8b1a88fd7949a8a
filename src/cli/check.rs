//! `incidentd check`: whether everything is in place, and what to do where it is not.
//!
//! It opens no ledger, writes no record, and may run beside the daemon. Standard output has the report and nothing else;
//! progress goes to standard error, when that is a terminal.
//!
//! Exit codes: 0 when all is well, with or without warnings; 78 when the configuration is not valid; 75 when Kafka, or
//! Microsoft for every tenant, can't be reached now and nothing else is wrong; 1 for any other failure; 64 for an unknown
//! tenant. A topic's size limit below Kafka's default is a warning: nothing is lost, because incidents are split.

mod json;
mod notes;
mod table;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::anyhow;
use clap::Args;

use super::{
    CONFIGURATION, CommandError, ConfigFile, FAILED, UNAVAILABLE, run_async, tenant_selection, text,
};
use crate::app::Libraries;
use crate::app::inspect::{InspectionReport, Inspector};
use crate::config::{self, process_environment};
use crate::core::format::counted;
use crate::core::health::failure::Health;

use notes::Offline;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   all is well, warnings or not
  1   something is not ok that does not pass by itself, or some tenants only are out of reach
  64  no tenant of the configuration has the id or name given
  75  Kafka, or Microsoft for every tenant, is out of reach now, and nothing else is wrong
  78  the configuration is not valid

After each change of the files, before a reload or a restart:
  incidentd check --offline")]
pub struct CheckCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Only the configuration: no network is used
    #[arg(long)]
    offline: bool,
    /// The report as JSON
    #[arg(long)]
    json: bool,
    /// Only this tenant, by id or name; may be given several times
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
}

impl CheckCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let loaded = config::load(&self.file.config, &process_environment(), &Libraries);
        let settings = match loaded {
            Ok(settings) => settings,
            Err(errors) => {
                if self.json {
                    text::print(&json::invalid(&errors))?;
                }
                return Err(CommandError::new(CONFIGURATION, errors));
            }
        };
        let tenants = tenant_selection::tenants(&settings, &self.tenant)?;
        let offline = Offline::new(&self.file.config, &settings, &tenants);
        let looked_at = tenants.len();
        let inspector = match Inspector::new(&settings, tenants) {
            Ok(inspector) => inspector,
            Err(error) => {
                if self.json {
                    text::print(&json::unusable(&offline, &error))?;
                }
                return Err(CommandError::new(CONFIGURATION, error));
            }
        };
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

fn inspect(inspector: Inspector<'_>, tenants: usize) -> Result<InspectionReport, CommandError> {
    let progress = ProgressLine::new(tenants);
    let findings = run_async(inspector.run(|| progress.one_more()));
    progress.clear();
    findings
}

/// The exit code, and what is wrong in one sentence.
fn verdict(findings: &InspectionReport) -> Result<(), CommandError> {
    let states = || findings.tenants.iter().map(|tenant| tenant.state());
    let passing = |state| matches!(state, Health::Unreachable | Health::Throttled);
    let kafka = findings.kafka.failure.as_ref();
    let ill = states().filter(|state| *state != Health::Ok).count();
    let topics = &findings.kafka.topics;
    let topics = || topics.iter().filter_map(|topic| topic.failure.as_ref());
    let mut troubles = Vec::new();
    if ill > 0 {
        let all = counted(findings.tenants.len(), "tenant");
        troubles.push(format!("{ill} of {all} not ok"));
    }
    if kafka.is_some() {
        troubles.push("Kafka not ok".to_owned());
    }
    let bad_topics = topics().count();
    if bad_topics > 0 {
        troubles.push(format!("{} not ok", counted(bad_topics, "topic")));
    }
    if troubles.is_empty() {
        return Ok(());
    }
    let lasts = |state| state != Health::Ok && !passing(state);
    let kafkas = || kafka.into_iter().chain(topics());
    let for_good = states().any(lasts) || kafkas().any(|failure| lasts(failure.health));
    let away = kafkas().next().is_some() || states().all(passing);
    let code = match away && !for_good {
        true => UNAVAILABLE,
        false => FAILED,
    };
    Err(CommandError::new(code, anyhow!(troubles.join(", "))))
}

/// How many tenants are checked, on a terminal.
struct ProgressLine {
    all: usize,
    done: AtomicUsize,
    shown: bool,
}

impl ProgressLine {
    fn new(all: usize) -> Self {
        let progress = Self {
            all,
            done: AtomicUsize::new(0),
            shown: io::stderr().is_terminal(),
        };
        progress.show(0);
        progress
    }

    fn one_more(&self) {
        self.show(self.done.fetch_add(1, Ordering::Relaxed) + 1);
    }

    fn show(&self, done: usize) {
        let what = if done < self.all {
            "tenants"
        } else {
            "tenants, waiting for Kafka"
        };
        self.write(&format!("\rchecked {done} of {} {what}\x1b[K", self.all));
    }

    fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        if self.shown {
            // A line that can't be written is not worth an error.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}
