//! `incidentd status` and the status page, as an operator on call uses them: with a running daemon, without a daemon,
//! and with a server that is not a daemon.

use std::path::Path;
use std::process::{Output, Stdio};

use incidentd::simulator::{Options, Simulator, Tenant};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::daemon::{Daemon, incidentd};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::{SOON, until};

/// An address without a listener.
const NOBODY: &str = "127.0.0.1:1";

async fn status(args: &[&str]) -> Output {
    let mut command = incidentd();
    command.arg("status").args(args).env("TERM", "xterm");
    let output = timeout(SOON, command.output()).await;
    output.expect("it ends").expect("it runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn setup(simulator: &Simulator) -> Setup {
    Setup::new(simulator, NOBODY, &unique("status"))
}

/// A daemon that publishes to its standard output.
async fn daemon(config: &Path) -> Daemon {
    Daemon::start_with(config, &["--output", "stdout"], &[]).await
}

/// Five tenants in five states, the last of them healthy.
async fn sick_fleet() -> (Simulator, Setup, Daemon) {
    let simulator = simulator(5, Options::default()).await;
    let world = simulator.world();
    let tenants = world.tenants();
    let administer =
        |n: usize, change: fn(&mut Tenant)| world.administer(tenants[n].id, change).unwrap();
    administer(0, |tenant| tenant.secret = "another".into());
    administer(1, |tenant| tenant.consented = false);
    administer(2, |tenant| tenant.graph_roles.clear());
    administer(3, |tenant| tenant.licensed = false);
    world.create(tenants[4].id, 3).unwrap();
    let setup = setup(&simulator);
    let daemon = daemon(&setup.write()).await;
    until("each tenant's state is known", SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().unwrap();
        let known = tenants.iter().all(|tenant| tenant["state"] != "starting");
        known && status["kafka"]["in_flight_bytes"] == 0
    })
    .await;
    (simulator, setup, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replicas_are_shown_one_below_the_other() {
    let simulator = simulator(1, Options::default()).await;
    let setups = [setup(&simulator), setup(&simulator)];
    let first = daemon(&setups[0].write()).await;
    let second = daemon(&setups[1].write()).await;
    for replica in [&first, &second] {
        until("the tenant is read", SOON, async || {
            replica.status().await["tenants"][0]["state"] == "ok"
        })
        .await;
    }
    let both = ["--address", first.address(), "--address", second.address()];
    let shown = status(&both).await;
    let text = stdout(&shown);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    for replica in [&first, &second] {
        let head = format!("incidentd 0.1.0 at {}, running", replica.address());
        assert_eq!(text.matches(&head).count(), 1, "{text}");
    }
    let json = stdout(&status(&[&both[..], &["--json"]].concat()).await);
    assert_eq!(json.lines().count(), 2, "{json}");
    for line in json.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    let ready = status(&[&both[..], &["--ready"]].concat()).await;
    assert_eq!(
        (stdout(&ready).as_str(), ready.status.code()),
        ("ready\n", Some(0))
    );

    let one = status(&["--address", first.address(), "--address", NOBODY]).await;
    assert_eq!(one.status.code(), Some(1), "{}", stderr(&one));
    assert!(
        stderr(&one).contains(&format!("no answer from {NOBODY}")),
        "{}",
        stderr(&one)
    );
    assert!(stdout(&one).contains("1 tenant: 1 ok"), "{}", stdout(&one));
    let none = status(&["--address", NOBODY, "--address", "127.0.0.1:2"]).await;
    assert_eq!(none.status.code(), Some(75), "{}", stderr(&none));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sick_fleet_is_a_table_that_says_what_to_do() {
    let (_simulator, _setup, mut daemon) = sick_fleet().await;
    let shown = status(&["--address", daemon.address()]).await;
    let text = stdout(&shown);
    assert_eq!(shown.status.code(), Some(1), "{text}");
    assert_eq!(stderr(&shown), "incidentd: 4 of 5 tenants are not ok\n");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "incidentd 0.1.0 at {}, running for ",
            daemon.address()
        )),
        "{text}"
    );
    assert_eq!(
        lines[1..5],
        [
            "5 tenants: 1 credential, 2 consent, 1 forbidden, 1 ok",
            "Kafka: ok, 0 B in flight",
            "Ledger: ok, 3 incidents known",
            "",
        ],
        "{text}"
    );
    assert!(lines[5].starts_with("STATE       TENANT"), "{text}");
    let states: Vec<&str> = lines[6..]
        .iter()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        states,
        ["credential", "consent", "consent", "forbidden", "ok"],
        "{text}"
    );
    assert_eq!(text.matches("    do:  ").count(), 4, "{text}");
    for line in lines {
        let fits = line.chars().count() <= 100 || line.trim_start().starts_with("http");
        assert!(fits, "wider than 100 columns: {line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }

    let json = status(&["--json", "--address", daemon.address()]).await;
    assert_eq!(json.status.code(), Some(1));
    let said: Value = serde_json::from_str(&stdout(&json)).expect("the daemon's JSON");
    assert_eq!(
        said["tenants"].as_array().map(Vec::len),
        Some(5),
        "{said:#}"
    );

    let (code, page) = daemon.get("/").await;
    assert_eq!(code, 200);
    assert!(
        page.contains("<h1>5 tenants: 1 credential, 2 consent, 1 forbidden, 1 ok</h1>"),
        "{page}"
    );
    for text in [text, page, stdout(&json), daemon.log()] {
        assert!(!text.contains(Tenant::SECRET), "the secret is in:\n{text}");
        assert!(!text.contains("eyJ"), "a token is in:\n{text}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_fleet_is_exit_code_0_and_the_configuration_says_where_to_ask() {
    let simulator = simulator(2, Options::default()).await;
    let port = free_port().await;
    let setup = setup(&simulator).text("http.listen", &format!("0.0.0.0:{port}"));
    let config = setup.write();
    let mut daemon = daemon(&config).await;
    let args = ["--config", config.to_str().unwrap()];
    until("all is well", SOON, async || {
        status(&args).await.status.code() == Some(0)
    })
    .await;
    let text = stdout(&status(&args).await);
    assert!(text.contains("2 tenants: 2 ok\n"), "{text}");
    // While it is being edited, the file may be in any state.
    std::fs::write(
        &config,
        format!("http.listen = \"0.0.0.0:{port}\"\n[pol]\nschedule = 7\n"),
    )
    .unwrap();
    let ready = status(&["--ready", "--config", config.to_str().unwrap()]).await;
    assert_eq!(
        (ready.status.code(), stdout(&ready).as_str()),
        (Some(0), "ready\n"),
        "{}",
        stderr(&ready)
    );
    let live = status(&["--live", "--address", daemon.address()]).await;
    assert_eq!(
        (live.status.code(), stdout(&live).as_str()),
        (Some(0), "live\n"),
        "{}",
        stderr(&live)
    );
    daemon.stop().await;
}

/// A port that was free a moment ago, below the range that the kernel uses for outgoing connections.
async fn free_port() -> u16 {
    let first = 15_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 10_000).unwrap();
    for port in first..first + 1000 {
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_waits_for_kafka_is_not_ready_and_says_so() {
    let simulator = simulator(1, Options::default()).await;
    let setup = setup(&simulator);
    let mut daemon = Daemon::start(&setup.write()).await;
    until("Kafka is known to be away", SOON, async || {
        daemon.status().await["kafka"]["state"] == "unavailable"
    })
    .await;
    let ready = status(&["--ready", "--address", daemon.address()]).await;
    assert_eq!(ready.status.code(), Some(1));
    let said = stderr(&ready);
    let expected = "incidentd: not ready: waiting for the first answer from Kafka: ";
    assert!(
        said.starts_with(expected) && said.contains(NOBODY),
        "{said}"
    );
    let shown = status(&["--address", daemon.address()]).await;
    let text = stdout(&shown);
    assert_eq!(shown.status.code(), Some(1), "{text}");
    assert!(text.contains("\nKafka: unavailable, "), "{text}");
    assert!(
        text.contains("\n  do:  check that Kafka runs, kafka.brokers, and the network"),
        "{text}"
    );
    assert!(
        stderr(&shown).contains("Kafka is unavailable"),
        "{}",
        stderr(&shown)
    );
    daemon.stop().await;
}

#[tokio::test]
async fn where_no_daemon_answers_it_says_which_place_was_asked() {
    for args in [
        &["--address", NOBODY][..],
        &["--ready", "--address", NOBODY],
    ] {
        let away = status(args).await;
        assert_eq!(away.status.code(), Some(75), "{args:?}");
        assert_eq!(stdout(&away), "");
        let said = stderr(&away);
        for words in [
            "no answer from 127.0.0.1:1: can't connect",
            "Is incidentd running?",
            "--address says",
        ] {
            assert!(said.contains(words), "{words:?} in {said}");
        }
        assert!(!said.contains("use --address"), "it was used: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("incidentd.toml");
    let config = file.to_str().unwrap();
    for (text, code, words) in [
        (None, 78, "--address HOST:PORT"),
        (Some("[http]\nlisten = \"nowhere\""), 78, "not an address"),
        (
            Some("[http]\nlisten = \"127.0.0.1:0\""),
            78,
            "chose its port itself",
        ),
        (
            Some("[http]\nlisten = \"127.0.0.1:1\""),
            75,
            "http.listen of",
        ),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let failed = status(&["--config", config]).await;
        let said = stderr(&failed);
        assert_eq!(failed.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{words:?} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_daemon_is_not_believed_and_commands_no_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J";
    for answer in [
        format!("HTTP/1.0 200 OK\r\n\r\n{evil}"),
        format!(
            "HTTP/1.0 200 OK\r\n\r\n{}",
            "{\"state\":\"\u{9b}2J\",\"tenants\":[{\"name\":\"\u{9b}31m\"}],\"kafka\":{},\"ledger\":{}}"
        ),
        format!("HTTP/1.0 404 Not Found\r\n\r\n{evil}"),
        format!("HTTP/1.0 503 No\r\n\r\n{evil}"),
        format!("{evil}\r\n\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        for args in [
            &["--address", &address][..],
            &["--json", "--address", &address],
            &["--ready", "--address", &address],
        ] {
            let output = status(args).await;
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 1 | 75)), "{code:?}");
            for text in [stdout(&output), stderr(&output)] {
                let contradiction = text.contains("no answer") || text.contains("use --address");
                assert!(
                    !contradiction,
                    "something answers where it was told to ask: {text}"
                );
                let commands = |c: char| c.is_control() && c != '\n';
                assert!(!text.contains(commands), "{args:?}: {text:?}");
            }
        }
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlasts_the_daemon_s_restart_and_ends_with_its_reader() {
    let simulator = simulator(1, Options::default()).await;
    let port = free_port().await;
    let setup = setup(&simulator).text("http.listen", &format!("127.0.0.1:{port}"));
    let config = setup.write();
    let mut daemon = daemon(&config).await;
    let mut watch = incidentd()
        .args([
            "status",
            "--watch",
            "1",
            "--config",
            config.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut comes = async |words: &str| {
        let found = timeout(SOON, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(words) {
                    return;
                }
            }
            panic!("it ended before {words:?}");
        });
        found
            .await
            .unwrap_or_else(|_| panic!("no line with {words:?}"));
    };
    comes("1 tenant: ").await;
    daemon.stop().await;
    comes("no answer from 127.0.0.1:").await;
    comes("Asked again every 1s.").await;
    let mut daemon = self::daemon(&config).await;
    comes("1 tenant: ").await;
    drop(lines);
    let ended = timeout(SOON, watch.wait())
        .await
        .expect("it ends with its reader");
    assert_eq!(ended.unwrap().code(), Some(0), "no error");
    daemon.stop().await;
}

/// The lines of a log: the message, the level, and the fields in the order of their names.
fn told(daemon: &Daemon) -> Vec<String> {
    let told = |line: &Value| {
        let fields = line.as_object().expect("an object").keys();
        let fields: Vec<&str> = fields
            .map(String::as_str)
            .filter(|name| !["timestamp", "level", "message", "target"].contains(name))
            .collect();
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} [{}]",
            word("level"),
            word("message"),
            fields.join(" ")
        )
    };
    daemon.log_lines().iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_tenant_is_one_line_and_no_failed_poll_is() {
    let simulator = simulator(1, Options::default()).await;
    let world = simulator.world();
    let tenant = &world.tenants()[0];
    world
        .administer(tenant.id, |tenant| tenant.secret = "another".into())
        .unwrap();
    let setup = setup(&simulator);
    let args = ["--output", "stdout"];
    let mut daemon = Daemon::start_with(&setup.write(), &args, &[("RUST_LOG", "trace")]).await;
    let requests = "incidentd_token_requests_total{outcome=\"failed\"}";
    let state = async |expected: &str| {
        until(expected, SOON, async || {
            daemon.status().await["tenants"][0]["state"] == expected
        })
        .await;
    };
    state("credential").await;
    // Repeated requests fail in the same way.
    for _ in 0..3 {
        let before = daemon.metric(requests).await;
        daemon.signal("HUP");
        until("it was tried again", SOON, async || {
            daemon.metric(requests).await > before
        })
        .await;
    }
    world
        .administer(tenant.id, |tenant| tenant.secret = Tenant::SECRET.into())
        .unwrap();
    daemon.signal("HUP");
    state("ok").await;
    daemon.stop().await;
    let lines = told(&daemon);
    let once = [
        "WARN RUST_LOG is set and is not read: set log.level, or INCIDENTD__LOG__LEVEL []",
        "WARN a new ledger was made: what lies within poll.lookback is published, again if it was before [path]",
        "INFO incidentd runs [listen tenants version]",
        "WARN tenant is not healthy [error name remedy state tenant]",
        "INFO tenant is healthy again [before name tenant]",
        "INFO stopping: sweeps at work come to rest, nothing new begins []",
        "INFO stopped []",
    ];
    for line in once {
        let count = lines.iter().filter(|told| *told == line).count();
        assert_eq!(count, 1, "{line:?} in {lines:#?}");
    }
    let others: Vec<_> = lines
        .iter()
        .filter(|line| !once.contains(&line.as_str()))
        .filter(|line| {
            !line.contains("requests_per_minute") && !line.contains("configuration reloaded")
        })
        .collect();
    assert!(others.is_empty(), "nobody needs these: {others:#?}");
}
