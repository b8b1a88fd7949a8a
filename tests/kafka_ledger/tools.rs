//! The commands `incidentd ledger …`: they look into a ledger beside its daemons, and move it without a publication.

use super::*;
use crate::support::daemon::incidentd;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Runs `incidentd ledger` with these arguments, and with `input` as its standard input.
async fn ledger(config: &std::path::Path, args: &[&str], input: &[u8]) -> Output {
    let mut command = incidentd();
    command.arg("ledger").args(args).arg("--config").arg(config);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let write = tokio::spawn(async move {
        // A command that refuses does not read its input.
        let _ = stdin.write_all(&input).await;
    });
    let output = child.wait_with_output().await.unwrap();
    write.await.unwrap();
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    // Messages are wrapped.
    String::from_utf8(text)
        .unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// An export without the line that says where and when it was made, sorted.
fn rows(export: &Output) -> Vec<String> {
    assert_eq!(code(export), 0, "{}", said(export));
    let text = String::from_utf8(export.stdout.clone()).unwrap();
    let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_moves_to_kafka_and_back_and_nothing_is_published_again() {
    let simulator = simulator(7, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 30);
    let replicas = Replicas::new(&simulator, 1, 4).await;
    let in_kafka = replicas.config(0);
    let local = |simulator: &Simulator| Setup::new(simulator, &replicas.kafka, &replicas.topic);
    let (first, second) = (local(&simulator), local(&simulator));
    let complete = || Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON);

    let mut daemon = Daemon::start(&first.write()).await;
    complete().await;
    let refused = ledger(&first.write(), &["export"], b"").await;
    assert_eq!(code(&refused), 75, "{}", said(&refused));
    assert!(
        said(&refused).contains("is in use by another process"),
        "{}",
        said(&refused)
    );
    daemon.stop().await;

    let exported = ledger(&first.write(), &["export"], b"").await;
    assert!(rows(&exported).len() > 7 + 7 * 30, "{}", said(&exported));
    let imported = ledger(&in_kafka, &["import"], &exported.stdout).await;
    assert_eq!(code(&imported), 0, "{}", said(&imported));
    assert!(
        said(&imported).contains("4 partitions fenced"),
        "{}",
        said(&imported)
    );
    assert!(
        said(&imported).contains("Nothing was published"),
        "{}",
        said(&imported)
    );
    let back = ledger(&in_kafka, &["export"], b"").await;
    assert_eq!(rows(&back), rows(&exported));
    let again = ledger(&in_kafka, &["import"], &exported.stdout).await;
    assert!(
        said(&again).contains(" 0 of them are new here"),
        "{}",
        said(&again)
    );

    world.evolve(20);
    let mut replica = replicas.spawn(0).ready().await;
    complete().await;
    replica.stop().await;

    // A daemon that has stopped may stay a member for a moment.
    let mut conflict = ledger(&in_kafka, &["import"], &exported.stdout).await;
    until("the group is empty", SOON, async || {
        if code(&conflict) == 75 {
            conflict = ledger(&in_kafka, &["import"], &exported.stdout).await;
        }
        code(&conflict) != 75
    })
    .await;
    assert_eq!(code(&conflict), 1, "{}", said(&conflict));
    assert!(
        said(&conflict).contains("has another state of the tenant"),
        "{}",
        said(&conflict)
    );
    let exported = ledger(&in_kafka, &["export"], b"").await;
    let imported = ledger(&second.write(), &["import"], &exported.stdout).await;
    assert_eq!(code(&imported), 0, "{}", said(&imported));
    assert_eq!(
        rows(&ledger(&second.write(), &["export"], b"").await),
        rows(&exported)
    );

    world.evolve(20);
    let mut daemon = Daemon::start(&second.write()).await;
    complete().await;
    // One more sweep of everything.
    sleep(Duration::from_secs(3)).await;
    daemon.stop().await;
    journal.settled().await;
    let tally = Tally::read(&replicas.kafka, &replicas.topic, &journal).await;
    assert_eq!(tally.repeats(), 0, "{}", daemon.log());
    let lost = tally.missing(journal.current());
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_group_is_shown_and_exported_and_an_import_is_refused() {
    let simulator = simulator(3, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 5);
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let config = replicas.config(0);
    let missing = ledger(&config, &["export"], b"").await;
    assert_eq!(code(&missing), 78, "{}", said(&missing));
    assert!(
        said(&missing).contains("kafka-topics.sh"),
        "{}",
        said(&missing)
    );

    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON).await;
    let tenant = &world.tenants()[1];
    until("the ledger has what was published", SOON, async || {
        let shown = ledger(&config, &["show", "--json", &tenant.name], b"").await;
        assert_eq!(code(&shown), 0, "{}", said(&shown));
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["tenant"], tenant.id.to_string());
        assert!(shown["partition"].as_u64().unwrap() < 2);
        shown["versions"] == 5 && shown["cursor"].is_string()
    })
    .await;
    let exported = ledger(&config, &["export"], b"").await;
    assert!(
        said(&exported).contains("note: incidentd runs."),
        "{}",
        said(&exported)
    );
    assert_eq!(rows(&exported).len(), 3 + 15 + 1, "{}", said(&exported));
    let refused = ledger(&config, &["import"], &exported.stdout).await;
    assert_eq!(code(&refused), 75, "{}", said(&refused));
    assert!(
        said(&refused).contains("has 1 member (incidentd-"),
        "{}",
        said(&refused)
    );

    // Nothing of it has disturbed the daemon.
    world.evolve(5);
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON).await;
    assert_eq!(active(&replica).await.len(), 2);
    replica.stop().await;
    assert!(!replica.log().contains("took over"), "{}", replica.log());
    let unknown = ledger(&config, &["show", "nobody"], b"").await;
    assert_eq!(code(&unknown), 64, "{}", said(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_starts_during_an_import_ends_it() {
    let simulator = simulator(1, Options::default()).await;
    let replicas = Replicas::new(&simulator, 1, 2).await;
    let config = replicas.config(0);
    let source = Setup::new(&simulator, &replicas.kafka, &replicas.topic);
    let mut daemon = Daemon::start(&source.write()).await;
    let world = simulator.world();
    world.create(world.tenants()[0].id, 3).unwrap();
    let journal = simulator.journal();
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, SOON).await;
    daemon.stop().await;
    let exported = ledger(&source.write(), &["export"], b"").await.stdout;
    let at = exported.len() / 2;

    let mut command = incidentd();
    command.args(["ledger", "import", "--config"]).arg(&config);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&exported[..at]).await.unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.next_line().await.unwrap().unwrap_or_default();
    assert!(said.contains("2 partitions fenced"), "{said}");
    let mut replica = replicas.spawn(0).ready().await;
    replicas.share_all(&[&replica]).await;
    stdin.write_all(&exported[at..]).await.unwrap();
    drop(stdin);
    assert_eq!(child.wait().await.unwrap().code(), Some(75));
    replica.stop().await;
}
