//! Errors at the start: reported at once, completely, in the operator's words and with the right exit code.

use std::fs;
use std::path::Path;

use incidentd::simulator::{Options, Simulator};
use redb::{Database, TableDefinition};

use crate::support::daemon::{Daemon, incidentd};
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, until};

const NOBODY: &str = "127.0.0.1:1";

async fn setup() -> (Simulator, Setup) {
    let simulator = simulator(1, Options::default()).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    (simulator, setup)
}

/// The exit code and standard error of a daemon that does not start.
async fn fails(config: &Path) -> (i32, String) {
    let mut daemon = Daemon::spawn(config, &[], &[]);
    let code = daemon.wait(SOON).await;
    assert_eq!(daemon.output(), "", "standard output is for records");
    (code, daemon.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    for (args, expected) in [
        (&["run", "--confg", "x"][..], 64),
        (&["fly"][..], 64),
        (&[][..], 64),
        (&["--help"][..], 0),
        (&["--version"][..], 0),
    ] {
        let output = incidentd().args(args).output().await.unwrap();
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {output:?}");
        let (answer, other) = if expected == 0 {
            (output.stdout, output.stderr)
        } else {
            (output.stderr, output.stdout)
        };
        assert!(
            !answer.is_empty() && other.is_empty(),
            "{args:?}: an answer on the right stream"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_defender_api_ends_is_one_line_at_the_start_for_all_tenants() {
    let simulator = simulator(3, Options::default()).await;
    for (source, expected) in [("defender", 1), ("graph", 0)] {
        let setup = Setup::new(&simulator, NOBODY, "none").text("api.source", source);
        let mut daemon = Daemon::start(&setup.write()).await;
        let lines = daemon.log_lines();
        let told: Vec<_> = lines
            .iter()
            .filter_map(|line| line["message"].as_str())
            .filter(|message| message.contains("2027-02-01"))
            .collect();
        assert_eq!(told.len(), expected, "{source}: {told:?}");
        for line in told {
            assert!(line.starts_with("3 tenants are read through"), "{line}");
            assert!(line.contains("api.source = \"graph\""), "{line}");
        }
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_ends_with_78_and_names_all_mistakes() {
    let (_simulator, setup) = setup().await;
    let setup = setup
        .text("poll.schedule", "every now and then")
        .text("kafka.formt", "raw")
        .text("api.base_url", "http://example.com")
        .key("poll.max_concurrent", "0");
    let (code, log) = fails(&setup.write()).await;
    assert_eq!(code, 78, "{log}");
    for key in [
        "poll.schedule",
        "formt",
        "api.base_url",
        "poll.max_concurrent",
        "incidentd.toml",
    ] {
        assert!(log.contains(key), "{key} is missing in:\n{log}");
    }
    let (code, log) = fails(&setup.path().join("none.toml")).await;
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("none.toml"), "{log}");
    assert!(!setup.path().join("ledger").exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_ledger_ends_with_75_and_leaves_the_first_alone() {
    let (simulator, setup) = setup().await;
    let config = setup.write();
    let mut first = Daemon::start(&config).await;
    let (code, log) = fails(&config).await;
    assert_eq!(code, 75, "{log}");
    assert!(log.contains("in use by another process"), "{log}");
    let before = simulator.journal().requests().len();
    until("the first goes on", SOON, async || {
        simulator.journal().requests().len() > before
    })
    .await;
    assert_eq!(first.status().await["ledger"]["state"], "ok");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_damaged_or_of_a_later_version_is_left_as_it_is() {
    let (_simulator, setup) = setup().await;
    let config = setup.write();
    Daemon::start(&config).await.stop().await;
    let file = setup.ledger_file();
    let sound = fs::read(&file).unwrap();
    let mut truncated = sound.clone();
    truncated.truncate(sound.len() / 2);
    let mut overwritten = sound.clone();
    overwritten[..4096].fill(0x5a);
    for (what, bytes, words) in [
        ("empty", Vec::new(), "damaged"),
        ("truncated", truncated, "damaged"),
        ("overwritten", overwritten, "damaged"),
        ("text", b"not a ledger at all\n".repeat(500), "damaged"),
        (
            "of a later version",
            of_format(&setup, &sound, 999),
            "later incidentd (format 999",
        ),
    ] {
        fs::write(&file, &bytes).unwrap();
        let (code, log) = fails(&config).await;
        assert_eq!(code, 78, "{what}: {log}");
        assert!(
            log.contains(words) && log.contains("left as it is"),
            "{what}: {log}"
        );
        assert!(log.contains(&file.display().to_string()), "{what}: {log}");
        assert!(
            fs::read(&file).unwrap() == bytes,
            "{what}: the file was changed"
        );
    }
    fs::write(&file, &sound).unwrap();
    Daemon::start(&config).await.stop().await;
}

/// The ledger `sound` in the format of a later incidentd.
fn of_format(setup: &Setup, sound: &[u8], format: u64) -> Vec<u8> {
    let path = setup.path().join("later.redb");
    fs::write(&path, sound).unwrap();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction
            .open_table(TableDefinition::<&str, u64>::new("meta"))
            .unwrap();
        meta.insert("format", format).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    fs::read(&path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_ends_with_75_and_leaves_no_ledger_behind() {
    let (_simulator, setup) = setup().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = setup.text("http.listen", &address);
    let (code, log) = fails(&setup.write()).await;
    assert_eq!(code, 75, "{log}");
    assert!(
        log.contains(&address) && log.contains("http.listen"),
        "{log}"
    );
    assert!(!log.contains("new ledger"), "{log}");
    assert!(!setup.path().join("ledger").exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_whose_disk_is_not_mounted_ends_with_75_and_is_not_begun_anew() {
    let (_simulator, setup) = setup().await;
    let config = setup.write();
    Daemon::start(&config).await.stop().await;
    let (file, disk) = (setup.ledger_file(), setup.path().join("mnt"));
    fs::create_dir(&disk).unwrap();
    fs::rename(&file, disk.join("ledger.redb")).unwrap();
    std::os::unix::fs::symlink(disk.join("ledger.redb"), &file).unwrap();
    Daemon::start(&config).await.stop().await;

    let unmounted = setup.path().join("unmounted");
    fs::rename(&disk, &unmounted).unwrap();
    let (code, log) = fails(&config).await;
    assert_eq!(code, 75, "{log}");
    for words in [
        &*file.display().to_string(),
        &*disk.display().to_string(),
        "mount the disk",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("new ledger") && !disk.exists(), "{log}");
    fs::rename(&unmounted, &disk).unwrap();
    Daemon::start(&config).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_are_there_on_a_machine_with_ipv6_only() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("not tried: this machine has no IPv6");
        return;
    }
    for listen in ["[::1]:0", "[::]:0"] {
        let (_simulator, setup) = setup().await;
        let setup = setup.text("http.listen", listen);
        let mut daemon = Daemon::start(&setup.write()).await;
        assert_eq!(daemon.get("/livez").await.0, 200, "{listen}");
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_kafka_lives_and_is_not_ready() {
    let (_simulator, setup) = setup().await;
    let mut daemon = Daemon::start(&setup.write()).await;
    until("Kafka is found away", SOON, async || {
        daemon.status().await["kafka"]["state"] == "unavailable"
    })
    .await;
    until("the probe names Kafka", SOON, async || {
        let (status, why) = daemon.get("/readyz").await;
        assert_eq!(status, 503, "{why}");
        why.contains("Kafka")
    })
    .await;
    assert_eq!(
        daemon.get("/livez").await.0,
        200,
        "waiting is no reason for a restart"
    );
    daemon.stop().await;
}
