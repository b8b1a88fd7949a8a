//! The process's own series, under the names that every Prometheus client library uses.

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};

use super::exposition::{Exposition, MetricKind};

/// What `/proc/self` said at one moment.
struct ProcessStats {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_fds: usize,
    max_fds: LimitValue,
    start_seconds: f64,
}

/// Writes what can be read; a `/proc` that is closed to the process (or not there) costs these series, nothing else.
pub fn write(out: &mut Exposition) {
    let Ok(now) = read() else { return };
    out.family(
        "process_cpu_seconds_total",
        MetricKind::Counter,
        "Total user and system CPU time spent in seconds.",
    )
    .sample(&[], now.cpu_seconds);
    out.family(
        "process_resident_memory_bytes",
        MetricKind::Gauge,
        "Resident memory size in bytes.",
    )
    .sample(&[], now.resident_bytes);
    out.family(
        "process_open_fds",
        MetricKind::Gauge,
        "Number of open file descriptors.",
    )
    .sample(&[], now.open_fds);
    let mut max_fds = out.family(
        "process_max_fds",
        MetricKind::Gauge,
        "Maximum number of open file descriptors.",
    );
    match now.max_fds {
        LimitValue::Value(limit) => max_fds.sample(&[], limit),
        LimitValue::Unlimited => max_fds.sample(&[], "+Inf"),
    }
    out.family(
        "process_start_time_seconds",
        MetricKind::Gauge,
        "Start time of the process since the Unix epoch in seconds.",
    )
    .sample(&[], now.start_seconds);
}

fn read() -> ProcResult<ProcessStats> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let per_second = ticks_per_second() as f64;
    Ok(ProcessStats {
        cpu_seconds: stat.utime.saturating_add(stat.stime) as f64 / per_second,
        resident_bytes: stat.rss.saturating_mul(page_size()),
        open_fds: process.fd_count()?,
        max_fds: process.limits()?.max_open_files.soft_limit,
        start_seconds: boot_time_secs()? as f64 + stat.starttime as f64 / per_second,
    })
}
