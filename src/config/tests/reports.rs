//! The report for an operator when something is wrong.

use std::fs;

use secrecy::ExposeSecret;

use super::{APP, CANARY, Fixture, TENANT, with};
use crate::settings::{Credential, SecretSource};

/// A file, and the files of its `tenants_dir`, with as many mistakes as one person could make.
fn mistakes() -> Fixture {
    Fixture::new(include_str!("mistakes/incidentd.toml"))
        .with_file(
            "tenants.d/contoso-again.toml",
            include_str!("mistakes/tenants.d/contoso-again.toml"),
        )
        .with_file(
            "tenants.d/no-header.toml",
            include_str!("mistakes/tenants.d/no-header.toml"),
        )
        .with_file(
            "tenants.d/northwind.toml",
            include_str!("mistakes/tenants.d/northwind.toml"),
        )
        .with_file(
            "tenants.d/torn.toml",
            include_str!("mistakes/tenants.d/torn.toml"),
        )
        .with_env("INCIDENTD__TENANTS_DIR", "tenants.d")
        .with_env("INCIDENTD__POLL__LOOKBAK", CANARY)
}

#[test]
fn each_of_many_mistakes_is_one_error_of_one_report() {
    let expected = include_str!("mistakes/report.txt").trim_end();
    let report = mistakes().report();
    assert_eq!(report, expected, "it reads:\n{report}\n");
    let errors = mistakes().load().expect_err("many errors");
    assert!(errors.problems().len() >= 20);
    // One for each mistake: no key is named twice at the same place.
    let mut places: Vec<String> = errors
        .problems()
        .iter()
        .map(|problem| format!("{} {}", problem.origin, problem.key))
        .collect();
    places.sort();
    let all = places.len();
    places.dedup();
    assert_eq!(places.len(), all);
}

#[test]
fn no_secret_is_in_a_report_or_in_debug() {
    let report = mistakes()
        .with_env("INCIDENTD__APP__CLIENT_SECRET_ENV", CANARY)
        .report();
    assert!(!report.contains("canary"), "{report}");
    for syntax in [
        format!("[app]\nclient_secret = \"{CANARY}\n"),
        format!("[app]\nclient_secret: {CANARY}\nclient_secret = {CANARY}"),
        format!("[app] # {CANARY}\n[app] # {CANARY}"),
        format!("[app]\na = \"{CANARY}\"\na = \"{CANARY}\"\nb = {{ c = \"{CANARY}\", c = 1 }}"),
        format!("[app]\na = \"\"\"{CANARY}\nb = ["),
    ] {
        let report = Fixture::new(&syntax).report();
        assert!(!report.contains("canary"), "{report}");
    }

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
    assert_eq!(
        settings.kafka.connection.properties[0].1.expose_secret(),
        CANARY
    );
}

#[test]
fn a_secret_that_was_pasted_into_another_key_is_left_out_by_its_looks() {
    for secret in [
        CANARY,
        "canary-as-a-password",
        "canary8of0letters",
        "k3y+canary/=",
        "https://api.example/?sig=canary",
        "-----BEGIN PRIVATE KEY-----\\ncanaryMC4CAQAwBQYDK2Vw",
    ] {
        for key in [
            "api.source",
            "api.base_url",
            "poll.schedule",
            "poll.overlap",
            "poll.max_response",
            "tenants_dir",
            "kafka.brokers",
            "kafka.format",
            "http.listen",
            "log.level",
        ] {
            let text = format!("{key} = \"{secret}\"\n{APP}{TENANT}");
            let report = Fixture::new(&text).report();
            assert!(report.contains(&format!(": {key}: ")), "{report}");
            assert!(!report.contains("canary"), "{report}");
        }
        let id = format!("{APP}[[tenants]]\nid = \"{secret}\"");
        let cron = format!("poll.schedule = \"{secret} * * * * *\"\n{APP}{TENANT}");
        for text in [id, cron] {
            let report = Fixture::new(&text).report().to_lowercase();
            assert!(!report.contains("canary"), "{report}");
        }
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
        "environment variable INCIDENTD__POLL__OVERLAPP: poll.overlapp: there is no such key in [poll]\n    did you mean overlap?",
        "environment variable INCIDENTD__TENANTS: tenants = \"contoso\": it is a single value, and should be a list of tables\n    unset it",
        "environment variable INCIDENTD__LOG: log = \"debug\": it is a single value",
        "environment variable INCIDENTD____LEVEL: it names no key",
        "environment variable incidentd__http__listen: http.listen = \"localhost\": ",
        "environment variable INCIDENTD__FOO__BAR: foo: there is no such table",
    ] {
        assert!(report.contains(expected), "{expected} is not in\n{report}");
    }
    assert!(!report.contains("canary"), "{report}");
}

#[test]
fn a_variable_below_what_a_file_gives_otherwise_is_not_passed_over() {
    let report = with("[http]\nlisten = \"127.0.0.1:0\"")
        .with_env("INCIDENTD__TENANTS__0__NAME", CANARY)
        .with_env("INCIDENTD__TENANTS__0__POLL__SCHEDULE", "every 9s")
        .with_env("INCIDENTD__HTTP__LISTEN__PORT", "1")
        .report();
    for expected in [
        "environment variable INCIDENTD__TENANTS__0__NAME: it names no key\n    unset it: the environment can't hold [[tenants]]",
        "environment variable INCIDENTD__TENANTS__0__POLL__SCHEDULE: it names no key\n    unset it: the environment can't",
        "environment variable INCIDENTD__HTTP__LISTEN__PORT: it names no key\n    unset it: listen is one value",
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
        ("api", "scope", "\"https://user:password@api/.default\""),
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
        ("ledger", "kind", "\"redb\""),
        ("ledger", "topic", "\"a/b\""),
        ("ledger", "group", "\"\""),
        ("ledger", "partitions", "0"),
        ("ledger", "path", "\"\""),
        ("http", "listen", "\"localhost:80\""),
        ("log", "format", "\"xml\""),
        ("log", "level", "\"info,incidentd=loud\""),
        ("log", "level", "\"info,incidentd=\""),
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
        .with_file("more/c.toml", b"# M\xc3\xbcnchen\n# M\xfcnchen\n")
        .with_file("more/.hidden.toml", "not read")
        .with_file("more/notes.txt", "not read")
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .report();
    let expected = "the configuration has 3 errors:\n\
        more/a.toml:1: poll: it is a tenant's, and there is no line [[tenants]] above it\n    \
        write the line [[tenants]] above the tenant's keys; its own [poll] is then [tenants.poll], below that\n\
        more/b.toml:2: the value has no quotes, or is missing\n    \
        put texts, durations, sizes and schedules in quotes, as in \"30s\"; nothing else in this file was looked at\n\
        more/c.toml:2: it is not text in UTF-8\n    save it as UTF-8; nothing else in this file was looked at";
    assert_eq!(report, expected);
}

#[test]
fn syntax_errors_are_said_in_plain_words_each_with_its_line() {
    for (text, expected) in [
        (
            "[poll]\noverlap = 15m\nlookback = 24h",
            &["2: the value has no quotes", "3: the value has no quotes"][..],
        ),
        (
            "[poll]\noverlap = \"1m\"\n[api]\n[poll]\noverlap = \"2m\"",
            &["4: [poll] is given before, in line 1"],
        ),
        (
            "[poll]\noverlap = \"1m\"\n\noverlap = \"2m\"",
            &["4: overlap is given before, in line 2"],
        ),
        (
            "[a]\nx = 1\n[b]\ny = 1\ny = 2",
            &["5: y is given before, in line 4"],
        ),
        (
            "[poll",
            &["1: the name of the table has no closing bracket"],
        ),
        (
            "[api]\nca_file = \"C:\\secret\"",
            &["2: a backslash between double quotes"],
        ),
        ("[api]\nca_file \"a\"", &["2: a key has no value"]),
        (
            "[app]\nx = [1,\n2\ny = 3\n[c]",
            &["4: it is not valid TOML: missing comma between array elements"],
        ),
    ] {
        let report = Fixture::new(text).report();
        let said: Vec<&str> = report
            .lines()
            .filter_map(|line| line.strip_prefix("incidentd.toml:"))
            .collect();
        assert_eq!(said.len(), expected.len(), "{report}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said} is not {expected}");
        }
        // Other mistakes are not known yet, which is said once.
        let rest = "; nothing else was looked at, in this file or in others";
        assert!(
            report.ends_with(rest) && report.matches(rest).count() == 1,
            "{report}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_to_do() {
    let fixture = Fixture::new("");
    fs::remove_file(fixture.main()).expect("removed");
    assert_eq!(
        fixture.report(),
        "the configuration has one error:\nincidentd.toml: it can't be read: No such file or directory (os error 2)\n    \
         create it with incidentd init, or name another file with --config"
    );
    let report = with("")
        .with_env("INCIDENTD__TENANTS_DIR", "nowhere")
        .report();
    assert!(
        report.contains(
            "environment variable INCIDENTD__TENANTS_DIR: tenants_dir = \"nowhere\": the folder can't be read: No such"
        ),
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
