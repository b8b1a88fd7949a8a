//! `incidentd check`, `token` and `consent` as an operator has them: the binary, a simulated Microsoft, a real Kafka.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use incidentd::simulator::{Effect, Endpoint, Options, Rule, Simulator, Tenant};
use serde_json::Value;
use support::daemon::incidentd;
use support::kafka::{Broker, create_topic, ends, shared};
use support::setup::{Setup, simulator, unique};
use support::{blocking, tell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NOBODY: &str = "127.0.0.1:1";
const KAFKA_SECRET: &str = "canary-kafka-password";

/// What a command came to.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

async fn run(setup: &Setup, args: &[&str]) -> Ended {
    let mut command = incidentd();
    command.args(args).arg("--config").arg(setup.write());
    let output = command.output().await.expect("incidentd runs");
    let ended = Ended {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    };
    tell(format_args!(
        "$ incidentd {}\n{}{}[exit {}]\n",
        args.join(" "),
        ended.stdout,
        ended.stderr,
        ended.code
    ));
    let is_json = args.contains(&"--json");
    let wide = |line: &&str| line.chars().count() > 100 && !line.contains("://");
    let wide = ended.stdout.lines().find(wide).filter(|_| !is_json);
    assert_eq!(wide, None, "it is wider than 100 columns");
    ended
}

impl Ended {
    fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("standard output is JSON and nothing else")
    }

    #[track_caller]
    fn says(&self, parts: &[&str]) {
        // A command goes on behind a backslash.
        let words = |text: &str| {
            let words = text.split_whitespace().filter(|word| *word != "\\");
            words.collect::<Vec<_>>().join(" ")
        };
        let all = words(&self.all());
        for part in parts {
            assert!(
                all.contains(&words(part)),
                "{part:?} is not in:\n{}",
                self.all()
            );
        }
    }

    /// Whether these stand in standard output in this order.
    #[track_caller]
    fn in_order(&self, parts: &[&str]) {
        let words = self.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = words.as_str();
        for part in parts {
            let at = rest.find(part);
            let at = at.unwrap_or_else(|| panic!("no {part:?}, or out of order:\n{}", self.stdout));
            rest = &rest[at + part.len()..];
        }
    }

    /// No secret and no part of a token that would serve as one.
    #[track_caller]
    fn is_silent(&self, simulator: &Simulator, secrets: &[&str]) {
        let all = self.all();
        for secret in secrets.iter().chain(&[Tenant::SECRET, KAFKA_SECRET, "eyJ"]) {
            assert!(!all.contains(secret), "{secret} shows:\n{all}");
        }
        for token in simulator.books().issued_tokens() {
            for part in token.split('.') {
                assert!(!all.contains(part), "a part of a token shows:\n{all}");
            }
        }
    }
}

/// `tenants` healthy ones, each with incidents.
async fn microsoft(tenants: u32) -> Simulator {
    let simulator = simulator(tenants, Options::default()).await;
    for tenant in simulator.world().tenants() {
        simulator.world().create(tenant.id, 3).unwrap();
    }
    simulator
}

async fn topic() -> (String, String) {
    let (kafka, topic) = (shared(), unique("check"));
    create_topic(&kafka, &topic, 3, &[]).await;
    (kafka, topic)
}

fn tenants(simulator: &Simulator) -> Vec<uuid::Uuid> {
    simulator
        .world()
        .tenants()
        .iter()
        .map(|tenant| tenant.id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_all_is_well_with_ends_with_0_and_nothing_is_written() {
    let simulator = microsoft(3).await;
    let (kafka, topic) = topic().await;
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.properties.\"sasl.password\"", KAFKA_SECRET);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.all());
    assert_eq!(ended.stderr, "");
    ended.says(&[
        "is valid: 3 tenants (3 defender), 1 schedule, 1 topic.",
        "ok customer-0001 defender as needed",
        "1 read",
        "incidents 3 1.0 MiB yes",
        "2027-02-01",
        "MC1220762",
        "SecurityIncident.Read.All",
        "Nothing was written",
        "3 tenants: 3 ok. Kafka: 1 broker, 1 topic: 1 ok.",
    ]);
    assert_eq!(
        ended.stdout.matches("MC1220762").count(),
        1,
        "said once, not for each tenant"
    );
    ended.is_silent(&simulator, &[]);
    let books = simulator.books();
    let lists = books
        .requests()
        .into_iter()
        .filter(|request| request.endpoint == Endpoint::List);
    assert_eq!(
        (books.token_requests(), lists.count()),
        (3, 3),
        "one of each for a tenant"
    );
    let written: i64 = blocking(move || ends(&kafka, &topic)).await.iter().sum();
    assert_eq!(written, 0, "a record was left in the topic");
    assert!(!setup.ledger_file().exists(), "the ledger was opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_comes_first_with_what_to_do() {
    let simulator = microsoft(5).await;
    let (kafka, topic) = topic().await;
    let ids = tenants(&simulator);
    let world = simulator.world();
    world
        .administer(ids[1], |tenant| tenant.consented = false)
        .unwrap();
    world
        .administer(ids[3], |tenant| tenant.secret = "another".into())
        .unwrap();
    let excess = ["Incident.Read.All", "Machine.Isolate"]
        .map(str::to_owned)
        .to_vec();
    world
        .administer(ids[4], |tenant| tenant.roles = excess)
        .unwrap();
    let setup = Setup::new(&simulator, &kafka, &topic);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    let link = format!("{}/v2.0/adminconsent?client_id=", ids[1]);
    ended.in_order(&[
        "credential customer-0004",
        "do:",
        "app.client_secret_file",
        "consent customer-0002",
        "do:",
        &link,
        "ok customer-0001",
        "ok customer-0003",
        "too many",
    ]);
    ended.says(&[
        "Machine.Isolate is a powerful permission that incidentd has no use for",
        "5 tenants: 1 credential, 1 consent, 3 ok.",
        "incidentd: 2 of 5 tenants not ok",
    ]);
    ended.is_silent(&simulator, &[]);

    let json = run(&setup, &["check", "--json"]).await;
    assert_eq!(json.code, 1);
    json.is_silent(&simulator, &[]);
    let report = json.json();
    assert_eq!(
        (&report["ok"], &report["kafka"]["ok"]),
        (&false.into(), &true.into())
    );
    let tenants = report["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 5);
    for tenant in tenants {
        let mut keys: Vec<_> = tenant
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "consent_link",
                "error",
                "id",
                "incidents_read",
                "name",
                "ok",
                "remedy",
                "roles",
                "roles_not_needed",
                "source",
                "state",
                "token_expires"
            ]
        );
        let ok = tenant["state"] == "ok";
        assert_eq!(tenant["ok"], ok);
        assert_eq!(tenant["remedy"].is_null(), ok, "{tenant}");
    }
    assert_eq!(tenants[1]["state"], "consent");
    assert_eq!(tenants[4]["roles_not_needed"][0], "Machine.Isolate");
    let expires = tenants[0]["token_expires"].as_str().unwrap();
    assert!(expires.ends_with('Z') && expires.len() == 20, "{expires}");

    let one = run(
        &setup,
        &[
            "check",
            "--tenant",
            "customer-0001",
            "--tenant",
            &ids[2].to_string(),
        ],
    )
    .await;
    assert_eq!(one.code, 0, "only the healthy ones were asked for");
    assert!(!one.stdout.contains("customer-0002"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cause_of_many_tenants_is_explained_once() {
    let simulator = microsoft(8).await;
    let (kafka, topic) = topic().await;
    let ids = tenants(&simulator);
    for id in &ids[..4] {
        simulator
            .world()
            .administer(*id, |tenant| tenant.secret_expired = true)
            .unwrap();
    }
    for id in &ids[4..7] {
        simulator
            .world()
            .administer(*id, |tenant| tenant.roles = Vec::new())
            .unwrap();
    }
    let setup = Setup::new(&simulator, &kafka, &topic);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.stdout.matches("    do:").count(),
        2,
        "{}",
        ended.stdout
    );
    ended.says(&["(all 4)", "(all 3)", "lacking"]);
    for id in &ids[4..7] {
        let link = format!("    link: {}/{id}/v2.0/adminconsent", simulator.url());
        assert!(
            ended.stdout.contains(&link),
            "{link} is missing:\n{}",
            ended.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tenant_holds_nobody_up() {
    let simulator = microsoft(40).await;
    let (kafka, topic) = topic().await;
    let ids = tenants(&simulator);
    simulator
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::Token).of(ids[7]));
    simulator
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::List).of(ids[8]));
    let setup = Setup::new(&simulator, &kafka, &topic).text("poll.request_timeout", "3s");
    let began = Instant::now();
    let ended = run(&setup, &["check"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.code, 1);
    ended.says(&["40 tenants: 2 unreachable, 38 ok.", "sent nothing for 3s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_it_ends_with_75_and_tells_of_the_tenants() {
    let simulator = microsoft(2).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 75, "{}", ended.all());
    ended.says(&[
        "unreachable 127.0.0.1:1",
        "Connection refused",
        "check that Kafka runs",
        "2 tenants: 2 ok.",
    ]);
    let json = run(&setup, &["check", "--json"]).await.json();
    assert_eq!(
        (&json["ok"], &json["kafka"]["state"]),
        (&false.into(), &"unreachable".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_microsoft_it_ends_with_75() {
    let simulator = microsoft(2).await;
    let (kafka, topic) = topic().await;
    let setup = Setup::new(&simulator, &kafka, &topic);
    simulator.stop();
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 75, "{}", ended.all());
    ended.says(&["2 tenants: 2 unreachable.", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_comes_with_the_command_that_makes_it() {
    let simulator = microsoft(1).await;
    let (kafka, topic) = topic().await;
    let (status, small) = (unique("missing"), unique("small"));
    create_topic(&kafka, &small, 1, &[("max.message.bytes", "100000")]).await;
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.status_topic", &status)
        .text("kafka.dead_letter_topic", &small);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    let command = format!(
        "create it: kafka-topics.sh --bootstrap-server {kafka} --create --topic {status} --partitions 6 --replication-factor 1 \
         --config max.message.bytes=8388608"
    );
    ended.says(&[
        &command,
        "max.message.bytes of the topic is 100000, less than Kafka's default",
        "3 topics: 1 misconfigured, 2 ok",
        "incidentd: 1 topic not ok",
    ]);
    ended.in_order(&["MAX RECORD WRITE misconfigured", "ok check-", "ok small-"]);
    let topics = run(&setup, &["check", "--json"]).await.json()["kafka"]["topics"].clone();
    assert_eq!(topics[0]["may_write"], true);
    assert_eq!(
        (&topics[1]["ok"], &topics[1]["may_write"]),
        (&false.into(), &Value::Null)
    );
    assert_eq!(topics[2]["max_record_bytes"], 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_written_is_noticed_and_stays_empty() {
    let simulator = microsoft(1).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    let broker = blocking(move || Broker::start_with(&folder, AUTHORIZER)).await;
    let (kafka, topic) = (broker.bootstrap(), "closed");
    create_topic(&kafka, topic, 1, &[]).await;
    for (operation, permission) in [(DESCRIBE, ALLOW), (DESCRIBE_CONFIGS, ALLOW), (WRITE, DENY)] {
        create_acl(&kafka, topic, operation, permission).await;
    }
    let setup = Setup::new(&simulator, &kafka, topic);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    ended.says(&[
        "misconfigured closed incidents 1 1.0 MiB no",
        "Kafka does not let incidentd write to the topic closed",
        "kafka-acls.sh",
    ]);
    let written: i64 = blocking(move || ends(&kafka, topic)).await.iter().sum();
    assert_eq!(written, 0);
    drop(broker);
}

// As CreateAcls numbers them.
const WRITE: u8 = 4;
const DESCRIBE: u8 = 8;
const DESCRIBE_CONFIGS: u8 = 10;
const DENY: u8 = 2;
const ALLOW: u8 = 3;

/// One rule for everybody and one topic. rdkafka has no request for it, so here it is as Kafka's protocol has it:
/// CreateAcls, version 1.
async fn create_acl(bootstrap: &str, topic: &str, operation: u8, permission: u8) {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    let (topic_kind, literal) = (2, 3);
    let request = [
        &[0, 30, 0, 1, 0, 0, 0, 7][..],
        &text("test"),
        &[0, 0, 0, 1, topic_kind],
        &text(topic),
        &[literal],
        &text("User:ANONYMOUS"),
        &text("*"),
        &[operation, permission],
    ]
    .concat();
    let mut stream = TcpStream::connect(bootstrap).await.unwrap();
    stream
        .write_u32(u32::try_from(request.len()).unwrap())
        .await
        .unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; stream.read_u32().await.unwrap() as usize];
    stream.read_exact(&mut answer).await.unwrap();
    // Behind correlation id, throttle time and count: the error code.
    assert_eq!(answer[12..14], [0, 0], "no rule was made: {answer:?}");
}

/// Whoever is not refused is let in, where no rule says otherwise.
const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                          allow.everyone.if.no.acl.found=true\n";

/// A port beside the plain one, on which one logs in.
fn login_port(port: u16) -> String {
    format!(
        r#"
listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,LOGIN://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,LOGIN://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT
listener.name.login.sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{KAFKA_SECRET}";
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_way_into_kafka_is_told_from_a_kafka_that_is_away() {
    let simulator = microsoft(1).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let broker = blocking(move || Broker::start_with(&folder, &login_port(port))).await;
    create_topic(&broker.bootstrap(), "incidents", 1, &[]).await;
    let login = format!("127.0.0.1:{port}");
    let with = |brokers: &str, password: &str, protocol: &str| {
        Setup::new(&simulator, brokers, "incidents")
            .text("kafka.properties.\"security.protocol\"", protocol)
            .text("kafka.properties.\"sasl.mechanism\"", "PLAIN")
            .text("kafka.properties.\"sasl.username\"", "alice")
            .text("kafka.properties.\"sasl.password\"", password)
    };
    let right = run(&with(&login, KAFKA_SECRET, "sasl_plaintext"), &["check"]).await;
    assert_eq!(right.code, 0, "{}", right.all());
    right.is_silent(&simulator, &[]);
    let wrong = "canary-wrong-password";
    let plain = broker.bootstrap();
    for (setup, code, says) in [
        (
            with(&login, wrong, "sasl_plaintext"),
            1,
            [
                "Authentication failed",
                "check sasl.mechanism, sasl.username and sasl.password",
            ],
        ),
        (
            with(&plain, wrong, "ssl"),
            1,
            ["SSL handshake failed", "check that the port speaks TLS"],
        ),
        (
            with(&login, wrong, "plaintext"),
            75,
            ["no answer within", "the port may want TLS or a login"],
        ),
    ] {
        let ended = run(&setup, &["check"]).await;
        ended.says(&says);
        assert_eq!(ended.code, code, "{}", ended.all());
        ended.is_silent(&simulator, &[wrong]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_ends_with_78_and_says_all() {
    let simulator = microsoft(1).await;
    let setup = Setup::new(&simulator, NOBODY, "none")
        .text("poll.schedule", "now and then")
        .text("kafka.formt", "raw");
    for args in [
        &["check"][..],
        &["check", "--offline"],
        &["token", "customer-0001"],
        &["consent"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (78, ""));
        ended.says(&["poll.schedule", "kafka.formt"]);
    }
    let json = run(&setup, &["check", "--json"]).await;
    assert_eq!(json.code, 78);
    assert_eq!(
        json.json()["configuration"]["problems"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let setup = Setup::new(&simulator, NOBODY, "none")
        .key("kafka.properties.\"no.such.property\"", "\"1\"");
    let ended = run(&setup, &["check", "--offline"]).await;
    assert_eq!(ended.code, 78);
    ended.says(&["librdkafka has no property named \"no.such.property\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_uses_no_network() {
    let simulator = microsoft(2).await;
    let setup = Setup::new(&simulator, NOBODY, "none").key("poll.requests_per_minute", "40");
    for args in [
        &["check", "--offline"][..],
        &["check", "--offline", "--json"],
        &["consent"],
        &["consent", "--url"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!(ended.code, 0, "{}", ended.all());
        ended.is_silent(&simulator, &[]);
    }
    let offline = run(&setup, &["check", "--offline"]).await;
    offline.says(&[
        "is valid: 2 tenants (2 defender), 1 schedule",
        "warning:",
        "requests_per_minute",
        "MC1220762",
    ]);
    let json = run(&setup, &["check", "--offline", "--json"]).await.json();
    assert_eq!(
        (&json["ok"], &json["kafka"], &json["tenants"]),
        (&true.into(), &Value::Null, &Value::Null)
    );
    let books = simulator.books();
    assert_eq!(
        (books.token_requests(), books.requests().len()),
        (0, 0),
        "Microsoft was asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_links_are_one_a_tenant_or_one_for_anybody() {
    let simulator = microsoft(3).await;
    let ids = tenants(&simulator);
    let setup = Setup::new(&simulator, NOBODY, "none");
    let all = run(&setup, &["consent"]).await;
    for id in &ids {
        assert_eq!(
            all.stdout
                .matches(&format!("{}/{id}/v2.0/adminconsent?", simulator.url()))
                .count(),
            1
        );
    }
    let one = run(&setup, &["consent", "customer-0002"]).await;
    assert_eq!(one.stdout.matches("adminconsent?").count(), 1);
    one.says(&[
        &ids[1].to_string(),
        "Incident.Read.All",
        "Microsoft Threat Protection",
    ]);
    let anybody = run(&setup, &["consent", "--url"]).await;
    anybody.says(&[&format!(
        "{}/organizations/v2.0/adminconsent?client_id=",
        simulator.url()
    )]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tenant_is_a_usage_error_with_near_names() {
    let simulator = microsoft(2).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    for args in [
        &["check", "--tenant", "custmer-0001"][..],
        &["token", "custmer-0001"],
        &["consent", "custmer-0001"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!(ended.code, 64, "{}", ended.all());
        ended.says(&["custmer-0001", "did you mean customer-0001"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_explained_and_never_shown() {
    let simulator = microsoft(3).await;
    let ids = tenants(&simulator);
    let world = simulator.world();
    let roles = ["Incident.ReadWrite.All", "Machine.Isolate", "Odd.Read.All"].map(str::to_owned);
    world
        .administer(ids[1], |tenant| tenant.roles = roles.to_vec())
        .unwrap();
    world
        .administer(ids[2], |tenant| tenant.roles = Vec::new())
        .unwrap();
    let setup = Setup::new(&simulator, NOBODY, "none");

    let good = run(&setup, &["token", "customer-0001"]).await;
    assert_eq!(good.code, 0, "{}", good.all());
    good.says(&[
        "audience aud https://api.security.microsoft.com (right: what api.scope asks for)",
        "(right: app.client_id)",
        "proved by appidacr a client secret (1)",
        "Incident.Read.All needed: read all Defender XDR incidents and their alerts",
    ]);
    let until = good
        .stdout
        .lines()
        .find(|line| line.contains("valid until"))
        .unwrap();
    assert!(until.contains("Z (in "), "{until}");

    let wide = run(&setup, &["token", &ids[1].to_string()]).await;
    assert_eq!(wide.code, 0);
    wide.says(&[
        "does, and allows more than is needed",
        "Machine.Isolate NOT NEEDED, AND POWERFUL: cut devices off from the network",
        "First give the app Incident.Read.All",
    ]);

    let bare = run(&setup, &["token", "customer-0003"]).await;
    assert_eq!(bare.code, 1);
    bare.says(&[
        "none: no administrator",
        "lacks the permission Incident.Read.All",
        "adminconsent?",
    ]);

    world
        .administer(ids[2], |tenant| tenant.secret = "another".into())
        .unwrap();
    let refused = run(&setup, &["token", "customer-0003"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    refused.says(&[
        "no token for customer-0003 (credential)",
        "AADSTS7000215",
        "do:",
    ]);

    assert_eq!(
        simulator.books().issued_tokens().len(),
        3,
        "there is something to search for"
    );
    for ended in [good, wide, bare, refused] {
        ended.is_silent(&simulator, &["another"]);
    }
    simulator.stop();
    let away = run(&setup, &["token", "customer-0001"]).await;
    assert_eq!(away.code, 75, "{}", away.all());
}
