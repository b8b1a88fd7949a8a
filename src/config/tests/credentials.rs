//! The credentials of an app, for all tenants and for one.

use super::super::{effective, load_for_reading};
use super::{APP, CANARY, Fixture, NoLibraryChecks, TENANT};
use crate::settings::{Credential, SecretSource, Settings};

const ID: &str = "[app]\nclient_id = \"0f0f0f0f-0000-4000-8000-000000000001\"\n";

/// An `[app]` with the keys `shared`, and a tenant with the keys `own`. The files `next` and `token` exist.
fn app(shared: &str, own: &str) -> Fixture {
    Fixture::new(&format!("{ID}{shared}\n{TENANT}{own}"))
        .with_file("next", "the next secret\n")
        .with_file("token", "head.payload.signature")
        .with_env("SECRET", CANARY)
}

/// The only tenant's credential, with its files by name.
fn shown(settings: &Settings) -> String {
    let name = |path: &std::path::Path| {
        let name = path.file_name().expect("a name");
        assert!(path.is_absolute(), "{} is relative", path.display());
        name.to_string_lossy().into_owned()
    };
    match &super::only(settings).app.credential {
        Credential::Secret { current, next } => {
            let current = match current {
                SecretSource::File(path) => name(path),
                SecretSource::Env { name, .. } => format!("${name}"),
            };
            match next {
                Some(next) => format!("{current} then {}", name(next)),
                None => current,
            }
        }
        Credential::Federated(path) => format!("federated {}", name(path)),
        Credential::Certificate { certificate, key } => {
            format!("certificate {} with {}", name(certificate), name(key))
        }
        Credential::ManagedIdentity(_) => "managed identity".to_owned(),
        Credential::KeyVault { secret, .. } => secret.to_string(),
    }
}

#[test]
fn the_file_of_the_second_secret_may_be_missing_before_and_after_a_rotation() {
    // `blank` is like the unit's copy of a missing file, which has only a line end.
    for next in ["absent", "empty", "blank"] {
        let keys = format!("client_secret_file = \"secret\"\nclient_secret_next_file = \"{next}\"");
        let fixture = app(&keys, "")
            .with_file("empty", "")
            .with_file("blank", "\n");
        assert_eq!(shown(&fixture.valid()), format!("secret then {next}"));
    }
}

#[test]
fn a_tenant_s_own_credential_goes_before_the_shared_one_as_a_whole() {
    let (file, env) = (
        "client_secret_file = \"secret\"",
        "client_secret_env = \"SECRET\"",
    );
    let next = "client_secret_next_file = \"next\"";
    let token = "federated_token_file = \"token\"";
    for (shared, own, expected) in [
        (&[file][..], &[][..], "secret"),
        (&[file, next], &[], "secret then next"),
        (&[env, next], &[], "$SECRET then next"),
        (&[token], &[], "federated token"),
        (&[], &[file, next], "secret then next"),
        (&[], &[token], "federated token"),
        (&[file], &[next], "secret then next"),
        (&[file], &[token], "federated token"),
        (&[file, next], &[token], "federated token"),
        (&[token], &[file, next], "secret then next"),
        (&[token], &[env], "$SECRET"),
        // The second secret belongs to another app.
        (&[file, next], &[env], "$SECRET"),
    ] {
        let own: Vec<String> = own.iter().map(|key| format!("app.{key}")).collect();
        let fixture = app(&shared.join("\n"), &own.join("\n"));
        assert_eq!(shown(&fixture.valid()), expected, "{shared:?} and {own:?}");
    }
}

#[test]
fn a_federated_token_beside_a_secret_is_an_error_that_names_both() {
    let token = "federated_token_file = \"token\"";
    for secret in [
        "client_secret_file = \"secret\"",
        "client_secret_env = \"SECRET\"",
        "client_secret_next_file = \"next\"",
    ] {
        let key = secret.split(' ').next().expect("a key");
        let shared = app(&format!("{token}\n{secret}"), "").report();
        let expected = format!(
            "the configuration has one error:\nincidentd.toml:3: app.federated_token_file: {key} (incidentd.toml:4) is given too, and a federated \
             token stands in place of secrets\n    remove {key}, or federated_token_file"
        );
        assert_eq!(shared, expected);
        let own = app("", &format!("app.{token}\napp.{secret}")).report();
        assert!(
            own.contains("one error")
                && own.contains("tenants[0].app.federated_token_file (tenant contoso)")
                && own.contains(key),
            "{own}"
        );
    }
}

#[test]
fn a_second_secret_needs_a_first() {
    let next = "client_secret_next_file = \"next\"";
    for (shared, own) in [
        (next, String::new()),
        ("", format!("app.{next}")),
        ("federated_token_file = \"token\"", format!("app.{next}")),
    ] {
        let report = app(shared, &own).report();
        assert!(
            report.contains("one error") && report.contains("app.client_secret_next_file"),
            "{report}"
        );
        assert!(report.contains("there is no first"), "{report}");
    }
}

#[test]
fn files_of_no_use_are_refused_with_their_key_and_without_their_content() {
    for (key, beside) in [
        (
            "client_secret_next_file",
            "client_secret_file = \"secret\"\n",
        ),
        ("federated_token_file", ""),
    ] {
        for (name, content, why) in [
            ("missing", None, "the file can't be read"),
            ("empty", Some(&b" \n"[..]), "the file is empty"),
            (
                "binary",
                Some(&b"\xffS3cr3t~canary.value"[..]),
                "the file is not text",
            ),
        ] {
            if key == "client_secret_next_file" && name != "binary" {
                // It exists only during a rotation.
                continue;
            }
            let mut fixture = app(&format!("{beside}{key} = {name:?}"), "");
            if let Some(content) = content {
                fixture = fixture.with_file(name, content);
            }
            let report = fixture.report();
            assert!(
                report.contains("one error") && report.contains(&format!("app.{key}: {why}")),
                "{report}"
            );
            assert!(!report.contains("canary"), "{report}");
        }
    }
}

#[test]
fn the_environment_can_name_both_files() {
    let settings = Fixture::new(&format!("{APP}{TENANT}"))
        .with_file("next", "the next secret")
        .with_env("INCIDENTD__APP__CLIENT_SECRET_NEXT_FILE", "next")
        .valid();
    assert_eq!(shown(&settings), "secret then next");
    let settings = app("", "")
        .with_env("INCIDENTD__APP__FEDERATED_TOKEN_FILE", "token")
        .valid();
    assert_eq!(shown(&settings), "federated token");
}

#[test]
fn without_any_credential_all_three_ways_are_named() {
    let report = app("", "").report();
    for key in [
        "app.client_secret_file",
        "app.client_secret_env",
        "app.federated_token_file",
    ] {
        assert!(report.contains(key), "{key} is not in {report}");
    }
}

#[test]
fn a_copy_of_another_unit_s_is_said_to_be_systemd_s() {
    let key = "client_secret_file = \"/run/credentials/nobody.service/client-secret\"";
    let report = app(key, "").report();
    assert!(
        report.contains("one error")
            && report.contains("systemd puts it there while the service runs")
            && report.contains(
                "INCIDENTD__APP__CLIENT_SECRET_FILE=/etc/incidentd/client-secret incidentd check"
            ),
        "{report}"
    );
}

const COPIES: &str = "/run/credentials/incidentd.service";

/// The only mistake, for a tenant whose secret is a missing copy with this name.
fn missing_copy(name: &str, in_service: bool) -> String {
    let own = format!("app.client_secret_file = \"{COPIES}/{name}\"");
    let mut fixture = app("client_secret_file = \"secret\"", &own);
    if in_service {
        fixture = fixture.with_env("CREDENTIALS_DIRECTORY", COPIES);
    }
    let report = fixture.report();
    let place = "the configuration has one error:\nincidentd.toml:8: tenants[0].app.client_secret_file (tenant contoso): ";
    let rest = report.strip_prefix(place);
    rest.unwrap_or_else(|| panic!("{report}")).to_owned()
}

#[test]
fn outside_of_the_service_the_original_of_a_copy_is_looked_at_and_named() {
    assert_eq!(
        missing_copy("secrets_nobody-of-this-name", false),
        "/etc/incidentd/secrets/nobody-of-this-name, from which systemd makes this copy, can't be read: No such file or \
         directory (os error 2)\n    write the secret's Value (not its ID) into /etc/incidentd/secrets/nobody-of-this-name, a \
         file of root's alone (mode 0600)"
    );
}

#[test]
fn in_the_service_a_missing_copy_is_said_to_take_a_restart() {
    let restart = "the file can't be read: No such file or directory (os error 2)\n    write the secret's Value (not its ID) \
                   into /etc/incidentd/secrets/nobody-of-this-name, then: systemctl restart incidentd. systemd makes its \
                   copies when the service starts, and not when it reloads";
    assert_eq!(missing_copy("secrets_nobody-of-this-name", true), restart);
    let unknown_to_the_unit = missing_copy("nobody-of-this-name", true);
    assert!(
        unknown_to_the_unit
            .contains("LoadCredential=nobody-of-this-name:/etc/incidentd/nobody-of-this-name"),
        "{unknown_to_the_unit}"
    );
}

#[test]
fn who_needs_no_secret_is_not_stopped_by_one_that_is_missing() {
    for (keys, hidden) in [
        ("client_secret_file = \"a/S3cr3t~canary.value\"", true),
        ("client_secret_file = \"blank\"", false),
        ("client_secret_env = \"S3cr3t~canary.value\"", true),
        ("federated_token_file = \"S3cr3t~canary.value\"", true),
        (
            "client_secret_file = \"/run/credentials/incidentd.service/nobody-of-this-name\"",
            false,
        ),
    ] {
        let fixture = app(keys, "")
            .with_file("blank", "\n")
            .with_mode("blank", 0o600);
        assert!(fixture.report().contains("one error"), "{keys}");
        let settings = load_for_reading(&fixture.main(), &fixture.environment).expect(keys);
        assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
        let effective =
            effective(&fixture.main(), &fixture.environment, &NoLibraryChecks).expect(keys);
        let texts = format!("{} {:?}", effective.all(), effective.warnings());
        assert!(!texts.contains("canary"), "{texts}");
        assert_eq!(texts.contains("not shown: "), hidden, "{texts}");
    }
    // Any mistake other than an unreadable secret is an error, also for a reader without access to the secret.
    let wrong = app("client_secret_file = \"absent\"\nno_such_key = 1", "");
    let errors = load_for_reading(&wrong.main(), &wrong.environment).expect_err("a mistake");
    assert_eq!(errors.problems().len(), 1, "{errors}");
}
