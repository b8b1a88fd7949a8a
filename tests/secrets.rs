//! No secret and no token ever leaves the daemon: not in a log at level trace, not at an endpoint, not in the ledger's
//! file, not on a topic, not on standard output. With everything going wrong that makes programs talk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use incidentd::simulator::{Effect, Endpoint, Options, Rule, When};
use support::daemon::Daemon;
use support::kafka::{create_topic, read_all, shared};
use support::setup::{Setup, simulator, unique};
use support::tally::Tally;
use support::{SOON, blocking, until};

/// Secrets with characters that forms, JSON and URLs write in other ways.
const RIGHT: &str = "canary/right+1&2=3%41~never.seen\"quoted\"";
const WRONG: &str = "canary/wrong+1&2=3%41~never.seen";
/// A value of librdkafka's: where an operator's password stands.
const KAFKA: &str = "canary-kafka-password";
/// What all secrets begin with, and how each token begins: a part of one is a leak as well.
const BEGINNINGS: [&str; 2] = ["canary", "eyJhbGciOi"];
/// Of each place, so much is searched for what is planted.
const SAMPLE: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_token_leaves_the_daemon() {
    let kafka = shared();
    let (topic, status_topic, dead) = (unique("secret"), unique("status"), unique("dead"));
    for topic in [&topic, &status_topic, &dead] {
        create_topic(&kafka, topic, 2, &[]).await;
    }
    // Tokens that last two seconds are renewed many times.
    let options = Options {
        token_lifetime: Some(Duration::from_secs(2)),
        ..Options::default()
    };
    let simulator = simulator(6, options).await;
    let (world, books, faults) = (simulator.world(), simulator.books(), simulator.faults());
    let tenants: Vec<_> = world.tenants().iter().map(|tenant| tenant.id).collect();
    for tenant in &tenants {
        world
            .administer(*tenant, |tenant| tenant.secret = RIGHT.to_owned())
            .unwrap();
        world.create(*tenant, 10).unwrap();
    }
    let [healthy, wrong, unconsented, refused, broken, resetting] = tenants[..] else {
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
    faults.push(Rule::status(401, "{}").at(Endpoint::List).of(refused));
    faults.push(
        Rule::new(Effect::BadIncident(r#"{"incidentId": "none"}"#.into()))
            .at(Endpoint::List)
            .of(broken),
    );
    faults.push(
        Rule::new(Effect::Reset)
            .at(Endpoint::List)
            .of(resetting)
            .when(When::Chance(0.5)),
    );
    faults.push(
        Rule::new(Effect::LoginPage)
            .at(Endpoint::List)
            .of(resetting)
            .when(When::Chance(0.5)),
    );
    faults.push(
        Rule::new(Effect::Reset)
            .at(Endpoint::Token)
            .of(resetting)
            .when(When::Chance(0.3)),
    );

    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.status_topic", &status_topic)
        .text("kafka.dead_letter_topic", &dead)
        .text("kafka.properties.\"sasl.password\"", KAFKA)
        .text("log.level", "trace");
    let secret = setup.path().join("client-secret");
    fs::write(&secret, format!("{RIGHT}\n")).unwrap();
    let mut daemon = Daemon::start(&setup.write()).await;
    until("the healthy tenant used some tokens", SOON, async || {
        world.evolve_tenant(healthy, 1).unwrap();
        simulator.revoke_tokens(healthy);
        books.issued_tokens().len() > 40
    })
    .await;
    until("each of the others has failed", SOON, async || {
        let states = states(&daemon.status().await);
        ["credential", "consent", "ok"]
            .iter()
            .all(|state| states.contains(&(*state).to_owned()))
    })
    .await;
    // A secret that is wrong only now, beside the one that was right.
    fs::write(&secret, WRONG).unwrap();
    until("the new secret was refused", SOON, async || {
        states(&daemon.status().await)
            .iter()
            .filter(|state| *state == "credential")
            .count()
            > 2
    })
    .await;

    let mut search = Search::new([&[RIGHT, WRONG, KAFKA], &BEGINNINGS[..]].concat());
    search
        .places
        .push(("/metrics".into(), daemon.metrics().await.into_bytes()));
    let (_, shown) = daemon.get("/api/status").await;
    search
        .places
        .push(("/api/status".into(), shown.into_bytes()));
    for path in ["/livez", "/readyz"] {
        search
            .places
            .push((path.into(), daemon.get(path).await.1.into_bytes()));
    }
    daemon.stop().await;
    let tokens = books.issued_tokens();
    assert!(
        tokens.iter().all(|token| token.starts_with(BEGINNINGS[1])),
        "{:?}",
        tokens[0]
    );
    for token in &tokens {
        let signature = token.rsplit('.').next().unwrap();
        search
            .words
            .extend([token.clone(), signature[..40].to_owned()]);
    }
    search
        .places
        .push(("the log".into(), daemon.log().into_bytes()));
    search
        .places
        .push(("standard output".into(), daemon.output().into_bytes()));
    search.folder(&setup.path().join("ledger"));
    for topic in [&topic, &status_topic, &dead] {
        search.topic(&kafka, topic).await;
    }
    println!(
        "{} tokens and 3 secrets searched in {} places, {} bytes",
        tokens.len(),
        search.places.len(),
        search
            .places
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>(),
    );
    let log = daemon.log();
    assert!(
        log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""),
        "a talkative log:\n{log}"
    );
    let read = Tally::read(&kafka, &topic, &books).await;
    assert!(
        !read.records.is_empty() && tokens.len() > 40,
        "there was something to search in and for"
    );
    let found = search.found();
    assert!(found.is_empty(), "{found:?}");
    the_search_finds_what_is_planted(&search, &tokens[0]);
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
