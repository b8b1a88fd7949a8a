//! What an operator reads when something is wrong.

use std::fs;

use secrecy::ExposeSecret;

use super::super::settings::{Credential, SecretSource};
use super::{APP, CANARY, Fixture, TENANT, with};

const TWENTY: &str = r#"
[app]
client_id = "not-a-guid"
client_secret = "S3cr3t~canary.value"
client_secret_file = "nowhere/S3cr3t~canary.value"

[api]
source = "sentinel"
cloud = "mars"
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
incidentd.toml: api.source = "sentinel": there is no such choice
    choose "defender" or "graph"
incidentd.toml: api.cloud = "mars": there is no such choice
    choose "commercial" or "gcc" or "gcc-high" or "dod" or "china"
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
incidentd.toml: log.level = "inof": it is no level and no filter
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
    match &settings.tenants[1].app.credential {
        Credential::Secret {
            current: SecretSource::Env { name, value },
            next: None,
        } => {
            assert_eq!((&**name, value.expose_secret()), ("THE_SECRET", CANARY))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(settings.kafka.properties[0].1.expose_secret(), CANARY);
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
