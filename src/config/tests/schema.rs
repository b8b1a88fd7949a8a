//! The schema for editors: that it is one, that the shipped files name it and fit it, and that it refuses what the program
//! refuses.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::keys::{KeyType, find, keys};
use super::super::schema::schema;

const FILE: &str = "config/incidentd.schema.json";
const INSTALLED: &str = "file:///usr/share/doc/incidentd/examples/incidentd.schema.json";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&schema()).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

fn is_valid(toml: &str) -> bool {
    let values: Value = toml::from_str(toml).expect("TOML");
    validator().is_valid(&values)
}

/// `UPDATE=1 tests/run --lib schema` rewrites the file.
#[test]
fn the_shipped_schema_is_the_program_s() {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(FILE), schema()).expect("the file");
    }
    let shipped = fs::read_to_string(path(FILE)).expect("the file");
    assert_eq!(shipped, schema());
}

#[test]
fn the_shipped_files_name_the_schema_and_fit_it() {
    for file in [
        "config/incidentd.toml",
        "config/minimal.toml",
        "config/tenant.toml",
        "deploy/trial.toml",
        "deploy/deb/incidentd.toml",
    ] {
        let text = fs::read_to_string(path(file)).expect(file);
        let named = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("#:schema "));
        match named.expect(file) {
            INSTALLED => {}
            beside => {
                let named = path(file).parent().expect("a folder").join(beside);
                let named = named.canonicalize().expect(file);
                assert_eq!(named, path(FILE).canonicalize().expect(FILE), "{file}");
            }
        }
        let values: Value = toml::from_str(&text).expect(file);
        let errors: Vec<_> = validator()
            .iter_errors(&values)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{file}");
    }
}

#[test]
fn what_the_program_refuses_does_not_fit() {
    const ID: &str = "[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\n";
    let tenant = |key: &str| format!("{ID}{key}");
    let cases = [
        (
            "poll.overlap = \"15m\"".to_owned(),
            "poll.overlpa = \"15m\"".to_owned(),
        ),
        (
            "poll.overlap = \"1s\"".into(),
            "poll.overlap = \"999ms\"".into(),
        ),
        (
            "poll.overlap = \"180d\"".into(),
            "poll.overlap = \"181d\"".into(),
        ),
        ("poll.overlap = \"30s\"".into(), "poll.overlap = 30".into()),
        (
            "poll.max_concurrent = 10000".into(),
            "poll.max_concurrent = 10001".into(),
        ),
        (
            "poll.max_response = 1048576".into(),
            "poll.max_response = 1048575".into(),
        ),
        (
            "poll.max_response = \"1GiB\"".into(),
            "poll.max_response = \"2GiB\"".into(),
        ),
        (
            "api.source = \"defender\"".into(),
            "api.source = \"defnder\"".into(),
        ),
        ("http.hosts = [\"a\"]".into(), "http.hosts = [1]".into()),
        (
            "kafka.properties.sasl.password = \"x\"".into(),
            "kafka.properties.\"linger.ms\" = [5]".into(),
        ),
        (
            "kafka.properties.\"linger.ms\" = 5".into(),
            "kafka.linger = 5".into(),
        ),
        ("tenants_dir = \"x\"".into(), "tenants_dir = 5".into()),
        (
            tenant("poll.overlap = \"15m\""),
            tenant("poll.overlap = \"1ms\""),
        ),
        (
            tenant("kafka.topic = \"x\""),
            tenant("kafka.brokers = \"x:1\""),
        ),
        (tenant("name = \"x\""), "[[tenants]]\nname = \"x\"".into()),
        (tenant("name = \"y\""), "name = \"y\"".into()),
    ];
    for (good, bad) in cases {
        assert!(is_valid(&good), "{good}");
        assert!(!is_valid(&bad), "{bad}");
    }
}

/// Values around the ends of the ranges, and others, with every unit.
fn amounts() -> impl Strategy<Value = String> {
    let near =
        |around: u64| (around.saturating_sub(3)..=around + 3).prop_map(|number| number.to_string());
    let ends: Vec<_> = [
        0, 1, 7, 10, 24, 30, 60, 64, 180, 1000, 1024, 4320, 6000, 10_000, 86_400, 259_200,
    ]
    .into_iter()
    .chain([
        600_000,
        1_000_000,
        1_048_576,
        15_552_000,
        1_073_741_824,
        15_552_000_000,
        1 << 40,
    ])
    .map(near)
    .collect();
    let numbers = prop_oneof![
        prop::sample::select(ends).prop_flat_map(|near| near),
        "0{0,2}[0-9]{1,14}"
    ];
    let units = prop::sample::select(vec![
        "", "ms", "s", "m", "h", "d", "B", "KB", "KiB", "MB", "MiB", "GB", "GiB", "S", "w",
    ]);
    (numbers, "[ ]{0,2}", units).prop_map(|(number, gap, unit)| format!("{number}{gap}{unit}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn an_amount_fits_exactly_when_the_program_takes_it(text in amounts()) {
        let validator = AMOUNTS.get_or_init(validator);
        for key in keys().filter(|key| matches!(key.kind, KeyType::Amount(..))) {
            let taken = find(key.table, key.name).amount(text.trim()).is_ok();
            let values = json!({key.table: {key.name: text}});
            prop_assert_eq!(validator.is_valid(&values), taken, "{} = {:?}", key.path(), text);
        }
    }
}

static AMOUNTS: std::sync::OnceLock<Validator> = std::sync::OnceLock::new();
