//! Each way to log in to Kafka that the documents show. The configurations are those of `docs/`: each is taken by the
//! program, and those of `docs/kafka.md` run against a real Apache Kafka, with this test's addresses and secrets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::docs::{blocks_named, pages};
use crate::support::blocking;
use crate::support::daemon::{Daemon, incidentd};
use crate::support::identity_provider::{CLIENT, IdentityProvider};
use crate::support::kafka::{Broker, create_topic, free_ports, read_all};
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, until};
use incidentd::simulator::{Options, Simulator};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

const TOPIC: &str = "security.incidents";
const PASSWORD: &str = "s3cret-of-kafka";
const WRONG: &str = "not-the-s3cret";
const PASSWORD_VARIABLE: &str = "INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD";
const OAUTH_VARIABLE: &str = "INCIDENTD__KAFKA__PROPERTIES__SASL__OAUTHBEARER__CLIENT__SECRET";
/// What stands in the page for the identity provider and the client there.
const SHOWN_ENDPOINT: &str = "https://login.example/realms/kafka/protocol/openid-connect/token";
const SHOWN_CLIENT: &str = "incidentd-publisher";
/// What a broker with every log-in has beside its plain port.
const LISTENERS: &str = r#"
listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,LOGIN://127.0.0.1:@LOGIN_PORT@,TLS://127.0.0.1:@TLS_PORT@
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,LOGIN://127.0.0.1:@LOGIN_PORT@,TLS://127.0.0.1:@TLS_PORT@
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_SSL,TLS:SSL
ssl.keystore.type=PEM
ssl.keystore.location=@FOLDER@/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=@FOLDER@/ca.pem
listener.name.tls.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_incidentd="@PASSWORD@";
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"#;

/// Writes a CA, and what it signed for the broker and for a client, as PEM.
fn write_certificates(folder: &Path) {
    let key = || KeyPair::generate().expect("a key");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    let authority_key = key();
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params
        .distinguished_name
        .push(DnType::CommonName, "authority.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("a CA");
    write("ca.pem", authority.pem());
    let issuer = Issuer::new(params, authority_key);
    let signed = |name: &str| {
        let key = key();
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    };
    let (certificate, key) = signed("127.0.0.1");
    write("broker.pem", key + &certificate);
    let (certificate, key) = signed("client.example");
    write("client.pem", certificate);
    write("client.key", key);
}

/// A broker that takes every log-in.
struct Scene {
    broker: Broker,
    login: String,
    tls: String,
    folder: TempDir,
    provider: IdentityProvider,
}

impl Scene {
    async fn start() -> Self {
        let provider = IdentityProvider::start(PASSWORD, 3600).await;
        let (listener, java) = (provider.listener("login"), provider.java());
        let (broker, login, tls, folder) = blocking(move || {
            let folder = tempfile::tempdir().expect("a folder");
            write_certificates(folder.path());
            let (login, tls) = free_ports();
            let lines = LISTENERS
                .replace("@LOGIN_PORT@", &login.to_string())
                .replace("@TLS_PORT@", &tls.to_string())
                .replace("@FOLDER@", &folder.path().display().to_string())
                .replace("@PASSWORD@", PASSWORD)
                + &listener;
            let user = format!("SCRAM-SHA-512=[name=incidentd,password={PASSWORD}]");
            let broker = Broker::start_with_options(folder.path(), &lines, &[user], &[java]);
            let address = |port: u16| format!("127.0.0.1:{port}");
            (broker, address(login), address(tls), folder)
        })
        .await;
        create_topic(&broker.bootstrap(), TOPIC, 1, &[]).await;
        Self {
            broker,
            login,
            tls,
            folder,
            provider,
        }
    }

    /// A configuration of the page, with this scene's broker and files.
    fn setup(&self, simulator: &Simulator, text: &str) -> Setup {
        let table: toml::Table = text.parse().expect("TOML");
        let properties = table["kafka"]["properties"].as_table().expect("a table");
        let brokers = match properties["security.protocol"].as_str() {
            Some("ssl") => &self.tls,
            _ => &self.login,
        };
        let setup = Setup::new(simulator, brokers, TOPIC);
        properties.iter().fold(setup, |setup, (name, value)| {
            let value = value.as_str().expect("a text");
            let place = self.folder.path().display().to_string();
            let value = value.replace("/etc/incidentd/kafka", &place);
            let value = value.replace(SHOWN_ENDPOINT, &self.provider.token_endpoint());
            let value = value.replace(SHOWN_CLIENT, CLIENT);
            setup.text(&format!("kafka.properties.{name:?}"), &value)
        })
    }
}

/// Where the secret of a configuration goes.
fn variable_of(text: &str) -> &'static str {
    match text.contains("OAUTHBEARER") {
        true => OAUTH_VARIABLE,
        false => PASSWORD_VARIABLE,
    }
}

/// What `ledger export` says of a ledger that it can't read.
async fn export_ledger(config: &Path, env: &[(&str, &str)]) -> String {
    let mut command = incidentd();
    command.args(["ledger", "export", "--config"]).arg(config);
    let done = command.envs(env.iter().copied()).output().await;
    let done = done.expect("it runs");
    assert!(!done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// The part `kafka` of what `check --json` reports.
async fn check(config: &Path, env: &[(&str, &str)]) -> Value {
    let mut command = incidentd();
    command
        .args(["check", "--json", "--config"])
        .arg(config)
        .envs(env.iter().copied());
    let done = command.output().await.expect("it runs");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| {
        panic!("no report: {}", String::from_utf8_lossy(&done.stderr));
    });
    report["kafka"].clone()
}

/// The configurations of `docs/kafka.md`, by their names.
fn shown() -> BTreeMap<String, String> {
    let all = pages()
        .into_iter()
        .filter(|(name, _)| name == "docs/kafka.md");
    all.flat_map(|(_, text)| blocks_named(&text, "toml kafka "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_log_in_that_the_page_shows_publishes_and_a_wrong_one_is_named() {
    let scene = Scene::start().await;
    let shown = shown();
    let names: Vec<_> = shown.keys().map(String::as_str).collect();
    assert_eq!(names, ["certificate", "oauthbearer", "plain", "scram"]);
    for (name, text) in &shown {
        let simulator = simulator(1, Options::default()).await;
        let setup = scene.setup(&simulator, text);
        let config = setup.write();
        let variable = variable_of(text);
        let right = [(variable, PASSWORD)];
        let secret = match name.as_str() {
            "certificate" => &[],
            _ => &right[..],
        };
        let kafka = check(&config, secret).await;
        assert_eq!(kafka["state"], "ok", "{name}: {kafka:#}");

        let before = read_all(&scene.broker.bootstrap(), TOPIC).len();
        let mut daemon = Daemon::start_with(&config, &[], secret).await.ready().await;
        let world = simulator.world();
        world.create(world.tenants()[0].id, 1).expect("a tenant");
        let bootstrap = scene.broker.bootstrap();
        until(&format!("{name}: a record"), SOON, async || {
            let bootstrap = bootstrap.clone();
            blocking(move || read_all(&bootstrap, TOPIC).len()).await > before
        })
        .await;
        daemon.stop().await;
        let (kafka, remedy) = match name.as_str() {
            "certificate" => {
                let without = setup
                    .without("kafka.properties.\"ssl.certificate.location\"")
                    .without("kafka.properties.\"ssl.key.location\"");
                (
                    check(&without.write(), &[]).await,
                    "ssl.certificate.location",
                )
            }
            _ => {
                let wrong = [(variable, WRONG)];
                let remedy = match variable {
                    OAUTH_VARIABLE => "sasl.oauthbearer.client.id",
                    _ => "sasl.password",
                };
                let ledger_in_kafka = setup.without("ledger.path").text("ledger.kind", "kafka");
                let said = export_ledger(&ledger_in_kafka.write(), &wrong).await;
                assert!(said.contains(remedy), "{name}: {said}");
                assert!(!said.contains(WRONG), "{name}: {said}");
                (check(&config, &wrong).await, remedy)
            }
        };
        assert_eq!(kafka["state"], "misconfigured", "{name}: {kafka:#}");
        let said = kafka.to_string();
        assert!(said.contains(remedy), "{name}: {kafka:#}");
        assert!(!said.contains(WRONG), "{name}: {kafka:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_that_a_page_shows_is_taken() {
    let mut count = 0;
    for (page, text) in pages() {
        for (_, block) in blocks_named(&text, "toml kafka") {
            let folder = tempfile::tempdir().unwrap();
            write_certificates(folder.path());
            let place = folder.path().display().to_string();
            let rest = format!(
                "[app]\nclient_id = \"22222222-2222-2222-2222-222222222222\"\nclient_secret_file = {:?}\n[ledger]\n\
                 path = {:?}\n[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\nname = \"contoso\"\n",
                folder.path().join("client-secret"),
                folder.path().join("ledger"),
            );
            let block = block.replace("/etc/incidentd/kafka", &place);
            let config = folder.path().join("incidentd.toml");
            fs::write(&config, format!("{block}\n{rest}")).unwrap();
            fs::write(folder.path().join("client-secret"), "x".repeat(40)).unwrap();
            let done = incidentd()
                .args(["check", "--offline", "--config"])
                .arg(&config)
                .env(variable_of(&block), PASSWORD)
                .output()
                .await
                .unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{page}:\n{block}\n{said}");
            count += 1;
        }
    }
    assert!(count >= 9, "{count} connections");
}
