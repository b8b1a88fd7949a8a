//! Log lines: to standard error, one event a line, as text on a terminal and as JSON otherwise.
//!
//! JSON: `timestamp` (UTC, RFC 3339, milliseconds), `level`, `message`, `target`, and the event's fields beside them.
//! Text: the same without `target`, which only other crates' lines show.
//!
//! # What a line is made of
//!
//! A message is a constant, so that it can be counted and alerted on; what varies is in the fields:
//!
//! | field | |
//! |---|---|
//! | `tenant`, `name` | the tenant's id and name |
//! | `state`, `before` | the tenant's state now, and the one before, as in `/api/status` |
//! | `error`, `remedy` | what happened, and what to do: one line each |
//! | `cause`, `tenants` | of an alarm: the key of what several tenants fail for, and how many they are |
//! | `untold` | changes since the last line on the same tenant (or cause) that were not logged, because there were too many |
//! | `incident`, `content`, `bytes`, `parts` | of single incidents |
//! | `facility`, `detail` | of librdkafka's own words |
//!
//! # Levels, and filters by part
//!
//! `error`: an operator must act: many tenants, or the daemon itself. `warn`: one tenant, or something that may need an
//! operator. `info`: what started, ended or recovered. `debug`: each failed try and each step; too much for every day.
//!
//! `log.level` takes a level, or levels by part: `info,incidentd::microsoft=debug`. The parts are `incidentd::kafka`
//! (librdkafka's words too), `incidentd::ledger`, `incidentd::microsoft` (requests, tokens), `incidentd::runtime` (sweeps,
//! back-fill, tenants' states), `incidentd::app` and `incidentd::cli` (start and stop), `incidentd::telemetry` (the
//! endpoints). `RUST_LOG` is not read, because each setting has one place; a warning says so when it is set.
//!
//! # Secrets
//!
//! Our own lines name no secret. Besides, two things keep secrets out of the log at any level:
//! - other crates' lines below `debug` are never written, whatever the filter says: HTTP and TLS crates may print there
//!   what goes over the wire;
//! - lines of crates that use `log` instead of `tracing` (reqwest, rustls, rdkafka) are not written at all: no bridge is
//!   installed. What they have to say arrives as errors, or through a callback that chooses its words.
//!
//! # When standard error is not read
//!
//! A thread of its own writes the lines. Otherwise a reader of standard error that stops reading (a log driver, a stopped
//! `journald`) would block the tenants one by one, then the endpoints and the stop. At most 8,192 lines wait. Further lines
//! are lost and counted; [`report_lost_lines`] logs how many when there is a reader again. A line that can't be written
//! (standard error closed, disk full) is lost without a trace, and the daemon continues.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::interval;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, Format, Full};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::clock::SystemClock;
use crate::core::format::is_wild;
use crate::core::time::ticks::{PER_SECOND, Ticks};
use crate::ports::Clock;
use crate::settings::{LogFormat, LogLevels, NotALogLevel};

/// The targets of this crate's lines begin with it.
const OURS: &str = "incidentd";
/// Its only usual line is an error about a job that was removed while it fired: a schedule has left. Lost firings are counted
/// without it.
const JOB_RUNNER: &str = "tokio_cron_scheduler::job::runner";
/// Log lines that may wait to be written: some MiB.
const WAITING: usize = 8192;
/// How often lost lines are counted.
const LOSS: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Filter(#[from] NotALogLevel),
    #[error("log: another subscriber is already installed")]
    Install(#[source] tracing_subscriber::util::TryInitError),
    #[error("log: the filter can't be changed any more")]
    Change(#[source] reload::Error),
}

/// Installs the log for the whole process.
///
/// `filter` is the text of [`LogLevels`]. Lines of other crates are written at `warn` and above, unless it names their
/// target.
///
/// # Errors
/// The filter can't be read, or the process has a log already.
pub fn init(format: LogFormat, filter: &str) -> Result<Log, LogError> {
    let (targets, handle) = reload::Layer::new(targets(filter)?);
    let terminal = io::stderr().is_terminal();
    let style = match format {
        LogFormat::Json => Style::Json,
        LogFormat::Auto if !terminal => Style::Json,
        LogFormat::Auto | LogFormat::Text => Style::Text {
            colour: terminal && !colour_refused(),
        },
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(io::stderr());
    let lost = writer.error_counter();
    subscriber(style, targets, writer)
        .try_init()
        .map_err(LogError::Install)?;
    if std::env::var_os("RUST_LOG").is_some_and(|value| !value.is_empty()) {
        tracing::warn!("RUST_LOG is set and is not read: set log.level, or INCIDENTD__LOG__LEVEL");
    }
    Ok(Log {
        filter: LogFilterHandle(handle),
        lost,
        _writer: guard,
    })
}

/// The log of the process. When it is dropped, waiting lines are written for at most a second; later lines are lost.
#[derive(Debug)]
pub struct Log {
    pub filter: LogFilterHandle,
    pub lost: ErrorCounter,
    _writer: WorkerGuard,
}

/// Logs the number of lost lines whenever it has grown. Never ends.
pub async fn report_lost_lines(lost: ErrorCounter) {
    let (mut look, mut logged) = (interval(LOSS), 0);
    loop {
        look.tick().await;
        let now = lost.dropped_lines();
        if now > logged {
            tracing::warn!(
                lines = now - logged,
                "log lines were lost: standard error was not read fast enough"
            );
            logged = now;
        }
    }
}

/// The filter of the process's log, which can change while it runs.
#[derive(Clone, Debug)]
pub struct LogFilterHandle(reload::Handle<Targets, Registry>);

impl LogFilterHandle {
    /// Changes the filter.
    ///
    /// # Errors
    /// The filter can't be read; the previous one stays.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        let targets = targets(filter)?;
        self.0.reload(targets).map_err(LogError::Change)
    }
}

/// The convention of <https://no-color.org>.
pub fn colour_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[derive(Clone, Copy)]
enum Style {
    Json,
    Text { colour: bool },
}

fn subscriber<W, F>(style: Style, targets: F, writer: W) -> impl Subscriber + Send + Sync
where
    F: Filter<Registry> + Send + Sync + 'static,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match style {
        Style::Json => lines
            .with_ansi(false)
            .json()
            .with_timer(UtcMillis)
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        Style::Text { colour } => lines
            .with_ansi(colour)
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
            .event_format(Plain::default())
            .boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(targets))
}

fn targets(filter: &str) -> Result<Targets, LogError> {
    let LogLevels { own, targets } = filter.parse()?;
    let targets = targets.into_iter().map(|(target, level)| {
        let level = capped(&target, level);
        (target, level)
    });
    Ok(Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target(OURS, own)
        .with_target(JOB_RUNNER, LevelFilter::OFF)
        .with_targets(targets))
}

/// The level that is allowed for a target. This is no list of dangerous crates, because an update could make it wrong.
fn capped(target: &str, asked: LevelFilter) -> LevelFilter {
    if is_ours(target) {
        asked
    } else {
        asked.min(LevelFilter::DEBUG)
    }
}

fn is_ours(target: &str) -> bool {
    target
        .strip_prefix(OURS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Text lines: time, level, message, fields; the target only for other crates.
struct Plain {
    ours: Format<Full, UtcMillis>,
    others: Format<Full, UtcMillis>,
}

impl Default for Plain {
    fn default() -> Self {
        let others = format::format().with_timer(UtcMillis);
        Self {
            ours: others.clone().with_target(false),
            others,
        }
    }
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: format::Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if is_ours(event.metadata().target()) {
            self.ours.format_event(context, writer, event)
        } else {
            self.others.format_event(context, writer, event)
        }
    }
}

/// The time of a line: UTC, always three fraction digits, so that lines stay aligned and sort as text.
#[derive(Clone, Copy, Default)]
struct UtcMillis;

impl FormatTime for UtcMillis {
    fn format_time(&self, writer: &mut format::Writer<'_>) -> fmt::Result {
        write_millis(writer, SystemClock.now())
    }
}

fn write_millis(writer: &mut impl fmt::Write, now: Ticks) -> fmt::Result {
    let whole = Ticks::from_unix_seconds(now.unix_seconds()).to_string();
    let millis = now.0.rem_euclid(PER_SECOND) / (PER_SECOND / 1000);
    write!(writer, "{}.{millis:03}Z", whole.trim_end_matches('Z'))
}

/// Writes one field of a text line. Characters that end a line, command a terminal or turn the reading direction are
/// escaped.
fn write_field(
    writer: &mut format::Writer<'_>,
    field: &Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    if field.name() != "message" {
        let (dim, plain) = if writer.has_ansi_escapes() {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        write!(writer, "{dim}{}={plain}", field.name())?;
    }
    fmt::Write::write_fmt(&mut EscapingWriter(writer), format_args!("{value:?}"))
}

struct EscapingWriter<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for EscapingWriter<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_wild) {
            match part.chars().next_back() {
                Some(last) if is_wild(last) => {
                    self.0.write_str(part.trim_end_matches(last))?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
