//! `incidentd tap` beside a daemon, against a real Kafka: what it shows, what it leaves out, and how it ends.

use std::path::Path;
use std::process::Stdio;

use incidentd::simulator::{Options, Tenant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::SOON;
use crate::support::daemon::{Daemon, incidentd};
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, simulator, unique};

pub struct Tap {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tap {
    /// Returns when it reads: its heading is there.
    pub async fn start(config: &Path, args: &[&str]) -> Self {
        let mut command = incidentd();
        command.arg("tap").args(args).arg("--config").arg(config);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut tap = Self { child, lines };
        assert!(tap.line().await.starts_with("UPDATED (UTC)"));
        tap
    }

    pub async fn line(&mut self) -> String {
        let line = timeout(SOON, self.lines.next_line()).await;
        line.expect("in time").expect("text").expect("a line")
    }

    /// As Ctrl-C does.
    pub async fn interrupt(mut self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await;
        assert!(sent.expect("kill runs").success());
        let ended = timeout(SOON, self.child.wait()).await;
        assert_eq!(ended.expect("in time").expect("a status").code(), Some(0));
        let rest = self.lines.next_line().await.expect("text");
        assert_eq!(rest, None, "nothing more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_shown_by_tenant_change_and_time_until_ctrl_c() {
    let (kafka, topic) = (shared(), unique("tap"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let simulator = simulator(2, Options::default()).await;
    let world = simulator.world();
    let [
        Tenant {
            id: first, name, ..
        },
        Tenant { id: second, .. },
    ] = &world.tenants()[..]
    else {
        panic!("two tenants");
    };
    world.create(*first, 1).expect("an incident");
    world.create(*second, 1).expect("an incident");
    let setup = Setup::new(&simulator, &kafka, &topic);
    let config = setup.write();
    let mut daemon = Daemon::start(&config).await;

    let mut all = Tap::start(&config, &["--since", "1h"]).await;
    let mut shown = [all.line().await, all.line().await];
    shown.sort_by_key(|line| !line.contains(name));
    assert!(
        shown[0].contains("  created     ") && shown[0].contains(name),
        "{shown:?}"
    );
    assert!(
        shown[1].contains("  created     ") && !shown[1].contains(name),
        "{shown:?}"
    );

    // What is there already is not shown, nor another tenant's records, nor other changes.
    let mut resolved = Tap::start(&config, &["--tenant", name, "--change", "resolved"]).await;
    let incident = |tenant| {
        let version = world
            .current()
            .into_iter()
            .find(|version| version.tenant == tenant);
        version.expect("an incident").incident
    };
    world.resolve(*second, incident(*second)).expect("resolved");
    assert!(all.line().await.contains("  resolved    "));
    world.resolve(*first, incident(*first)).expect("resolved");
    let line = resolved.line().await;
    assert!(
        line.contains("  resolved    ") && line.contains(name),
        "{line}"
    );
    resolved.interrupt().await;
    daemon.stop().await;
    all.line().await;
    all.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_ends_it_with_75() {
    let simulator = simulator(1, Options::default()).await;
    let setup = Setup::new(&simulator, &shared(), &unique("untapped"));
    let config = setup.write();
    let mut command = incidentd();
    let output = command.arg("tap").arg("--config").arg(&config).output();
    let output = timeout(SOON, output)
        .await
        .expect("in time")
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    for part in [
        "untapped",
        "can't be read",
        "does not exist",
        "--create --topic",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
