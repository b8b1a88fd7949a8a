//! Logging in to Kafka with short-lived tokens of an identity provider, against a real Apache Kafka that verifies them.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli_tap::Tap;
use crate::support::daemon::{Daemon, incidentd};
use crate::support::identity_provider::{AUDIENCE, CLIENT, IdentityProvider, SCOPE};
use crate::support::kafka::{Broker, create_topic, free_ports, read_all};
use crate::support::search::{KAFKA, Search, WRONG, endpoints};
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, blocking, until};
use incidentd::simulator::{Options, Simulator};

const TOPIC: &str = "security.incidents";
/// Seconds that a token lives.
const LIFE: u64 = 8;
const LISTENERS: &str = "
listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,LOGIN://127.0.0.1:@LOGIN_PORT@
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,LOGIN://127.0.0.1:@LOGIN_PORT@
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT
listener.name.login.sasl.enabled.mechanisms=OAUTHBEARER
";

/// A broker that takes tokens of a provider, and nothing else on its second port.
struct Scene {
    provider: IdentityProvider,
    broker: Broker,
    login: String,
    folder: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let provider = IdentityProvider::start(KAFKA, LIFE).await;
        let (listener, java) = (provider.listener("login"), provider.java());
        let (broker, login, folder) = blocking(move || {
            let folder = tempfile::tempdir().expect("a folder");
            let (port, _) = free_ports();
            let lines = LISTENERS.replace("@LOGIN_PORT@", &port.to_string()) + &listener;
            let broker = Broker::start_with_options(folder.path(), &lines, &[], &[java]);
            (broker, format!("127.0.0.1:{port}"), folder)
        })
        .await;
        create_topic(&broker.bootstrap(), TOPIC, 1, &[]).await;
        fs::write(folder.path().join("secret"), KAFKA).expect("a file");
        Self {
            provider,
            broker,
            login,
            folder,
        }
    }

    fn setup(&self, simulator: &Simulator) -> Setup {
        let secret = self.folder.path().join("secret");
        let endpoint = self.provider.token_endpoint();
        let setup = Setup::new(simulator, &self.login, TOPIC).text("log.level", "trace");
        [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.token.endpoint.url", &*endpoint),
            ("sasl.oauthbearer.client.id", CLIENT),
            (
                "sasl.oauthbearer.client.secret.file",
                &secret.display().to_string(),
            ),
            ("sasl.oauthbearer.scope", SCOPE),
            (
                "sasl.oauthbearer.extensions",
                "logicalCluster=lkc-1,identityPoolId=pool-1",
            ),
            ("debug", "security,broker"),
        ]
        .into_iter()
        .fold(setup, |setup, (name, value)| {
            setup.text(&format!("kafka.properties.{name:?}"), value)
        })
    }

    async fn records(&self) -> usize {
        let bootstrap = self.broker.bootstrap();
        blocking(move || read_all(&bootstrap, TOPIC).len()).await
    }

    fn tokens(&self) -> usize {
        self.provider.issuing().tokens.len()
    }

    /// Searches everything that the daemon showed for secrets and tokens.
    async fn search(&self, daemon: &Daemon) {
        let mut search = Search::new(&[KAFKA, WRONG]);
        search.tokens(&self.provider.issuing().tokens);
        search.add("log", daemon.log());
        search.add("output", daemon.output());
        search.add_all(endpoints("the daemon", daemon).await);
        search.run();
    }
}

/// The part `kafka` of the status, and the same as text.
async fn kafka_state(daemon: &Daemon) -> (Value, String) {
    let kafka = daemon.status().await["kafka"].clone();
    let text = format!("{} {}", kafka["error"], kafka["remedy"]);
    (kafka["state"].clone(), text)
}

async fn until_kafka(daemon: &Daemon, state: &str, said: &[&str]) {
    until(&format!("kafka {state} {said:?}"), SOON, async || {
        let (now, text) = kafka_state(daemon).await;
        now == state && said.iter().all(|word| text.contains(word))
    })
    .await;
}

/// What `check --json` says of Kafka, as text, and its state.
async fn check(config: &Path) -> (Value, String) {
    let mut command = incidentd();
    command.args(["check", "--json", "--config"]).arg(config);
    let done = command.output().await.expect("it runs");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| {
        panic!("no report: {}", String::from_utf8_lossy(&done.stderr));
    });
    (report["kafka"]["state"].clone(), report.to_string())
}

async fn publishes_across_expired_tokens(scene: &Scene, setup: &Setup, simulator: &Simulator) {
    let config = setup.write();
    let (state, said) = check(&config).await;
    assert_eq!(state, "ok", "{said}");
    let (asked_before, records_before) = (scene.tokens(), scene.records().await);
    let mut daemon = Daemon::start(&config).await.ready().await;
    let began = std::time::Instant::now();
    let world = simulator.world();
    let mut made = 0;
    // Four tokens: the first ones have expired.
    while scene.tokens() - asked_before < 4 || made < 5 {
        world.create(world.tenants()[0].id, 1).expect("a tenant");
        made += 1;
        until(&format!("record {made}"), SOON, async || {
            scene.records().await - records_before >= made
        })
        .await;
    }
    assert_eq!(scene.records().await - records_before, made, "once each");
    let (state, said) = kafka_state(&daemon).await;
    assert_eq!(state, "ok", "{said}");
    let asked = scene.tokens() - asked_before;
    let lives = began.elapsed().as_secs_f64() / (0.7 * LIFE as f64);
    assert!(
        asked as f64 <= lives + 2.0,
        "{asked} tokens in {lives} renewals"
    );
    assert_eq!(scene.provider.issuing().refusals, 0);
    let mut tap = Tap::start(&config, &["--since", "1h"]).await;
    for _ in 0..scene.records().await {
        assert!(tap.line().await.contains("created"));
    }
    tap.interrupt().await;
    scene.search(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_publishes_while_its_tokens_expire_with_either_ledger() {
    let scene = Scene::start().await;
    let one = simulator(1, Options::default()).await;
    publishes_across_expired_tokens(&scene, &scene.setup(&one), &one).await;

    let other = simulator(1, Options::default()).await;
    let setup = scene
        .setup(&other)
        .text("ledger.kind", "kafka")
        .key("ledger.partitions", "4");
    // The daemon makes the ledger's topic, so check finds it only at the second start.
    let mut daemon = Daemon::start(&setup.write()).await.ready().await;
    daemon.stop().await;
    publishes_across_expired_tokens(&scene, &setup, &other).await;
    let config = setup.write();
    let mut export = incidentd();
    export.args(["ledger", "export", "--config"]).arg(&config);
    let done = export.output().await.expect("it runs");
    let rows = String::from_utf8_lossy(&done.stdout).lines().count();
    assert!(done.status.success() && rows > 5, "{rows} rows: {done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_token_from_being_issued_or_taken_is_named_and_mended_without_a_restart() {
    let scene = Scene::start().await;
    let simulator = simulator(1, Options::default()).await;
    let setup = scene.setup(&simulator);
    let config = setup.write();
    let secret = scene.folder.path().join("secret");
    let world = simulator.world();
    let publishes = async || {
        let before = scene.records().await;
        world.create(world.tenants()[0].id, 1).expect("a tenant");
        until("a record", SOON, async || scene.records().await > before).await;
    };

    fs::write(&secret, WRONG).unwrap();
    let refused = ["invalid_client", "sasl.oauthbearer.client.id"];
    let (state, said) = check(&config).await;
    assert_eq!(state, "misconfigured", "{said}");
    assert!(refused.iter().all(|word| said.contains(word)), "{said}");
    let mut daemon = Daemon::start(&config).await;
    until_kafka(&daemon, "unavailable", &refused).await;
    fs::write(&secret, KAFKA).unwrap();
    until_kafka(&daemon, "ok", &[]).await;
    publishes().await;

    scene.provider.issuing().audience = "another.example".to_owned();
    until_kafka(&daemon, "unavailable", &["sasl.oauthbearer.scope"]).await;
    let (state, said) = check(&config).await;
    assert_eq!(state, "misconfigured", "{said}");
    assert!(said.contains("sasl.oauthbearer.scope"), "{said}");
    scene.provider.issuing().audience = AUDIENCE.to_owned();
    until_kafka(&daemon, "ok", &[]).await;
    publishes().await;

    scene.provider.issuing().is_down = true;
    until_kafka(&daemon, "unavailable", &["(503)", "identity provider"]).await;
    scene.provider.issuing().is_down = false;
    until_kafka(&daemon, "ok", &[]).await;
    publishes().await;
    scene.search(&daemon).await;
    daemon.stop().await;
}
