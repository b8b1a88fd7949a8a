//! Operators' commands for one tenant of a running daemon: pause, resume, backfill.

use std::path::Path;
use std::process::Output;

use crate::support::daemon::{Daemon, incidentd};
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, until};
use incidentd::simulator::Options;
use serde_json::Value;

/// What a command says and its exit code.
pub async fn order(config: &Path, args: &[&str]) -> (i32, String) {
    let mut command = incidentd();
    command.args(args).arg("--config").arg(config);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.expect("it runs");
    let said = [stdout, stderr].concat();
    let said = String::from_utf8(said).expect("text");
    // Messages are wrapped.
    let said: Vec<&str> = said.split_whitespace().collect();
    (status.code().expect("a code"), said.join(" "))
}

/// The tenant of this name in a daemon's status.
pub async fn shown(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status().await;
    let tenants = status["tenants"].as_array().expect("tenants");
    let named = tenants.iter().find(|tenant| tenant["name"] == name);
    named.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_survives_a_kill_and_a_resume_publishes_what_came_meanwhile_once() {
    let (kafka, topic) = (shared(), unique("operator"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let simulator = simulator(2, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 20);
    let setup = Setup::new(&simulator, &kafka, &topic);
    let config = setup.write();
    let paused = world.tenants()[0].clone();
    let name = paused.name.as_str();

    let (code, said) = order(&config, &["pause", name]).await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("no daemon runs here: start it"), "{said}");

    let mut daemon = Daemon::start(&config).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    let reason = "a new contract";
    let (code, said) = order(&config, &["pause", name, "--reason", reason]).await;
    assert_eq!(code, 0, "{said}");
    let resume = format!("incidentd resume {name}");
    assert!(said.contains(&resume), "{said}");
    let tenant = shown(&daemon, name).await;
    assert_eq!(tenant["state"], "paused");
    let since = tenant["since"].clone();
    until("both are in the ledger", SOON, async || {
        let tenants = daemon.status().await["tenants"].clone();
        let tenants = tenants.as_array().expect("tenants").clone();
        tenants.iter().all(|tenant| tenant["published"] == 20)
    })
    .await;
    daemon.kill().await;

    let asked = requests_for(&journal, paused.id);
    create_in_each(&world, 20);
    let mut daemon = Daemon::start(&config).await;
    until(
        "the other tenant is read, and this one is paused",
        SOON,
        async || {
            let other = shown(&daemon, &world.tenants()[1].name).await;
            other["published"] == 20 && shown(&daemon, name).await["state"] == "paused"
        },
    )
    .await;
    let tenant = shown(&daemon, name).await;
    assert_eq!(tenant["since"], since);
    assert!(tenant["error"].as_str().unwrap().contains(reason));
    assert!(tenant["remedy"].as_str().unwrap().contains(&resume));
    assert_eq!(tenant["overdue_seconds"], 0);
    assert_eq!(
        requests_for(&journal, paused.id),
        asked,
        "Microsoft was asked"
    );
    let page = daemon.get(&format!("/tenants/{}", paused.id)).await.1;
    assert!(page.contains("paused") && page.contains(reason), "{page}");

    let (code, said) = order(&config, &["pause", "nobody"]).await;
    assert_eq!(code, 64, "{said}");
    // By id, and in other letters.
    let (code, said) = order(&config, &["resume", &paused.id.to_string().to_uppercase()]).await;
    assert_eq!(code, 0, "{said}");
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    until("the tenant is well", SOON, async || {
        shown(&daemon, name).await["state"] == "ok"
    })
    .await;
    daemon.stop().await;
    journal.settled().await;
    let tally = Tally::read(&kafka, &topic, &journal).await;
    tally.assert_exact(&journal);
    assert_eq!(tally.versions().len(), 80);
    let socket = setup.path().join("ledger").join("control.sock");
    assert!(!socket.exists(), "the socket goes with the daemon");
}

fn requests_for(journal: &incidentd::simulator::Journal, tenant: uuid::Uuid) -> usize {
    let requests = journal.requests();
    requests
        .iter()
        .filter(|it| it.tenant == Some(tenant))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_suspended_daemon_did_not_begin_takes_no_effect_later() {
    let (kafka, topic) = (shared(), unique("operator"));
    create_topic(&kafka, &topic, 1, &[]).await;
    let simulator = simulator(2, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 1);
    let setup = Setup::new(&simulator, &kafka, &topic);
    let config = setup.write();
    let mut daemon = Daemon::start(&config).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    let [first, second] = [0, 1].map(|n| world.tenants()[n].name.clone());
    daemon.signal("STOP");
    let (code, said) = order(&config, &["pause", &first]).await;
    daemon.signal("CONT");
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("nothing is recorded"), "{said}");
    // The daemon has taken the connections in their order.
    let (code, said) = order(&config, &["pause", &second]).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(shown(&daemon, &second).await["state"], "paused");
    assert_eq!(shown(&daemon, &first).await["state"], "ok");

    let long = "x".repeat(201);
    let (code, said) = order(&config, &["pause", &first, "--reason", &long]).await;
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("at most 200"), "{said}");
    let socket = setup.path().join("ledger").join("control.sock");
    std::fs::remove_file(&socket).expect("it is there");
    let (code, said) = order(&config, &["pause", &first]).await;
    assert_eq!(code, 75, "{said}");
    assert!(
        said.contains("the socket was removed: restart it"),
        "{said}"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_fill_publishes_what_the_ledger_did_not_know_once() {
    const DAY: i64 = 86_400;
    let (kafka, topic) = (shared(), unique("operator"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenant = world.tenants()[0].clone();
    create_in_each(&world, 5);
    // Before the first range, and before what is asked for.
    for days in [2, 9, 10, 30] {
        world
            .create_dated(tenant.id, world.now() - days * DAY * 10_000_000)
            .expect("a tenant");
    }
    let setup = Setup::new(&simulator, &kafka, &topic).text("poll.reconcile_every", "1m");
    let config = setup.write();
    let mut daemon = Daemon::start(&config).await;
    let published = async |count| {
        until("it is published", SOON, async || {
            let tenant = shown(&daemon, &tenant.name).await;
            tenant["published"] == count && tenant["backfill"].is_null()
        })
        .await;
    };
    published(5).await;
    for (since, code) in [
        ("2000-01-01T00:00:00Z", 1),
        ("2999-01-01T00:00:00Z", 1),
        ("soon", 64),
    ] {
        let refused = order(&config, &["backfill", &tenant.name, "--since", since]).await;
        assert_eq!(refused.0, code, "{}", refused.1);
    }
    for _ in 0..2 {
        let args = ["backfill", &tenant.name, "--since", "11d"];
        let (code, said) = order(&config, &args).await;
        assert_eq!(code, 0, "{said}");
        published(8).await;
    }
    daemon.stop().await;
    journal.settled().await;
    let tally = Tally::read(&kafka, &topic, &journal).await;
    tally.assert_exact(&journal);
    assert_eq!(tally.versions().len(), 8);
}
