//! Settings that are valid separately but not together.

use super::{APP, CANARY, Fixture, TENANT, with};

/// An `[api]` with the keys `shared`, and a second tenant with the keys `own`.
fn api(shared: &str, own: &str) -> Fixture {
    let own: String = own.lines().map(|key| format!("api.{key}\n")).collect();
    with(&format!("[api]\n{shared}"))
        .with_file(
            "more/own.toml",
            format!("[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\n{own}"),
        )
        .with_env("INCIDENTD__TENANTS_DIR", "more")
}

#[test]
fn an_address_of_another_source_or_cloud_is_refused_where_it_is_given() {
    for (keys, key, why) in [
        (
            "base_url = \"https://api.security.microsoft.com\"",
            "api.base_url",
            "it belongs to api.source = \"defender\", and api.source is \"graph\"\n    remove it (then \"https://graph.microsoft.com\" is used), or correct api.source",
        ),
        (
            "source = \"graph\"\nbase_url = \"https://swa.api.security.microsoft.com\"",
            "api.base_url",
            "it belongs to api.source = \"defender\", and api.source is \"graph\"",
        ),
        (
            "source = \"defender\"\ncloud = \"gcc\"\nbase_url = \"https://us.api.security.microsoft.com.\"",
            "api.base_url",
            "it belongs to api.cloud = \"commercial\", and api.cloud is \"gcc\"",
        ),
        (
            "source = \"defender\"\nscope = \"https://eu.api.security.microsoft.com/.default\"",
            "api.scope",
            "it names a regional host of the API",
        ),
        (
            "source = \"defender\"\nbase_url = \"https://graph.microsoft.com\"",
            "api.base_url",
            "it belongs to api.source = \"graph\", and api.source is \"defender\"",
        ),
        (
            "scope = \"https://api.security.microsoft.com/.default\"",
            "api.scope",
            "it belongs to api.source = \"defender\", and api.source is \"graph\"",
        ),
        (
            "source = \"graph\"\ncloud = \"dod\"\nbase_url = \"https://graph.microsoft.com\"",
            "api.base_url",
            "it belongs to api.cloud = \"commercial\" or \"gcc\", and api.cloud is \"dod\"",
        ),
        (
            "source = \"graph\"\ncloud = \"dod\"\nlogin_url = \"https://login.microsoftonline.com\"",
            "api.login_url",
            "it issues tokens for api.cloud = \"commercial\" or \"gcc\", and api.cloud is \"dod\"",
        ),
        (
            "base_url = \"https://api.securitycenter.microsoft.com\"",
            "api.base_url",
            "it is the API of Defender for Endpoint, which has no incidents of Defender XDR",
        ),
        (
            "scope = \"https://securitycenter.onmicrosoft.com/windowsatpservice/.default\"",
            "api.scope",
            "it asks for tokens of Defender for Endpoint",
        ),
    ] {
        let shared = api(keys, "").report();
        let own = api("", keys).report();
        for report in [&shared, &own] {
            assert!(
                report.contains("one error") && report.contains(why),
                "{keys}: {report}"
            );
            assert!(report.contains(key), "{keys}: {report}");
        }
        assert!(own.contains("more/own.toml:"), "{own}");
    }
}

#[test]
fn addresses_that_fit_or_that_nobody_knows_are_accepted() {
    for keys in [
        "source = \"defender\"\nbase_url = \"https://api-eu.security.microsoft.com\"",
        "base_url = \"https://proxy.example.net\"\nlogin_url = \"http://127.0.0.1:1\"\nscope = \"00000003-0000-0000-c000-000000000000/.default\"",
        "cloud = \"gcc\"\nbase_url = \"https://graph.microsoft.com\"",
        "source = \"defender\"\nbase_url = \"https://aea.api.security.microsoft.com\"",
        "login_url = \"https://login.windows.net\"",
        // Microsoft documents no audience for Defender there.
        "source = \"defender\"\ncloud = \"gcc\"\nscope = \"https://api.security.microsoft.com/.default\"",
    ] {
        api(keys, "").valid();
        api("", keys).valid();
    }
}

#[test]
fn a_tenant_that_leaves_hand_set_addresses_behind_is_warned_of() {
    let set = "source = \"defender\"\nbase_url = \"https://gateway.example.net\"\nlogin_url = \"https://login.example.net\"";
    let dropped = |shared: &str, own: &str| {
        let mut warnings = api(shared, own).warnings();
        warnings.retain(|warning| warning.contains("is not used for a tenant"));
        warnings
    };
    assert_eq!(
        dropped(set, "source = \"graph\""),
        [
            "more/own.toml:3: tenants[0].api.source: what [api] sets by hand is not used for a tenant of another source or cloud: \
          base_url. This tenant is read at https://graph.microsoft.com with tokens of https://login.example.net; where \
          that is wrong, set these keys for it, too"
        ]
    );
    let both = dropped(set, "cloud = \"dod\"");
    assert!(
        both.len() == 1 && both[0].contains("base_url, login_url."),
        "{both:?}"
    );
    let own = "source = \"graph\"\nbase_url = \"https://own.example.net\"";
    assert_eq!(dropped(set, own), Vec::<String>::new());
    // No warning if an address of Microsoft's can't serve the other source, because that is obvious.
    let nearer = "source = \"defender\"\nbase_url = \"https://api-eu.security.microsoft.com\"";
    assert_eq!(dropped(nearer, "source = \"graph\""), Vec::<String>::new());
}

#[test]
fn two_first_secrets_are_one_error_that_names_both() {
    let text = format!("{APP}client_secret_env = \"UNSET\"\n{TENANT}");
    assert_eq!(
        Fixture::new(&text).report(),
        "the configuration has one error:\nincidentd.toml:5: app.client_secret_env: client_secret_file (incidentd.toml:4) is given \
         too, and there can be one first secret only\n    keep one of the two; during a rotation the second secret goes into \
         client_secret_next_file"
    );
    let by_environment = with("")
        .with_env("INCIDENTD__APP__CLIENT_SECRET_ENV", "THE_SECRET")
        .with_env("THE_SECRET", CANARY)
        .report();
    assert!(
        by_environment.contains("one error")
            && by_environment.contains(
                "environment variable INCIDENTD__APP__CLIENT_SECRET_ENV: app.client_secret_env: client_secret_file \
                 (incidentd.toml:4) is given too"
            ),
        "{by_environment}"
    );
    assert!(!by_environment.contains("canary"), "{by_environment}");
}

#[test]
fn a_pair_that_contradicts_itself_names_both_places() {
    let report = with("[poll]\nlookback = \"1h\"\noverlap = \"2h\"").report();
    let expected = "incidentd.toml:8: poll.overlap = \"2h\": it is not shorter than lookback, which is 1h (incidentd.toml:7)";
    assert!(
        report.contains("one error") && report.contains(expected),
        "{report}"
    );
    let report = Fixture::new(&format!("{APP}{TENANT}poll.overlap = \"25h\"")).report();
    let expected = "it is not shorter than lookback, which is 24h (what all tenants have)";
    assert!(
        report.contains("one error") && report.contains(expected),
        "{report}"
    );
}

#[test]
fn a_secret_s_file_that_all_users_can_reach_is_warned_of_and_a_group_s_is_not() {
    let fixture = with("");
    let open = |fixture: Fixture| {
        let fixture = fixture.with_mode("", 0o755);
        let warnings = fixture.warnings();
        (fixture, warnings)
    };
    let (fixture, group) = open(fixture.with_mode("secret", 0o640));
    assert_eq!(group, Vec::<String>::new());
    let (fixture, all) = open(fixture.with_mode("secret", 0o644));
    assert_eq!(
        all,
        [
            "incidentd.toml:4: app.client_secret_file: every user of this machine can reach the secret in secret: chmod o= secret, and \
          chown it to the user or the group that incidentd runs as"
        ]
    );
    // No other user can enter the folder.
    let closed = fixture.with_mode("", 0o700).warnings();
    assert_eq!(closed, Vec::<String>::new());
}

#[test]
fn a_topic_of_records_is_refused_as_the_ledger_s() {
    let ledger = |kind: &str, topic: &str, more: &str| {
        with(&format!(
            "[ledger]\nkind = {kind:?}\ntopic = {topic:?}\n[kafka]\nstatus_topic = \"states\"\ndead_letter_topic = \"dead\"\nalerts_topic = \"alerts\"\n{more}"
        ))
    };
    let own = "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\nkafka.topic = \"own\"\n";
    for (topic, key) in [
        ("security.incidents", "kafka.topic"),
        ("own", "kafka.topic"),
        ("alerts", "kafka.alerts_topic"),
        ("states", "kafka.status_topic"),
        ("dead", "kafka.dead_letter_topic"),
    ] {
        let report = ledger("kafka", topic, own).report();
        let said = format!("ledger.topic: {key} is the same topic");
        assert!(report.contains(&said), "{topic}: {report}");
        assert!(
            report.starts_with("1 error") || report.contains("one error"),
            "{report}"
        );
        ledger("local", topic, own).valid();
    }
    ledger("kafka", "a-topic-of-its-own", own).valid();
}

#[test]
fn a_topic_of_alerts_is_refused_as_a_topic_of_anything_else() {
    let others = "[kafka]\nstatus_topic = \"states\"\ndead_letter_topic = \"dead\"\n";
    let own = "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\nkafka.topic = \"own\"\n";
    for (topic, key) in [
        ("security.incidents", "kafka.topic"),
        ("own", "kafka.topic"),
        ("states", "kafka.status_topic"),
        ("dead", "kafka.dead_letter_topic"),
    ] {
        let said = format!("kafka.alerts_topic: {key} is the same topic, {topic}, where");
        for text in [
            format!("{others}alerts_topic = {topic:?}\n{own}"),
            format!("{others}{own}kafka.alerts_topic = {topic:?}\n"),
        ] {
            let report = with(&text).report();
            assert!(report.contains(&said), "{topic}: {report}");
        }
    }
    with(&format!("{others}alerts_topic = \"alerts\"\n{own}")).valid();
}
