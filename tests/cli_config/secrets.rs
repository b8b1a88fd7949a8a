//! What works without the secrets, and without what only the service has: before the service has run, and without root.

use super::{CONTOSO, MAIN, Shell, configured};

/// The package's configuration with the first customer, as `init` writes them, without the secrets.
fn of_the_package() -> Shell {
    let shell = Shell::new();
    let text = include_str!("../../deploy/deb/incidentd.toml").replace(
        "client_id = \"\"",
        "client_id = \"0f0f0f0f-0000-4000-8000-000000000001\"",
    );
    // No machine has a file of this name, even if incidentd is installed.
    let text = text.replace("service/client-secret", "service/nobody-of-this-name");
    shell.write("incidentd.toml", &text);
    let own = "app.client_secret_file = \"/run/credentials/incidentd.service/secrets_nobody-of-this-name\"";
    let tenant = format!("[[tenants]]\nid = \"{CONTOSO}\"\nname = \"contoso\"\n{own}\n");
    shell.write("tenants.d/contoso.toml", &tenant);
    shell
}

#[test]
fn without_the_secrets_consent_is_silent_config_warns_and_check_names_the_files() {
    let shell = of_the_package();
    let typed =
        |command: &[&str]| shell.incidentd(&[command, &["--config", "incidentd.toml"]].concat());
    for command in [
        &["consent"][..],
        &["consent", "contoso"],
        &["consent", "--url"],
    ] {
        let consent = typed(command);
        assert_eq!((consent.code, &*consent.err), (0, ""), "{command:?}");
        assert!(consent.out.contains("adminconsent?"), "{}", consent.out);
    }
    let config = typed(&["config"]);
    assert_eq!(config.code, 0, "{}", config.err);
    let shown = "client_secret_file = \"/run/credentials/incidentd.service/nobody-of-this-name\"";
    assert!(config.out.contains(shown), "{}", config.out);
    let check = typed(&["check", "--offline"]);
    assert_eq!((check.code, &*check.out), (78, ""));
    for place in [
        "incidentd.toml:15: app.client_secret_file: /etc/incidentd/nobody-of-this-name, from which",
        "contoso.toml:4: tenants[0].app.client_secret_file (tenant contoso): /etc/incidentd/secrets/nobody-of-this-name, from which",
    ] {
        assert!(check.err.contains(place), "{place} is not in {}", check.err);
    }
    // The same words instead of the errors, without the tenant's name.
    for place in [
        "warning: incidentd.toml:15: app.client_secret_file: /etc/incidentd/nobody-of-this-name, from which",
        "warning: tenants.d/contoso.toml:4: tenants[0].app.client_secret_file: /etc/incidentd/secrets/nobody",
    ] {
        assert!(
            config.err.contains(place),
            "{place} is not in {}",
            config.err
        );
    }
}

#[test]
fn consent_needs_nothing_that_only_the_service_has() {
    let mut shell = configured();
    shell.environment.clear();
    let log_in = "\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"PLAIN\"";
    let text = MAIN
        .replace(
            "[kafka.properties]",
            &format!("[kafka.properties]\n{log_in}"),
        )
        .replace("\"sasl.username\" = \"S3cr3t~canary.value\"\n", "");
    shell.write("etc/incidentd.toml", &text);
    let check = shell.incidentd(&["check", "--offline", "--config", "etc/incidentd.toml"]);
    assert_eq!(check.code, 78);
    for missing in ["sasl.username", "no environment variable of this name"] {
        assert!(check.err.contains(missing), "{}", check.err);
    }
    let consent = shell.incidentd(&["consent", "--config", "etc/incidentd.toml"]);
    assert_eq!((consent.code, &*consent.err), (0, ""));
    assert_eq!(
        consent.out.matches("adminconsent?").count(),
        2,
        "{}",
        consent.out
    );
}
