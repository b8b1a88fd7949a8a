//! No secret and no token ever leaves the daemon: not in a log at level trace, not at an endpoint, not in the ledger's
//! file, not on a topic, not on standard output. With everything going wrong that makes programs talk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use incidentd::simulator::{Effect, Endpoint, Options, Rule, Simulator, When};
use support::daemon::Daemon;
use support::kafka::{create_topic, read_all, shared};
use support::setup::{Setup, simulator, unique};
use support::{SOON, blocking, tell, until};

/// Secrets with characters that forms, JSON and URLs write in other ways.
const RIGHT: &str = "canary/right+1&2=3%41~never.seen\"quoted\"";
const WRONG: &str = "canary/wrong+1&2=3%41~never.seen";
/// A value of librdkafka's: where an operator's password stands.
const KAFKA: &str = "canary-kafka-password";
/// What all secrets begin with, and how each token begins: a part of one is a leak as well.
const BEGINNINGS: [&str; 2] = ["canary", "eyJhbGciOi"];
/// Tokens that are used before the search.
const MANY: usize = 40;
/// Of each place, so much is searched for what is planted.
const SAMPLE: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_token_leaves_the_daemon() {
    let kafka = shared();
    let (topic, status, dead) = (unique("secret"), unique("status"), unique("dead"));
    for topic in [&topic, &status, &dead] {
        create_topic(&kafka, topic, 2, &[]).await;
    }
    let simulator = trouble().await;
    let books = simulator.books();
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.status_topic", &status)
        .text("kafka.dead_letter_topic", &dead)
        .text("kafka.properties.\"sasl.password\"", KAFKA)
        .text("log.level", "trace");
    let (config, secret) = (setup.write(), setup.path().join("client-secret"));
    fs::write(&secret, format!("{RIGHT}\n")).unwrap();
    let mut search = Search::new([&[RIGHT, WRONG, KAFKA], &BEGINNINGS[..]].concat());

    let mut daemon = Daemon::start(&config).await;
    everything_happens(&simulator, &daemon, &secret).await;
    search.endpoints(&daemon).await;
    daemon.stop().await;
    search.add("the log", daemon.log());
    search.add("standard output", daemon.output());
    search.folder(&setup.path().join("ledger"));
    for topic in [&topic, &status, &dead] {
        search.topic(&kafka, topic).await;
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

    let tokens = books.issued_tokens();
    assert!(tokens.len() > MANY, "there is something to search for");
    search.tokens(&tokens);
    tell(format_args!(
        "{} tokens and 3 secrets searched in {} places, {} bytes",
        tokens.len(),
        search.places.len(),
        search
            .places
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>(),
    ));
    let found = search.found();
    assert!(found.is_empty(), "{found:?}");
    the_search_finds_what_is_planted(&search, &tokens[0]);
}

/// A Microsoft with which nearly everything is wrong, for one tenant each; the first is healthy.
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
    faults.push(list(Effect::BadIncident(r#"{"incidentId": "none"}"#.into())).of(broken));
    faults.push(list(Effect::Reset).of(resetting).when(When::Chance(0.5)));
    faults.push(
        list(Effect::LoginPage)
            .of(resetting)
            .when(When::Chance(0.5)),
    );
    faults.push(
        Rule::new(Effect::Reset)
            .at(Endpoint::Token)
            .of(resetting)
            .when(When::Chance(0.3)),
    );
    simulator
}

/// Tokens are used, refused and renewed; secrets are right, wrong, and wrong only after they were right.
async fn everything_happens(simulator: &Simulator, daemon: &Daemon, secret: &Path) {
    let (world, books) = (simulator.world(), simulator.books());
    let healthy = world.tenants()[0].id;
    until("many tokens were used", SOON, async || {
        world.evolve_tenant(healthy, 1).unwrap();
        simulator.revoke_tokens(healthy);
        books.issued_tokens().len() > MANY
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

/// A search that can't find proves nothing: each place gets each kind of word, in each spelling.
fn the_search_finds_what_is_planted(search: &Search, token: &str) {
    for (name, bytes) in &search.places {
        let (before, after) =
            bytes[..bytes.len().min(SAMPLE)].split_at(bytes.len().min(SAMPLE) / 2);
        for word in [RIGHT, WRONG, KAFKA, token, &token[..60]] {
            for spelling in spellings(word) {
                let planted = [before, spelling.as_bytes(), after].concat();
                let planted = Search {
                    words: search.words.clone(),
                    places: vec![(name.clone(), planted)],
                };
                assert!(
                    !planted.found().is_empty(),
                    "{spelling} planted in {name} is not found"
                );
            }
        }
    }
}

/// What is searched for, and where.
struct Search {
    words: Vec<String>,
    places: Vec<(String, Vec<u8>)>,
}

impl Search {
    fn new(words: Vec<&str>) -> Self {
        Self {
            words: words.into_iter().map(str::to_owned).collect(),
            places: Vec::new(),
        }
    }

    fn add(&mut self, place: &str, text: String) {
        self.places.push((place.to_owned(), text.into_bytes()));
    }

    /// Whole tokens, and of each a part that no other has.
    fn tokens(&mut self, tokens: &[String]) {
        for token in tokens {
            assert!(
                token.starts_with(BEGINNINGS[1]),
                "how tokens begin: {token}"
            );
            let signature = token.rsplit('.').next().unwrap();
            self.words
                .extend([token.clone(), signature[..40].to_owned()]);
        }
    }

    async fn endpoints(&mut self, daemon: &Daemon) {
        for path in ["/livez", "/readyz", "/metrics", "/api/status"] {
            self.add(path, daemon.get(path).await.1);
        }
    }

    fn folder(&mut self, path: &Path) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            self.places
                .push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }

    /// Key, headers and value of every record.
    async fn topic(&mut self, kafka: &str, topic: &str) {
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
        self.places.push((topic.to_owned(), bytes));
    }

    /// Where a word stands, in any of its spellings.
    fn found(&self) -> Vec<String> {
        let words: Vec<String> = self.words.iter().flat_map(|word| spellings(word)).collect();
        let finders: Vec<_> = words
            .iter()
            .map(|word| memchr::memmem::Finder::new(word.as_bytes()))
            .collect();
        let mut found = Vec::new();
        for (place, bytes) in &self.places {
            for (word, finder) in words.iter().zip(&finders) {
                if let Some(at) = finder.find(bytes) {
                    found.push(format!("{place} at {at}: {word}"));
                }
            }
        }
        found
    }
}

/// A word as it is, as a form or a URL encodes it, and as a JSON string has it.
fn spellings(word: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    let json = serde_json::Value::from(word).to_string();
    let mut all = vec![word.to_owned(), form, json.trim_matches('"').to_owned()];
    all.sort();
    all.dedup();
    all
}
