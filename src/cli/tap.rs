//! `incidentd tap`: the records of the incidents as they arrive in their topics, one line each.
//!
//! It reads what consumers read: committed records only. It assigns itself all partitions, joins no consumer group and
//! commits nothing, so that no other consumer notices it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;

use super::record_view::{RecordView, colours};
use super::{
    CONFIGURATION, CommandError, ConfigFile, INTERNAL, OrExit, UNAVAILABLE, run_async,
    tenant_selection, text,
};
use crate::app::tap::{self as topics, TopicReader};
use crate::config;
use crate::core::health::failure::one_line;
use crate::core::health::status::{PartState, PartStatus};
use crate::core::incident::version::Change;
use crate::settings::{Settings, TenantSettings};
use crate::telemetry::logging::colour_refused;

const HEADING: &str = "UPDATED (UTC)        CHANGE      TENANT                INCIDENT    SEVERITY       STATUS          TITLE";
/// Characters of a tenant's name, of an incident's id, of a severity, of a status, and of a title.
const TENANT: usize = 20;
const INCIDENT: usize = 10;
const SEVERITY: usize = 13;
const STATUS: usize = 14;
const TITLE: usize = 80;
/// Those of both APIs.
const SEVERITIES: [&str; 6] = [
    "high",
    "medium",
    "low",
    "informational",
    "unknown",
    "unspecified",
];

/// The incidents' records as they arrive in Kafka, one line each, until Ctrl-C
#[derive(Args, Debug)]
#[command(after_long_help = "\
It begins with what arrives from now on, reads committed records only, and joins no consumer group. Kafka's user needs Read and
Describe on the topics.

Exit codes:
  0   ended by Ctrl-C
  64  no tenant of the configuration has the id or name given
  75  Kafka is out of reach now, or does not let its user read
  78  the configuration is not valid

What became worse in the last hour:
  incidentd tap --since 1h --change reopened --severity high")]
pub struct TapCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Only this tenant, by id or name; may be given several times
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    /// Only this kind of change; may be given several times
    #[arg(long, value_name = "CHANGE", value_parser = Change::ALL.map(Change::as_str))]
    change: Vec<String>,
    /// Only this severity, in upper or lower case; may be given several times
    #[arg(long, value_name = "SEVERITY", ignore_case = true, value_parser = SEVERITIES)]
    severity: Vec<String>,
    /// Begin with what was published this long ago, for example 15m
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    since: Option<Duration>,
}

impl TapCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let settings = self.file.read(config::load_for_reading)?;
        let tenants = tenant_selection::tenants(&settings, &self.tenant)?;
        let filter = self.filter(&tenants);
        run_async(show(&settings, &tenants, self.since, &filter))?
    }

    fn filter(&self, tenants: &[&TenantSettings]) -> Filter {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_lowercase()).collect();
        Filter {
            tenants: match self.tenant.is_empty() {
                true => Vec::new(),
                false => tenants.iter().map(|tenant| tenant.id.to_string()).collect(),
            },
            changes: lower(&self.change),
            severities: lower(&self.severity),
        }
    }
}

async fn show(
    settings: &Settings,
    tenants: &[&TenantSettings],
    since: Option<Duration>,
    filter: &Filter,
) -> Result<(), CommandError> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).or_exit(INTERNAL)?;
    let opened = tokio::select! {
        opened = topics::follow(settings, tenants, since) => opened,
        _ = signals.next() => return Ok(()),
    };
    let reader = opened.map_err(of_kafka)?;
    tokio::select! {
        ended = print_all(&reader, filter) => ended,
        _ = signals.next() => Ok(()),
    }
}

/// Ends when standard output is closed.
async fn print_all(reader: &TopicReader, filter: &Filter) -> Result<(), CommandError> {
    let colour = io::stdout().is_terminal() && !colour_refused();
    let mut open = text::write(&format!("{HEADING}\n"))?;
    let mut state = reader.state();
    let mut is_away = false;
    while open {
        let record = tokio::select! {
            record = reader.next() => record.map_err(of_kafka)?,
            Ok(()) = state.changed() => {
                let now = state.borrow_and_update().clone();
                tell_of_kafka(&now, &mut is_away);
                continue;
            }
        };
        let view = RecordView::of(&record);
        if filter.takes(&view) {
            open = text::write(&(line(&view, colour) + "\n"))?;
        }
    }
    Ok(())
}

/// Without it, an outage of Kafka looks like a quiet night.
fn tell_of_kafka(now: &PartStatus, is_away: &mut bool) {
    match (now.state, &*is_away) {
        (PartState::Ok, true) => text::print_error("Kafka answers again"),
        (PartState::Unavailable, false) => {
            let (error, remedy) = (now.error.as_deref(), now.remedy.as_deref());
            text::print_error(&format!(
                "Kafka can't be reached, and records wait there: {}; {}",
                error.unwrap_or_default(),
                remedy.unwrap_or_default()
            ));
        }
        _ => return,
    }
    *is_away = now.state != PartState::Ok;
}

fn of_kafka(error: topics::KafkaError) -> CommandError {
    let code = match error {
        topics::KafkaError::Read { .. } => UNAVAILABLE,
        _ => CONFIGURATION,
    };
    CommandError::new(code, error)
}

/// What is shown. An empty list takes everything.
struct Filter {
    tenants: Vec<String>,
    changes: Vec<String>,
    severities: Vec<String>,
}

impl Filter {
    fn takes(&self, record: &RecordView) -> bool {
        let takes = |wanted: &[String], text: &str| {
            wanted.is_empty() || wanted.iter().any(|one| *one == text.to_lowercase())
        };
        takes(&self.tenants, &record.tenant_id)
            && takes(&self.changes, &record.change)
            && takes(&self.severities, &record.severity)
    }
}

fn line(record: &RecordView, colour: bool) -> String {
    let (on, off) = colours(&record.change, colour);
    // To the second: `2026-11-23 02:14:36`.
    let updated: String = record
        .updated
        .replacen('T', " ", 1)
        .chars()
        .take(19)
        .collect();
    let line = format!(
        "{updated:<19}  {on}{:<10.10}{off}  {:<TENANT$}  {:<INCIDENT$}  {:<SEVERITY$}  {:<STATUS$}  {}",
        record.change,
        one_line(&record.tenant, TENANT),
        one_line(&record.incident, INCIDENT),
        one_line(&record.severity, SEVERITY),
        one_line(&record.status, STATUS),
        one_line(&record.title, TITLE),
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> RecordView {
        RecordView {
            updated: "2026-11-23T02:14:36.07Z".to_owned(),
            change: "reopened".to_owned(),
            tenant: "contoso".to_owned(),
            tenant_id: "1".to_owned(),
            incident: "4".to_owned(),
            severity: "high".to_owned(),
            status: "active".to_owned(),
            title: "Suspicious sign-in".to_owned(),
        }
    }

    #[test]
    fn a_line_has_columns_and_a_limit() {
        assert_eq!(
            line(&record(), false),
            "2026-11-23 02:14:36  reopened    contoso               4           high           active          Suspicious sign-in"
        );
        let columns = |line: &str| HEADING.find(line);
        assert_eq!(
            [
                columns("CHANGE"),
                columns("TENANT"),
                columns("INCIDENT"),
                columns("SEVERITY"),
                columns("STATUS"),
                columns("TITLE")
            ],
            [Some(21), Some(33), Some(55), Some(67), Some(82), Some(98)]
        );
        let long = RecordView {
            updated: "x".repeat(1000),
            change: "x".repeat(1000),
            tenant: "x".repeat(1000),
            incident: "x".repeat(1000),
            severity: "x".repeat(1000),
            status: "x".repeat(1000),
            title: "x".repeat(1000),
            ..record()
        };
        assert_eq!(line(&long, false).chars().count(), 98 + TITLE);
        assert_eq!(
            line(&record(), true)
                .replace("\x1b[31m", "")
                .replace("\x1b[0m", ""),
            line(&record(), false)
        );
    }

    #[test]
    fn a_filter_takes_what_fits_all_of_it() {
        let filter = |tenants: &[&str], changes: &[&str], severities: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            Filter {
                tenants: texts(tenants),
                changes: texts(changes),
                severities: texts(severities),
            }
        };
        let high = RecordView {
            severity: "High".to_owned(),
            ..record()
        };
        for (filter, takes) in [
            (filter(&[], &[], &[]), true),
            (filter(&["1"], &["created", "reopened"], &["high"]), true),
            (filter(&["2"], &[], &[]), false),
            (filter(&[], &["created"], &[]), false),
            (filter(&[], &[], &["low"]), false),
        ] {
            assert_eq!(filter.takes(&high), takes);
        }
    }
}
