//! No secret and no token ever leaves the daemon: not in a log at level trace, at an endpoint, in the ledger's file, on
//! a topic, or on standard output. Everything that makes programs print more goes wrong here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, read_all, shared};
use crate::support::search::{KAFKA, RIGHT, Search, WRONG, endpoints};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::{SOON, blocking, until};
use incidentd::simulator::{Effect, Endpoint, Options, Rule, Simulator};

/// The number of tokens that are used before the search.
const MANY: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_token_leaves_the_daemon() {
    let kafka = shared();
    let (topic, status, dead) = (unique("secret"), unique("status"), unique("dead"));
    for topic in [&topic, &status, &dead] {
        create_topic(&kafka, topic, 2, &[]).await;
    }
    let simulator = trouble().await;
    let journal = simulator.journal();
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.status_topic", &status)
        .text("kafka.dead_letter_topic", &dead)
        .text("kafka.properties.\"sasl.password\"", KAFKA)
        .text("log.level", "trace");
    let (config, secret) = (setup.write(), setup.path().join("client-secret"));
    fs::write(&secret, format!("{RIGHT}\n")).unwrap();
    let mut search = Search::new(&[RIGHT, WRONG, KAFKA]);

    let mut daemon = Daemon::start(&config).await;
    everything_happens(&simulator, &daemon, &secret).await;
    search.add_all(endpoints("the daemon", &daemon).await);
    daemon.stop().await;
    search.add("the log", daemon.log());
    search.add("standard output", daemon.output());
    for entry in fs::read_dir(setup.path().join("ledger")).unwrap() {
        let path = entry.unwrap().path();
        search.add(path.display().to_string(), fs::read(&path).unwrap());
    }
    for topic in [&topic, &status, &dead] {
        search.add(topic, records(&kafka, topic).await);
    }
    let levels = ["\"level\":\"TRACE\"", "\"level\":\"DEBUG\""];
    assert!(
        levels.iter().any(|level| daemon.log().contains(level)),
        "the log says more than usual"
    );

    fs::write(&secret, RIGHT).unwrap();
    fs::remove_dir_all(setup.path().join("ledger")).unwrap();
    let mut daemon = Daemon::start_with(&config, &["--output", "stdout"], &[]).await;
    until("records are written", SOON, async || {
        daemon.output().lines().count() > 10
    })
    .await;
    daemon.stop().await;
    search.add("the log of a run to standard output", daemon.log());
    search.add("records on standard output", daemon.output());

    let tokens = journal.issued_tokens();
    assert!(tokens.len() > MANY, "there is something to search for");
    search.tokens(&tokens);
    search.run();
}

/// A Microsoft with many faults, one tenant for each; the first tenant is healthy.
async fn trouble() -> Simulator {
    // Tokens that last two seconds are renewed many times.
    let options = Options {
        token_lifetime: Some(Duration::from_secs(2)),
        ..Options::default()
    };
    let simulator = simulator(6, options).await;
    let (world, faults) = (simulator.world(), simulator.faults());
    let tenants: Vec<_> = world.tenants().iter().map(|tenant| tenant.id).collect();
    for tenant in &tenants {
        world
            .administer(*tenant, |tenant| tenant.secret = RIGHT.to_owned())
            .unwrap();
        world.create(*tenant, 10).unwrap();
    }
    let [_, wrong, unconsented, refused, broken, resetting] = tenants[..] else {
        panic!("six tenants");
    };
    world
        .administer(wrong, |tenant| {
            tenant.secret = "not what the daemon has".to_owned()
        })
        .unwrap();
    world
        .administer(unconsented, |tenant| tenant.consented = false)
        .unwrap();
    let list = |effect| Rule::new(effect).at(Endpoint::List);
    faults.push(Rule::status(401, "{}").at(Endpoint::List).of(refused));
    faults.push(list(Effect::BadIncident(r#"{"id": "none"}"#.into())).of(broken));
    faults.push(list(Effect::Reset).of(resetting).by_chance(0.5));
    faults.push(list(Effect::LoginPage).of(resetting).by_chance(0.5));
    faults.push(
        Rule::new(Effect::Reset)
            .at(Endpoint::Token)
            .of(resetting)
            .by_chance(0.3),
    );
    simulator
}

/// Tokens are used, refused and renewed. Secrets are right, wrong, and wrong after they were right.
async fn everything_happens(simulator: &Simulator, daemon: &Daemon, secret: &Path) {
    let (world, journal) = (simulator.world(), simulator.journal());
    let healthy = world.tenants()[0].id;
    until("many tokens were used", SOON, async || {
        world.evolve_tenant(healthy, 1).unwrap();
        simulator.revoke_tokens(healthy);
        journal.issued_tokens().len() > MANY
    })
    .await;
    until("each of the others has failed", SOON, async || {
        let states = states(&daemon.status().await);
        ["credential", "consent", "ok"]
            .iter()
            .all(|state| states.iter().any(|shown| shown == state))
    })
    .await;
    fs::write(secret, WRONG).unwrap();
    until("the new secret was refused", SOON, async || {
        let states = states(&daemon.status().await);
        states.iter().filter(|state| *state == "credential").count() > 2
    })
    .await;
}

fn states(status: &serde_json::Value) -> Vec<String> {
    let tenants = status["tenants"].as_array().expect("tenants");
    tenants
        .iter()
        .map(|tenant| tenant["state"].as_str().expect("a state").to_owned())
        .collect()
}

/// Key, headers and value of every record of a topic.
async fn records(kafka: &str, topic: &str) -> Vec<u8> {
    let (bootstrap, name) = (kafka.to_owned(), topic.to_owned());
    let records = blocking(move || read_all(&bootstrap, &name)).await;
    assert!(!records.is_empty(), "{topic} is empty");
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend(record.key.into_bytes());
        for (name, value) in record.headers {
            bytes.extend(format!("\n{name}: {value}").into_bytes());
        }
        bytes.push(b'\n');
        bytes.extend(record.value);
        bytes.push(b'\n');
    }
    bytes
}
