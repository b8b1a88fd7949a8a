use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::settings::{RecordFormat, SecretSource, TenantSettings, TokenEndpoint};
use super::*;
use crate::core::version::Deduplicate;

const CANARY: &str = "S3cr3t~canary.value";
const SECRET_FILE: &str = "/run/credentials/incidentd.service/client-secret";

/// A configuration in a folder of its own, with a secret in the file `secret`.
struct Fixture {
    folder: TempDir,
    environment: HashMap<String, String>,
}

impl Fixture {
    fn new(main: &str) -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            environment: HashMap::new(),
        };
        fixture
            .with_file("incidentd.toml", main)
            .with_file("secret", format!("{CANARY}\n"))
    }

    fn with_file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("the folder");
        fs::write(&path, content).expect("the file");
        self
    }

    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn main(&self) -> PathBuf {
        self.folder.path().join("incidentd.toml")
    }

    fn load(&self) -> Result<Settings, ConfigErrors> {
        load(&self.main(), &self.environment)
    }

    #[track_caller]
    fn valid(&self) -> Settings {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The report, with the folder's own name left out.
    #[track_caller]
    fn report(&self) -> String {
        match self.load() {
            Ok(_) => panic!("the configuration was accepted"),
            Err(errors) => {
                let folder = format!("{}/", self.folder.path().display());
                errors.to_string().replace(&folder, "")
            }
        }
    }
}

/// A valid configuration with `more` before its tenants.
fn with(more: &str) -> Fixture {
    Fixture::new(&format!("{APP}\n{more}\n{TENANT}"))
}

const APP: &str = r#"
[app]
client_id = "0f0f0f0f-0000-4000-8000-000000000001"
client_secret_file = "secret"
"#;

const TENANT: &str = r#"
[[tenants]]
id = "11111111-1111-1111-1111-111111111111"
name = "contoso"
"#;

fn only(settings: &Settings) -> &TenantSettings {
    assert_eq!(settings.tenants.len(), 1, "{settings:?}");
    &settings.tenants[0]
}

fn example(name: &str) -> Fixture {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name);
    let text = fs::read_to_string(&path).expect("the example");
    assert!(
        text.contains(SECRET_FILE),
        "{name} names another secret file"
    );
    Fixture::new(&text.replace(SECRET_FILE, "secret"))
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
    assert_eq!(full.kafka.properties.len(), 1);
    let others = |settings: Settings| {
        let Settings {
            max_concurrent,
            max_in_flight,
            kafka,
            ledger,
            http,
            log,
            ..
        } = settings;
        let kafka = (
            kafka.brokers,
            kafka.format,
            kafka.status_topic,
            kafka.dead_letter_topic,
        );
        format!("{max_concurrent} {max_in_flight} {kafka:?} {ledger:?} {http:?} {log:?}")
    };
    assert_eq!(others(minimal), others(full));
}

/// What is shown as a comment in the full example is accepted as well.
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
        .filter(|line| !line.starts_with("client_secret_env"))
        .collect();
    let text = uncommented
        .join("\n")
        .replace(SECRET_FILE, "secret")
        .replace(
            "/run/credentials/incidentd.service/fabrikam-secret",
            "secret",
        )
        .replace("/etc/incidentd/proxy-ca.pem", "secret");
    let fixture = Fixture::new(&text).with_file("tenants.d/README", "");
    let settings = fixture.valid();
    assert_eq!(settings.tenants.len(), 2);
    assert_eq!(settings.kafka.properties.len(), 4);
    let fabrikam = &settings.tenants[1];
    assert_eq!(
        fabrikam.api.login_url.as_str(),
        "https://login.microsoftonline.us/"
    );
    assert_eq!(fabrikam.poll.schedule.to_string(), "every 5m");
    assert_eq!(&*fabrikam.topic, "fabrikam.incidents");
}

#[test]
fn what_the_design_calls_the_default_is_the_default() {
    let settings = with("").valid();
    let TenantSettings {
        api, poll, topic, ..
    } = only(&settings);
    assert_eq!(api.base_url.as_str(), "https://api.security.microsoft.com/");
    assert_eq!(api.login_url.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(api.scope, "https://api.security.microsoft.com/.default");
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
        (25, Deduplicate::Version)
    );
    assert_eq!(&**topic, "security.incidents");
    assert_eq!(
        (settings.max_concurrent, settings.max_in_flight),
        (64, 64 << 20)
    );
    assert_eq!(
        (&*settings.kafka.brokers, settings.kafka.format),
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

const TWENTY: &str = r#"
[app]
client_id = "not-a-guid"
client_secret = "S3cr3t~canary.value"
client_secret_file = "nowhere/S3cr3t~canary.value"

[api]
source = "graph"
cloud = "china"
base_url = "http://api.example.net"
proxy = "http://user:S3cr3t~canary.value@proxy:3128/path"

[poll]
schedule = "*/30 * * * *"
overlpa = "15m"
overlap = "36h"
requests_per_minute = 0
max_in_flight = "64 mebibytes"
deduplicate = "yes"

[kafka]
brokers = "kafka1,kafka2:9092"
topic = "security/incidents"
[kafka.properties]
"acks" = "1"
"transactional.id" = "S3cr3t~canary.value"

[log]
level = "inof"

[[tenants]]
id = "11111111-1111-1111-1111-111111111111"
name = "contoso"

[[tenants]]
id = "11111111-1111-1111-1111-111111111111"
name = "fabrikam"
poll.max_concurrent = 3
"#;

const TWENTY_REPORTED: &str = r#"the configuration has 20 errors:
incidentd.toml: app.client_id: it is not a GUID
    copy "Application (client) ID" from the app registration's overview page
incidentd.toml: app.client_secret_file: the file can't be read: No such file or directory (os error 2)
    give the path of a file that holds the secret's value and that the daemon's user can read
incidentd.toml: app.client_secret: there is no such key
    put the secret into a file that only the daemon can read and name it in client_secret_file, or name an environment variable in client_secret_env
incidentd.toml: api.source = "graph": this version reads "defender" only
    set it to "defender", or leave it out
incidentd.toml: api.cloud = "china": Microsoft documents no Defender incidents API in that cloud
    choose "commercial", "gcc", "gcc-high" or "dod"
incidentd.toml: api.base_url = "http://api.example.net": plain http would carry tokens in the clear; it is accepted on loopback only
    use https
incidentd.toml: api.proxy: it has a path, a query or a fragment
    give it as "http://host:port"
incidentd.toml: poll.schedule = "*/30 * * * *": a cron expression has six fields here, this has 5
    give a cron expression of six fields (second minute hour day month weekday, in UTC) such as "*/30 * * * * *", or an interval such as "every 30s" (s, m or h; 1s to 24h)
incidentd.toml: poll.requests_per_minute = 0: it is out of range
    give a whole number from 1 to 6000
incidentd.toml: poll.deduplicate = "yes": there is no such choice
    choose "version" or "id"
incidentd.toml: poll.overlap = "36h": it is not shorter than the look-back of 24h
    make poll.overlap shorter than poll.lookback
incidentd.toml: poll.max_in_flight = "64 mebibytes": it is not a whole number of bytes, or one with a unit (KiB, MiB, GiB, KB, MB, GB)
    give a size from 1MiB to 1024GiB, for example "64MiB"
incidentd.toml: poll.overlpa: there is no such key
    did you mean overlap?
incidentd.toml: kafka.brokers = "kafka1,kafka2:9092": it is not a list of host:port
    give it as "kafka1.example.net:9092,kafka2.example.net:9092"; how to log in goes to [kafka.properties]
incidentd.toml: kafka.topic = "security/incidents": it is no valid name of a topic
    use 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'
incidentd.toml: kafka.properties.acks: without all acknowledgements records could be lost
    remove it, or set it to "all"
incidentd.toml: kafka.properties.transactional.id: this ledger uses no transactions
    remove it
incidentd.toml: log.level = "inof": it names no level
    give off, error, warn, info, debug or trace, or a filter such as "info,incidentd::microsoft=debug"
incidentd.toml: tenants[1].id = "11111111-1111-1111-1111-111111111111" (tenant fabrikam): tenants[0] of incidentd.toml has the same id
    remove one of the two
incidentd.toml: tenants[1].poll.max_concurrent (tenant fabrikam): there is no such key
    it holds for the whole daemon: set it in [poll] of the main file"#;

#[test]
fn twenty_mistakes_are_twenty_errors_in_one_report() {
    let fixture = Fixture::new(TWENTY);
    assert_eq!(fixture.report(), TWENTY_REPORTED);
    let errors = fixture.load().expect_err("twenty errors");
    assert_eq!(errors.problems().len(), 20);
}

#[test]
fn no_secret_is_in_a_report_or_in_debug() {
    let report = Fixture::new(TWENTY)
        .with_env("INCIDENTD__APP__CLIENT_SECRET_ENV", CANARY)
        .report();
    assert!(!report.contains("canary"), "{report}");
    let syntax = Fixture::new(&format!("[app]\nclient_secret = \"{CANARY}\n")).report();
    assert!(!syntax.contains("canary"), "{syntax}");

    let fixture = with(&format!(
        "[api]\nproxy = \"http://user:{CANARY}@proxy:3128\"\n[kafka.properties]\nsasl.password = \"{CANARY}\""
    ));
    let fixture = fixture
        .with_env("THE_SECRET", CANARY)
        .with_file("more/a.toml", "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\napp.client_secret_env = \"THE_SECRET\"")
        .with_env("INCIDENTD__TENANTS_DIR", "more");
    let settings = fixture.valid();
    let shown = format!("{settings:#?}");
    assert!(!shown.contains("canary"), "{shown}");
    // The search would have found it.
    match &settings.tenants[1].app.secret {
        SecretSource::Env { name, value } => {
            assert_eq!((&**name, value.expose_secret()), ("THE_SECRET", CANARY))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(settings.kafka.properties[0].1.expose_secret(), CANARY);
}

#[test]
fn the_environment_goes_before_the_file_and_a_tenant_before_both() {
    let main = with("[poll]\nlookback = \"2d\"\noverlap = \"10m\"\nrequests_per_minute = 10\n[kafka]\ntopic = \"file\"")
        .with_file("more/b.toml", "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\npoll.overlap = \"30m\"")
        .with_env("INCIDENTD__POLL__OVERLAP", "20m")
        .with_env("INCIDENTD__POLL__REQUESTS_PER_MINUTE", "12")
        .with_env("INCIDENTD__KAFKA__TOPIC", "environment")
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .with_env("INCIDENTD_OTHER", "is not ours")
        .with_env("PATH", "/bin");
    let settings = main.valid();
    let [contoso, other] = &settings.tenants[..] else {
        panic!("{settings:?}")
    };
    assert_eq!(contoso.poll.overlap, Duration::from_secs(1200));
    assert_eq!(other.poll.overlap, Duration::from_secs(1800));
    for tenant in [contoso, other] {
        assert_eq!(tenant.poll.lookback, Duration::from_secs(172_800));
        assert_eq!(tenant.poll.requests_per_minute, 12);
        assert_eq!(&*tenant.topic, "environment");
    }
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let report = with("[poll]\noverlap = \"10m\"")
        .with_env("INCIDENTD__POLL__OVERLAP", "soon")
        .with_env("INCIDENTD__POLL__OVERLAPP", CANARY)
        .with_env("INCIDENTD__TENANTS", "contoso")
        .with_env("INCIDENTD__LOG", "debug")
        .with_env("INCIDENTD____LEVEL", "debug")
        .with_env("incidentd__http__listen", "localhost")
        .with_env("INCIDENTD__FOO__BAR", "1")
        .report();
    for expected in [
        "environment variable INCIDENTD__POLL__OVERLAP: poll.overlap = \"soon\": ",
        "environment variable INCIDENTD__POLL__OVERLAPP: poll.overlapp: there is no such key\n    did you mean overlap?",
        "environment variable INCIDENTD__TENANTS: tenants = \"contoso\": it is not a list of tables",
        "environment variable INCIDENTD__LOG: log = \"debug\": it is a single value",
        "environment variable INCIDENTD____LEVEL: it names no key",
        "environment variable incidentd__http__listen: http.listen = \"localhost\": ",
        "environment variable INCIDENTD__FOO__BAR: foo: there is no such key",
    ] {
        assert!(report.contains(expected), "{expected} is not in\n{report}");
    }
    assert!(!report.contains("canary"), "{report}");
}

#[test]
fn properties_are_one_list_however_they_are_written() {
    let main = with("[kafka.properties]\n\"sasl.password\" = \"file\"\nlinger.ms = 5\n\"socket.keepalive.enable\" = true\nmessage.timeout.ms = 1000")
        .with_env("INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD", "environment");
    let settings = main.valid();
    let list: Vec<(&str, &str)> = settings
        .kafka
        .properties
        .iter()
        .map(|(name, value)| (&**name, value.expose_secret()))
        .collect();
    let expected = [
        ("linger.ms", "5"),
        ("message.timeout.ms", "1000"),
        ("sasl.password", "environment"),
        ("socket.keepalive.enable", "true"),
    ];
    assert_eq!(list, expected);
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(
        settings.warnings[0].contains("kafka.properties.message.timeout.ms: "),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn properties_that_break_a_promise_are_refused() {
    for (property, remedy) in [
        ("\"bootstrap.servers\" = \"a:1\"", "set kafka.brokers"),
        ("metadata.broker.list = \"a:1\"", "set kafka.brokers"),
        ("enable.idempotence = false", "without idempotence"),
        ("acks = 1", "without all acknowledgements"),
        (
            "request.required.acks = \"0\"",
            "without all acknowledgements",
        ),
        ("transactional.id = \"a\"", "no transactions"),
        (
            "delivery.report.only.error = true",
            "without delivery reports",
        ),
        ("a = [1]", "it is not a single value"),
        ("a.b = 1\n\"a.b\" = 2", "it is given twice"),
    ] {
        let report = with(&format!("[kafka.properties]\n{property}")).report();
        assert!(
            report.contains(remedy) && report.contains("one error"),
            "{property}: {report}"
        );
    }
    let accepted = "enable.idempotence = true\nacks = \"all\"\nrequest.required.acks = -1\nmessage.timeout.ms = 0";
    assert_eq!(
        with(&format!("[kafka.properties]\n{accepted}"))
            .valid()
            .warnings,
        Vec::<String>::new()
    );
}

#[test]
fn tenants_share_what_they_do_not_override() {
    let settings = with("[api]\ncloud = \"gcc\"\nscope = \"https://x/.default\"\nbase_url = \"https://near.example.net\"")
        .with_file(
            "more/a.toml",
            r#"
            [[tenants]]
            id = "22222222-2222-2222-2222-222222222222"
            api.cloud = "dod"
            kafka.topic = "own"
            app.client_id = "0f0f0f0f-0000-4000-8000-000000000002"
            [[tenants]]
            id = "33333333-3333-3333-3333-333333333333"
            api.token_endpoint = "v1"
            poll.max_response = "1MiB"
            app = { client_secret_env = "THEIRS" }
            [[tenants]]
            id = "44444444-4444-4444-4444-444444444444"
            "#,
        )
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .with_env("THEIRS", "their secret\n")
        .valid();
    let [contoso, dod, v1, plain] = &settings.tenants[..] else {
        panic!("{settings:?}")
    };
    assert_eq!(contoso.api.base_url.as_str(), "https://near.example.net/");
    assert_eq!(
        (dod.api.base_url.as_str(), &*dod.api.scope),
        (
            "https://api-gov.security.microsoft.us/",
            "https://api-gov.security.microsoft.us/.default"
        )
    );
    assert_eq!(
        dod.api.login_url.as_str(),
        "https://login.microsoftonline.us/"
    );
    assert_eq!(
        (v1.api.base_url.as_str(), v1.api.token_endpoint),
        ("https://near.example.net/", TokenEndpoint::V1)
    );
    assert_eq!(
        (v1.api.max_response, contoso.api.max_response),
        (1 << 20, 64 << 20)
    );
    assert_eq!((&*dod.topic, &*v1.topic), ("own", "security.incidents"));
    assert!(
        matches!(&dod.app.secret, SecretSource::File(path) if path.ends_with("secret")),
        "{dod:?}"
    );
    assert!(
        matches!(&v1.app.secret, SecretSource::Env { value, .. } if value.expose_secret() == "their secret"),
        "{v1:?}"
    );
    assert_eq!(v1.app.client_id, contoso.app.client_id);
    assert_ne!(dod.app.client_id, contoso.app.client_id);
    assert_eq!(plain.name.to_string(), plain.id.to_string());
    assert!(Arc::ptr_eq(&contoso.app, &plain.app) && Arc::ptr_eq(&contoso.api, &plain.api));
    assert!(Arc::ptr_eq(&contoso.poll, &plain.poll) && Arc::ptr_eq(&contoso.topic, &plain.topic));
    // The scope was set for all but the tenant that chose its cloud.
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(
        settings.warnings[0].contains("\"dod\""),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn plain_http_is_for_loopback_and_a_base_is_scheme_and_host() {
    let url = |url: &str| with(&format!("[api]\nbase_url = {url:?}\nlogin_url = {url:?}"));
    for accepted in [
        "https://a.example.net",
        "https://a:8443/",
        "http://127.0.0.1:1234",
        "http://127.9.9.9",
        "http://[::1]:80",
        "http://localhost:1",
    ] {
        url(accepted).valid();
    }
    for refused in [
        "http://a.example.net",
        "http://10.0.0.1",
        "http://localhost.example.net",
        "http://[::ffff:10.0.0.1]",
        "ftp://localhost",
        "https://a/b",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://",
        "a.example.net",
        "",
    ] {
        let report = url(refused).report();
        assert!(report.contains("2 errors"), "{refused}: {report}");
    }
}

#[test]
fn refuses_each_wrong_value_once() {
    for (section, key, value) in [
        ("app", "client_secret_env", "\"UNSET\""),
        ("api", "token_endpoint", "\"v3\""),
        ("api", "ca_file", "\"nowhere.pem\""),
        ("api", "scope", "\"/.default\""),
        ("api", "proxy", "\"socks5://proxy:1\""),
        ("poll", "lookback", "\"181d\""),
        ("poll", "lookback", "\"10m\""),
        ("poll", "overlap", "\"0s\""),
        ("poll", "reconcile_window", "\"5m\""),
        ("poll", "request_timeout", "\"11m\""),
        ("poll", "max_response", "\"1KiB\""),
        ("poll", "max_response", "\"2GiB\""),
        ("poll", "max_concurrent", "0"),
        ("poll", "max_concurrent", "10001"),
        ("poll", "requests_per_minute", "-1"),
        ("poll", "requests_per_minute", "1.5"),
        ("poll", "schedule", "\"0 0 0 30 2 *\""),
        ("poll", "schedule", "[1]"),
        ("kafka", "brokers", "\"kafka:0\""),
        ("kafka", "brokers", "\"kafka:9092,\""),
        ("kafka", "topic", "\"..\""),
        ("kafka", "status_topic", "\"\""),
        ("kafka", "format", "\"avro\""),
        ("ledger", "kind", "\"kafka\""),
        ("ledger", "path", "\"\""),
        ("http", "listen", "\"localhost:80\""),
        ("log", "format", "\"xml\""),
        ("log", "level", "\"info,incidentd=loud\""),
    ] {
        let text = match section {
            "app" => format!("{APP}{key} = {value}\n{TENANT}"),
            _ => format!("{APP}[{section}]\n{key} = {value}\n{TENANT}"),
        };
        let errors = Fixture::new(&text).load().expect_err(&text);
        let about = format!("{section}.{key}");
        // Two app keys at once are a second mistake.
        assert!(
            errors.problems().iter().all(|problem| problem.key == about),
            "{errors}"
        );
        assert!(
            errors.problems().len() <= 1 + usize::from(section == "app"),
            "{errors}"
        );
    }
}

#[test]
fn a_missing_key_of_the_app_is_one_error_for_all_tenants() {
    let report = Fixture::new(
        "[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\n[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\napp.client_secret_file = \"secret\"",
    )
    .report();
    assert!(report.contains("2 errors"), "{report}");
    assert!(report.contains("app.client_id: it is missing; tenants that need it: 2, the first is tenants[0] of incidentd.toml"), "{report}");
    assert!(
        report.contains("app.client_secret_file: it is missing; tenants that need it: 1"),
        "{report}"
    );
}

#[test]
fn names_and_ids_are_unique_over_all_files() {
    let report = with("")
        .with_file("more/a.toml", "[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\nname = \"a\"")
        .with_file("more/b.toml", "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\nname = \"contoso\"")
        .with_file("more/c.toml", "[[tenants]]\nid = \"33333333-3333-3333-3333-333333333333\"\nname = \"44444444-4444-4444-4444-444444444444\"")
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .report();
    assert!(report.contains("more/a.toml: tenants[0].id = \"11111111-1111-1111-1111-111111111111\" (tenant a): tenants[0] of incidentd.toml has the same id"), "{report}");
    assert!(report.contains("more/b.toml: tenants[0].name = \"contoso\" (tenant contoso): tenants[0] of incidentd.toml has the same name"), "{report}");
    assert!(
        report.contains("it is the id of another tenant"),
        "{report}"
    );
    assert!(report.contains("3 errors"), "{report}");
}

#[test]
fn a_file_of_tenants_dir_holds_tenants_and_nothing_else() {
    let report = with("")
        .with_file("more/a.toml", "[poll]\noverlap = \"1m\"")
        .with_file("more/b.toml", "[[tenants]]\nid =\n")
        .with_file("more/c.toml", [0xff, 0xfe])
        .with_file("more/.hidden.toml", "not read")
        .with_file("more/notes.txt", "not read")
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .report();
    let expected = "the configuration has 4 errors:\n\
        more/a.toml: poll: there is no such key\n    remove it; here are known: tenants\n\
        more/a.toml: it holds no [[tenants]]\n    add the tenant, or remove the file\n\
        more/b.toml: line 2, column 5: string values must be quoted, expected literal string\n    correct it; the file must be valid TOML\n\
        more/c.toml: it is not text in UTF-8\n    save it as UTF-8";
    assert_eq!(report, expected);
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_to_do() {
    let fixture = Fixture::new("");
    fs::remove_file(fixture.main()).expect("removed");
    assert_eq!(
        fixture.report(),
        "the configuration has one error:\nincidentd.toml: it can't be read: No such file or directory (os error 2)\n    \
         create it (config/minimal.toml is a start), or name another file with --config"
    );
    let report = with("")
        .with_env("INCIDENTD__TENANTS_DIR", "nowhere")
        .report();
    assert!(
        report.contains("nowhere: the folder of tenants_dir can't be read"),
        "{report}"
    );
    assert!(Fixture::new(APP).report().contains("there is no tenant"));
}

#[test]
fn a_secret_that_can_not_be_one_is_refused() {
    for (name, content, why) in [
        ("empty", &b"\n"[..], "the file is empty"),
        ("binary", &[0xff, 0x00][..], "the file is not text"),
        (
            "large",
            &[b'a'; 70_000][..],
            "it is larger than 65536 bytes",
        ),
    ] {
        let text = format!("{APP}{TENANT}").replace("\"secret\"", &format!("{name:?}"));
        let report = Fixture::new(&text).with_file(name, content).report();
        assert!(
            report.contains(why) && report.contains("one error"),
            "{name}: {report}"
        );
    }
    let text = format!("{APP}{TENANT}").replace("\"secret\"", "\".\"");
    let report = Fixture::new(&text).report();
    assert!(report.contains("it is not a regular file"), "{report}");
    let text = format!("{APP}{TENANT}").replace(
        "client_secret_file = \"secret\"",
        "client_secret_env = \"E\"",
    );
    let report = Fixture::new(&text).with_env("E", "").report();
    assert!(
        report.contains("the environment variable of this name is empty"),
        "{report}"
    );
}

#[test]
fn a_budget_beyond_the_documented_one_is_one_warning() {
    let mut more = String::new();
    for n in 0..3 {
        let _ = writeln!(
            more,
            "[[tenants]]\nid = \"22222222-2222-2222-2222-22222222222{n}\"\npoll.requests_per_minute = 40"
        );
    }
    let settings = with("")
        .with_file("more/a.toml", more)
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .valid();
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    let expected =
        "more/a.toml: tenants[0].poll.requests_per_minute and 2 more: 40 a minute is more";
    assert!(
        settings.warnings[0].contains(expected),
        "{:?}",
        settings.warnings
    );
}

fn many(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|n| {
        format!("[[tenants]]\nid = \"00000000-0000-4000-8000-{n:012}\"\nname = \"customer {n}\"\n")
    })
}

/// Prints what it took; the promise of a second holds for a release build on an idle machine.
#[test]
fn five_thousand_tenants_load_from_one_file_and_from_as_many() {
    let all: String = many(5000).collect();
    let one = Fixture::new(&format!("{APP}{all}"));
    let mut each = Fixture::new(APP).with_env("INCIDENTD__TENANTS_DIR", "more");
    for (n, text) in many(5000).enumerate() {
        each = each.with_file(&format!("more/{n:05}.toml"), text);
    }
    for (name, fixture) in [("one file", one), ("5,000 files", each)] {
        let start = Instant::now();
        let settings = fixture.valid();
        println!("5,000 tenants from {name}: {:?}", start.elapsed());
        assert_eq!(settings.tenants.len(), 5000, "{name}");
        for (n, tenant) in settings.tenants.iter().enumerate() {
            assert_eq!(*tenant.name, format!("customer {n}"), "{name}");
            assert!(
                Arc::ptr_eq(&tenant.poll, &settings.tenants[0].poll),
                "{name}: {n} shares nothing"
            );
        }
    }
}

/// Lines of a configuration, right and wrong, in any order.
fn any_lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        prop::sample::select(vec![
            "[app]",
            "[api]",
            "[poll]",
            "[kafka]",
            "[kafka.properties]",
            "[ledger]",
            "[http]",
            "[log]",
            "[[tenants]]",
            "[tenants]",
            "[poll.overlap]",
            "tenants = 1",
            "tenants = [1, {}]",
            "tenants_dir = \"\\u0000\"",
            "client_secret_file = \"secret\"",
        ])
        .prop_map(str::to_owned),
        (
            prop::sample::select(vec![
                "client_id",
                "client_secret_file",
                "client_secret_env",
                "id",
                "name",
                "source",
                "cloud",
                "base_url",
                "scope",
                "proxy",
                "schedule",
                "lookback",
                "overlap",
                "requests_per_minute",
                "max_response",
                "max_in_flight",
                "brokers",
                "topic",
                "acks",
                "path",
                "listen",
                "level",
                "api.cloud",
                "poll.schedule",
                "\"\"",
                "a.b.c",
                "tenants_dir",
            ]),
            prop_oneof![
                "\"[ -!#-\\[\\]-~]{0,20}\"",
                "'\\PC{0,12}'",
                "-?[0-9]{1,25}",
                Just("{ a = [1, 2.5, true] }".to_owned()),
                Just("1979-05-27T07:32:00Z".to_owned()),
                Just("\"every 30s\"".to_owned()),
                Just("\"11111111-1111-1111-1111-111111111111\"".to_owned()),
            ],
        )
            .prop_map(|(key, value)| format!("{key} = {value}")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_and_no_environment_panics(
        main in prop_oneof![4 => any_lines(), 1 => "\\PC{0,80}"],
        names in prop::collection::vec("INCIDENTD__([A-Z_.\\[\\]0-9]{0,12}__){0,3}[A-Z_]{0,8}|\\PC{0,12}", 0..4),
        value in "\\PC{0,12}",
    ) {
        let fixture = Fixture::new(&main);
        let fixture = names.iter().fold(fixture, |fixture, name| fixture.with_env(name, &value));
        if let Err(errors) = fixture.load() {
            prop_assert!(!errors.problems().is_empty(), "refused without a reason");
            for problem in errors.problems() {
                let lines = problem.to_string();
                prop_assert!(lines.lines().count() == 2, "{lines}");
                prop_assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{lines}");
            }
        }
    }

    #[test]
    fn deep_names_in_the_environment_do_no_harm(depth in 1_usize..20_000) {
        let name = format!("INCIDENTD{}", "__A".repeat(depth));
        prop_assert!(with("").with_env(&name, "1").load().is_err());
    }
}
