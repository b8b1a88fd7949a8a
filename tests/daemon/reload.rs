//! SIGHUP, as an operator uses it. Without Kafka: records go to standard output.

use std::fs;
use std::path::Path;

use incidentd::simulator::{Options, Tenant};
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, until};

async fn configuration(daemon: &Daemon) -> Value {
    daemon.status().await["configuration"].clone()
}

async fn reloaded(daemon: &Daemon, what: &str, met: impl Fn(&Value) -> bool) -> Value {
    daemon.signal("HUP");
    let mut now = Value::Null;
    until(what, SOON, async || {
        now = configuration(daemon).await;
        met(&now)
    })
    .await;
    now
}

/// A text of the metrics serves for a moment.
async fn metric_follows(daemon: &Daemon, value: f64) {
    until("the metric follows", SOON, async || {
        let now = daemon.metric("incidentd_config_last_reload_successful");
        now.await == value
    })
    .await;
}

fn replace(config: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(config).expect("a configuration");
    assert!(text.contains(from), "{from} is not in\n{text}");
    fs::write(config, text.replace(from, to)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_configuration_is_applied_a_bad_one_is_refused_with_its_report_and_the_old_one_stays()
 {
    let simulator = simulator(2, Options::default()).await;
    let setup = Setup::new(&simulator, "127.0.0.1:9", "unused");
    let config = setup.write();
    let mut daemon = Daemon::start_with(&config, &["--output", "stdout"], &[]).await;
    assert_eq!(configuration(&daemon).await["state"], "ok");

    let third = Tenant::numbered(3);
    simulator.world().add_tenant(third.clone());
    simulator.world().create(third.id, 5).expect("incidents");
    let text = fs::read_to_string(&config).expect("a configuration");
    let added = format!(
        "{text}[[tenants]]\nid = \"{}\"\nname = \"{}\"\n",
        third.id, third.name
    );
    fs::write(&config, &added).expect("written");
    daemon.signal("HUP");
    until("the new tenant is read", SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().expect("tenants").clone();
        tenants.len() == 3 && tenants.iter().all(|tenant| tenant["state"] == "ok")
    })
    .await;

    replace(&config, "every 1s", "every now and then");
    let refused = reloaded(&daemon, "the refusal shows", |now| {
        now["state"] == "refused"
    })
    .await;
    let report = refused["error"].as_str().expect("a report");
    assert!(report.contains("every now and then"), "{report}");
    metric_follows(&daemon, 0.0).await;
    assert_eq!(
        daemon.status().await["tenants"]
            .as_array()
            .expect("tenants")
            .len(),
        3
    );
    let log = daemon.log_lines();
    let mut errors = log.iter().filter(|line| line["level"] == "ERROR");
    let mistake = errors.next().expect("the mistake, in a line of its own");
    let what = mistake["error"].as_str().expect("what it is");
    assert!(
        what.contains("every now and then") && report.contains(what),
        "{what}"
    );
    let refusal = errors.next().expect("what follows from it");
    assert_eq!(refusal["error"], "the configuration has one error");

    replace(&config, "every now and then", "every 2s");
    replace(&config, "127.0.0.1:9", "127.0.0.1:10");
    let accepted = reloaded(&daemon, "the reload is accepted", |now| {
        now["state"] == "ok"
    })
    .await;
    assert_eq!(
        accepted["restart_needed"],
        serde_json::json!(["kafka.brokers"])
    );
    metric_follows(&daemon, 1.0).await;

    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, format!("log.level = \"debug\"\n{text}")).expect("written");
    daemon.signal("HUP");
    until("the log says more", SOON, async || {
        daemon
            .log_lines()
            .iter()
            .any(|line| line["level"] == "DEBUG")
    })
    .await;

    fs::write(
        &config,
        format!("kafka.properties.\"no.such\" = \"1\"\n{text}"),
    )
    .expect("written");
    let refused = reloaded(&daemon, "what would not start again is refused", |now| {
        now["state"] == "refused"
    })
    .await;
    assert!(
        refused["error"].to_string().contains("no.such"),
        "{refused}"
    );
    fs::write(&config, &text).expect("written");
    reloaded(&daemon, "it is accepted again", |now| now["state"] == "ok").await;
    let pipe = setup.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    for (key, value, named) in [
        ("api.ca_file", "pipe", "not a regular file"),
        (
            "kafka.properties.\"ssl.ca.location\"",
            "nowhere.pem",
            "ssl.ca.location",
        ),
    ] {
        let protocol = "kafka.properties.\"security.protocol\" = \"ssl\"";
        let spoilt = format!("{protocol}\n{key} = {value:?}\n{text}");
        fs::write(&config, spoilt).expect("written");
        let refused = reloaded(&daemon, &format!("{key} is refused"), |now| {
            now["state"] == "refused"
        })
        .await;
        assert!(refused["error"].to_string().contains(named), "{refused}");
        fs::write(&config, &text).expect("written");
        reloaded(&daemon, "it is accepted again", |now| now["state"] == "ok").await;
    }

    fs::remove_file(setup.path().join("client-secret")).expect("removed");
    reloaded(&daemon, "a secret that is gone refuses a reload", |now| {
        now["state"] == "refused"
    })
    .await;
    daemon.stop().await;
}
