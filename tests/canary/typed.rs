//! Commands that write files, and commands that need no files.

use incidentd::simulator::Simulator;

use crate::canary::stage::{NOBODY, Outcome, Stage};
use crate::canary::words::{KAFKA, RIGHT, proxy};

/// A configuration with secrets in the environment, as where the daemon runs.
fn new(simulator: &Simulator) -> Stage {
    Stage::new(simulator, NOBODY, "none")
        .text("tenants_dir", "tenants.d")
        .file(
            "tenants.d/torn.toml",
            format!("[[tenants]]\nid = {RIGHT:?}\nname = \"torn"),
        )
        .env("INCIDENTD__API__PROXY", proxy(NOBODY))
        .env("INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD", KAFKA)
        .env("INCIDENTD__APP__CLIENT_SECRET", RIGHT)
}

pub async fn init(simulator: &Simulator) -> Outcome {
    let mut outcome = Outcome::default();
    let stage = new(simulator).file("file", "");
    stage.write();
    let known = simulator.world().tenants()[0].id;
    let tenant = |rest: &str| format!("init --tenant {rest}");
    let new_id = "22222222-2222-2222-2222-222222222222";
    for (words, code, says) in [
        ("init".to_owned(), 1, "is there already"),
        (tenant(&known.to_string()), 1, "has the tenant"),
        (
            tenant(&format!("{new_id} --name customer-0001")),
            1,
            "has a tenant of the name",
        ),
        (
            tenant("00000000-0000-0000-0000-000000000000"),
            1,
            "a placeholder",
        ),
        (
            tenant(&format!("{new_id} --name torn")),
            1,
            "is there already",
        ),
        (tenant(&format!("{new_id} --name new")), 0, "Wrote"),
        ("init --brokers kafka".to_owned(), 64, "host:port"),
        ("init --config fresh/incidentd.toml".to_owned(), 0, "Wrote"),
        (
            "init --config file/incidentd.toml".to_owned(),
            1,
            "can't write",
        ),
        (
            "config --config fresh/incidentd.toml".to_owned(),
            78,
            "errors",
        ),
    ] {
        outcome.types(("init", &stage), &words, code, says).await;
    }
    outcome
}

/// Commands without a configuration, and mistyped commands.
pub async fn others(simulator: &Simulator) -> Outcome {
    let mut outcome = Outcome::default();
    let stage = new(simulator);
    for (words, code, says) in [
        ("completions bash", 0, "_incidentd"),
        ("completions zsh", 0, "_incidentd"),
        ("completions fish", 0, "incidentd"),
        ("man", 0, "incidentd"),
        ("man .", 0, ""),
        ("man /dev/null/nowhere", 1, "can't make"),
        ("--help", 0, "status"),
        ("--version", 0, "incidentd"),
        ("fly", 64, "fly"),
        ("demo --seconds 2 --tenants 2", 0, "lost=0"),
    ] {
        outcome
            .types(("no configuration", &stage), words, code, says)
            .await;
    }
    outcome
}
