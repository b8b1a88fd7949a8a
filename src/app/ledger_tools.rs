//! Looks into a ledger and moves one, for the commands `incidentd ledger …`: the local file and the topic in Kafka alike.
//!
//! Showing and exporting change nothing. A running daemon's local ledger is locked, and so refused; the ledger in Kafka is read
//! beside running daemons. An import needs that no daemon runs: it locks the local ledger, or asks the consumer group for
//! members and then fences every partition, as a daemon does for its own.

mod import;
mod lines;

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::core::format::counted;
use crate::core::health::failure::{Failure, Health};
use crate::core::ids::TenantId;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::kafka::LedgerTopic;
use crate::ledger::{LedgerError, LedgerFile, LocalLedger};
use crate::ports::{Clock, LedgerEntry};
use crate::settings::{LedgerKind, LedgerSettings, Settings};
use crate::telemetry::clock::SystemClock;

pub use import::ImportReport;
use import::ImportTarget;
use lines::{FORMAT, LedgerLine};

/// How long fencing and restoring all partitions may take. A million rows take seconds.
const FENCE_LIMIT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, thiserror::Error)]
pub enum LedgerToolError {
    #[error("can't open the ledger")]
    Open(#[source] LedgerError),
    #[error(
        "the ledger in {} is in use by another process: stop the incidentd that runs; while it runs, incidentd status shows its \
         tenants", path.display()
    )]
    InUse { path: PathBuf },
    #[error("{}", .0.what)]
    Failed(Failure),
    #[error("there is no ledger in {}: no incidentd has run with it yet", path.display())]
    Absent { path: PathBuf },
    #[error(
        "incidentd runs: the consumer group {group} has {count} ({members}); stop it first, and wait for 15 s if it was killed",
        count = counted(members.len(), "member"), members = members.join(", ")
    )]
    Runs { group: String, members: Vec<String> },
    #[error(
        "the ledger has another state of the tenant {tenant}: an incidentd has read it since the export, and no cursor is right for \
         both; import into a ledger that has not been used for it"
    )]
    Conflict { tenant: TenantId },
    #[error("line {number} of the input: {what}")]
    Line { number: u64, what: String },
    #[error(
        "the input ends after line {number}, before the last line of an export: it was cut off, and no tenant's state was written; \
         import the whole of it"
    )]
    CutOff { number: u64 },
    #[error("can't read the input")]
    Input(#[source] io::Error),
    #[error("can't write the export")]
    Output(#[source] io::Error),
}

impl From<LedgerError> for LedgerToolError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Locked { path } => Self::InUse { path },
            error => Self::Open(error),
        }
    }
}

impl LedgerToolError {
    /// Whether the same command may work later: a daemon runs, or Kafka is away.
    pub fn passes(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::Runs { .. } => true,
            Self::Failed(failure) => {
                matches!(failure.health, Health::Unreachable | Health::Throttled)
            }
            _ => false,
        }
    }
}

impl From<Failure> for LedgerToolError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a ledger knows of a tenant.
#[derive(Debug, Clone)]
pub struct TenantInLedger {
    /// Where the ledger is.
    pub ledger: String,
    /// The partition that it is in, of a ledger in Kafka.
    pub partition: Option<u16>,
    pub at: Ticks,
    /// `None`: it was never read.
    pub state: Option<TenantState>,
    pub versions: u64,
    pub letters: u64,
}

/// An open ledger that is only read.
enum LedgerSource {
    Local(LedgerFile),
    Kafka(LedgerTopic),
}

impl LedgerSource {
    async fn open(settings: &Settings) -> Result<Self, LedgerToolError> {
        match settings.ledger.kind {
            LedgerKind::Local => {
                let path = settings.ledger.path.clone();
                let opened = blocking(move || LedgerFile::open(&path)).await?;
                let absent = || LedgerToolError::Absent {
                    path: settings.ledger.path.clone(),
                };
                Ok(Self::Local(opened.ok_or_else(absent)?))
            }
            LedgerKind::Kafka => {
                let topic = topic(settings);
                topic.exists().await?;
                Ok(Self::Kafka(topic))
            }
        }
    }

    fn rows(
        &self,
        tenant: Option<TenantId>,
        each: &mut dyn FnMut(LedgerEntry) -> Result<(), LedgerToolError>,
    ) -> Result<(), LedgerToolError> {
        match self {
            Self::Local(file) => file.rows(tenant, each),
            Self::Kafka(topic) => topic.rows(tenant, each),
        }
    }
}

/// What the ledger knows of a tenant, which need not be in the configuration any more.
///
/// # Errors
/// The ledger can't be read now.
pub async fn show(
    settings: &Settings,
    tenant: TenantId,
) -> Result<TenantInLedger, LedgerToolError> {
    let source = LedgerSource::open(settings).await?;
    let mut seen = TenantInLedger {
        ledger: name(&settings.ledger),
        partition: match &source {
            LedgerSource::Local(_) => None,
            LedgerSource::Kafka(topic) => Some(topic.partition_of(tenant)),
        },
        at: SystemClock.now(),
        state: None,
        versions: 0,
        letters: 0,
    };
    blocking(move || {
        source.rows(Some(tenant), &mut |row| {
            seen.versions += row.seen.len() as u64;
            seen.letters += row.letters.len() as u64;
            seen.state = row.state.or(seen.state.take());
            Ok(())
        })?;
        Ok(seen)
    })
    .await
}

/// Writes every row to `out`. Returns their number.
///
/// # Errors
/// The ledger can't be read now, or `out` can't be written.
pub async fn export(
    settings: &Settings,
    out: impl Write + Send + 'static,
) -> Result<u64, LedgerToolError> {
    let source = LedgerSource::open(settings).await?;
    let head = LedgerLine::Ledger {
        format: FORMAT,
        incidentd: env!("CARGO_PKG_VERSION").to_owned(),
        from: name(&settings.ledger),
        exported: SystemClock.now().to_string(),
    };
    blocking(move || {
        let mut out = BufWriter::new(out);
        let mut rows = 0;
        write(&mut out, &head)?;
        source.rows(None, &mut |entry| {
            LedgerLine::of(&entry).try_for_each(|line| {
                rows += 1;
                write(&mut out, &line)
            })
        })?;
        write(&mut out, &LedgerLine::End { rows })?;
        out.flush().map_err(LedgerToolError::Output)?;
        Ok(rows)
    })
    .await
}

fn write(out: &mut impl Write, line: &LedgerLine) -> Result<(), LedgerToolError> {
    let text =
        serde_json::to_string(line).map_err(|error| LedgerToolError::Output(error.into()))?;
    writeln!(out, "{text}").map_err(LedgerToolError::Output)
}

/// Reads an exported ledger from `input`. `fenced` is called before the first row is written to Kafka, when no other incidentd can
/// write any more, with their number of partitions.
///
/// # Errors
/// A daemon runs, or the input is damaged. What was written by then does no harm, and the import can be repeated.
pub async fn import(
    settings: &Settings,
    input: impl Read + Send + 'static,
    fenced: impl FnOnce(u16),
) -> Result<ImportReport, LedgerToolError> {
    let target = match settings.ledger.kind {
        LedgerKind::Local => {
            let path = settings.ledger.path.clone();
            let ledger = blocking(move || LocalLedger::open(&path)).await?;
            ImportTarget::Local(ledger, Handle::current())
        }
        LedgerKind::Kafka => {
            let topic = topic(settings);
            topic.prepare().await?;
            let (topic, members) = blocking(move || {
                let members = topic.members();
                (topic, members)
            })
            .await;
            let members = members?;
            if !members.is_empty() {
                let group = settings.ledger.kafka.group.to_string();
                return Err(LedgerToolError::Runs { group, members });
            }
            let stop = topic.stopping();
            let mut fencing = Box::pin(blocking(move || topic.fence()));
            let ledger = tokio::select! {
                ledger = &mut fencing => ledger?,
                () = sleep(FENCE_LIMIT) => {
                    stop.cancel();
                    fencing.await?
                }
            };
            fenced(settings.ledger.kafka.partitions);
            ImportTarget::Kafka(ledger)
        }
    };
    blocking(move || import::import(&target, &mut BufReader::new(input))).await
}

/// The client ids of the running daemons that share the ledger in Kafka. `None`: that is not known. Of a local ledger nobody runs:
/// it would be locked.
pub async fn members(settings: &Settings) -> Option<Vec<String>> {
    match settings.ledger.kind {
        LedgerKind::Local => Some(Vec::new()),
        LedgerKind::Kafka => {
            let topic = topic(settings);
            blocking(move || topic.members()).await.ok()
        }
    }
}

fn topic(settings: &Settings) -> LedgerTopic {
    LedgerTopic::new(&settings.ledger.kafka, &settings.kafka.connection)
}

fn name(settings: &LedgerSettings) -> String {
    match settings.kind {
        LedgerKind::Local => format!("the folder {}", absolute(&settings.path).display()),
        LedgerKind::Kafka => format!("the topic {}", settings.kafka.topic),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Runs on a thread where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
}
