//! The shipped examples, and the defaults that they show.

use std::fs;
use std::path::PathBuf;

use super::super::effective;
use super::NoLibraryChecks;
use super::{Fixture, only, with};
use crate::core::incident::version::Deduplicate;
use crate::settings::{
    LogFormat, RecordFormat, Settings, SourceKind, TenantSettings, TokenEndpoint,
};

const SECRET_FILE: &str = "/run/credentials/incidentd.service/client-secret";

const PLACEHOLDER: &str = "00000000-0000-0000-0000-000000000000";

fn example(name: &str) -> Fixture {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name);
    let text = fs::read_to_string(&path).expect("the example");
    assert!(
        text.contains(SECRET_FILE),
        "{name} names another secret file"
    );
    Fixture::new(&filled_in(&text).replace(SECRET_FILE, "secret"))
}

/// The example with a client id instead of its placeholder, which is refused.
fn filled_in(text: &str) -> String {
    assert!(text.contains(PLACEHOLDER), "it holds another placeholder");
    text.replace(PLACEHOLDER, "0f0f0f0f-0000-4000-8000-000000000001")
}

#[test]
fn an_example_that_nobody_filled_in_is_refused_with_what_to_fill_in() {
    for name in ["minimal.toml", "incidentd.toml"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(name);
        let text = fs::read_to_string(path).expect("the example");
        let report = Fixture::new(&text.replace(SECRET_FILE, "secret")).report();
        assert!(
            report.contains("one error")
                && report.contains("app.client_id: it is still the example's placeholder")
                && report.contains("copy \"Application (client) ID\""),
            "{report}"
        );
    }
}

#[test]
fn both_examples_are_valid_and_mean_the_same() {
    let (minimal, full) = (
        example("minimal.toml").valid(),
        example("incidentd.toml").valid(),
    );
    for (name, settings) in [("minimal", &minimal), ("full", &full)] {
        assert_eq!(settings.warnings, Vec::<String>::new(), "{name}");
        assert_eq!(&*only(settings).name, "contoso", "{name}");
    }
    // The full example shows the defaults, and one property.
    assert_eq!(only(&minimal).api, only(&full).api);
    assert_eq!(only(&minimal).poll, only(&full).poll);
    assert_eq!(only(&minimal).topic, only(&full).topic);
    assert_eq!(full.kafka.connection.properties.len(), 1);
    let others = |settings: Settings| {
        let Settings {
            max_concurrent,
            kafka,
            ledger,
            http,
            log,
            ..
        } = settings;
        let kafka = (
            kafka.connection.brokers,
            kafka.connection.max_in_flight,
            kafka.status_topic,
            kafka.dead_letter_topic,
        );
        format!("{max_concurrent} {kafka:?} {ledger:?} {http:?} {log:?}")
    };
    assert_eq!(others(minimal), others(full));
}

/// The effective configuration is made of the keys that were requested, so each key that is read must be in it.
#[test]
fn every_key_of_the_full_example_is_shown_with_its_line_and_each_default_as_one() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/incidentd.toml");
    let text = fs::read_to_string(path).expect("the example");
    let lines = |fixture: &Fixture| -> Vec<String> {
        let effective =
            effective(&fixture.main(), &fixture.environment, &NoLibraryChecks).expect("valid");
        effective.all().lines().map(str::to_owned).collect()
    };
    let full = lines(&example("incidentd.toml"));
    let bare = lines(&with(""));
    let keys = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with(['#', '[']));
    let mut shown = 0;
    for (at, line) in keys {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        let origin = format!("# incidentd.toml:{}", at + 1);
        let is_key = |line: &&String| line.starts_with(&format!("{key} = "));
        assert!(
            full.iter()
                .filter(is_key)
                .any(|line| line.ends_with(&origin)),
            "{key} {origin} is not in {full:#?}"
        );
        let of_defaults = bare.iter().find(is_key);
        let own = [
            "client_id",
            "client_secret_file",
            "id",
            "name",
            "\"compression.type\"",
        ];
        assert!(
            own.contains(&key) || of_defaults.is_some_and(|line| line.ends_with("# default")),
            "{key} is {of_defaults:?}"
        );
        shown += 1;
    }
    assert!(shown > 20, "{shown} keys were looked at");
}

/// Keys that are comments in the full example are accepted as well.
#[test]
fn the_keys_commented_out_in_the_full_example_are_known() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/incidentd.toml");
    let text = fs::read_to_string(path).expect("the example");
    let is_key = |line: &str| {
        let Some((key, _)) = line.split_once(" = ") else {
            return line == "[[tenants]]";
        };
        !key.contains(' ')
    };
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_key(rest))
                .unwrap_or(line)
        })
        // Each replaces client_secret_file.
        .filter(|line| {
            let instead = [
                "client_secret_env",
                "federated_token_file",
                "certificate_",
                "managed_",
                "key_vault_",
            ];
            !instead.iter().any(|key| line.starts_with(key))
        })
        .collect();
    let text = filled_in(&uncommented.join("\n"))
        .replace(&format!("{SECRET_FILE}-next"), "secret")
        .replace(SECRET_FILE, "secret")
        .replace(
            "/run/credentials/incidentd.service/secrets_fabrikam",
            "secret",
        )
        .replace("/etc/incidentd/proxy-ca.pem", "secret");
    let fixture = Fixture::new(&text).with_file("tenants.d/README", "");
    let settings = fixture.valid();
    assert_eq!(settings.tenants.len(), 2);
    assert_eq!(settings.kafka.connection.properties.len(), 4);
    let fabrikam = &settings.tenants[1];
    assert_eq!(
        fabrikam.api.login_url.as_str(),
        "https://login.microsoftonline.us/"
    );
    assert_eq!(fabrikam.api.source, SourceKind::Graph);
    assert_eq!(
        fabrikam.api.base_url.as_str(),
        "https://graph.microsoft.us/"
    );
    assert_eq!(fabrikam.poll.schedule.to_string(), "every 5m");
    assert_eq!(&*fabrikam.topic, "fabrikam.incidents");
}

#[test]
fn what_the_design_calls_the_default_is_the_default() {
    let settings = with("").valid();
    let TenantSettings {
        api,
        poll,
        topic,
        format,
        ..
    } = only(&settings);
    assert_eq!(api.source, SourceKind::Graph);
    assert_eq!(api.base_url.as_str(), "https://graph.microsoft.com/");
    assert_eq!(api.login_url.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(api.scope, "https://graph.microsoft.com/.default");
    assert_eq!(api.token_endpoint, TokenEndpoint::V2);
    assert_eq!(
        (api.request_timeout.as_secs(), api.max_response),
        (30, 64 << 20)
    );
    assert_eq!(poll.schedule.to_string(), "*/30 * * * * *");
    assert_eq!(
        (poll.lookback.as_secs(), poll.overlap.as_secs()),
        (86_400, 900)
    );
    assert_eq!(
        (
            poll.reconcile_every.as_secs(),
            poll.reconcile_window.as_secs()
        ),
        (21_600, 604_800)
    );
    assert_eq!(
        (poll.requests_per_minute, poll.deduplicate),
        (75, Deduplicate::Version)
    );
    assert_eq!(&**topic, "security.incidents");
    assert_eq!(
        (
            settings.max_concurrent,
            settings.kafka.connection.max_in_flight
        ),
        (64, 64 << 20)
    );
    assert_eq!(
        (&*settings.kafka.connection.brokers, *format),
        ("localhost:9092", RecordFormat::CloudEvents)
    );
    assert_eq!(
        settings.ledger.path,
        PathBuf::from("/var/lib/incidentd/ledger")
    );
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(
        (settings.log.format, &*settings.log.level),
        (LogFormat::Auto, "info")
    );
}
