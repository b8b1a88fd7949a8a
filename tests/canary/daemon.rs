//! A daemon that does not start, or has to reload what it can't; and a server that is not a daemon.

use std::fs;
use std::path::Path;

use incidentd::simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::canary::credentials::{NEXT_FILE, spoilt};
use crate::canary::online::well;
use crate::canary::stage::{NOBODY, Outcome, Situation, Stage};
use crate::canary::words::RIGHT;
use crate::support::daemon::Daemon;
use crate::support::search::endpoints;
use crate::support::{SOON, until};

fn new(simulator: &Simulator) -> Stage {
    Stage::new(simulator, NOBODY, "none").text("http.listen", "127.0.0.1:0")
}

/// What keeps a daemon with a good configuration from starting.
pub async fn does_not_start(simulator: &Simulator) -> Outcome {
    let mut outcome = Outcome::default();
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let stage = new(simulator).text("http.listen", &address);
    stage.write();
    outcome
        .types(("a port that is taken", &stage), "run", 75, &address)
        .await;

    let stage = new(simulator);
    let mut first = stage.daemon(&["--output", "stdout"]).await;
    outcome
        .types(
            ("a ledger that is in use", &stage),
            "run",
            75,
            "in use by another process",
        )
        .await;
    first.stop().await;
    outcome.log("a first daemon on a ledger", &first);

    let damaged = new(simulator).file("ledger/ledger.redb", RIGHT.repeat(500));
    damaged.write();
    outcome
        .types(("a damaged ledger", &damaged), "run", 78, "damaged")
        .await;
    outcome
}

/// A daemon whose files become each of the refused configurations, one after the other.
pub async fn reloads(simulator: &Simulator, refused: Vec<Situation>) -> Outcome {
    let stage = new(simulator);
    let mut daemon = stage.daemon(&["--output", "stdout"]).await;
    let mut outcome = Outcome::default();
    let mut count = 0;
    for Situation {
        name,
        stage: wrong,
        says,
        ..
    } in refused
    {
        // The daemon keeps the variables of its start.
        if wrong.has_variables() {
            continue;
        }
        wrong.write();
        copy(wrong.folder(), stage.folder());
        daemon.signal("HUP");
        count += 1;
        until(
            &format!("{name}: the reload is refused"),
            SOON,
            async || refusals(&daemon) == count,
        )
        .await;
        let name = format!("reload, {name}");
        let (_, status) = daemon.get("/api/status").await;
        if !status.contains(says) {
            outcome
                .amiss
                .push(format!("{name}: {says:?} is not in {status}"));
        }
        outcome.places.extend(endpoints(&name, &daemon).await);
        for option in ["", " --json"] {
            let words = format!("status --address {}{option}", daemon.address());
            outcome.types((&name, &stage), &words, 1, "").await;
        }
    }
    daemon.stop().await;
    outcome.log("reload", &daemon);
    outcome
}

/// Secret files that become unusable while the daemon runs, and the message for each.
const SPOILT: [(&str, &str); 3] = [
    ("large", "larger than 64 KiB"),
    ("binary", "not UTF-8 text"),
    ("folder", "can't be read"),
];

/// The secret's file becomes unusable, and the token is revoked, so that the file is read again.
pub async fn loses_its_secret() -> Outcome {
    let (microsoft, stage) = well().await;
    let tenant = microsoft.world().tenants()[0].id;
    let stage = spoilt(stage)
        .without(&[NEXT_FILE])
        .text("http.listen", "127.0.0.1:0");
    let mut daemon = stage.daemon(&[]).await;
    let (folder, mut outcome) = (stage.folder().to_owned(), Outcome::default());
    for (file, says) in SPOILT {
        has(&daemon, "ok", "").await;
        let (secret, kept) = (folder.join("client-secret"), folder.join("kept"));
        fs::rename(&secret, &kept).expect("put away");
        fs::rename(folder.join(file), &secret).expect("put in its place");
        microsoft.revoke_tokens(tenant);
        has(&daemon, "credential", says).await;
        let name = format!("a secret's file that becomes of no use, {file}");
        outcome.places.extend(endpoints(&name, &daemon).await);
        let words = format!("status --address {}", daemon.address());
        outcome
            .types((&name, &stage), &words, 1, "credential")
            .await;
        fs::rename(&secret, folder.join(file)).expect("put away");
        fs::rename(&kept, &secret).expect("put back");
    }
    daemon.stop().await;
    outcome.log("a secret's file that becomes of no use", &daemon);
    outcome.tokens = microsoft.journal().issued_tokens();
    outcome
}

/// Waits until the tenant is in this state, with this message.
async fn has(daemon: &Daemon, state: &str, says: &str) {
    until(&format!("it is {state}, {says}"), SOON, async || {
        let tenant = daemon.status().await["tenants"][0].clone();
        tenant["state"] == state && tenant["error"].as_str().unwrap_or_default().contains(says)
    })
    .await;
}

fn refusals(daemon: &Daemon) -> usize {
    daemon
        .log()
        .matches("the configuration was not reloaded")
        .count()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}

/// Another server listens at the daemon's address, and repeats what it receives.
pub async fn is_none(simulator: &Simulator) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut sent = vec![0; 4096];
            let length = stream.read(&mut sent).await.unwrap_or_default();
            let answer = [b"HTTP/1.0 404 Not Found\r\n\r\n", &sent[..length]].concat();
            // The client may be gone.
            let _ = stream.write_all(&answer).await;
        }
    });
    let stage = new(simulator).text("http.listen", &address);
    stage.write();
    let mut outcome = Outcome::default();
    for words in ["status", "status --json", "status --ready", "status --live"] {
        let says = "does not answer as incidentd does";
        outcome
            .types(("a foreign server", &stage), words, 75, says)
            .await;
    }
    server.abort();
    outcome
}
