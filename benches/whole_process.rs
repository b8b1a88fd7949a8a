//! The whole daemon, as operators run it: 100,000 incidents of 5 KB of 100 tenants, from the simulator over HTTP to a real
//! Kafka with zstd, deduplication and ledger included.
//!
//!     tests/run --bench whole_process
//!     INCIDENTD_BENCH_LEDGER=kafka tests/run --bench whole_process        with the ledger in Kafka, 32 partitions of it
//!     INCIDENTD_BENCH_FORMATS="raw cloudevents ocsf ecs" tests/run --bench whole_process      in each format, one after the other
//!     INCIDENTD_BENCH_INCIDENTS=10 …                                      as many of each tenant, to try the bench itself
//!
//! Simulator, broker and measurement are processes of their own: the printed figures are those of the daemon alone, from its
//! start to the last record in the topic. The topic is then read back, and the run fails unless it holds each incident once.

#![allow(clippy::expect_used)]
// A process is measured in real time.
#![allow(clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;
mod upstream;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use incidentd::kafka::reader::TopicReader;
use incidentd::simulator::{Simulator, Tenant};
use procfs::process::Process;
use support::daemon::Daemon;
use tokio::time::{sleep, timeout};

const TENANTS: u32 = 100;
const INCIDENTS: u32 = 1_000;
const BYTES: usize = 5_000;
const PARTITIONS: i32 = 12;
const LIMIT: Duration = Duration::from_secs(300);
/// The time between two looks at the topic and the process.
const LOOK: Duration = Duration::from_millis(50);
/// The topic is read to its end when no record comes for this time.
const SILENCE: Duration = Duration::from_secs(5);

/// What is measured.
struct Run {
    brokers: String,
    topic: String,
    /// Of each tenant.
    incidents: u32,
    /// `local` or `kafka`.
    ledger: String,
    format: String,
}

impl Run {
    /// One for each format.
    fn all_of_environment() -> Vec<Self> {
        let variable = |name: &str, default: &str| {
            std::env::var(format!("INCIDENTD_BENCH_{name}")).unwrap_or_else(|_| default.to_owned())
        };
        let incidents = variable("INCIDENTS", &INCIDENTS.to_string());
        let formats = variable("FORMATS", "cloudevents");
        let formats = formats.split_whitespace();
        formats
            .map(|format| Self {
                brokers: support::kafka::shared(),
                topic: format!("whole-process-{}", uuid::Uuid::new_v4()),
                incidents: incidents.parse().expect("a number"),
                ledger: variable("LEDGER", "local"),
                format: format.to_owned(),
            })
            .collect()
    }

    fn records(&self) -> usize {
        (TENANTS * self.incidents) as usize
    }
}

/// User and system seconds so far, and the most memory ever resident, in bytes.
fn spent(daemon: &Daemon) -> (f64, f64, u64) {
    let id = i32::try_from(daemon.pid()).expect("a process id");
    let process = Process::new(id).expect("the daemon's /proc");
    let stat = process.stat().expect("its stat");
    let status = process.status().expect("its status");
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    let peak = status.vmhwm.expect("the daemon still runs") * 1024;
    (seconds(stat.utime), seconds(stat.stime), peak)
}

/// Writes the configuration. The schedule is every 5 s instead of 30, because the first turns of the tenants are spread over a
/// period.
fn configure(folder: &Path, simulator: &Simulator, run: &Run) {
    let Run {
        brokers,
        topic,
        ledger: kind,
        format,
        ..
    } = run;
    let (url, secret) = (simulator.url(), folder.join("client-secret"));
    let place = match &**kind {
        "kafka" => format!("topic = \"{topic}-ledger\"\ngroup = \"{topic}\""),
        _ => format!("path = {:?}", folder.join("ledger")),
    };
    fs::write(&secret, Tenant::SECRET).expect("written");
    let mut text = format!(
        r#"
[app]
client_id = "{client}"
client_secret_file = {secret:?}
[api]
base_url = "{url}"
login_url = "{url}"
[poll]
schedule = "every 5s"
requests_per_minute = 6000
[kafka]
brokers = "{brokers}"
topic = "{topic}"
format = "{format}"
[kafka.properties]
"compression.type" = "zstd"
[ledger]
kind = "{kind}"
{place}
[http]
listen = "127.0.0.1:0"
"#,
        client = Tenant::CLIENT_ID,
    );
    for Tenant { id, name, .. } in simulator.world().tenants() {
        text.push_str(&format!("[[tenants]]\nid = \"{id}\"\nname = \"{name}\"\n"));
    }
    fs::write(folder.join("incidentd.toml"), text).expect("written");
}

/// Waits until this many records are acknowledged, or committed with the ledger in Kafka.
async fn until_published(daemon: &Daemon, records: usize) {
    let published = "incidentd_records_published_total{change=\"created\"}";
    while daemon.metric(published).await < records as f64 {
        sleep(LOOK).await;
    }
}

/// What the topic holds.
#[derive(Default)]
struct Content {
    records: usize,
    versions: HashSet<String>,
    incidents: HashSet<String>,
    /// Of the values.
    bytes: usize,
}

async fn read_back(run: &Run) -> Content {
    let reader = TopicReader::open(&run.brokers, &run.topic).await;
    let reader = reader.expect("the topic");
    let mut found = Content::default();
    while let Ok(record) = timeout(SILENCE, reader.next()).await {
        let record = record.expect("a record");
        found.records += 1;
        found.bytes += record.value.len();
        let version = record.header("ce_id").expect("an id");
        found.versions.insert(version.to_owned());
        found.incidents.insert(record.key);
    }
    found
}

#[tokio::main]
async fn main() {
    let runs = Run::all_of_environment();
    let incidents = runs.first().expect("a format").incidents;
    println!("preparing {incidents} incidents of each of {TENANTS} tenants");
    let simulator = upstream::simulator(TENANTS, incidents, BYTES).await;
    // The simulator writes an incident out when it is first read: not while the daemon waits for it.
    for tenant in simulator.world().tenants() {
        upstream::pages(&simulator, &tenant).await;
    }
    for run in &runs {
        measure(&simulator, run).await;
    }
}

async fn measure(simulator: &Simulator, run: &Run) {
    let records = run.records();
    support::kafka::create_topic(&run.brokers, &run.topic, PARTITIONS, &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    configure(folder.path(), simulator, run);

    let started = Instant::now();
    let daemon = Daemon::spawn(&folder.path().join("incidentd.toml"), &[], &[]);
    let mut daemon = daemon.ready().await;
    timeout(LIMIT, until_published(&daemon, records))
        .await
        .expect("all records are published in time");
    let wall = started.elapsed().as_secs_f64();
    let (user, system, peak) = spent(&daemon);
    daemon.stop().await;

    let found = read_back(run).await;
    let megabytes = found.bytes as f64 / 1e6;
    println!(
        "whole process, {}, ledger {}: {} records of {:.0} bytes, {} incidents, {} duplicates\n\
         wall {wall:.1} s: {:.0} records/s, {:.1} MB/s\n\
         cpu {:.2} s (user {user:.2}, system {system:.2}): {:.1} us a record\n\
         peak memory {:.1} MB",
        run.format,
        run.ledger,
        found.records,
        found.bytes as f64 / found.records as f64,
        found.incidents.len(),
        found.records - found.versions.len(),
        found.records as f64 / wall,
        megabytes / wall,
        user + system,
        (user + system) * 1e6 / found.records as f64,
        peak as f64 / 1e6,
    );
    assert_eq!(
        (found.records, found.versions.len(), found.incidents.len()),
        (records, records, records),
        "each incident is in the topic once"
    );
}
