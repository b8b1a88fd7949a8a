//! The whole daemon, as operators run it: 100,000 incidents of 5 KB of 100 tenants, from the simulator over HTTP to a real
//! Kafka with zstd, deduplication and ledger included.
//!
//!     tests/run --bench whole_process
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
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use incidentd::kafka::reader::TopicReader;
use incidentd::simulator::{Simulator, Tenant};
use procfs::process::Process;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::time::{sleep, timeout};

const TENANTS: u32 = 100;
const INCIDENTS: u32 = 1_000;
const BYTES: usize = 5_000;
const RECORDS: usize = (TENANTS * INCIDENTS) as usize;
const PARTITIONS: i32 = 12;
const LIMIT: Duration = Duration::from_secs(300);
/// The time between two looks at the topic and the process.
const LOOK: Duration = Duration::from_millis(50);

/// The daemon's process; killed when the bench fails.
struct Daemon(Child);

impl Daemon {
    fn start(folder: &Path) -> Self {
        let log = File::create(folder.join("log")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_incidentd"))
            .args(["run", "--config"])
            .arg(folder.join("incidentd.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        Self(child)
    }

    /// User and system seconds so far, and the most memory ever resident, in bytes.
    fn spent(&self) -> (f64, f64, u64) {
        let id = i32::try_from(self.0.id()).expect("a process id");
        let process = Process::new(id).expect("the daemon's /proc");
        let stat = process.stat().expect("its stat");
        let status = process.status().expect("its status");
        let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        let peak = status.vmhwm.expect("the daemon still runs") * 1024;
        (seconds(stat.utime), seconds(stat.stime), peak)
    }

    /// Stops it with a signal, so that it sends nothing more.
    async fn stop(&mut self) {
        let id = self.0.id();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()
            .expect("sh runs");
        assert!(sent.success(), "no SIGTERM could be sent");
        let ended = async {
            loop {
                if let Some(status) = self.0.try_wait().expect("its state") {
                    return status;
                }
                sleep(LOOK).await;
            }
        };
        let status = timeout(LIMIT, ended).await.expect("the daemon stops");
        assert!(status.success(), "the daemon ended with {status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error only says that the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the configuration. The schedule is every 5 s instead of 30, because the first turns of the tenants are spread over a
/// period.
fn configure(folder: &Path, simulator: &Simulator, brokers: &str, topic: &str) {
    let (url, secret, ledger) = (
        simulator.url(),
        folder.join("client-secret"),
        folder.join("ledger"),
    );
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
[kafka.properties]
"compression.type" = "zstd"
[ledger]
path = {ledger:?}
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

/// Records in the topic now, counted by offsets.
fn count(consumer: &BaseConsumer, topic: &str) -> usize {
    let ends = (0..PARTITIONS).map(|partition| {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, LIMIT)
            .expect("an answer of Kafka's");
        usize::try_from(high - low).expect("offsets grow")
    });
    ends.sum()
}

async fn until_full(brokers: &str, topic: &str) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("a client");
    while count(&consumer, topic) < RECORDS {
        sleep(LOOK).await;
    }
}

/// Reads `records` records back. Returns how many versions and how many incidents they hold, and the bytes of their values.
async fn read_back(brokers: &str, topic: &str, records: usize) -> (usize, usize, usize) {
    let reader = TopicReader::open(brokers, topic).await.expect("the topic");
    let (mut versions, mut incidents, mut bytes) = (HashSet::new(), HashSet::new(), 0);
    for _ in 0..records {
        let record = timeout(LIMIT, reader.next())
            .await
            .expect("a record in time");
        let record = record.expect("a record");
        bytes += record.value.len();
        versions.insert(record.header("ce_id").expect("an id").to_owned());
        incidents.insert(record.key);
    }
    (versions.len(), incidents.len(), bytes)
}

#[tokio::main]
async fn main() {
    let brokers = support::kafka::shared();
    let topic = format!("whole-process-{}", uuid::Uuid::new_v4());
    support::kafka::create_topic(&brokers, &topic, PARTITIONS, &[]).await;
    println!("preparing {RECORDS} incidents of {TENANTS} tenants");
    let simulator = upstream::simulator(TENANTS, INCIDENTS, BYTES).await;
    // The simulator writes an incident out when it is first read: not while the daemon waits for it.
    for tenant in simulator.world().tenants() {
        upstream::pages(&simulator, &tenant).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    configure(folder.path(), &simulator, &brokers, &topic);

    let started = Instant::now();
    let mut daemon = Daemon::start(folder.path());
    timeout(LIMIT, until_full(&brokers, &topic))
        .await
        .expect("all records arrive in time");
    let wall = started.elapsed().as_secs_f64();
    let (user, system, peak) = daemon.spent();
    daemon.stop().await;

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .create()
        .expect("a client");
    let records = count(&consumer, &topic);
    let (versions, incidents, bytes) = read_back(&brokers, &topic, records).await;
    let megabytes = bytes as f64 / 1e6;
    println!(
        "whole process: {records} records of {:.0} bytes, {incidents} incidents, {} duplicates\n\
         wall {wall:.1} s: {:.0} records/s, {:.1} MB/s\n\
         cpu {:.2} s (user {user:.2}, system {system:.2}): {:.1} us a record\n\
         peak memory {:.1} MB",
        bytes as f64 / records as f64,
        records - versions,
        records as f64 / wall,
        megabytes / wall,
        user + system,
        (user + system) * 1e6 / records as f64,
        peak as f64 / 1e6,
    );
    assert_eq!(
        (records, versions, incidents),
        (RECORDS, RECORDS, RECORDS),
        "each incident is in the topic once"
    );
}
