//! Signals: the first one drains, the second one ends the daemon.

use std::process::Stdio;

use incidentd::simulator::{Effect, Endpoint, Options, Rule, Simulator};
use tokio::io::AsyncReadExt;
use tokio::time::{Duration, Instant, timeout};

use crate::support::daemon::{Daemon, STOP_LIMIT, incidentd};
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, tell, until};

/// An address without a listener.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_stop_cleanly_while_work_goes_on() {
    let (kafka, topic) = (shared(), unique("stop"));
    create_topic(&kafka, &topic, 1, &[]).await;
    let simulator = simulator(2, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let setup = Setup::new(&simulator, &kafka, &topic);
    let config = setup.write();
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start(&config).await;
        for _ in 0..20 {
            world.evolve(20);
            let seen = journal.shown_count();
            until("more is read", SOON, async || journal.shown_count() > seen).await;
        }
        daemon.signal(signal);
        let begun = Instant::now();
        assert_eq!(
            daemon.wait(STOP_LIMIT).await,
            0,
            "{signal}:\n{}",
            daemon.log()
        );
        tell(format_args!(
            "SIG{signal}: stopped in {:?}",
            begun.elapsed()
        ));
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "nothing held it up"
        );
    }
    // The ledger has what the drain committed: the next start repeats nothing and finds the rest.
    let mut daemon = Daemon::start(&config).await;
    let tally = Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    daemon.stop().await;
    assert_eq!(tally.repeats(), 0, "a clean stop repeats nothing");
    tally.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_cleanly_while_requests_hang() {
    let simulator = simulator(3, Options::default()).await;
    simulator
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::List));
    let setup = Setup::new(&simulator, NOBODY, "none");
    let mut daemon = Daemon::start(&setup.write()).await;
    let asked = simulator.journal();
    let hanging = asked.until(|requests| {
        requests
            .iter()
            .filter(|request| request.endpoint == Endpoint::List)
            .count()
            >= 3
    });
    timeout(SOON, hanging).await.expect("three requests hang");
    daemon.signal("TERM");
    let begun = Instant::now();
    assert_eq!(daemon.wait(STOP_LIMIT).await, 0, "{}", daemon.log());
    tell(format_args!(
        "while requests hang: stopped in {:?}",
        begun.elapsed()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_within_its_budget_while_kafka_is_away() {
    let simulator = simulator(3, Options::default()).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    let mut daemon = waiting_for_kafka(&simulator, &setup).await;
    daemon.signal("TERM");
    let begun = Instant::now();
    assert_eq!(daemon.wait(STOP_LIMIT).await, 0, "{}", daemon.log());
    tell(format_args!(
        "while Kafka is away: stopped in {:?}",
        begun.elapsed()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let simulator = simulator(3, Options::default()).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    let mut daemon = waiting_for_kafka(&simulator, &setup).await;
    daemon.signal("TERM");
    until("it is stopping", SOON, async || {
        daemon.log().contains("stopping")
    })
    .await;
    daemon.signal("TERM");
    let code = daemon.wait(Duration::from_secs(5)).await;
    assert_eq!(code, 128 + 15, "{}", daemon.log());
}

/// As with a log driver that hangs or a journal that is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_standard_error_that_stalls_stops_neither_the_tenants_nor_the_stop() {
    let simulator = simulator(200, Options::default()).await;
    let setup = Setup::new(&simulator, NOBODY, "none").text("log.level", "trace");
    let mut child = incidentd()
        .args(["run", "--output", "stdout", "--config"])
        .arg(setup.write())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut never_read_on = child.stderr.take().unwrap();
    let journal = simulator.journal();
    // A few hundred bytes each: many times what a pipe can hold.
    let asked = journal.until(|requests| requests.len() >= 2_000);
    timeout(SOON * 3, asked)
        .await
        .expect("the tenants are swept though nobody reads the log");
    let pid = child.id().unwrap();
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("kill -TERM {pid}")])
        .status();
    assert!(sent.unwrap().success());
    let ended = timeout(STOP_LIMIT, child.wait()).await;
    let status = ended.expect("it ends within the budget").unwrap();
    assert_eq!(status.code(), Some(0));
    let mut log = String::new();
    never_read_on.read_to_string(&mut log).await.unwrap();
    assert!(log.len() > 60_000, "the pipe was not full: {}", log.len());
}

/// A daemon that holds incidents for a Kafka that does not answer.
async fn waiting_for_kafka(simulator: &Simulator, setup: &Setup) -> Daemon {
    create_in_each(&simulator.world(), 10);
    let daemon = Daemon::start(&setup.write()).await;
    until("incidents wait for Kafka", SOON, async || {
        daemon.metric("incidentd_in_flight_bytes").await > 0.0
    })
    .await;
    daemon
}
