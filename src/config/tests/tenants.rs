//! Tenants: overrides, sharing, uniqueness, numbers.

use std::fmt::Write as _;
use std::sync::Arc;
use tokio::time::Instant;

use secrecy::ExposeSecret;

use super::{APP, Fixture, with};
use crate::settings::{Credential, SecretSource, TokenEndpoint};

#[test]
fn tenants_share_what_they_do_not_override() {
    let settings = with("[api]\nsource = \"defender\"\ncloud = \"gcc\"\nscope = \"https://x/.default\"\nbase_url = \"https://near.example.net\"")
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
        matches!(&dod.app.credential, Credential::Secret { current: SecretSource::File(path), next: None } if path.ends_with("secret")),
        "{dod:?}"
    );
    assert!(
        matches!(&v1.app.credential, Credential::Secret { current: SecretSource::Env { value, .. }, next: None } if value.expose_secret() == "their secret"),
        "{v1:?}"
    );
    assert_eq!(v1.app.client_id, contoso.app.client_id);
    assert_ne!(dod.app.client_id, contoso.app.client_id);
    assert_eq!(plain.name.to_string(), plain.id.to_string());
    assert!(Arc::ptr_eq(&contoso.app, &plain.app) && Arc::ptr_eq(&contoso.api, &plain.api));
    assert!(Arc::ptr_eq(&contoso.poll, &plain.poll) && Arc::ptr_eq(&contoso.topic, &plain.topic));
    // The scope was set for all tenants except the one that chose its cloud.
    let [dropped, scope] = &settings.warnings[..] else {
        panic!("{:?}", settings.warnings)
    };
    assert!(
        dropped.contains("is not used for a tenant of another source or cloud: base_url, scope."),
        "{dropped}"
    );
    assert!(scope.contains("\"dod\""), "{scope}");
}

#[test]
fn a_missing_key_of_the_app_is_one_error_for_all_tenants() {
    let report = Fixture::new(
        "[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\n[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\napp.client_secret_file = \"secret\"",
    )
    .report();
    assert!(report.contains("2 errors"), "{report}");
    assert!(report.contains("incidentd.toml: app.client_id: it is missing, and 2 tenants have none of their own, the first is 11111111-1111-1111-1111-111111111111 (incidentd.toml:1)"), "{report}");
    assert!(
        report.contains("app.client_secret_file: it is missing, and 11111111-1111-1111-1111-111111111111 (incidentd.toml:1) has none of its own"),
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
    assert!(report.contains("more/a.toml:2: tenants[0].id = \"11111111-1111-1111-1111-111111111111\" (tenant a): incidentd.toml:9 has the same id"), "{report}");
    assert!(report.contains("more/b.toml:3: tenants[0].name = \"contoso\" (tenant contoso): incidentd.toml:10 has the same name"), "{report}");
    assert!(
        report.contains("it is the id of another tenant"),
        "{report}"
    );
    assert!(report.contains("3 errors"), "{report}");
}

#[test]
fn a_name_can_neither_command_a_terminal_nor_turn_a_line_around() {
    for name in [
        "\\u0007contoso",
        "osotnoc\\u202e",
        "con\\u200btoso",
        "contoso\\u2066",
    ] {
        let report = Fixture::new(&format!(
            "{APP}[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\nname = \"{name}\""
        ))
        .report();
        assert!(report.contains("can't be printed"), "{report}");
        assert!(
            !report.contains(['\u{7}', '\u{202e}', '\u{200b}', '\u{2066}']),
            "{report:?}"
        );
    }
}

#[test]
fn a_budget_beyond_the_documented_one_is_one_warning() {
    let mut more = String::new();
    for n in 0..3 {
        let _ = writeln!(
            more,
            "[[tenants]]\nid = \"22222222-2222-2222-2222-22222222222{n}\"\npoll.requests_per_minute = 80"
        );
    }
    let settings = with("")
        .with_file("more/a.toml", more)
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .valid();
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    let expected = "more/a.toml:3: tenants[0].poll.requests_per_minute and 2 more: 80 requests a minute can break";
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

/// Prints its times. The promise of a second holds for a release build on an idle machine.
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
