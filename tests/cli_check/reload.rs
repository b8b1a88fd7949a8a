//! `incidentd check --reload` beside a running daemon: what it says is what the reload then does.

use std::fs;

use incidentd::simulator::Options;
use serde_json::Value;

use super::command::NOBODY;
use crate::support::daemon::{Daemon, incidentd};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::{SOON, until};

const ADDED: &str = "77777777-7777-7777-7777-777777777777";

async fn check(daemon: &Daemon, args: &[&str]) -> (i32, String, String) {
    let mut command = incidentd();
    command.args(["check", "--reload", "--address", daemon.address()]);
    let output = command.args(args).output().await.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let code = output.status.code().expect("an exit code");
    (code, text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_the_reload_then_does() {
    let simulator = simulator(3, Options::default()).await;
    let tenants = simulator.world().tenants();
    // Without what Microsoft would not bear, of which a warning comes.
    let setup =
        Setup::new(&simulator, NOBODY, &unique("preview")).without("poll.requests_per_minute");
    let config = setup.write();
    let mut daemon = Daemon::start_with(&config, &["--output", "stdout"], &[]).await;
    let untouched = (
        0,
        "A reload would leave 3 tenants as they are.\n".to_owned(),
        String::new(),
    );
    assert_eq!(check(&daemon, &[]).await, untouched);

    let text = fs::read_to_string(&config).expect("the file");
    let (head, _) = text.split_once("[[tenants]]").expect("tenants");
    let tenant = |id: &dyn std::fmt::Display, name: &str| {
        format!("[[tenants]]\nid = \"{id}\"\nname = \"{name}\"\n")
    };
    let new = [
        tenant(&tenants[0].id, &tenants[0].name),
        tenant(&tenants[1].id, &tenants[1].name) + "poll.overlap = \"7m\"\n",
        tenant(&ADDED, "added"),
    ];
    let new = format!("{head}{}", new.concat());
    fs::write(&config, &new).expect("the file");
    let (removed, changed) = (&tenants[2], &tenants[1]);
    let expected = format!(
        "added:     added ({ADDED})\nremoved:   {} ({})\nchanged:   {} ({}): poll.overlap\nA reload would leave 1 tenant as it is.\n",
        removed.name, removed.id, changed.name, changed.id
    );
    // Back to back: an answer from before the edit would be wrong.
    assert_eq!(check(&daemon, &[]).await, (0, expected, String::new()));
    assert_eq!(
        daemon.status().await["tenants"]
            .as_array()
            .expect("tenants")
            .len(),
        3,
        "nothing was reloaded"
    );

    daemon.signal("HUP");
    until("the reload is done", SOON, async || {
        daemon.log().contains("configuration reloaded")
    })
    .await;
    let lines = daemon.log_lines();
    let said = lines
        .iter()
        .find(|line| line["message"] == "configuration reloaded")
        .expect("a line");
    let counts = ["added", "removed", "changed", "untouched"].map(|count| said[count].as_u64());
    assert_eq!(counts, [Some(1); 4], "{said}");
    until("nothing is left to reload", SOON, async || {
        check(&daemon, &[]).await == untouched
    })
    .await;

    let secret = "kafka.properties.\"sasl.password\" = \"canary-password\"";
    let restart = format!("log.level = \"debug\"\nlog.format = \"text\"\n{secret}\n{new}");
    fs::write(&config, restart).expect("the file");
    until("a restart is needed", SOON, async || {
        let (code, out, err) = check(&daemon, &[]).await;
        assert!(!(out.clone() + &err).contains("canary"), "{out}{err}");
        let keys = "new value: log.level\nrestart:   kafka.properties\nrestart:   log.format\n";
        code == 1
            && out.contains(keys)
            && err.contains("that need a restart: kafka.properties, log.format")
    })
    .await;
    fs::write(&config, format!("poll.overlpa = \"7m\"\n{new}")).expect("the file");
    let (code, out, err) = check(&daemon, &[]).await;
    assert_eq!((code, &*out), (78, ""), "{err}");
    assert!(err.contains("did you mean overlap?"), "{err}");
    let (code, json, _) = check(&daemon, &["--json"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (code, json["added"].as_array().map(Vec::len)),
        (78, Some(0))
    );
    daemon.stop().await;
}
