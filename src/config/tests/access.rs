//! Files that other users of the machine can change, and files with a password that they can read.

use super::*;

const DIR: &str = "INCIDENTD__TENANTS_DIR";

/// A configuration in a folder that all users can enter.
fn open(text: &str) -> Fixture {
    with(text).with_mode("", 0o755)
}

#[test]
fn a_main_file_that_all_users_can_change_is_warned_of_and_a_group_s_is_not() {
    let mut fixture = open("");
    for (mode, warned) in [
        (0o640, 0),
        (0o644, 0),
        (0o664, 0),
        (0o646, 1),
        (0o666, 1),
        (0o602, 1),
    ] {
        fixture = fixture.with_mode("incidentd.toml", mode);
        let warnings = fixture.warnings();
        assert_eq!(warnings.len(), warned, "{mode:o}: {warnings:?}");
        for warning in &warnings {
            assert!(warning.contains("can change it"), "{warning}");
            assert!(warning.ends_with("chmod o-w incidentd.toml"), "{warning}");
        }
    }
    let closed = fixture.with_mode("", 0o700).warnings();
    assert_eq!(
        closed,
        Vec::<String>::new(),
        "nobody else comes through the folder"
    );
}

#[test]
fn tenants_files_and_their_folder_are_looked_at_too() {
    let tenant = "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\n";
    let fixture = open("")
        .with_env(DIR, "tenants.d")
        .with_file("tenants.d/contoso.toml", tenant);
    let fixture = fixture.with_mode("tenants.d", 0o755);
    let fixture = fixture.with_mode("tenants.d/contoso.toml", 0o644);
    assert_eq!(fixture.warnings(), Vec::<String>::new());

    let fixture = fixture.with_mode("tenants.d/contoso.toml", 0o666);
    let warnings = fixture.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("chmod o-w tenants.d/contoso.toml"),
        "{warnings:?}"
    );

    let fixture = fixture.with_mode("tenants.d/contoso.toml", 0o644);
    let fixture = fixture.with_mode("tenants.d", 0o777);
    let warnings = fixture.warnings();
    assert!(
        warnings.iter().any(|warning| {
            warning.contains("tenants_dir: every user of this machine can add tenants to it")
                && warning.contains("chmod o-w tenants.d")
        }),
        "{warnings:?}"
    );
}

#[test]
fn a_file_that_all_users_can_replace_is_warned_of_unless_the_folder_is_sticky() {
    let fixture = open("").with_mode("", 0o777);
    let warnings = fixture.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("put another file in its place: chmod o-w"),
        "{warnings:?}"
    );
    assert_eq!(
        fixture.with_mode("", 0o1777).warnings(),
        Vec::<String>::new()
    );
}

#[test]
fn a_password_that_all_users_can_read_is_warned_of_and_never_shown() {
    for (text, key) in [
        (
            "[kafka.properties]\n\"sasl.password\" = \"canary\"",
            "kafka.properties.sasl.password",
        ),
        (
            "[kafka.properties]\nsasl.password = \"canary\"",
            "kafka.properties.sasl.password",
        ),
        (
            "[kafka]\nproperties.ssl.key.password = \"canary\"",
            "kafka.properties.ssl.key.password",
        ),
        (
            "[kafka.properties]\n\"sasl.oauthbearer.client.secret\" = \"canary\"",
            "kafka.properties.sasl.oauthbearer.client.secret",
        ),
        (
            "[api]\nproxy = \"http://user:canary@proxy.test:3128\"",
            "api.proxy",
        ),
    ] {
        let fixture = open(text);
        let of_access = |warning: &String| warning.contains("every user of this machine");
        let closed = fixture.with_mode("incidentd.toml", 0o640);
        assert!(!closed.warnings().iter().any(of_access), "{text}");
        let mut warnings = closed.with_mode("incidentd.toml", 0o644).warnings();
        warnings.retain(of_access);
        let variable = key.to_uppercase().replace('.', "__");
        assert!(
            warnings.len() == 1
                && warnings[0].contains(&format!(
                    ": {key}: every user of this machine can read the password"
                ))
                && warnings[0].contains("chmod o= incidentd.toml")
                && warnings[0].contains(&format!("INCIDENTD__{variable}")),
            "{text}: {warnings:?}"
        );
        assert!(!warnings[0].contains("canary"), "{warnings:?}");
    }
}

#[test]
fn what_is_no_password_may_be_read_by_all() {
    for text in [
        "[kafka.properties]\n\"sasl.username\" = \"soc\"\n\"ssl.ca.location\" = \"/etc/ca.pem\"",
        "[kafka.properties]\n\"sasl.password\" = \"\"",
        "[api]\nproxy = \"http://proxy.test:3128\"",
    ] {
        let fixture = open(text).with_mode("incidentd.toml", 0o644);
        let of_access = |warning: &String| warning.contains("every user of this machine");
        assert!(!fixture.warnings().iter().any(of_access), "{text}");
    }
}

#[test]
fn no_more_warnings_are_given_than_are_read() {
    let mut fixture = open("").with_env(DIR, "tenants.d");
    for n in 0..300 {
        let name = format!("tenants.d/{n:03}.toml");
        let tenant = format!("[[tenants]]\nid = \"{n:08}-2222-2222-2222-222222222222\"\n");
        fixture = fixture.with_file(&name, &tenant).with_mode(&name, 0o666);
    }
    let fixture = fixture.with_mode("tenants.d", 0o755);
    let warnings = fixture.warnings();
    assert_eq!(warnings.len(), 201, "{warnings:?}");
    assert_eq!(warnings[200], "and 100 more warnings");
}
