//! The process's own series, under the names that every Prometheus client library uses.

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};

use super::exposition::{Exposition, MetricKind};

/// Writes the series. They are missing, and nothing else, when `/proc` can't be read.
pub fn write(out: &mut Exposition) {
    for (name, kind, help, value) in read().unwrap_or_default() {
        out.family(name, kind, help).sample(&[], value);
    }
}

type Series = (&'static str, MetricKind, &'static str, String);

fn read() -> ProcResult<Vec<Series>> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let per_second = ticks_per_second() as f64;
    let busy = stat.utime.saturating_add(stat.stime) as f64 / per_second;
    let max_fds = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => limit.to_string(),
        LimitValue::Unlimited => "+Inf".to_owned(),
    };
    let started = boot_time_secs()? as f64 + stat.starttime as f64 / per_second;
    let gauge = |name, help, value| (name, MetricKind::Gauge, help, value);
    Ok(vec![
        (
            "process_cpu_seconds_total",
            MetricKind::Counter,
            "Total user and system CPU time spent in seconds.",
            busy.to_string(),
        ),
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            stat.rss.saturating_mul(page_size()).to_string(),
        ),
        gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            process.fd_count()?.to_string(),
        ),
        gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            max_fds,
        ),
        gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
            started.to_string(),
        ),
    ])
}
