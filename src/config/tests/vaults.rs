//! A client secret in Azure Key Vault.

use super::{Fixture, TENANT, only};
use crate::settings::{Credential, ManagedIdentity, VaultIdentity, WorkloadIdentity};

const VAULT: &str = "https://contoso.vault.azure.net/secrets/app";

fn app(keys: &str) -> Fixture {
    let client_id = "client_id = \"0f0f0f0f-0000-4000-8000-000000000001\"";
    Fixture::new(&format!("[app]\n{client_id}\n{keys}\n{TENANT}"))
}

#[test]
fn a_secret_of_a_vault_is_read_by_the_identity_beside_it() {
    for vault in [
        VAULT,
        "https://contoso.vault.azure.net/secrets/app/0123456789abcdef",
        "https://contoso.vault.usgovcloudapi.net/secrets/app",
        "https://contoso.vault.azure.cn/secrets/app",
        "http://127.0.0.1:8080/secrets/app",
    ] {
        let fixture = app(&format!(
            "key_vault_secret = \"{vault}\"\nmanaged_identity = \"system\""
        ));
        match &only(&fixture.valid()).app.credential {
            Credential::KeyVault {
                secret,
                identity: VaultIdentity::Managed(ManagedIdentity { client_id, .. }),
            } => assert_eq!((secret.as_str(), *client_id), (vault, None)),
            other => panic!("{other:?}"),
        }
    }
    let alone = app(&format!("key_vault_secret = \"{VAULT}\"")).report();
    assert!(alone.contains("nothing says who may read it"), "{alone}");
    let secret = "client_secret_file = \"secret\"";
    let two = app(&format!(
        "key_vault_secret = \"{VAULT}\"\nmanaged_identity = \"system\"\n{secret}"
    ))
    .report();
    assert!(
        two.contains("one error") && two.contains("a secret in Key Vault stands"),
        "{two}"
    );
}

#[test]
fn a_version_in_the_secret_s_identifier_is_warned_of() {
    for (vault, warned) in [
        (VAULT.to_owned(), false),
        (format!("{VAULT}/0123abcd"), true),
    ] {
        let keys = format!("key_vault_secret = \"{vault}\"\nmanaged_identity = \"system\"");
        let warnings = app(&keys).warnings().join("\n");
        let text = "app.key_vault_secret: it names one version: a renewed secret is never read; cut the version off";
        assert_eq!(warnings.contains(text), warned, "{warnings}");
    }
    let wrong = app("key_vault_secret = \"contoso\"\nmanaged_identity = \"system\"").report();
    assert!(wrong.contains("leave out the version"), "{wrong}");
}

#[test]
fn the_identity_s_token_goes_to_a_vault_only() {
    for (vault, why) in [
        ("contoso", "it is not a URL"),
        (
            "http://contoso.vault.azure.net/secrets/app",
            "it is not in a key vault",
        ),
        (
            "https://contoso.example/secrets/app",
            "it is not in a key vault",
        ),
        (
            "https://vault.azure.net.example/secrets/app",
            "it is not in a key vault",
        ),
        (
            "https://contoso.vault.azure.net:8443/secrets/app",
            "it is not in a key vault",
        ),
        ("http://127.0.0.2/secrets/app", "it is not in a key vault"),
        (
            "https://contoso.vault.azure.net/",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/keys/app",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/secrets/",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/secrets/a/b/c",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/secrets/app?x",
            "it does not name a secret",
        ),
        (
            "https://user:canary@contoso.vault.azure.net/secrets/app",
            "it does not name a secret",
        ),
    ] {
        let report = app(&format!(
            "key_vault_secret = \"{vault}\"\nmanaged_identity = \"system\""
        ))
        .report();
        assert!(
            report.contains("one error") && report.contains(why),
            "{vault}: {report}"
        );
        assert!(!report.contains("canary"), "{report}");
    }
}

const CLIENT: &str = "0f0f0f0f-0000-4000-8000-000000000002";
const HOME: &str = "33333333-3333-3333-3333-333333333333";

/// A vault that a federated token opens.
fn workload(more: &str) -> Fixture {
    let keys = format!("key_vault_secret = \"{VAULT}\"\nfederated_token_file = \"token\"\n{more}");
    app(&keys)
        .with_file("token", "head.payload.signature")
        .with_env("AZURE_CLIENT_ID", CLIENT)
        .with_env("AZURE_TENANT_ID", HOME)
}

#[test]
fn a_federated_token_is_that_of_the_identity_in_the_environment() {
    let fixture = workload("");
    let settings = fixture.valid();
    let app = &only(&settings).app;
    let Credential::KeyVault {
        secret,
        identity:
            VaultIdentity::Workload(WorkloadIdentity {
                client_id,
                tenant,
                token_file,
            }),
    } = &app.credential
    else {
        panic!("{app:?}");
    };
    assert_eq!(secret.as_str(), VAULT);
    assert_eq!(
        (client_id.to_string(), tenant.to_string()),
        (CLIENT.into(), HOME.into())
    );
    assert!(token_file.ends_with("token"));
    assert!(
        settings
            .all_folders()
            .contains(token_file.parent().unwrap()),
        "its folder is watched"
    );
}

#[test]
fn a_federated_token_of_nobody_opens_no_vault() {
    for (name, value, why) in [
        (
            "AZURE_CLIENT_ID",
            "",
            "AZURE_CLIENT_ID of the environment is not a GUID",
        ),
        (
            "AZURE_CLIENT_ID",
            "canary",
            "AZURE_CLIENT_ID of the environment is not a GUID",
        ),
        (
            "AZURE_TENANT_ID",
            "contoso.example",
            "AZURE_TENANT_ID of the environment is not a GUID",
        ),
    ] {
        let report = workload("").with_env(name, value).report();
        assert!(
            report.contains("one error") && report.contains(why),
            "{report}"
        );
        assert!(
            report.contains("app.federated_token_file: ") && !report.contains("canary"),
            "{report}"
        );
    }
    let mut without = workload("");
    without.environment.clear();
    let report = without.report();
    for (name, annotation) in [
        ("AZURE_CLIENT_ID", "client-id"),
        ("AZURE_TENANT_ID", "tenant-id"),
    ] {
        let what = format!(
            "nothing says whose token it is: the environment has no {name}\n    set {name} to"
        );
        let annotation = format!("annotation azure.workload.identity/{annotation}");
        assert!(
            report.contains(&what) && report.contains(&annotation),
            "{report}"
        );
    }
    let two = workload("managed_identity = \"system\"").report();
    assert!(
        two.contains("one error")
            && two.contains("one identity opens the key vault\n    remove federated_token_file, or managed_identity"),
        "{two}"
    );
}
