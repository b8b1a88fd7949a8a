//! A managed identity in place of a secret, and where its tokens come from.

use std::path::Path;

use super::{CANARY, Fixture, TENANT, only};
use crate::settings::{Credential, IdentityEndpoint, ManagedIdentity};

const CLIENT: &str = "0f0f0f0f-0000-4000-8000-000000000002";

fn app(identity: &str) -> Fixture {
    let client_id = "client_id = \"0f0f0f0f-0000-4000-8000-000000000001\"";
    Fixture::new(&format!(
        "[app]\n{client_id}\nmanaged_identity = \"{identity}\"\n{TENANT}"
    ))
}

fn identity(fixture: &Fixture) -> ManagedIdentity {
    match &only(&fixture.valid()).app.credential {
        Credential::ManagedIdentity(identity) => identity.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_the_system_s_or_has_a_client_id() {
    assert_eq!(identity(&app("system")).client_id, None);
    let id = identity(&app(CLIENT)).client_id;
    assert_eq!(id.map(|id| id.to_string()).as_deref(), Some(CLIENT));
    for wrong in ["", "System", "user", "00000000-0000-0000-0000-000000000000"] {
        let report = app(wrong).report();
        assert!(
            report.contains("write \"system\", or the client id"),
            "{wrong}: {report}"
        );
    }
}

#[test]
fn its_tokens_come_from_where_azure_says() {
    let shown = |fixture: &Fixture| match identity(fixture).endpoint {
        IdentityEndpoint::Imds(url) => format!("imds {url}"),
        IdentityEndpoint::AppService { url, .. } => format!("app service {url}"),
        IdentityEndpoint::Arc { url, keys } => format!("arc {url} {}", keys.display()),
    };
    let imds = "imds http://169.254.169.254/metadata/identity/oauth2/token";
    assert_eq!(shown(&app("system")), imds);
    // A header alone is left over from something else.
    assert_eq!(
        shown(&app("system").with_env("IDENTITY_HEADER", CANARY)),
        imds
    );
    let moved =
        app("system").with_env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8080");
    assert_eq!(
        shown(&moved),
        "imds http://127.0.0.1:8080/metadata/identity/oauth2/token"
    );
    for url in [
        "http://localhost:42356/msi/token",
        "http://169.254.129.2:8081/msi/token",
        "https://identity.example/msi/token",
    ] {
        let fixture = app("system")
            .with_env("IDENTITY_ENDPOINT", url)
            .with_env("IDENTITY_HEADER", CANARY);
        assert_eq!(shown(&fixture), format!("app service {url}"));
        let settings = format!("{:?}", fixture.valid());
        assert!(!settings.contains("canary"), "{settings}");
    }
}

#[test]
fn an_endpoint_elsewhere_is_refused_without_its_address() {
    for (endpoint, why) in [
        (
            "http://10.0.0.1/canary",
            "leads to another machine without https",
        ),
        (
            "http://identity.example/canary",
            "leads to another machine without https",
        ),
        (
            "ftp://127.0.0.1/canary",
            "leads to another machine without https",
        ),
        (
            "https://user:canary@identity.example/",
            "holds a user or a password",
        ),
        ("canary", "is not a URL"),
    ] {
        let report = app("system")
            .with_env("IDENTITY_ENDPOINT", endpoint)
            .with_env("IDENTITY_HEADER", CANARY)
            .report();
        assert!(
            report.contains(why) && report.contains("unset IDENTITY_ENDPOINT"),
            "{report}"
        );
        assert!(!report.contains("canary"), "{report}");
    }
    let alone = app("system").with_env("IDENTITY_ENDPOINT", ARC);
    let report = alone.report();
    assert!(
        report.contains("neither IDENTITY_HEADER (App Service) nor IMDS_ENDPOINT"),
        "{report}"
    );
}

const ARC: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";

#[test]
fn azure_arc_has_the_machine_s_own_identity_only() {
    let on_arc = |identity: &str, url: &str| {
        app(identity)
            .with_env("IDENTITY_ENDPOINT", url)
            .with_env("IMDS_ENDPOINT", "http://127.0.0.1:40342")
    };
    match identity(&on_arc("system", ARC)).endpoint {
        IdentityEndpoint::Arc { url, keys } => {
            assert_eq!(
                (url.as_str(), &*keys),
                (ARC, Path::new("/var/opt/azcmagent/tokens"))
            );
        }
        other => panic!("{other:?}"),
    }
    let report = on_arc(CLIENT, ARC).report();
    assert!(
        report.contains("one error")
            && report.contains("no user-assigned identities\n    write \"system\""),
        "{report}"
    );
    let report = on_arc("system", "http://10.0.0.1/canary").report();
    assert!(
        report.contains("leads to another machine without https"),
        "{report}"
    );
}
