//! Keys below the wrong header, or below none: one plain explanation each, however many mistakes it causes.

use super::{APP, Fixture, TENANT, with};

#[track_caller]
fn says_once(fixture: &Fixture, expected: &str) {
    let report = fixture.report();
    let (_, said) = report.split_once('\n').expect("a headline");
    assert!(
        report.contains("one error") && said.contains(expected),
        "{expected}\nis not all of\n{report}"
    );
}

#[test]
fn a_single_table_of_tenants_is_told_to_be_a_list_and_hides_the_lack_of_tenants() {
    let fixture = Fixture::new(&format!(
        "{APP}\n[tenants]\nid = \"11111111-1111-1111-1111-111111111111\""
    ));
    says_once(
        &fixture,
        "incidentd.toml:6: tenants: it is one table, and should be a list of tables\n    write [[tenants]], with two brackets",
    );
    let misspelt = TENANT.replace("[[tenants]]", "[[tenant]]");
    says_once(
        &Fixture::new(&format!("{APP}{misspelt}")),
        "incidentd.toml:6: tenant: there is no such table\n    did you mean [[tenants]]?",
    );
}

#[test]
fn a_tenant_s_keys_without_a_header_are_one_error() {
    let bare = TENANT.replace("[[tenants]]", "");
    let expected = "it is a tenant's, and there is no line [[tenants]] above it\n    write the line [[tenants]] above";
    // Below [app], where the keys ended up.
    says_once(
        &Fixture::new(&format!("{APP}{bare}")),
        &format!("incidentd.toml:7: app.id: {expected}"),
    );
    // At the top of the file.
    says_once(
        &Fixture::new(&format!("{bare}{APP}")),
        &format!("incidentd.toml:3: id: {expected}"),
    );
    let alone = with("").with_file("more/a.toml", format!("{bare}\n[api]\nsource = \"graph\""));
    says_once(
        &alone.with_env("INCIDENTD__TENANTS_DIR", "more"),
        &format!("more/a.toml:3: id: {expected}"),
    );
}

#[test]
fn tenants_dir_below_a_header_hides_the_lack_of_tenants() {
    says_once(
        &Fixture::new(&format!("{APP}tenants_dir = \"more\"")),
        "incidentd.toml:5: app.tenants_dir: it stands below [app], so that it counts as a key of that table\n    move it to the top",
    );
    says_once(
        &with("")
            .with_file(
                "more/a.toml",
                "tenants_dir = \"b\"\n[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"",
            )
            .with_env("INCIDENTD__TENANTS_DIR", "more"),
        "more/a.toml:1: tenants_dir: it is a key of the main file",
    );
    says_once(
        &Fixture::new(&format!("{APP}{TENANT}tenants_dir = \"more\"")),
        "incidentd.toml:9: tenants[0].tenants_dir (tenant contoso): it stands below [[tenants]]",
    );
}

#[test]
fn a_key_that_is_right_elsewhere_is_sent_there() {
    for (more, expected) in [
        (
            "[poll]\nproxy = \"http://a:1\"",
            "poll.proxy: there is no such key in [poll]\n    it belongs to [api]",
        ),
        ("[api]\nformat = \"raw\"", "it belongs to [kafka] or [log]"),
        (
            "[kafka]\nlog = \"debug\"",
            "kafka.log: there is no such key in [kafka]\n    it stands by itself: write [log]",
        ),
        (
            "[properties]\nacks = \"all\"",
            "properties: there is no such table\n    it belongs to [kafka]",
        ),
        (
            "[api]\nscheduel = \"every 30s\"",
            "did you mean schedule, which belongs to [poll]?",
        ),
        (
            "[api]\noverlp = \"15m\"",
            "did you mean overlap, which belongs to [poll]?",
        ),
        ("[pol]\noverlap = \"15m\"", "did you mean [poll]?"),
        (
            "[kafka]\nsecurity.protocol = \"ssl\"",
            "below [kafka.properties]",
        ),
        (
            "[poll]\ntenants_dri = \"more\"",
            "did you mean tenants_dir?",
        ),
    ] {
        says_once(&with(more), expected);
    }
    for (own, expected) in [
        (
            "brokers = \"a:1\"",
            "it holds for the whole daemon: set it in [kafka] of the main file",
        ),
        (
            "kafka.brokers = \"a:1\"",
            "it holds for the whole daemon: set it in [kafka] of the main file",
        ),
        (
            "source = \"graph\"",
            "write it as api.source below [[tenants]]",
        ),
        (
            "poll.source = \"graph\"",
            "write it as api.source below [[tenants]]",
        ),
        (
            "log.level = \"debug\"",
            "it holds for the whole daemon: set [log] in the main file",
        ),
        ("api.sourec = \"graph\"", "did you mean source?"),
    ] {
        says_once(&Fixture::new(&format!("{APP}{TENANT}{own}")), expected);
    }
}

#[test]
fn a_table_below_the_tenants_is_warned_of_as_it_holds_for_all() {
    let fixture = Fixture::new(&format!("{APP}{TENANT}[api]\nsource = \"graph\""));
    let expected = "incidentd.toml:9: api: it holds for all tenants, though it stands below [[tenants]]; move it above the first \
                    of them, or write [tenants.api] for the one";
    assert_eq!(fixture.warnings(), [expected]);
    // A second [api] there is a duplicate table.
    let twice = Fixture::new(&format!(
        "{APP}[api]\nsource = \"graph\"\n{TENANT}[api]\nsource = \"defender\""
    ));
    says_once(
        &twice,
        "incidentd.toml:11: [api] is given before, in line 5\n    give each table once; a tenant's own is written with \"tenants.\" \
         before its name, as [tenants.api], below its [[tenants]]",
    );
}

#[test]
fn a_tenant_copied_whole_is_one_error_that_names_both_places() {
    let fixture = with("").with_file("more/copy.toml", TENANT);
    says_once(
        &fixture.with_env("INCIDENTD__TENANTS_DIR", "more"),
        "more/copy.toml:3: tenants[0].id = \"11111111-1111-1111-1111-111111111111\" (tenant contoso): incidentd.toml:9 has the same id",
    );
}

#[test]
fn variables_that_look_like_ours_and_are_not_read_are_warned_of() {
    let fixture = with("")
        .with_env("INCIDENTD_KAFKA_BROKERS", "a:1")
        .with_env("INCIDENTD_POLL__REQUESTS_PER_MINUTE", "1")
        .with_env("INCIDENTD_TENANTS_DIR", "more")
        .with_env("INCIDENTD_HOME", "/opt/incidentd")
        .with_env("INCIDENTD_SECRET", "of the operator's own");
    let expected = [
        ("INCIDENTD_KAFKA_BROKERS", "kafka.brokers is set by INCIDENTD__KAFKA__BROKERS"),
        (
            "INCIDENTD_POLL__REQUESTS_PER_MINUTE",
            "poll.requests_per_minute is set by INCIDENTD__POLL__REQUESTS_PER_MINUTE",
        ),
        ("INCIDENTD_TENANTS_DIR", "tenants_dir is set by INCIDENTD__TENANTS_DIR"),
    ]
    .map(|(name, right)| {
        format!("environment variable {name}: it is not read; {right}, with two underscores at each place")
    });
    assert_eq!(fixture.warnings(), expected);
}
